"""Where a sweep's jobs stand, by what is known of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.job import Job
from bench.record import Record
from bench.store.raw import Raw
from cluster.retry import decide

Status = Literal["done", "running", "ready", "waiting", "failed"]


@dataclass(frozen=True, slots=True)
class Machine:
    """What the measuring node is, for the keys of measurements and evaluations."""

    hardware_class: str
    versions: Mapping[str, str]


@dataclass
class Known:
    """The records of a store, as the plan needs them."""

    finished: dict[str, Record] = field(default_factory=dict)
    failed: dict[str, list[Record]] = field(default_factory=dict)
    raw: Raw | None = None  # what the records were made from; without it nothing can be raced

    def add(self, record: Record) -> None:
        """Take in one record; a key that is already finished keeps its first record."""
        if record.finished:
            self.finished.setdefault(record.key, record)
        else:
            self.failed.setdefault(record.key, []).append(record)


@dataclass(frozen=True, slots=True)
class Planned:
    """A job of the sweep and where it stands."""

    job: Job
    status: Status
    attempt: int = 1


def standing(job: Job, known: Known, in_flight: frozenset[str], attempts: int) -> Planned:
    """Whether a job is done, running, given up after `attempts` attempts, or ready for the next one."""
    failures = known.failed.get(job.key, [])
    if job.key in known.finished:
        return Planned(job, "done")
    if job.key in in_flight:
        return Planned(job, "running", len(failures) + 1)
    if failures and decide(failures, attempts) == "give up":
        return Planned(job, "failed", len(failures))
    return Planned(job, "ready", len(failures) + 1)
