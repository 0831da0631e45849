"""How long jobs will take, learned from the records of jobs like them on the same kind of machine. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from bench.identity import canonical
from bench.job import BuildJob, EvaluateJob, Job, LatencyJob, MemoryJob, StudyJob, parts_of
from bench.record import Finished, Record
from bench.tasks.spec import WINDOW

# Seconds of a job of each kind before any has been seen.
FIRST_GUESS = {"build": 15.0, "study": 10.0, "evaluate": 10.0, "memory": 15.0, "latency": 60.0}
REMEMBERED = 32  # newest times of jobs that are alike
VISITS_A_ROUND = 2
LEASE_OVERHEAD = 1.2  # of the bursts' time, for first calls and what is between them
LEASE_START = 5.0  # seconds to load the models

Alike = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of one job; `learned` where jobs like it have been seen on such a machine."""

    seconds: float
    learned: bool


def kind_of(job: Job) -> str:
    """The kind of work, as displays name it: build, study, evaluate, memory or latency."""
    if job.kind != "measure":
        return job.kind
    return "latency" if isinstance(job, LatencyJob) else "memory"


class Times:
    """What jobs took, by what they have in common; the closest likeness counts.

    Jobs of one likeness are compared by a unit of work: examples of an evaluation, bursts of a lease, models whose
    memory was taken, one for all others.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, Alike], deque[float]] = {}
        self._middle: dict[tuple[str, Alike], float] = {}

    def learn(self, record: Record) -> None:
        """Take in what a finished job took. One of unknown making is left aside."""
        if not isinstance(record.outcome, Finished) or record.conditions is None:
            return
        kind = _KINDS.get(record.job.get("type", ""))
        if kind is None:
            return
        examples = record.outcome.notes.get("examples")
        units, alike = _work(kind, record.job.__getitem__, examples if isinstance(examples, int) else 1)
        machine = machine_of(record.conditions.hardware_class)
        for likeness, seconds in [*((a, record.seconds / units) for a in alike), (_usual(kind), record.seconds)]:
            place = (machine, likeness)
            self._seen.setdefault(place, deque(maxlen=REMEMBERED)).append(seconds)
            self._middle.pop(place, None)

    def on(self, *hardware_classes: str) -> Estimates:
        """What is to be expected of machines of these classes, where their own times count only."""
        return Estimates(self, tuple(machine_of(name) for name in hardware_classes))

    def median(self, machine: str, alike: Alike) -> float | None:
        """Seconds a unit of work that is alike on a machine; None where none was seen."""
        place = (machine, alike)
        if place not in self._middle:
            if place not in self._seen:
                return None
            self._middle[place] = median(self._seen[place])
        return self._middle[place]


class Estimates:
    """What jobs will take on the machines that are there: a CPU, and perhaps a GPU."""

    def __init__(self, times: Times | None = None, machines: tuple[str, ...] = ()) -> None:
        self._times = Times() if times is None else times
        self._machines = machines

    def of(self, job: Job, examples: int | None = None) -> Estimate:
        """What a job will take; `examples` are those of an evaluation, its windows' without."""
        if isinstance(job, EvaluateJob) and examples is None:
            examples = min((job.last - job.first) * WINDOW, job.task.examples)
        units, alike = _work(kind_of(job), partial(getattr, job), examples or 1)
        seconds = self._first(*alike)
        if seconds is not None:
            return Estimate(units * seconds, learned=True)
        if isinstance(job, LatencyJob):
            return Estimate(LEASE_START + units * LEASE_OVERHEAD, learned=False)
        return Estimate(FIRST_GUESS[kind_of(job)], learned=False)

    def usual(self, kind: str) -> Estimate:
        """What a job of this kind took of late; for jobs of which nothing more is known."""
        seconds = self._first(_usual(kind))
        return Estimate(FIRST_GUESS[kind] if seconds is None else seconds, seconds is not None)

    def _first(self, *alike: Alike) -> float | None:
        found = (self._times.median(machine, each) for each in alike for machine in self._machines)
        return next((seconds for seconds in found if seconds is not None), None)


def machine_of(hardware_class: str) -> str:
    """The model of CPU or GPU: times of another number of threads are still worth more than a guess."""
    return hardware_class.partition(" | ")[0]


_KINDS = {
    BuildJob.__name__: "build",
    StudyJob.__name__: "study",
    EvaluateJob.__name__: "evaluate",
    LatencyJob.__name__: "latency",
    MemoryJob.__name__: "memory",
}


def _usual(kind: str) -> Alike:
    return ("any", kind)


def _work(kind: str, field: Callable[[str], Any], examples: int) -> tuple[float, tuple[Alike, ...]]:
    """How many units of work a job is, and the likenesses by which its times are kept, the closest first.

    `field` gives a field of the job, as it is or as a record describes it.
    """
    if kind == "build":
        step = str(field("step") or "import")
        return 1.0, ((kind, step, canonical(field("settings"))), (kind, step))
    if kind == "study":
        return 1.0, ((kind, str(field("step")), str(field("question"))),)
    if kind == "evaluate":
        task = field("task")
        name = str(task["name"] if isinstance(task, Mapping) else task.name)
        return float(max(1, examples)), ((kind, name, str(field("artefact_id"))), (kind, name))
    models = len(field("artefact_ids"))
    if kind == "memory":
        return float(models * field("repeats")), ((kind,),)
    parts = len(field("shapes")) * len(parts_of((1, 1), field("new_tokens")))
    rounds = field("first_rounds") * VISITS_A_ROUND
    return models * parts * rounds * field("burst_ms") / 1e3, ((kind,),)
