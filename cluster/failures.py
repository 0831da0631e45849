"""Records for jobs that could not report themselves: their worker died, hung or was never heard of again."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from bench.job import Job
from bench.record import Delivery, Failed, FailureKind, Record


def device_of(job: Job) -> str:
    """What a job runs on."""
    return job.gpu or "cpu"


def lost(
    job: Job, attempt: int, kind: FailureKind, reason: str, began: float, *, node: str = "", log: str = ""
) -> Delivery:
    """The failed record of a job that began at `began` (seconds since the epoch) and whose worker gave none."""
    return Delivery(
        Record(
            key=job.key,
            kind=job.kind,
            attempt=attempt,
            outcome=Failed(stage=job.kind, kind=kind, reason=reason, log=log),
            job=job.described(),
            started=datetime.fromtimestamp(began, UTC).isoformat(timespec="milliseconds"),
            seconds=max(0.0, time.time() - began),
            worker="unknown",
            node=node,
            device=device_of(job),
        )
    )
