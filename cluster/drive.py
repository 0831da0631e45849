"""The one loop: ask the plan, keep a bounded number of jobs in flight, hand on each record as it is acknowledged.

The local and the Ray runner differ only in the pool they give it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from bench.job import Job
from bench.record import Record
from bench.store.journal import Entry
from cluster.plan import Plan
from cluster.progress import Use
from cluster.racing import Stopped
from cluster.standing import Known, Planned

Planning = Callable[[Known, frozenset[str]], Plan]
Watch = Callable[[Plan, Use], dict[str, Any]]
Running = tuple[str, str, float]  # node, title of the job, when it began (seconds since the epoch)
Sort = tuple[str, bool, str | None]  # kind of job, whether it wants a node to itself, its GPU
PAUSE = 0.2  # seconds between two looks at the pool
MOST_TOLD = 50  # jobs that are published with the node they run on
PLANNING_SHARE = 0.1  # of the driver's time that plans may take while there is something to submit


class Pool(Protocol):
    """Workers. Every record that `wait` returns has been acknowledged by the writer."""

    def takes(self, job: Job) -> bool:
        """Whether there is room for this job now."""

    def submit(self, job: Job, attempt: int) -> None:
        """Start the job. Never blocks on it."""

    def wait(self, seconds: float) -> list[Record]:
        """Records of jobs that ended, waiting at most so long for the first.

        A job whose worker died, hung past its time limit or ran out of memory gives a Failed record. Raises DiskFull,
        StaleLease and ClusterLost, which end the sweep.
        """

    def utilisation(self) -> Use:
        """CPUs that jobs use and all CPUs, of each node by its name."""

    def running(self) -> list[Running]:
        """What has begun and not ended, the oldest first."""

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
    watch: Watch,
    audit: Callable[[Stopped], Entry] | None = None,
) -> Iterator[Record]:
    """Run until nothing is ready and nothing is in flight; yields each record as it is acknowledged.

    Args:
        planning: what to run next, given what is known and what is in flight.
        known: what the store held at the start; updated in place.
        pool: where jobs run. The caller closes it.
        watch: called with each new plan and the use of nodes; what it returns is published as the sweep's progress.
        audit: what the journal is told of a variant that was stopped.
    """
    stated: set[str] = set()
    in_flight: set[str] = set()
    plan, state, waiting = Plan((), ()), dict[str, Any](), dict[Sort, deque[Planned]]()
    stale, due = True, 0.0
    while True:
        # A job that is ready stays so: the plan is asked again when it has run out of them, or when that is cheap.
        if stale and (not waiting or time.monotonic() >= due):
            begin = time.monotonic()
            plan = planning(known, frozenset(in_flight))
            stale, waiting = False, _sorted(plan)
            new = [stop for stop in plan.stopped if stop.artefact_id not in stated]
            if new and audit is not None:
                pool.state([audit(stop) for stop in new])
                stated.update(stop.artefact_id for stop in new)
            state = watch(plan, pool.utilisation())
            due = time.monotonic() + (time.monotonic() - begin) / PLANNING_SHARE
        submitted = _submit(waiting, pool)
        in_flight |= submitted
        stale = stale or bool(submitted)
        pool.report({**state, "where": pool.running()[:MOST_TOLD]})
        if not in_flight:
            if not waiting and not stale:
                return
            if waiting:
                time.sleep(PAUSE)  # nothing fits now, though nothing of ours runs: ask again
            continue
        for record in pool.wait(PAUSE):
            stale = True
            in_flight.discard(record.key)
            known.add(record)
            yield record


def _sorted(plan: Plan) -> dict[Sort, deque[Planned]]:
    """What is ready, in the plan's order within each sort."""
    found: dict[Sort, deque[Planned]] = {}
    for planned in plan.ready():
        found.setdefault((planned.of.kind, planned.of.exclusive, planned.of.gpu), deque()).append(planned)
    return found


def _submit(waiting: dict[Sort, deque[Planned]], pool: Pool) -> set[str]:
    """Submit as much as the pool takes, and remove it. Of jobs of one sort none overtakes another. Returns the keys."""
    submitted = set()
    for sort, jobs in list(waiting.items()):
        while jobs and pool.takes(job := jobs[0].job):
            pool.submit(job, jobs.popleft().attempt)
            submitted.add(job.key)
        if not jobs:
            del waiting[sort]
    return submitted
