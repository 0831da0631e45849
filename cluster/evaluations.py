"""Which evaluations a sweep needs: every artefact on every task, in runs of windows that no look cuts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.job import EvaluateJob
from bench.recipe import Recipe
from bench.record import Failed, Finished
from bench.statistics.racing import race_looks
from bench.sweep import Sweep
from bench.tasks.spec import WINDOW, TaskSpec
from cluster.racing import Progress, Standing
from cluster.retry import decide
from cluster.standing import Known, Machine, Planned, standing

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
    """Plans the evaluations of one sweep."""

    def __init__(self, sweep: Sweep, machine: Machine, names: Mapping[str, str]) -> None:
        self._sweep = sweep
        self._machine = machine
        self._names = names
        self._attempts = sweep.file.limits.attempts
        self._keys: dict[tuple[str, str, str | None, int], str] = {}

    def plan(
        self, built: Sequence[tuple[Recipe, str]], race: Progress, known: Known, in_flight: frozenset[str]
    ) -> Iterator[Planned]:
        """The jobs of every built artefact, as far as the race lets it go."""
        for recipe, artefact_id in built:
            for task in self._sweep.tasks:
                template = self.template(recipe, artefact_id, task, built)
                if template is not None:
                    windows = race.windows(artefact_id, task)
                    yield from self._evaluate(template, windows, recipe.batch_dependent, known, in_flight)

    def template(
        self, recipe: Recipe, artefact_id: str, task: TaskSpec, built: Sequence[tuple[Recipe, str]]
    ) -> EvaluateJob | None:
        """The evaluation of an artefact on a task, of no windows yet; None where there is nobody to ask about it."""
        judge = None
        if task.asks_base:
            judge = next((a for r, a in built if r.is_base and r.base.name == recipe.base.name), None)
            if judge is None:
                return None  # its base could not be built
        return EvaluateJob(
            artefact_id=artefact_id,
            name=self._names[recipe.recipe_id],
            task=task,
            first=0,
            last=0,
            versions=dict(self._machine.versions),
            device=self._sweep.file.device,
            judge=judge,
        )

    def _evaluate(
        self, template: EvaluateJob, windows: int, dependent: bool, known: Known, in_flight: frozenset[str]
    ) -> Sequence[Planned]:
        """The jobs of one artefact on the first windows of one task.

        Predictions that depend on batch-mates belong to one size of batches: the largest in which all is done, else
        the smallest that was begun, or half of that where memory did not hold it.
        """
        tried: list[Sequence[Planned]] = []
        tasks = (template.task, *(template.task.smaller_batches if dependent else ()))
        place = 0
        for number, task in enumerate(tasks):
            jobs = [
                standing(
                    template.model_copy(update={"task": task, "first": first, "last": last}),
                    known,
                    in_flight,
                    self._attempts,
                )
                for first, last in slices(task)
                if last <= windows
            ]
            tried.append(jobs)
            if all(p.status == "done" for p in jobs):
                return jobs
            if any(p.status != "ready" or p.attempt > 1 for p in jobs):
                place = number
        if place + 1 < len(tried) and any(out_of_memory(p, known) for p in tried[place]):
            place += 1
        return tried[place]

    def keys(self, template: EvaluateJob, windows: int) -> list[str]:
        """Keys of the jobs that cover so many first windows of the template's task."""
        found = []
        for first, last in slices(template.task):
            if last <= windows:
                named = (template.artefact_id, template.task.name, template.judge, first)
                if named not in self._keys:  # digests take a while, and a plan is made after every record
                    self._keys[named] = template.model_copy(update={"first": first, "last": last}).key
                found.append(self._keys[named])
        return found

    def evaluated(self, template: EvaluateJob, windows: int, known: Known) -> Standing:
        """Whether so many first windows are done, or will never be."""
        keys = [key for key in self.keys(template, windows) if key not in known.finished]
        given_up = [key for key in keys if decide(known.failed.get(key, []), self._attempts) == "give up"]
        return "failed" if given_up else "open" if keys else "done"

    def seconds_an_example(self, template: EvaluateJob, known: Known) -> float | None:
        """Seconds that the first finished job took for one example, without loading the model."""
        first, last = slices(template.task)[0]
        record = known.finished.get(self.keys(template, last)[0])
        if record is None or not isinstance(record.outcome, Finished):
            return None
        seconds = record.outcome.notes.get("seconds")
        examples = min((last - first) * WINDOW, template.task.examples)
        return (float(seconds) if isinstance(seconds, int | float) else record.seconds) / examples


def out_of_memory(planned: Planned, known: Known) -> bool:
    """Whether a job was given up because memory did not hold it."""
    failures = known.failed.get(planned.job.key, ())
    last = failures[-1].outcome if failures else None
    return planned.status == "failed" and isinstance(last, Failed) and last.kind == "out of memory"
