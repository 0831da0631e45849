"""What a worker does with a job: the whole of an experiment, read top to bottom."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.architecture import model_files
from bench.artefacts import Artefacts, weight_bytes
from bench.errors import BadInput, Contaminated, DiskFull, DoesNotFit, is_disk_full, is_out_of_memory, text_of
from bench.identity import digest, files_digest, settings_of, short
from bench.job import BuildJob, EvaluateJob, Job, LatencyJob, MemoryJob, StudyJob
from bench.measure.conditions import capture
from bench.record import Conditions, Delivery, Examples, Failed, FailureKind, Finished, Record, Samples, Value
from bench.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from bench.measure.delivered import Facts
    from bench.models import Loaded


@dataclass(frozen=True, slots=True)
class Site:
    """Where a worker finds artefacts, how many threads it may use, where it notes what was acknowledged.

    `cache` and `bucket` are those of `bench.artefacts.Artefacts`.
    """

    artefacts: Path
    threads: int = 1
    acknowledgements: Path | None = None
    cache: Path | None = None
    bucket: str | None = None

    def open_artefacts(self) -> Artefacts:
        """The artefacts as this worker reaches them."""
        return Artefacts(self.artefacts, self.cache, bucket=self.bucket)


@dataclass(frozen=True, slots=True)
class Done:
    """What a job gave, before it becomes a record."""

    outcome: Finished
    conditions: Conditions | None = None
    examples: Examples | None = None
    samples: Samples | None = None


Execute = Callable[[Job, Site], Done]


def execute(job: Job, site: Site) -> Done:
    """Do the job, beside its GPU if it has one and once that is free of what jobs before it took.

    Raises BadInput for a request that cannot be met, anything else for a fault.
    """
    from bench.measure.baseline import await_predecessors
    from bench.measure.pinning import beside
    from bench.recipe import step_class

    if isinstance(job, BuildJob) and job.step and job.gpu is not None:
        step_class(job.step).model_validate(job.settings).check_machine()  # says what to do instead
    with beside(job.gpu or "cpu", getattr(job, "threads", site.threads)):
        if job.gpu is not None:
            await_predecessors(job.gpu)
        return _execute(job, site)


def _execute(job: Job, site: Site) -> Done:
    artefacts = site.open_artefacts()
    if isinstance(job, BuildJob):
        return build(job, artefacts, site.threads)
    if isinstance(job, StudyJob):
        return study(job, artefacts, site.threads)
    if isinstance(job, EvaluateJob):
        return evaluate(job, artefacts, site.threads)
    if isinstance(job, LatencyJob):
        from bench.measure.latency import run_lease

        finished, samples, conditions = run_lease(job, artefacts)
        return Done(finished, conditions, samples=samples)
    if isinstance(job, MemoryJob):
        from bench.measure.memory import run_memory
        from bench.measure.predict import check_fit

        for artefact_id in job.artefact_ids:
            check_fit([artefacts.path(artefact_id)], job.device, (*job.shape, job.new_tokens or 0))
        finished, conditions = run_memory(job, artefacts)
        return Done(finished, conditions)
    raise TypeError(f"no worker knows what to do with a {type(job).__name__}")


def attempt(job: Job, number: int, site: Site, run: Execute = execute) -> Delivery:
    """Attempt a job and say how it went. Only a full disk is raised: it stops the whole sweep."""
    started, begin = datetime.now(UTC), time.perf_counter()
    outcome: Finished | Failed
    done: Done | None = None
    try:
        done = run(job, site)
        outcome = done.outcome
    except Exception as error:  # the edge where whatever went wrong becomes a record
        if is_disk_full(error):
            raise DiskFull(text_of(error)) from error
        traceback.clear_frames(error.__traceback__)  # what the job held may be all the memory that there is
        outcome = failure(error, job.kind)
    record = Record(
        key=job.key,
        kind=job.kind,
        attempt=number,
        outcome=outcome,
        job=job.described(),
        started=started.isoformat(timespec="milliseconds"),
        seconds=time.perf_counter() - begin,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        conditions=done.conditions if done else None,
    )
    return Delivery(record, done.examples if done else None, done.samples if done else None)


def failure(error: BaseException, stage: str) -> Failed:
    """The typed failure that an exception stands for."""
    log = "".join(traceback.format_exception(error))[-4000:]
    return Failed(stage=stage, kind=_kind(error), reason=_reason(error), log=log)


def _kind(error: BaseException) -> FailureKind:
    if isinstance(error, BadInput):
        return "bad spec"
    if isinstance(error, Contaminated):
        return "contaminated"
    if is_out_of_memory(error):
        return "out of memory"
    return "bug"


def _reason(error: BaseException) -> str:
    text = " ".join(text_of(error).split())[:600]
    return text if isinstance(error, BadInput | Contaminated | DoesNotFit) else f"{type(error).__name__}: {text}"


def build(job: BuildJob, artefacts: Artefacts, threads: int) -> Done:
    """Apply the job's step to its parent's artefact, or import the base model, and publish the result."""
    import torch

    from bench.measure.delivered import DELIVERED, delivered, promised
    from bench.measure.predict import cache_of, check_fit
    from bench.measure.shrink import facts_of, leftovers
    from bench.methods.checkpoint import Checkpoint
    from bench.models import copy_model, load, save
    from bench.recipe import Promise, Workplace, step_class

    torch.set_num_threads(threads)
    step = step_class(job.step).model_validate(job.settings) if job.step else None
    promise, answer = Promise(), dict[str, Any]()
    before: Facts | None = None
    left: tuple[str, ...] = ()  # what the step has forgotten on the model
    with artefacts.draft() as draft:
        if step is None and job.folder:
            base = _base_folder(job.name, Path(job.folder))
            copy_model(base, draft)
            _check_base(job, base, draft)
        elif isinstance(step, Checkpoint):
            copy_model(step.folder, draft)
        elif step is not None and job.parent:
            teachers = {name: artefacts.path(artefact_id) for name, artefact_id in job.teachers.items()}
            passes = {question: artefacts.path(artefact_id) for question, artefact_id in job.passes.items()}
            work = Workplace(job.seed, job.data, threads, teachers, job.tasks, job.answers, passes)
            held = [teachers[name] for name in step.teachers_held(passed=bool(passes)) if name in teachers]
            check_fit([artefacts.path(job.parent), *held])
            parent = load(artefacts.path(job.parent))
            promise = promised(step, parent.source, teachers)
            before = facts_of(parent.model)  # now: a step may change its parent in place
            made = step.apply(parent, work)
            del parent  # it may be large, and of no use to the rest
            left = leftovers(made.model)
            save(made, draft)
            answer = settings_of(made.evidence)
        else:
            raise TypeError("a build needs a base folder, or a step and a parent")
        try:
            loaded = load(draft)  # what cannot be loaded again is not published
        except BadInput as error:
            if not left or step is None:
                raise
            raise BadInput(f"{step.name} has left {' and '.join(left)} on the model, and so {error}") from error
        _check_expected(job, draft)
        artefact_id = artefacts.publish(draft)
    folder = artefacts.path(artefact_id)
    facts = facts_of(loaded.model, left)
    if step is not None:
        answer[DELIVERED] = settings_of(delivered(step.name, promise, before, facts))
    values = [("size", weight_bytes(folder), ""), ("parameters", facts.parameters, ""), ("layers", facts.layers, "")]
    if facts.flops is not None:
        values.append(("flops", facts.flops, facts.shape))
    if (cache := cache_of(folder)) is not None:
        values.append(("kv_cache_per_token", cache, ""))
    exact = tuple(Value.exact(artefact_id, metric, float(value), scope) for metric, value, scope in values)
    return Done(Finished(artefact_id=artefact_id, values=exact, answer=answer or None), capture(threads))


def _base_folder(model: str, folder: Path) -> Path:
    """Where a base lies: in the folder where the driver found it, or, of the zoo and the hub, in this node's own."""
    if folder.is_dir():
        return folder
    from bench.bases import resolve_base

    return Path(resolve_base(model, model).folder)


