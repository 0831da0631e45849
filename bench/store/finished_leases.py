"""The leases of timing that a store has finished for a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from bench.job import answers
from bench.store.reader import Snapshot


class FinishedLease(NamedTuple):
    """A lease: its job as described, the seconds that it took, and the rounds of all its shapes."""

    job: Mapping[str, Any]
    seconds: float
    rounds: int | None  # None where it does not say


def finished_leases(snapshot: Snapshot, body: Mapping[str, Any]) -> list[FinishedLease]:
    """Every finished lease that answers the sweep's question, in order.

    Args:
        snapshot: whose records are looked at.
        body: the sweep's declaration.
    """
    found = []
    for row in snapshot.rows(
        "select key, job, seconds, notes from records where job_type = 'LatencyJob' and status = 'finished' "
        "order by ordinal"
    ):
        described = json.loads(row["job"])
        if answers(row["key"], described, body["questions"]["LatencyJob"]):
            rounds = json.loads(row["notes"] or "{}").get("rounds")
            found.append(FinishedLease(described, float(row["seconds"]), rounds))
    return found
