"""Which builds and studies come next: every distinct prefix once, questions of a step before the step. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from bench.job import BuildJob, StudyJob
from bench.naming import names_of
from bench.recipe import Question, Recipe
from bench.record import Failed, Finished, Record
from bench.sweep import Sweep
from bench.tasks.spec import TaskSpec
from cluster.standing import Known, Machine, Planned, Status, standing

PARENT = ""  # no teacher has an empty name


@dataclass(frozen=True, slots=True)
class Asked:
    """What has become of a step's questions, by `Question.key`."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # of the jobs
    passes: dict[str, str] = field(default_factory=dict)  # artefact_ids of the files that studies left
    failed: str = ""  # key of a job that was given up


@dataclass(frozen=True, slots=True)
class Built:
    """What has become of a sweep's builds, by recipe_id: artefact_ids, and why what is gone is not built again."""

    artefacts: dict[str, str]
    gone: dict[str, str]


class Builder:
    """Plans the builds of one sweep, and the studies that they wait for. `jobs` are the builds by recipe_id."""

    def __init__(self, sweep: Sweep, machine: Machine) -> None:
        self._sweep = sweep
        self._machine = machine
        self._attempts = sweep.file.limits.attempts
        self._prefixes: dict[str, Recipe] = {}
        for recipe in (*sweep.teachers.values(), *sweep.recipes):
            for length in range(len(recipe.stages) + 1):
                prefix = recipe.prefix(length)
                self._prefixes.setdefault(prefix.recipe_id, prefix)
        self._needed = {rid: _needed(prefix) for rid, prefix in self._prefixes.items()}
        self._names = names_of(list(self._prefixes.values()))
        self.jobs = {rid: self._build_skeleton(rid, prefix) for rid, prefix in self._prefixes.items()}

    def _build_skeleton(self, recipe_id: str, recipe: Recipe) -> BuildJob:
        if not recipe.stages:
            return BuildJob(recipe_id=recipe_id, name=recipe.base.model, folder=recipe.base.folder)
        stage = recipe.stages[-1]
        return BuildJob(
            recipe_id=recipe_id,
            name=self._names[recipe_id],
            step=stage.step.name,
            settings=stage.step.model_dump(mode="json"),
            data={name: self._sweep.data()[name] for name in stage.step.data_names()},
            tasks={name: self._task(name) for name in stage.step.task_names()},
            seed=stage.seed,
        )

    def _task(self, name: str) -> TaskSpec:
        return next(task for task in self._sweep.tasks if task.name == name)

    def name(self, recipe_id: str) -> str:
        """What a prefix is called."""
        return self._names[recipe_id]

    def plan(self, known: Known, in_flight: frozenset[str], jobs: list[Planned]) -> Built:
        """Plan each distinct prefix once; the jobs are added to `jobs`."""
        artefacts: dict[str, str] = {}
        blocked: dict[str, str] = {}  # recipe_id -> why it cannot be built
        studies: dict[str, Planned] = {}
        again = self._wanted_again(known)
        for recipe_id, recipe in self._prefixes.items():
            job = self.jobs[recipe_id]
            needed = self._needed[recipe_id]
            planned = standing(job, known, in_flight, self._attempts, again=recipe_id in again)
            hindered = [blocked[rid] for rid in needed.values() if rid in blocked]
            if planned.status != "done" and hindered:
                blocked[recipe_id] = hindered[0]
                continue
            if planned.status == "done":
                if made := _artefact_of(known.finished[job.key]):
                    artefacts[recipe_id] = made
            elif planned.status == "failed":
                blocked[recipe_id] = _reason(known, job.key)
            elif not artefacts.keys() >= {*needed.values()}:
                planned = Planned(job, "waiting", planned.attempt)
            elif recipe.stages:
                job = self._placed(job, {name: artefacts[rid] for name, rid in needed.items()})
                asked, status = self._ask(recipe, job, known, in_flight, studies)
                job = job.model_copy(update={"answers": asked.answers, "studies": asked.keys, "passes": asked.passes})
                planned = Planned(job, planned.status if status == "ready" else status, planned.attempt)
                if status == "failed":
                    blocked[recipe_id] = _reason(known, asked.failed)
                    continue
            if recipe_id in again:
                artefacts[recipe_id] = again[recipe_id]  # what is known of it still holds
                planned = replace(planned, of=planned.of.model_copy(update={"expected": again[recipe_id]}))
            jobs.append(planned)
        jobs.extend(studies.values())
        return Built(artefacts, {rid: blocked[rid] for rid in again if rid in blocked})

    def _wanted_again(self, known: Known) -> dict[str, str]:
        """recipe_id -> artefact_id of what was built, is gone from the store, and must be there.

        That is a variant, and what is needed to build something: also what is needed to build that again.
        """
        if not known.lost:
            return {}
        made = {rid: _artefact_of(known.finished.get(job.key)) for rid, job in self.jobs.items()}
        lost = {rid: name for rid, name in made.items() if name in known.lost}
        found = {recipe.recipe_id: lost[recipe.recipe_id] for recipe in self._sweep.recipes if recipe.recipe_id in lost}
        for recipe_id in reversed(self._prefixes):  # what is built on others comes before them
            if made[recipe_id] is None or recipe_id in found:
                found |= {rid: lost[rid] for rid in self._needed[recipe_id].values() if rid in lost}
        return found

    @staticmethod
    def _placed(job: BuildJob, needed: dict[str, str]) -> BuildJob:
        parent = needed.pop(PARENT)
        return job.model_copy(update={"parent": parent, "teachers": needed})

    def _ask(
        self,
        recipe: Recipe,
        build: BuildJob,
        known: Known,
        in_flight: frozenset[str],
        studies: dict[str, Planned],
    ) -> tuple[Asked, Status]:
        """What the questions of a build's step have led to, and the build's status.

        Jobs for questions are entered into `studies`: equal questions of several builds are one job.
        """
        step = recipe.stages[-1].step
        teachers = {name: self._prefixes[rid].check() for name, rid in self._needed[recipe.recipe_id].items()}
        before = teachers.pop(PARENT)
        found = Asked()
        while True:
            asked = [q for q in step.questions(found.answers, before, teachers) if q.key not in found.keys]
            if not asked:
                return found, "ready" if found.answers.keys() == found.keys.keys() else "waiting"
            for question in asked:
                job = self._study(recipe, build, question)
                found.keys[question.key] = job.key
                gone = _artefact_of(known.finished.get(job.key)) in known.lost
                planned = standing(job, known, in_flight, self._attempts, again=gone)
                others = studies.get(job.key)
                if isinstance(others, Planned) and isinstance(others.job, StudyJob):
                    job = job.model_copy(update={"asking": (*others.job.asking, *job.asking)})
                studies[job.key] = Planned(job, planned.status, planned.attempt)
                if planned.status == "failed":
                    return replace(found, failed=job.key), "failed"
                outcome = known.finished[job.key].outcome if planned.status == "done" else None
                if isinstance(outcome, Finished) and outcome.answer is not None:
                    found.answers[question.key] = outcome.answer
                    if outcome.artefact_id is not None:
                        found.passes[question.key] = outcome.artefact_id
            if found.answers.keys() != found.keys.keys():
                return found, "waiting"

    def _study(self, recipe: Recipe, build: BuildJob, question: Question) -> StudyJob:
        step = recipe.stages[-1].step
        return StudyJob(
            artefact_id=str(build.parent) if question.teacher is None else build.teachers[question.teacher],
            name=self._names[recipe.recipe_id],
            step=step.name,
            version=step.version,
            settings=build.settings,
            question=question.kind,
            asked=dict(question.settings),
            data={name: build.data[name] for name in question.data},
            tasks={name: build.tasks[name] for name in question.tasks},
            versions=dict(self._machine.versions),
            asking=(recipe.recipe_id,),
        )


def _artefact_of(record: Record | None) -> str | None:
    """The artefact that a finished job has left, None where it has not finished or left nothing."""
    return record.outcome.artefact_id if record and isinstance(record.outcome, Finished) else None


def _reason(known: Known, key: str) -> str:
    """What a job was given up for."""
    outcome = known.failed[key][-1].outcome
    return outcome.reason if isinstance(outcome, Failed) else ""


def _needed(recipe: Recipe) -> dict[str, str]:
    """recipe_id of what the last step needs built: its parent under `PARENT`, its teachers by their names."""
    if not recipe.stages:
        return {}
    teachers = {name: recipe.teacher(name).recipe_id for name in recipe.stages[-1].step.teacher_names()}
    return {PARENT: recipe.prefix(len(recipe.stages) - 1).recipe_id, **teachers}