def _check_base(job: BuildJob, folder: Path, copy: Path) -> None:
    """Raise BadInput unless the files copied from the folder are those that the recipe was named after."""
    found = (f"files:{files_digest(copy, model_files(folder))}", f"hub:{folder.name}")
    if job.recipe_id not in [digest({"base": identity, "steps": []}) for identity in found]:
        raise BadInput(f"The model {folder} has changed since the sweep was read: run the sweep again to use it.")


def _check_expected(job: BuildJob, draft: Path) -> None:
    """Raise BadInput where what is built again has other bytes than what the records of the store are about."""
    found = None if job.expected is None else files_digest(draft, model_files(draft))
    if found != job.expected:
        raise BadInput(
            f"Building {job.name} again gave the artefact {short(str(found))}, but this store's records are about "
            f"{short(str(job.expected))}, which is gone: bring that back from a copy, or use a new --store."
        )


def study(job: StudyJob, artefacts: Artefacts, threads: int) -> Done:
    """Answer a step's question; the files that it leaves are published, and the record names them."""
    import torch

    from bench.measure.predict import check_fit
    from bench.models import load
    from bench.recipe import Question, Workplace, step_class

    torch.set_num_threads(threads)
    step = step_class(job.step).model_validate(job.settings)
    question = Question(job.question, job.asked, tuple(job.data), tuple(job.tasks))
    check_fit([artefacts.path(job.artefact_id)])
    with artefacts.draft() as draft:
        work = Workplace(0, job.data, threads, tasks=job.tasks, draft=draft)
        answer = settings_of(step.study(load(artefacts.path(job.artefact_id)), question, work))  # plain and finite
        left = artefacts.publish(draft) if any(draft.iterdir()) else None
    return Done(Finished(artefact_id=left, answer=answer), capture(threads))


