"""What a sweep's frontier is drawn over: its objectives, resolved to metrics in scopes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from pydantic import BaseModel, ConfigDict

from bench.errors import BadInput, unknown
from bench.job import parts_of
from bench.metrics import TIMED, metric
from bench.sweep_file import SweepFile
from bench.tasks.spec import TaskSpec

AXES = ("quality", *TIMED, "memory", "size", "parameters")


class Objective(BaseModel):
    """One axis of the frontier: a metric in one scope. The scope is a task, a shape, or empty.

    `matters` is the smallest difference that matters, in the metric's unit; it changes nothing that is measured.
    """

    model_config = ConfigDict(frozen=True)

    axis: str
    metric: str
    scope: str
    matters: float = 0.0

    @property
    def title(self) -> str:
        """The full name of the axis, as it stands on every plot and table."""
        found = metric(self.metric)
        return f"{found.title}, {self.scope}" if self.scope else found.title


def resolve_objectives(file: SweepFile, tasks: Sequence[TaskSpec]) -> tuple[Objective, ...]:
    """The objectives of a sweep file, with the differences that matter. Raises BadInput for what cannot be one."""
    found = tuple(_objective(text, file, tasks) for text in file.objectives)
    if len({(o.metric, o.scope) for o in found}) < len(found):
        raise BadInput(f"objectives names one axis twice: {', '.join(file.objectives)}.")
    named = {name for text, o in zip(file.objectives, found, strict=True) for name in (text, o.axis)}
    for name in file.matters:
        if name not in named:
            raise unknown("objective of this sweep to give a smallest difference for in matters", name, named)
    return tuple(
        o.model_copy(update={"matters": file.matters.get(text, file.matters.get(o.axis, 0.0))})
        for text, o in zip(file.objectives, found, strict=True)
    )


def _objective(text: str, file: SweepFile, tasks: Sequence[TaskSpec]) -> Objective:
    """Resolve 'quality', 'quality:TASK.METRIC', 'latency:BATCHxLENGTH', 'memory', 'size' and their like."""
    axis, _, choice = text.partition(":")
    if axis not in AXES:
        raise unknown("objective", axis, AXES)
    if axis == "quality":
        return _quality(choice or file.quality, tasks)
    measured = {**dict.fromkeys(TIMED, ("latency.leases", file.latency.leases))}
    measured["memory"] = ("memory.repeats", file.memory.repeats)
    setting, count = measured.get(axis, ("", 1))
    if not count:
        raise BadInput(f"objectives names {axis}, but {setting} is 0 and nothing is measured: raise it.")
    if axis in TIMED:
        if axis not in ("latency", "energy") and file.latency.new_tokens is None:
            raise BadInput(
                f"objectives names {axis}, a time of writing, but latency.new_tokens is not set and only forward "
                "passes are timed: set it to the number of tokens to write."
            )
        shapes = {
            f"{b}x{n}": parts_of((b, n), file.latency.new_tokens)[-1]
            for b, n in product(file.latency.batch, file.latency.length)
        }
        if not choice and len(shapes) > 1:
            raise BadInput(
                f"The sweep measures several shapes: name one in objectives, as {axis}:SHAPE, of {', '.join(shapes)}."
            )
        if choice and choice not in shapes:
            raise unknown("measured shape", choice, shapes)
        return Objective(
            axis=axis, metric=f"{axis}_ratio", scope=shapes[choice] if choice else next(iter(shapes.values()))
        )
    if axis == "memory":
        largest = parts_of((max(file.latency.batch), max(file.latency.length)), file.latency.new_tokens)[-1]
        return Objective(axis=axis, metric=_memory(choice, file), scope=largest)
    if choice:
        raise BadInput(f"objectives names {text}, but there is nothing to choose of {axis}: write {axis} alone.")
    return Objective(axis=axis, metric=axis, scope="")


def _memory(choice: str, file: SweepFile) -> str:
    """Whose memory an objective is about: the host's, or where the models run on a GPU the device's."""
    known = {"host": "host_peak"} | ({} if file.device == "cpu" else {"device": "cuda_allocated_peak"})
    if not choice and len(known) > 1:
        raise BadInput(
            f"The sweep runs on {file.device} and measures memory of both: write memory:host or memory:device in "
            "objectives."
        )
    if choice and choice not in known:
        raise unknown(f"memory objective on {file.device}", choice, known)
    return known[choice or "host"]


def _quality(choice: str | None, tasks: Sequence[TaskSpec]) -> Objective:
    known = [f"{t.name}.{m}" for t in tasks for m in t.metrics]
    if choice is None:
        if len(tasks) > 1:
            raise BadInput(f"The sweep has several tasks: set quality to one of {', '.join([*known, 'recovery'])}.")
        return Objective(axis="quality", metric=tasks[0].metrics[0], scope=tasks[0].name)
    if choice == "recovery":
        return Objective(axis="quality", metric="recovery", scope=" + ".join(t.name for t in tasks))
    if choice not in known:
        raise unknown("quality", choice, [*known, "recovery"])
    task, name = choice.rsplit(".", 1)
    return Objective(axis="quality", metric=name, scope=task)
