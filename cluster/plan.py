"""What to run next. Pure: the same sweep, records and jobs in flight always give the same answer.

It is asked again whenever a record arrives. Every rule about order, sharing, retry and repetition lives here or below,
never in a loop of a runner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bench.axes import Objective
from bench.device import gpu_index
from bench.job import MEASURES, EvaluateJob, Job, LatencyJob, MeasureJob, MemoryJob
from bench.naming import names_of
from bench.recipe import Recipe
from bench.record import Finished, Record, Value
from bench.store.raw import Raw, Tables
from bench.sweep import Sweep
from bench.tasks.spec import TaskSpec
from cluster.builds import Builder
from cluster.evaluations import Evaluations, base_artefacts, slices
from cluster.groups import LARGEST_GROUP, measure_groups, same_question, unstable
from cluster.needs import artefacts_of
from cluster.racing import Progress, Race, Standing, Stopped
from cluster.retry import decide
from cluster.standing import Known, Machine, Planned, Status, measure_job, standing

LEASE_SETTINGS = ("first_rounds", "max_rounds", "half_width", "burst_ms", "threads", "new_tokens", "protocol")


@dataclass(frozen=True, slots=True)
class Expected:
    """Jobs that will follow once others are done; which, depends on what those give."""

    kind: str
    count: int
    gpu: bool = False  # whether each has one to itself


@dataclass(frozen=True)
class Plan:
    """Every job that is known by now, and how many more are expected."""

    jobs: tuple[Planned, ...]
    expected: tuple[Expected, ...]
    stopped: tuple[Stopped, ...] = ()
    gone: Mapping[str, str] = field(default_factory=dict)  # name of what was built and is lost -> why it stays so

    def ready(self) -> list[Planned]:
        return [p for p in self.jobs if p.status == "ready"]

    @cached_property
    def counts(self) -> Counter[Status]:
        """How many jobs stand where."""
        return Counter(p.status for p in self.jobs)

    def count(self, status: Status) -> int:
        return self.counts[status]


Group = tuple[str, dict[str, str]]  # artefact_id of a base; artefact_id -> name of its variants with other bytes
OPEN: frozenset[Status] = frozenset({"ready", "running", "waiting"})


def _waiting(planned: Planned) -> Planned:
    return replace(planned, status="waiting") if planned.status == "ready" else planned


class Planner:
    """Plans one sweep on one kind of machine."""

    def __init__(self, sweep: Sweep, machine: Machine) -> None:
        self._sweep = sweep
        self._machine = machine
        self._attempts = sweep.file.limits.attempts
        self._names = names_of(sweep.recipes)
        self.builder = Builder(sweep, machine)
        self.evaluations = Evaluations(sweep, machine, self._names)
        self._race = Race(sweep)

    def __call__(self, known: Known, in_flight: frozenset[str]) -> Plan:
        """All jobs of the sweep as far as they are known, builds first, latency last."""
        jobs: list[Planned] = []
        builds = self.builder.plan(known, in_flight, jobs)
        settled = not any(p.status in OPEN for p in jobs)
        built = list(self._built(builds.artefacts))
        race = self._race(built, View(self, built, known, known.raw), settled=settled) if known.raw else Progress()
        jobs.extend(self.evaluations.plan(built, race, known, in_flight))
        if settled:
            groups = list(self._groups(built))
            self._plan_memory(groups, known, in_flight, jobs)
            self._plan_latency(groups, race, known, in_flight, jobs)
        if known.lost:
            jobs = [_waiting(p) if known.lost.intersection(artefacts_of(p.of)) else p for p in jobs]
        gone = {self.builder.name(recipe_id): why for recipe_id, why in builds.gone.items()}
        return Plan(tuple(jobs), self._expected(jobs, builds.artefacts), race.stopped, gone)

    def _status(self, job: Job, known: Known, in_flight: frozenset[str]) -> Planned:
        return standing(job, known, in_flight, self._attempts)

    def _built(self, artefacts: Mapping[str, str]) -> Iterator[tuple[Recipe, str]]:
        """The sweep's recipes that are built, each artefact once: as the base, or else as one that is pinned."""
        found: dict[str, Recipe] = {}
        for recipe in self._sweep.recipes:
            artefact_id = artefacts.get(recipe.recipe_id)
            if artefact_id is None:
                continue
            first = found.setdefault(artefact_id, recipe)
            if recipe.recipe_id in self._sweep.pinned and not first.is_base:
                found[artefact_id] = recipe
        return ((recipe, artefact_id) for artefact_id, recipe in found.items())

    def _groups(self, built: Sequence[tuple[Recipe, str]]) -> Iterator[Group]:
        """For each base model: its artefact_id, and artefact_id -> name of its variants with other bytes."""
        for base in self._sweep.bases:
            mine = [(r, a) for r, a in built if r.base.name == base.name]
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
            new_tokens=file.latency.new_tokens,
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
        self, groups: Sequence[Group], known: Known, in_flight: frozenset[str], jobs: list[Planned]
    ) -> None:
        if not self._sweep.file.memory.repeats:
            return
        for base, variants in groups:
            jobs.extend(self._measure(self._memory_job(base), variants, known, in_flight))

    def _plan_latency(
        self,
        groups: Sequence[Group],
        race: Progress,
        known: Known,
        in_flight: frozenset[str],
        jobs: list[Planned],
    ) -> None:
        """One round of leases after the other, for it may depend on what the one before gave.

        That nothing else of ours runs where a lease does is the pool's to see to: elsewhere other work goes on.
        """
        file = self._sweep.file.latency
        over = True  # the round before
        for lease in range(file.leases + (file.leases >= 2)):
            last = lease == file.leases
            here: list[Planned] = []
            for base, variants in groups:
                template = self._latency_job(base, lease)
                wanted = race.timed(lease, variants)
                if last:
                    wanted = unstable(template, wanted, known)
                if wanted or not (variants or last):
                    here.extend(self._measure(template, wanted, known, in_flight))
            jobs.extend(here if over else map(_waiting, here))
            over = over and not any(p.status in OPEN for p in here)

    def lease(
        self, lease: int, artefact_ids: frozenset[str], built: Sequence[tuple[Recipe, str]], known: Known
    ) -> Iterator[Planned]:
        """The jobs that time these in a lease."""
        for base, variants in self._groups(built):
            wanted = {a: name for a, name in variants.items() if a in artefact_ids}
            yield from self._measure(self._latency_job(base, lease), wanted, known, frozenset())

    def weighings(self, built: Sequence[tuple[Recipe, str]], known: Known) -> Iterator[Planned]:
        """The jobs that measure memory."""
        for base, variants in self._groups(built):
            yield from self._measure(self._memory_job(base), variants, known, frozenset())

    def memory_of(self, objective: Objective, built: Sequence[tuple[Recipe, str]], known: Known) -> dict[str, Value]:
        """artefact_id -> what the objective names, of every artefact whose memory has been measured."""
        found: dict[str, Value] = {}
        for base, _ in self._groups(built):
            for _, record in same_question(self._memory_job(base), known):
                for value in record.outcome.values if isinstance(record.outcome, Finished) else ():
                    if (value.metric, value.scope) == (objective.metric, objective.scope):
                        first = found.setdefault(value.artefact_id, value)
                        # The base is in every job: its range is that of all, whichever came first.
                        ends = {"low": min(first.low, value.low), "high": max(first.high, value.high)}
                        found[value.artefact_id] = first.model_copy(update=ends)
        return found

    def finished_leases(self, built: Sequence[tuple[Recipe, str]], known: Known) -> list[LatencyJob]:
        """Every lease of the sweep that is done."""
        found = []
        for base, _ in self._groups(built):
            records = same_question(self._latency_job(base, 0), known)
            found += [job for job, _ in records if isinstance(job, LatencyJob)]
        return found

    def _measure(
        self, template: MeasureJob, variants: Mapping[str, str], known: Known, in_flight: frozenset[str]
    ) -> Iterator[Planned]:
        given_up = {
            key: measure_job(failures[0])
            for key, failures in known.failed.items()
            if failures[0].job.get("type") in MEASURES
            and not known.done(key)
            and decide(failures, self._attempts) == "give up"
        }
        for job in measure_groups(template, variants, known, given_up):
            yield self._status(job, known, in_flight)

    def _expected(self, jobs: Sequence[Planned], artefacts: Mapping[str, str]) -> tuple[Expected, ...]:
        """How many jobs will follow if every build that is still open succeeds."""
        open_builds = {p.key for p in jobs if p.status in OPEN}
        coming = [
            recipe
            for recipe in self._sweep.recipes
            if self.builder.jobs[recipe.recipe_id].key in open_builds and recipe.recipe_id not in artefacts
        ]
        if not coming:
            return ()
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
        gpu = gpu_index(self._sweep.file.device) is not None
        return tuple(Expected(kind, count, gpu) for kind, count in counts.items() if count)


