"""Which variants need no more work, decided at planned looks. Pure: the same records always give the same stops.

The dearest objective is raced; what the others need is done first, for every variant. A look counts only when every
variant that is still in the race has finished it, so the order in which records arrive decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from bench.axes import Objective
from bench.job import LatencyJob, parts_of
from bench.metrics import TIMED, metric
from bench.naming import names_of
from bench.race_evidence import exact, in_words, repeated, scored, timed
from bench.recipe import Recipe
from bench.record import Finished, Record, Value
from bench.statistics.racing import Raced, Scored, race_level, race_looks, stops
from bench.store.journal import Entry
from bench.store.raw import Tables
from bench.store.stopped import identity_of
from bench.sweep import Sweep
from bench.tasks.spec import WINDOW, TaskSpec
from cluster.raceable import tested_by, timed_in, why_not

Standing = Literal["done", "open", "failed"]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A variant that another one has beaten on every objective: nothing more is spent on it."""

    artefact_id: str
    by: str  # artefact_id
    raced: Literal["examples", "leases"]
    look: int  # counted from 1
    looks: int  # at which variants may be stopped
    examples: dict[str, int]  # by task, of those on which it was stopped
    level: float
    objectives: tuple[tuple[str, str], ...]  # (metric, scope)
    reason: str

    def entry(self, sweep_id: str) -> Entry:
        """The audit row for the journal."""
        body = {"sweep_id": sweep_id, **{name: getattr(self, name) for name in self.__slots__}}
        return Entry.statement("stop", identity_of(sweep_id, self.artefact_id), body)


class View(Protocol):
    """What the plan knows of the jobs of a sweep."""

    def evaluated(self, artefact_id: str, task: TaskSpec, windows: int) -> Standing:
        """Whether an artefact has been run on so many first windows of a task."""

    def seconds_an_example(self, artefact_id: str, task: TaskSpec) -> float | None:
        """What the first evaluation of an artefact on a task took; None before it has finished."""

    def scores(self, artefact_id: str, task: TaskSpec, windows: int, column: str) -> Mapping[int, float]:
        """Example -> its score, of an artefact on so many first windows."""

    def leased(self, lease: int, artefact_ids: frozenset[str]) -> bool:
        """Whether these have been timed in a lease, or never will be."""

    def leases(self) -> Sequence[LatencyJob]:
        """Every finished lease of the sweep."""

    def rounds(self, job: LatencyJob) -> tuple[Tables, Tables]:
        """Seconds and joules per call of a finished lease, by scope: [rounds, models]."""

    def weighed(self) -> bool:
        """Whether every variant's memory has been measured, or never will be."""

    def memory(self, objective: Objective) -> Mapping[str, Value]:
        """artefact_id -> the number that the objective names."""

    def build(self, recipe: Recipe) -> Record:
        """The record of a finished build."""


@dataclass(frozen=True)
class Progress:
    """How far each variant may go for now."""

    stopped: tuple[Stopped, ...] = ()
    look: int | None = None  # evaluations up to this look; None for all
    leases: Mapping[str, int] = field(default_factory=dict)  # artefact_id -> leases that it gets, where not all
    times_everything: bool = True  # whether stopped variants are timed too

    @cached_property
    def _by_artefact(self) -> Mapping[str, Stopped]:
        return {stop.artefact_id: stop for stop in self.stopped}

    def windows(self, artefact_id: str, task: TaskSpec) -> int:
        """How many first windows of a task an artefact may be run on."""
        stop = self._by_artefact.get(artefact_id)
        if stop is not None and stop.raced == "examples":
            return _at(task, stop.look - 1)
        return task.windows if self.look is None else _at(task, self.look)

    def timed(self, lease: int, artefact_ids: Mapping[str, str]) -> dict[str, str]:
        """Of these, the ones that the lease is for."""
        if not self.times_everything and self.look is not None:
            return {}  # who is to be timed is not known yet
        gone: Mapping[str, Stopped] = {} if self.times_everything else self._by_artefact
        return {a: n for a, n in artefact_ids.items() if a not in gone and lease < self.leases.get(a, lease + 1)}


def _at(task: TaskSpec, look: int) -> int:
    """Windows of a task at a look; a short task has had its last one."""
    looks = race_looks(task.windows)
    return looks[min(look, len(looks) - 1)]


