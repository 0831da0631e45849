"""A plan that is a list of jobs. Apart from the jobs, so that workers, which get those, need not import planning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.plan import Plan
from cluster.retry import decide
from cluster.standing import Known, Planned
from tests.cluster.jobs import Act


@dataclass(frozen=True)
class Listed:
    """Plans a list of independent jobs, in its order, under the same retry rules as a sweep."""

    jobs: Sequence[Act]
    attempts: int = 3

    def __call__(self, known: Known, in_flight: frozenset[str]) -> Plan:
        return Plan(tuple(self._planned(job, known, in_flight) for job in self.jobs), ())

    def _planned(self, job: Act, known: Known, in_flight: frozenset[str]) -> Planned:
        failures = known.failed.get(job.key, [])
        if job.key in known.finished:
            return Planned(job, "done")
        if job.key in in_flight:
            return Planned(job, "running", len(failures) + 1)
        if failures and decide(failures, self.attempts) == "give up":
            return Planned(job, "failed", len(failures))
        return Planned(job, "ready", len(failures) + 1)
