"""What a sweep requires of a variant: its constraints, resolved to metrics in scopes that it scores or measures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from pydantic import BaseModel, ConfigDict

from bench.errors import BadInput, unknown
from bench.job import parts_of
from bench.metrics import FIDELITY, METRICS, TAILS, TIMED, flips_in, metric
from bench.metrics.bounds import Written, bound, read, refuse_contradictions
from bench.statistics.constraints import Constraint, Operator
from bench.sweep_file import SweepFile
from bench.tasks.spec import TaskSpec

OF_PROCESSES = ("load_seconds", "mapped_weights", "host_imports")  # without a shape
OF_GPU = ("cuda_allocated_peak", "cuda_reserved_peak")
OF_LARGEST_SHAPE = ("host_peak", "resident", "first_call_seconds", *OF_GPU)
EITHER_WAY = ("text_length",)  # lower is cheaper, and not better: either bound is sensible


class Requirement(BaseModel):
    """A constraint as the sweep declares it; the bound is in the metric's unit."""

    model_config = ConfigDict(frozen=True)

    metric: str
    scope: str
    operator: Operator
    bound: float
    text: str  # as it was written


def resolve_constraints(file: SweepFile, tasks: Sequence[TaskSpec]) -> tuple[Requirement, ...]:
    """The constraints of a sweep file. Raises BadInput for one that cannot be read, judged or met."""
    written = read(file.constraints)
    found = [_resolve(each, file, tasks) for each in written]
    refuse_contradictions([each.text for each in written], found)
    for each, constraint in zip(written, found, strict=True):
        _check_direction(each, constraint)
    return tuple(
        Requirement(metric=c.metric, scope=c.scope, operator=c.operator, bound=c.bound, text=each.text)
        for each, c in zip(written, found, strict=True)
    )


def _resolve(written: Written, file: SweepFile, tasks: Sequence[TaskSpec]) -> Constraint:
    name, _, scope = written.asked.partition(":")
    unit = metric(name).unit
    scopes = _scopes(name, file, tasks)
    if not scopes:
        raise BadInput(
            f"The constraint {written.text!r} is on {name}, which no task of the sweep gives: tasks give "
            f"{', '.join(dict.fromkeys(m for task in tasks for m in task.metrics))}."
        )
    if scope in scopes:
        return bound(written, name, scopes[scope], unit)
    whole = list(dict.fromkeys(scopes.values()))
    task, slash, part = scope.partition(" / ")
    if slash and part and _of_parts(name, next((t for t in tasks if t.name == task), None)):
        return bound(written, name, scope, unit)
    if scope:
        raise unknown(f"scope of {name} in this sweep", scope, whole)
    if len(whole) > 1:
        raise BadInput(f"The constraint {written.text!r} names no scope: write {name}:SCOPE, of {', '.join(whole)}.")
    return bound(written, name, whole[0], unit)


def _scopes(name: str, file: SweepFile, tasks: Sequence[TaskSpec]) -> dict[str, str]:
    """What may stand as the scope of a metric -> the scope meant. Raises BadInput where nothing measures it."""
    if name == "recovery":
        whole = " + ".join(task.name for task in tasks)
        return {whole: whole}
    stem = name.removesuffix("_ratio").removesuffix("_ms").removesuffix("_j")
    if stem in TIMED or name in TAILS or name == "tokens_per_second":
        return _timed_scopes(name, stem, file)
    if name in OF_PROCESSES or name in OF_LARGEST_SHAPE:
        if not file.memory.repeats:
            raise BadInput(f"constraints names {name}, but memory.repeats is 0 and nothing is measured: raise it.")
        if name in OF_GPU and file.device == "cpu":
            raise BadInput(f"constraints names {name}, but device is cpu: set device=cuda, or bound host_peak instead.")
        largest = parts_of((max(file.latency.batch), max(file.latency.length)), file.latency.new_tokens)[-1]
        return {"": ""} if name in OF_PROCESSES else {largest: largest}
    if METRICS[name].exact:
        return {"": ""}
    return {task.name: task.name for task in tasks if _given(name, task)}


def _timed_scopes(name: str, stem: str, file: SweepFile) -> dict[str, str]:
    if not file.latency.leases:
        raise BadInput(f"constraints names {name}, but latency.leases is 0 and nothing is timed: raise it.")
    if (stem not in ("latency", "energy") and name not in TAILS) and file.latency.new_tokens is None:
        raise BadInput(
            f"constraints names {name}, which is of writing, but latency.new_tokens is not set: set it to the number "
            "of tokens to write."
        )
    shapes = list(product(file.latency.batch, file.latency.length))
    whole = [parts_of(shape, file.latency.new_tokens)[-1] for shape in shapes]
    short = {f"{batch}x{length}": scope for (batch, length), scope in zip(shapes, whole, strict=True)}
    return {**{scope: scope for scope in whole}, **short}


def _given(name: str, task: TaskSpec) -> bool:
    """Whether a task gives that metric, of the variant or beside the base."""
    if name == "agreement":
        return True
    if name in FIDELITY:
        return flips_in(task.metrics)
    return any(name in (m, METRICS[m].paired) for m in task.metrics)


def _of_parts(name: str, task: TaskSpec | None) -> bool:
    """Whether a metric also comes for the named parts of a task's data."""
    if task is None or not _given(name, task):
        return False
    main = METRICS[task.metrics[0]]
    return name in (*FIDELITY, main.name, main.paired)


def _check_direction(written: Written, constraint: Constraint) -> None:
    """Raise BadInput for a bound that would leave out the best: most often an operator that was mistaken."""
    better = METRICS[constraint.metric].better
    if constraint.upper != (better == "lower") and constraint.metric not in EITHER_WAY:
        turned = ">=" if constraint.upper else "<="
        raise BadInput(
            f"The constraint {written.text!r} would leave out the best variants, for {better} {constraint.metric} is "
            f"better: write {turned}."
        )