def evaluate(job: EvaluateJob, artefacts: Artefacts, threads: int) -> Done:
    """Run the artefact on its slice of the task, and keep the outcome of every example."""
    import torch

    from bench.measure.predict import check_fit
    from bench.models import load
    from bench.spread import spread
    from bench.tasks.batches import counted_splits

    torch.set_num_threads(threads)
    folder = artefacts.path(job.artefact_id)
    judge = None if job.judge is None else artefacts.path(job.judge)
    over = spread(folder, job.device)
    if over is None:
        check_fit([folder] if judge is None else [folder, judge], job.device)
    loaded = load(folder, job.device, over)
    begin = time.perf_counter()
    with counted_splits() as splits:
        found = outcomes(loaded, job.task, (job.first, job.last), judge)
    seconds = time.perf_counter() - begin
    examples = replace(found, artefact_id=job.artefact_id)
    count = len(examples.index)
    order = digest([int(i) for i in examples.index])
    notes: dict[str, str | float | int | bool | None] = {
        "examples": count,
        "seconds": round(seconds, 3),
        "order": order,
        "batches_split": splits.count,
    }
    return Done(Finished(notes=notes), capture(threads, job.device), examples=examples)


def outcomes(
    loaded: Loaded, spec: TaskSpec, windows: tuple[int, int] | None = None, judge: Path | None = None
) -> Examples:
    """Run a model on a task, or on the windows (first, one past the last) of it; one entry an example.

    Args:
        loaded: the model.
        spec: the task with its data.
        windows: None for all of them.
        judge: folder of the base, which a task that asks it needs.
    """
    from bench.tasks.windows import windows_of

    task = spec.task
    if task.asks_base and judge is not None:
        task = task.model_copy(update={"judge": str(judge)})
    first, last = windows or (0, spec.windows)
    chosen = windows_of(spec.data.examples(), spec.part, spec.held)[first:last]
    parts = [task.outcomes(loaded, window) for window in chosen]
    return replace(_joined(parts), task=spec.fingerprint)


def _joined(parts: list[Examples]) -> Examples:
    return replace(
        parts[0],
        index=np.concatenate([p.index for p in parts]),
        label=tuple(x for p in parts for x in p.label),
        prediction=tuple(x for p in parts for x in p.prediction),
        score=np.concatenate([p.score for p in parts]),
        confidence=np.concatenate([p.confidence for p in parts]),
        slice=tuple(x for p in parts for x in p.slice),
        columns={name: np.concatenate([p.columns[name] for p in parts]) for name in parts[0].columns},
    )
