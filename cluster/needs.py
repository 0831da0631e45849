"""What a job needs of a node: from its kind, the weights it reads, its step's declaration and a pass predicted on the
meta device.

A prediction takes a second and torch, so it is made only where the answer could matter: not while a generous guess
leaves every CPU of every node its job.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.architecture import MARKER
from bench.artefacts import weight_bytes
from bench.errors import BadInput
from bench.job import BuildJob, EvaluateJob, Job, LatencyJob, MemoryJob, StudyJob
from bench.recipe import Held, step_class
from bench.record import Finished, Record
from bench.sweep import Sweep
from cluster.placement import Need

PROCESS = 400_000_000  # bytes of a worker with torch and transformers before it has a model
CUDA_CONTEXT = 700_000_000  # bytes of a card that a process takes before its first tensor
GUESSED = 4  # times the weights: stands in for the activations until those are predicted
GUESSED_MORE = 1_000_000_000
ASKED_ROWS = 64  # of a teacher at a time: 32 to classify, or 16 in 4 beams
TYPICAL_TOKENS = 128  # of a row of a task


@dataclass(frozen=True, slots=True)
class Pass:
    """The largest forward pass of a job."""

    rows: int
    tokens: int
    new_tokens: int = 0
    layers: bool = False  # the activations of every layer are kept


def artefacts_of(job: Job) -> tuple[str, ...]:
    """The artefacts that a job reads."""
    if isinstance(job, BuildJob):
        return (*([job.parent] if job.parent else []), *job.teachers.values(), *job.passes.values())
    if isinstance(job, EvaluateJob):
        return (job.artefact_id, *([job.judge] if job.judge else []))
    if isinstance(job, StudyJob):
        return (job.artefact_id,)
    return job.artefact_ids if isinstance(job, LatencyJob | MemoryJob) else ()


def _loaded(job: Job) -> tuple[str, ...]:
    """Those of them whose bytes are in memory: a teacher that has been heard before is not."""
    if not isinstance(job, BuildJob) or not job.step or not job.teachers:
        return artefacts_of(job)
    held = step_class(job.step).model_validate(job.settings).teachers_held(passed=bool(job.passes))
    return artefacts_of(job.model_copy(update={"teachers": {n: a for n, a in job.teachers.items() if n in held}}))


def _processes(job: Job) -> float:
    """CPUs that a job keeps busy: one, but for a training that several processes share."""
    return float(job.settings.get("processes", 1)) if isinstance(job, BuildJob) else 1.0


class Needs:
    """What jobs of one store need.

    Args:
        artefacts: the folder of the store's artefacts, or of this node's copies of a bucket's.
        known: what has finished before.
    """

    def __init__(self, artefacts: Path, known: Iterable[Record] = ()) -> None:
        self._artefacts = artefacts
        self._weights: dict[str, int] = {}
        self._activations: dict[tuple[str, Pass], int] = {}
        for record in known:
            self.learn(record)

    def __call__(self, job: Job, slot: int = 0, card: int = 0) -> Need:
        """The need of a job.

        Args:
            job: any.
            slot: bytes that each CPU of the smallest node may use; below it nothing is predicted.
            card: the same for a job that shares a GPU.
        """
        hardware = job.hardware_class if isinstance(job, LatencyJob | MemoryJob) else None
        need = Need(_processes(job), gpu=job.gpu is not None, exclusive=job.exclusive, hardware=hardware)
        names = [name for name in _loaded(job) if self._weight(name)]
        if not names:
            return need
        held, passes = _held(job)
        weights = [self._weight(name) for name in names]
        if isinstance(job, MemoryJob) or (isinstance(job, LatencyJob) and need.gpu):
            # A process for each model; or one card, on which models that do not fit together take turns.
            weights = [max(weights)]
        fixed = int(held.copies * weights[0]) + sum(weights[1:])
        # One copy of each is certain, but for models that are timed: they too take turns where they must.
        least = max(weights) if isinstance(job, LatencyJob) else min(fixed, sum(weights))
        guess = fixed + GUESSED * max(weights) + GUESSED_MORE
        if need.gpu:
            if not card or guess + CUDA_CONTEXT > card:
                guess = fixed + self._live(names, passes)
            context = CUDA_CONTEXT
            if isinstance(job, LatencyJob | MemoryJob):
                guess = least  # they measure one card, however many there are
            return replace(
                need,
                memory=PROCESS + max(weights),
                gpu_memory=guess + context,
                gpu_least=least + context,
                shares_gpu=isinstance(job, EvaluateJob),
            )
        if not slot or guess + PROCESS > slot:
            guess = fixed + self._live(names, passes)
        return replace(need, memory=guess + PROCESS, least=least)

    def learn(self, record: Record) -> None:
        """Take in what a build says of its artefact, which may lie on another node or in a bucket."""
        if isinstance(record.outcome, Finished):
            found = {v.artefact_id: int(v.estimate) for v in record.outcome.values if v.metric == "size"}
            self._weights.update(found)

    def _weight(self, name: str) -> int:
        """Bytes of an artefact's weights; 0 where neither its record nor its files say."""
        if name not in self._weights:
            folder = self._artefacts / name
            if not folder.is_dir():
                return 0
            self._weights[name] = weight_bytes(folder)
        return self._weights[name]

    def _live(self, names: Iterable[str], passes: Pass | None) -> int:
        """Bytes of activations at most alive in a pass of the job's largest model."""
        if passes is None:
            return 0
        return max(self._activation(name, passes) for name in names)

    def _activation(self, name: str, passes: Pass) -> int:
        """As predicted for a model of this config: artefacts that differ in their numbers alone share an answer."""
        folder = self._artefacts / name
        if not folder.is_dir():  # it cannot be predicted from here
            return GUESSED * self._weight(name) + GUESSED_MORE
        files = [folder / "config.json", folder / MARKER]
        shape = "".join(file.read_text(encoding="utf-8") for file in files if file.exists())
        if (shape, passes) not in self._activations:
            self._activations[shape, passes] = _predicted(folder, passes)
        return self._activations[shape, passes]


