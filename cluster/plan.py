"""What to run next. Pure: the same sweep, records and jobs in flight always give the same answer.

It is asked again whenever a record arrives. Every rule about order, sharing, retry and repetition lives here or below,
never in a loop of a runner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.job import EvaluateJob, Job, LatencyJob, MeasureJob, MemoryJob
from bench.naming import names_of
from bench.recipe import Recipe
from bench.record import Failed
from bench.sweep import Sweep
from bench.tasks.spec import TaskSpec
from cluster.builds import Builder
from cluster.groups import LARGEST_GROUP, measure_groups, unstable
from cluster.retry import decide
from cluster.standing import Known, Machine, Planned, Status, standing

LEASE_SETTINGS = ("first_rounds", "max_rounds", "half_width", "burst_ms", "threads", "new_tokens", "protocol")
WINDOWS_A_JOB = 8  # one job loads the model once for so many windows of 512 examples


@dataclass(frozen=True, slots=True)
class Expected:
    """Jobs that will follow once others are done; which, depends on what those give."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Every job that is known by now, and how many more are expected."""

    jobs: tuple[Planned, ...]
    expected: tuple[Expected, ...]

    def ready(self) -> list[Planned]:
        return [p for p in self.jobs if p.status == "ready"]

    def count(self, status: Status) -> int:
        return sum(p.status == status for p in self.jobs)