class Race:
    """Races one sweep."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._names = names_of(sweep.recipes)
        self.reason = why_not(sweep) if sweep.file.race.on else "racing is off"
        # By recipes, not by artefacts: the level must not depend on which builds succeed.
        self._variants = {b.name: sum(r.base.name == b.name for r in sweep.recipes) for b in sweep.bases}
        self._decided: dict[tuple[str, int, tuple[str, ...]], list[Stopped]] = {}

    def __call__(self, built: Sequence[tuple[Recipe, str]], view: View, *, settled: bool) -> Progress:
        """How far each variant may go.

        Args:
            built: recipes with their artefacts, each artefact once, the base first.
            view: what the plan knows of jobs.
            settled: whether every build has ended.
        """
        members = [(r, a) for r, a in built if not r.batch_dependent]  # those have a batch policy to find first
        if self.reason is not None:
            return Progress()
        if not settled:
            return Progress(look=0)
        first = self._dearest(members, view)
        if first is None:
            return Progress(look=0, leases=_one_each(members), times_everything=bool(timed_in(self._sweep)))
        return self._over_examples(members, view) if first == "examples" else self._over_leases(members, view)

    def _dearest(self, members: Sequence[tuple[Recipe, str]], view: View) -> Literal["examples", "leases"] | None:
        """What to race, by what the base's first evaluations took; None where they have not been."""
        if not timed_in(self._sweep):
            return "examples"
        if not any(tested_by(self._sweep, o) for o in self._sweep.objectives):
            return "leases"
        bases = [a for r, a in members if r.is_base]
        scoring = 0.0
        for task in self._sweep.tasks:
            seconds = _seconds_an_example(bases, task, view)
            if seconds is None:
                return None
            scoring += seconds * task.examples
        file = self._sweep.file.latency
        parts = len(parts_of((1, 1), file.new_tokens)) * len(self._sweep.shapes())
        timing = file.leases * parts * 2 * file.first_rounds * file.burst_ms / 1e3
        return "examples" if scoring > timing else "leases"

    def _over_examples(self, members: Sequence[tuple[Recipe, str]], view: View) -> Progress:
        """Race on growing parts of the tasks; where latency counts, it is known of every variant before."""
        tasks = self._sweep.tasks
        last = max(len(race_looks(task.windows)) for task in tasks) - 1
        everything = bool(timed_in(self._sweep))
        stopped: list[Stopped] = []
        gone: set[str] = set()
        for look in range(last):
            racing = [(r, a) for r, a in members if a not in gone]
            standings = {a: self._standing(a, look, view) for _, a in racing}
            timed = not everything or all(
                view.leased(lease, frozenset(a for _, a in members)) for lease in range(self._sweep.file.latency.leases)
            )
            if "open" in standings.values() or not timed or not self._weighed(view):
                return Progress(tuple(stopped), look, times_everything=everything)
            racing = [(r, a) for r, a in racing if standings[a] == "done"]
            new = self._stops(racing, view, look, last, "examples")
            stopped += new
            gone |= {s.artefact_id for s in new}
        return Progress(tuple(stopped), None, times_everything=everything)

    def _weighed(self, view: View) -> bool:
        """Whether memory is known wherever it counts."""
        return view.weighed() if any(o.axis == "memory" for o in self._sweep.objectives) else True

    def _standing(self, artefact_id: str, look: int, view: View) -> Standing:
        found = {view.evaluated(artefact_id, task, _at(task, look)) for task in self._sweep.tasks}
        return "open" if "open" in found else "failed" if "failed" in found else "done"

    def _over_leases(self, members: Sequence[tuple[Recipe, str]], view: View) -> Progress:
        """Race on leases: what one has shown to be beaten gets no other. Scores are known of every variant before."""
        standings = {a: {view.evaluated(a, task, task.windows) for task in self._sweep.tasks} for _, a in members}
        if any("open" in found for found in standings.values()) or not self._weighed(view):
            return Progress(leases=_one_each(members))
        stopped: list[Stopped] = []
        limits: dict[str, int] = {}
        last = self._sweep.file.latency.leases - 1
        for lease in range(last):
            racing = [(r, a) for r, a in members if a not in limits and standings[a] == {"done"}]
            if not view.leased(lease, frozenset(a for _, a in racing)):
                break
            new = self._stops(racing, view, lease, last, "leases")
            stopped += new
            limits |= {s.artefact_id: lease + 1 for s in new}
        return Progress(tuple(stopped), None, limits)

    def _stops(
        self,
        racing: Sequence[tuple[Recipe, str]],
        view: View,
        look: int,
        looks: int,
        raced: Literal["examples", "leases"],
    ) -> list[Stopped]:
        """Who is beaten at a look: told once, for plans are many and what a look has seen never changes."""
        named = (raced, look, tuple(a for _, a in racing))
        if named not in self._decided:
            self._decided[named] = self._beaten(racing, view, look, looks, raced)
        return self._decided[named]

    def _beaten(
        self,
        racing: Sequence[tuple[Recipe, str]],
        view: View,
        look: int,
        looks: int,
        raced: Literal["examples", "leases"],
    ) -> list[Stopped]:
        """Variants of different bases never meet."""
        found: list[Stopped] = []
        # No lease that came later, as where two disagreed: it would change what was decided before it.
        seen = self._sweep.file.latency.leases if raced == "examples" else look + 1
        for base in self._sweep.bases:
            leases = [job for job in view.leases() if job.lease < seen]
            timed = {a for job in leases for a in job.artefact_ids}
            mine = [(r, a) for r, a in racing if r.base.name == base.name and (not timed_in(self._sweep) or a in timed)]
            for objective in (o for o in self._sweep.objectives if o.axis == "memory"):
                weighed = view.memory(objective)
                mine = [(r, a) for r, a in mine if a in weighed]
            if len(mine) < 2:
                continue
            windows = {t.name: _at(t, look) if raced == "examples" else t.windows for t in self._sweep.tasks}
            level = race_level(self._sweep.file.race.alpha, looks, list(self._variants.values()))
            evidence = [e for o in self._sweep.objectives for e in self._evidence(o, mine, view, windows, leases)]
            protected = frozenset(i for i, (r, _) in enumerate(mine) if r.is_base or r.recipe_id in self._sweep.pinned)
            examples = {t.name: _examples(t, windows[t.name]) for t in self._sweep.tasks}
            for stop in stops(evidence, level, protected):
                by = mine[stop.by]
                found.append(
                    Stopped(
                        artefact_id=mine[stop.variant][1],
                        by=by[1],
                        raced=raced,
                        look=look + 1,
                        looks=looks,
                        examples=examples,
                        level=level,
                        objectives=tuple((o.metric, o.scope) for o in self._sweep.objectives),
                        reason=f"{self._names[by[0].recipe_id]} {in_words(evidence, stop.by, stop.variant, level)}",
                    )
                )
        return found

    def _evidence(
        self,
        objective: Objective,
        mine: Sequence[tuple[Recipe, str]],
        view: View,
        windows: Mapping[str, int],
        leases: Sequence[LatencyJob],
    ) -> list[Raced]:
        if objective.axis in TIMED:
            given = ((job, view.rounds(job)) for job in leases)
            return [timed(objective.metric, objective.scope, [a for _, a in mine], given)]
        if objective.axis == "memory":
            found = view.memory(objective)
            return [repeated([found[a] for _, a in mine])]
        tested = tested_by(self._sweep, objective)
        if tested:
            return [self._scores(task, name, mine, view, windows[task.name]) for task, name in tested]
        return [exact(objective.metric, [_built_value(view.build(r), objective.metric) for r, _ in mine])]

    def _scores(
        self, task: TaskSpec, name: str, mine: Sequence[tuple[Recipe, str]], view: View, windows: int
    ) -> Scored:
        each = [view.scores(a, task, windows, metric(name).source[1]) for _, a in mine]
        examples = sorted(each[0])
        return scored(name, np.array([[scores[i] for i in examples] for scores in each]))


def _seconds_an_example(bases: Sequence[str], task: TaskSpec, view: View) -> float | None:
    """Of the first base whose evaluation was not given up: None before it has finished, 0 where all were given up."""
    for base in bases:
        seconds = view.seconds_an_example(base, task)
        if seconds is not None or view.evaluated(base, task, _at(task, 0)) != "failed":
            return seconds
    return 0.0


def _one_each(members: Sequence[tuple[Recipe, str]]) -> dict[str, int]:
    """One lease for every variant, while it is not known whether any has a second to lose."""
    return {artefact_id: 1 for _, artefact_id in members}


def _examples(task: TaskSpec, windows: int) -> int:
    return windows * WINDOW if windows < task.windows else task.examples


def _built_value(record: Record, name: str) -> float:
    assert isinstance(record.outcome, Finished)
    return next(value.estimate for value in record.outcome.values if value.metric == name)