def largest_guess(sweep: Sweep) -> int:
    """Bytes that the largest job of a sweep may need, guessed from its bases' weights before anything is built."""
    found = 0
    recipes = (*sweep.teachers.values(), *sweep.recipes)
    sizes = {folder: weight_bytes(Path(folder)) for folder in {recipe.base.folder for recipe in recipes}}
    for recipe in recipes:
        weights = sizes[recipe.base.folder]
        copies = max((stage.step.holds().copies for stage in recipe.stages), default=1.0)
        found = max(found, int((copies + GUESSED) * weights) + GUESSED_MORE + PROCESS)
    return found


def _held(job: Job) -> tuple[Held, Pass | None]:
    """What of the first artefact is in memory at once, and the largest pass."""
    if isinstance(job, BuildJob | StudyJob):
        held = step_class(job.step).model_validate(job.settings).holds() if job.step else Held()
        if isinstance(job, StudyJob) and held.trains:  # it asks a teacher: nothing is trained yet
            held = Held(1.0, max(held.rows, ASKED_ROWS), held.tokens)
        if held.rows:
            return held, Pass(held.rows, held.tokens, layers=held.trains)
        return held, _of_task(job.tasks.values()) if isinstance(job, StudyJob) else None
    if isinstance(job, EvaluateJob):
        return Held(copies=1.0), _of_task([job.task])
    if isinstance(job, LatencyJob):
        rows, tokens = (max(shape[i] for shape in job.shapes) for i in (0, 1))
        return Held(copies=1.0), Pass(rows, tokens, job.new_tokens or 0)
    if isinstance(job, MemoryJob):
        return Held(copies=1.0), Pass(*job.shape, job.new_tokens or 0)
    return Held(copies=1.0), None


def _of_task(tasks: Iterable[object]) -> Pass | None:
    """A pass of as many tokens as a task's batches have at most, in rows of the usual length."""
    budgets = [int(getattr(task, "settings", {}).get("batch_tokens", 0)) for task in tasks]
    most = max(budgets, default=0)
    return Pass(max(1, most // TYPICAL_TOKENS), TYPICAL_TOKENS) if most else None


def _predicted(folder: Path, passes: Pass) -> int:
    """Bytes of activations of one pass; a model that cannot be watched is taken to need as much as its weights."""
    from bench.architecture import describe
    from bench.measure.predict import predict

    try:
        architecture = describe(folder)
        rows = passes.rows
        tokens = min(passes.tokens, architecture.positions or passes.tokens)
        live = predict(folder, rows, tokens, passes.new_tokens).activations
        layers = (architecture.encoder_layers or 0) + (architecture.decoder_layers or 0)
        return live * max(1, layers) if passes.layers else live
    except BadInput:
        return weight_bytes(folder)
