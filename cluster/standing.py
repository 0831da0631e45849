"""Where a sweep's jobs stand, by what is known of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.job import MEASURES, EvaluateJob, Job, MeasureJob
from bench.record import Finished, Record
from bench.store.raw import Raw
from bench.tasks.spec import WINDOW
from cluster.estimates import Times, kind_of
from cluster.retry import decide

Status = Literal["done", "running", "ready", "waiting", "failed"]


@dataclass(frozen=True, slots=True)
class Machine:
    """What the measuring node is, for the keys of measurements and evaluations."""

    hardware_class: str
    versions: Mapping[str, str]


@dataclass
class Known:
    """The records of a store, as the plan needs them.

    Evaluations are many, and of a finished one the plan needs nothing but what it took: `evaluated` holds those, in
    seconds without loading the model, and `finished` all others, without what was asked of them and where they ran.
    """

    finished: dict[str, Record] = field(default_factory=dict)
    evaluated: dict[str, float] = field(default_factory=dict)
    measured: dict[str, MeasureJob] = field(default_factory=dict)  # of those finished
    answering: dict[tuple[str, str], bool] = field(default_factory=dict)  # (key, digest of a question), once told
    failed: dict[str, list[Record]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # artefact_ids that finished jobs name and the store has no more
    raw: Raw | None = None  # what the records were made from; without it nothing can be raced
    times: Times = field(default_factory=Times)

    def add(self, record: Record) -> None:
        """Take in one record; a key that is already finished keeps its first record."""
        if self._restores(record):
            self.finished[record.key] = record.model_copy(update={"job": {}, "conditions": None})
        if not record.finished:
            self.failed.setdefault(record.key, []).append(record)
        elif not self.done(record.key):
            self.times.learn(record)
            if record.job.get("type") == EvaluateJob.__name__ and isinstance(record.outcome, Finished):
                seconds = record.outcome.notes.get("seconds")
                self.evaluated[record.key] = float(seconds) if isinstance(seconds, int | float) else record.seconds
                return
            if record.job.get("type") in MEASURES:
                self.measured[record.key] = measure_job(record)
            self.finished[record.key] = record.model_copy(update={"job": {}, "conditions": None})

    def _restores(self, record: Record) -> bool:
        """Whether a job was done again because what it had made was gone. Of a study other bytes do as well."""
        before = self.finished.get(record.key)
        made = [each.outcome.artefact_id for each in (before, record) if each and isinstance(each.outcome, Finished)]
        again = len(made) > 1 and made[0] in self.lost
        self.lost.difference_update(artefact_id for artefact_id in made if artefact_id and record.finished)
        return again

    def done(self, key: str) -> bool:
        """Whether a job of this key has finished."""
        return key in self.finished or key in self.evaluated


def measure_job(record: Record) -> MeasureJob:
    """The job that the record of a measurement describes."""
    fields = {name: value for name, value in record.job.items() if name != "type"}
    return MEASURES[record.job["type"]].model_validate(fields)


@dataclass(frozen=True, slots=True)
class Slice:
    """The windows `first` to `last` - 1 of a task, and the key of the job that evaluates something on them."""

    first: int
    last: int
    key: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A job of the sweep and where it stands.

    Of an evaluation, which there are many of, `of` is what all those of an artefact on a task have in common, and the
    job itself is put together when it is asked for.
    """

    of: Job
    status: Status
    attempt: int = 1
    part: Slice | None = None

    @property
    def job(self) -> Job:
        if self.part is None:
            return self.of
        return self.of.model_copy(update={"first": self.part.first, "last": self.part.last})

    @property
    def key(self) -> str:
        return self.of.key if self.part is None else self.part.key

    @property
    def kind(self) -> str:
        """The kind of work, as displays name it."""
        return kind_of(self.of)

    @property
    def examples(self) -> int | None:
        """Of an evaluation, those it runs on."""
        if self.part is None or not isinstance(self.of, EvaluateJob):
            return None
        return min((self.part.last - self.part.first) * WINDOW, self.of.task.examples)


def standing(
    job: Job,
    known: Known,
    in_flight: frozenset[str],
    attempts: int,
    part: Slice | None = None,
    *,
    again: bool = False,
) -> Planned:
    """Whether a job is done, running, given up after `attempts` attempts, or ready for the next one.

    `again`: what it has once made is wanted and lost, so that being done does not count.
    """
    key = job.key if part is None else part.key
    if not again and (key in known.evaluated or key in known.finished):
        return Planned(job, "done", 1, part)
    failures = known.failed.get(key, [])
    if key in in_flight:
        return Planned(job, "running", len(failures) + 1, part)
    if failures and decide(failures, attempts) == "give up":
        return Planned(job, "failed", len(failures), part)
    return Planned(job, "ready", len(failures) + 1, part)
