"""Which evaluations a sweep needs: every artefact on every task, in runs of windows that no look cuts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.job import EvaluateJob
from bench.recipe import Recipe
from bench.record import Failed
from bench.statistics.racing import race_looks
from bench.sweep import Sweep
from bench.tasks.spec import WINDOW, TaskSpec
from cluster.racing import Progress, Standing
from cluster.retry import decide
from cluster.standing import Known, Machine, Planned, Slice, standing

WINDOWS_A_JOB = 8  # one job loads the model once for so many windows of 512 examples


def slices(task: TaskSpec) -> list[tuple[int, int]]:
    """The runs of whole windows that one job evaluates: (first, one past the last). No look falls within one."""
    found: list[tuple[int, int]] = []
    first = 0
    for look in race_looks(task.windows):
        found += [(start, min(start + WINDOWS_A_JOB, look)) for start in range(first, look, WINDOWS_A_JOB)]
        first = look
    return found


class Evaluations:
    """Plans the evaluations of one sweep. What no record changes is worked out once: plans are many."""

    def __init__(self, sweep: Sweep, machine: Machine, names: Mapping[str, str]) -> None:
        self._sweep = sweep
        self._machine = machine
        self._names = names
        self._attempts = sweep.file.limits.attempts
        self._templates: dict[tuple[str, str, str | None], EvaluateJob] = {}
        self._parts: dict[tuple[str, str, str | None], tuple[Slice, ...]] = {}

    def plan(
        self, built: Sequence[tuple[Recipe, str]], race: Progress, known: Known, in_flight: frozenset[str]
    ) -> Iterator[Planned]:
        """The jobs of every built artefact, as far as the race lets it go."""
        bases = base_artefacts(built)
        for recipe, artefact_id in built:
            for task in self._sweep.tasks:
                template = self.template(recipe, artefact_id, task, bases)
                if template is not None:
                    windows = race.windows(artefact_id, task)
                    yield from self._evaluate(template, windows, recipe.batch_dependent, known, in_flight)

    def template(
        self, recipe: Recipe, artefact_id: str, task: TaskSpec, bases: Mapping[str, str]
    ) -> EvaluateJob | None:
        """The evaluation of an artefact on a task, of no windows yet; None where there is nobody to ask about it.

        `bases` holds the artefact_id of each base that is built, by its name.
        """
        judge = bases.get(recipe.base.name) if task.asks_base else None
        if task.asks_base and judge is None:
            return None  # its base could not be built
        place = (artefact_id, task.name, judge)
        if place not in self._templates:
            self._templates[place] = EvaluateJob(
                artefact_id=artefact_id,
                name=self._names[recipe.recipe_id],
                task=task,
                first=0,
                last=0,
                versions=dict(self._machine.versions),
                device=self._sweep.file.device,
                judge=judge,
            )
        return self._templates[place]

    def _evaluate(
        self, template: EvaluateJob, windows: int, dependent: bool, known: Known, in_flight: frozenset[str]
    ) -> Sequence[Planned]:
        """The jobs of one artefact on the first windows of one task.

        Predictions that depend on batch-mates belong to one size of batches: the largest in which all is done, else
        the smallest that was begun, or half of that where memory did not hold it.
        """
        tried: list[list[Planned]] = []
        chosen = 0
        for number, task in enumerate((template.task, *(template.task.smaller_batches if dependent else ()))):
            job = template if not number else template.model_copy(update={"task": task})
            jobs = [
                standing(job, known, in_flight, self._attempts, part)
                for part in self._parts_of(job)
                if part.last <= windows
            ]
            tried.append(jobs)
            if all(p.status == "done" for p in jobs):
                return jobs
            if any(p.status != "ready" or p.attempt > 1 for p in jobs):
                chosen = number
        if chosen + 1 < len(tried) and any(out_of_memory(p, known) for p in tried[chosen]):
            chosen += 1
        return tried[chosen]

    def _parts_of(self, job: EvaluateJob) -> tuple[Slice, ...]:
        """The windows that each job for the whole of a task is for, with its key."""
        place = (job.artefact_id, job.task.fingerprint, job.judge)
        if place not in self._parts:
            self._parts[place] = tuple(
                Slice(first, last, job.model_copy(update={"first": first, "last": last}).key)
                for first, last in slices(job.task)
            )
        return self._parts[place]

    def keys(self, template: EvaluateJob, windows: int) -> list[str]:
        """Keys of the jobs that cover so many first windows of the template's task."""
        return [part.key for part in self._parts_of(template) if part.last <= windows]

    def evaluated(self, template: EvaluateJob, windows: int, known: Known) -> Standing:
        """Whether so many first windows are done, or will never be."""
        keys = [key for key in self.keys(template, windows) if key not in known.evaluated]
        given_up = [key for key in keys if decide(known.failed.get(key, []), self._attempts) == "give up"]
        return "failed" if given_up else "open" if keys else "done"

    def seconds_an_example(self, template: EvaluateJob, known: Known) -> float | None:
        """Seconds that the first finished job took for one example, without loading the model."""
        first = self._parts_of(template)[0]
        seconds = known.evaluated.get(first.key)
        if seconds is None:
            return None
        return seconds / min((first.last - first.first) * WINDOW, template.task.examples)


def base_artefacts(built: Sequence[tuple[Recipe, str]]) -> dict[str, str]:
    """Name of each base that is built -> its artefact_id."""
    return {recipe.base.name: artefact_id for recipe, artefact_id in built if recipe.is_base}


def out_of_memory(planned: Planned, known: Known) -> bool:
    """Whether a job was given up because memory did not hold it."""
    failures = known.failed.get(planned.key, ())
    last = failures[-1].outcome if failures else None
    return planned.status == "failed" and isinstance(last, Failed) and last.kind == "out of memory"