class View:
    """What a race sees of a plan's jobs and their results."""

    def __init__(self, planner: Planner, built: Sequence[tuple[Recipe, str]], known: Known, raw: Raw) -> None:
        self._planner = planner
        self._built = built
        self._recipes = {artefact_id: recipe for recipe, artefact_id in built}
        self._bases = base_artefacts(built)
        self._known = known
        self._raw = raw

    def _template(self, artefact_id: str, task: TaskSpec) -> EvaluateJob | None:
        return self._planner.evaluations.template(self._recipes[artefact_id], artefact_id, task, self._bases)

    def evaluated(self, artefact_id: str, task: TaskSpec, windows: int) -> Standing:
        template = self._template(artefact_id, task)
        return "failed" if template is None else self._planner.evaluations.evaluated(template, windows, self._known)

    def seconds_an_example(self, artefact_id: str, task: TaskSpec) -> float | None:
        template = self._template(artefact_id, task)
        return None if template is None else self._planner.evaluations.seconds_an_example(template, self._known)

    def scores(self, artefact_id: str, task: TaskSpec, windows: int, column: str) -> dict[int, float]:
        template = self._template(artefact_id, task)
        found: dict[int, float] = {}
        for key in self._planner.evaluations.keys(template, windows) if template else ():
            index, values = self._raw.scores(key, column)
            found.update(zip(index.tolist(), values.tolist(), strict=True))
        return found

    def leased(self, lease: int, artefact_ids: frozenset[str]) -> bool:
        return not any(p.status == "ready" for p in self._planner.lease(lease, artefact_ids, self._built, self._known))

    def leases(self) -> list[LatencyJob]:
        return self._planner.finished_leases(self._built, self._known)

    def rounds(self, job: LatencyJob) -> tuple[Tables, Tables]:
        return self._raw.rounds(job.key, job.artefact_ids)

    def weighed(self) -> bool:
        return not any(p.status == "ready" for p in self._planner.weighings(self._built, self._known))

    def memory(self, objective: Objective) -> dict[str, Value]:
        return self._planner.memory_of(objective, self._built, self._known)

    def build(self, recipe: Recipe) -> Record:
        return self._known.finished[self._planner.builder.jobs[recipe.recipe_id].key]
