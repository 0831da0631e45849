"""The one loop: ask the plan, keep a bounded number of jobs in flight, hand on each record as it is acknowledged.

The local and the Ray runner differ only in the pool they give it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from bench.job import Job
from bench.record import Record
from bench.store.journal import Entry
from cluster.plan import Plan
from cluster.racing import Stopped
from cluster.standing import Known

Planning = Callable[[Known, frozenset[str]], Plan]
PAUSE = 0.2  # seconds between two looks at the pool


class Pool(Protocol):
    """Workers. Every record that `wait` returns has been acknowledged by the writer."""

    def takes(self, job: Job) -> bool:
        """Whether there is room for this job now."""

    def submit(self, job: Job, attempt: int) -> None:
        """Start the job. Never blocks on it."""

    def wait(self, seconds: float) -> list[Record]:
        """Records of jobs that ended, waiting at most so long for the first.

        A job whose worker died, hung past its time limit or ran out of memory gives a Failed record. Raises DiskFull
        and StaleLease, which end the sweep.
        """

    def state(self, entries: list[Entry]) -> None:
        """Have statements made durable by the writer; those already there are left alone. Raises as `wait`."""

    def report(self, progress: dict[str, Any]) -> None:
        """Tell the writer how far the sweep is, and let it publish. May raise StaleLease."""

    def close(self) -> None:
        """End every worker and its children; publish what is left."""


def drive(
    planning: Planning,
    known: Known,
    pool: Pool,
    watch: Callable[[Plan], dict[str, Any]],
    audit: Callable[[Stopped], Entry] | None = None,
) -> Iterator[Record]:
    """Run until nothing is ready and nothing is in flight; yields each record as it is acknowledged.

    Args:
        planning: what to run next, given what is known and what is in flight.
        known: what the store held at the start; updated in place.
        pool: where jobs run. The caller closes it.
        watch: called with each new plan; what it returns is published as the sweep's progress.
        audit: what the journal is told of a variant that was stopped.
    """
    stated: set[str] = set()
    in_flight: set[str] = set()
    plan = planning(known, frozenset())
    changed = True
    while True:
        if changed:
            for planned in plan.ready():
                if planned.job.key not in in_flight and pool.takes(planned.job):
                    pool.submit(planned.job, planned.attempt)
                    in_flight.add(planned.job.key)
            plan = planning(known, frozenset(in_flight))
        new = [stop for stop in plan.stopped if stop.artefact_id not in stated]
        if new and audit is not None:
            pool.state([audit(stop) for stop in new])
            stated.update(stop.artefact_id for stop in new)
        pool.report(watch(plan))
        if not in_flight:
            if not plan.ready():
                return
            time.sleep(PAUSE)  # nothing fits now, though nothing of ours runs: ask again
            continue
        arrived = pool.wait(PAUSE)
        changed = bool(arrived)
        for record in arrived:
            in_flight.discard(record.key)
            known.add(record)
            yield record
        if changed:
            plan = planning(known, frozenset(in_flight))