class Planner:
    """Plans one sweep on one kind of machine."""

    def __init__(self, sweep: Sweep, machine: Machine) -> None:
        self._sweep = sweep
        self._machine = machine
        self._attempts = sweep.file.limits.attempts
        self._names = names_of(sweep.recipes)
        self._dependent = frozenset(r.recipe_id for r in sweep.recipes if r.batch_dependent)
        self._builder = Builder(sweep, machine)

    def __call__(self, known: Known, in_flight: frozenset[str]) -> Plan:
        """All jobs of the sweep as far as they are known, builds first, latency last."""
        jobs: list[Planned] = []
        artefacts = self._builder.plan(known, in_flight, jobs)
        settled = not any(p.status in ("ready", "running", "waiting") for p in jobs)
        self._plan_evaluations(artefacts, known, in_flight, jobs)
        if settled:
            self._plan_memory(artefacts, known, in_flight, jobs)
            quiet = not any(p.status in ("ready", "running") for p in jobs)
            self._plan_latency(artefacts, known, in_flight, jobs, quiet=quiet)
        return Plan(tuple(jobs), self._expected(jobs, settled=settled))

    def _status(self, job: Job, known: Known, in_flight: frozenset[str]) -> Planned:
        return standing(job, known, in_flight, self._attempts)

    def _built(self, artefacts: Mapping[str, str]) -> Iterator[tuple[Recipe, str]]:
        """The sweep's recipes that are built, each artefact once."""
        seen: set[str] = set()
        for recipe in self._sweep.recipes:
            artefact_id = artefacts.get(recipe.recipe_id)
            if artefact_id is not None and artefact_id not in seen:
                seen.add(artefact_id)
                yield recipe, artefact_id

    def _plan_evaluations(
        self, artefacts: Mapping[str, str], known: Known, in_flight: frozenset[str], jobs: list[Planned]
    ) -> None:
        bases = {r.base.name: a for r, a in self._built(artefacts) if r.is_base}
        for recipe, artefact_id in self._built(artefacts):
            for task in self._sweep.tasks:
                judge = bases.get(recipe.base.name) if task.asks_base else None
                if task.asks_base and judge is None:
                    continue  # its base could not be built: nobody to ask
                template = EvaluateJob(
                    artefact_id=artefact_id,
                    name=self._names[recipe.recipe_id],
                    task=task,
                    first=0,
                    last=0,
                    versions=dict(self._machine.versions),
                    device=self._sweep.file.device,
                    judge=judge,
                )
                jobs.extend(self._evaluate(template, recipe.recipe_id in self._dependent, known, in_flight))

    def _evaluate(
        self, template: EvaluateJob, dependent: bool, known: Known, in_flight: frozenset[str]
    ) -> Sequence[Planned]:
        """The jobs of one artefact on one task.

        Predictions that depend on batch-mates belong to one size of batches: the largest in which all is done, else
        the smallest that was begun, or half of that where memory did not hold it.
        """
        tried: list[Sequence[Planned]] = []
        tasks = (template.task, *(template.task.smaller_batches if dependent else ()))
        place = 0
        for number, task in enumerate(tasks):
            jobs = [
                self._status(template.model_copy(update={"task": task, "first": first, "last": last}), known, in_flight)
                for first, last in slices(task)
            ]
            tried.append(jobs)
            if all(p.status == "done" for p in jobs):
                return jobs
            if any(p.status != "ready" or p.attempt > 1 for p in jobs):
                place = number
        if place + 1 < len(tried) and any(out_of_memory(p, known) for p in tried[place]):
            place += 1
        return tried[place]

    def _groups(self, artefacts: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
        """For each base model: its artefact_id, and artefact_id -> name of its variants with other bytes."""
        for base in self._sweep.bases:
            mine = [(r, a) for r, a in self._built(artefacts) if r.base.name == base.name]
            bases = [a for r, a in mine if r.is_base]
            if bases:
                yield bases[0], {a: self._names[r.recipe_id] for r, a in mine if a != bases[0]}

    def _memory_job(self, base: str) -> MemoryJob:
        file = self._sweep.file
        return MemoryJob(
            artefact_ids=(base,),
            names=("base",),
            hardware_class=self._machine.hardware_class,
            inputs=self._sweep.tasks[0],
            versions=dict(self._machine.versions),
            device=file.device,
            shape=(max(file.latency.batch), max(file.latency.length)),
            repeats=file.memory.repeats,
        )

    def _latency_job(self, base: str, lease: int) -> LatencyJob:
        file = self._sweep.file.latency
        return LatencyJob(
            artefact_ids=(base,),
            names=("base",),
            hardware_class=self._machine.hardware_class,
            inputs=self._sweep.tasks[0],
            versions=dict(self._machine.versions),
            device=self._sweep.file.device,
            lease=lease,
            shapes=self._sweep.shapes(),
            **file.model_dump(include=set(LEASE_SETTINGS)),
        )

    def questions(self) -> dict[str, dict[str, Any]]:
        """What a measurement must have in common with this sweep to count for it, by type of job."""
        jobs = (self._latency_job("", 0), self._memory_job(""))
        return {type(job).__name__: job.conditions_identity() for job in jobs}

    def _plan_memory(
        self, artefacts: Mapping[str, str], known: Known, in_flight: frozenset[str], jobs: list[Planned]
    ) -> None:
        if not self._sweep.file.memory.repeats:
            return
        for base, variants in self._groups(artefacts):
            template = self._memory_job(base)
            jobs.extend(self._measure(template, variants, known, in_flight))

    def _plan_latency(
        self,
        artefacts: Mapping[str, str],
        known: Known,
        in_flight: frozenset[str],
        jobs: list[Planned],
        *,
        quiet: bool,
    ) -> None:
        """Latency comes last and one lease at a time: nothing else of ours may run beside it."""
        file = self._sweep.file.latency
        for base, variants in self._groups(artefacts):
            for lease in range(file.leases + 1):
                template = self._latency_job(base, lease)
                wanted = variants if lease < file.leases else unstable(template, variants, known.finished.values())
                if lease == file.leases and (not wanted or file.leases < 2):
                    continue
                for planned in self._measure(template, wanted, known, in_flight):
                    if planned.status == "ready" and not quiet:
                        planned = Planned(planned.job, "waiting", planned.attempt)
                    quiet = quiet and planned.status not in ("ready", "running")
                    jobs.append(planned)

    def _measure(
        self, template: MeasureJob, variants: Mapping[str, str], known: Known, in_flight: frozenset[str]
    ) -> Iterator[Planned]:
        given_up = [
            failures[0]
            for key, failures in known.failed.items()
            if key not in known.finished and decide(failures, self._attempts) == "give up"
        ]
        for job in measure_groups(template, variants, known.finished.values(), given_up):
            yield self._status(job, known, in_flight)

    def _expected(self, jobs: Sequence[Planned], *, settled: bool) -> tuple[Expected, ...]:
        """How many jobs will follow if every build that is still open succeeds."""
        if settled:
            return ()
        open_builds = {p.job.key for p in jobs if p.status in ("ready", "running", "waiting")}
        coming = [r for r in self._sweep.recipes if self._builder.jobs[r.recipe_id].key in open_builds]
        slices_a_variant = sum(len(slices(task)) for task in self._sweep.tasks)
        groups = sum(
            -(-max(1, sum(r.base.name == base.name for r in self._sweep.recipes) - 1) // LARGEST_GROUP)
            for base in self._sweep.bases
        )
        counts = {
            "evaluate": len(coming) * slices_a_variant,
            "memory": groups if self._sweep.file.memory.repeats else 0,
            "latency": groups * self._sweep.file.latency.leases,
        }
        return tuple(Expected(kind, count) for kind, count in counts.items() if count)


def out_of_memory(planned: Planned, known: Known) -> bool:
    """Whether a job was given up because memory did not hold it."""
    failures = known.failed.get(planned.job.key, ())
    last = failures[-1].outcome if failures else None
    return planned.status == "failed" and isinstance(last, Failed) and last.kind == "out of memory"


def slices(task: TaskSpec) -> list[tuple[int, int]]:
    """The runs of whole windows that one job evaluates: (first, one past the last)."""
    return [(i, min(i + WINDOWS_A_JOB, task.windows)) for i in range(0, task.windows, WINDOWS_A_JOB)]
