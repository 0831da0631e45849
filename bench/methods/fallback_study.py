"""What a worker does for the fallback search: score a model, score it in int8, or compare each module's outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.architecture import architecture_of
from bench.errors import BadInput, unknown
from bench.execute import outcomes
from bench.methods.fallback import ERROR, FLOAT, TRIAL
from bench.metrics import Metric, metric

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bench.data import DataSpec
    from bench.models import Loaded
    from bench.recipe import Question, Workplace
    from bench.record import Examples
    from bench.tasks.spec import TaskSpec

DIGITS = 7  # significant ones of a per-example score in an answer: what float32 holds


def study(model: Loaded, question: Question, work: Workplace) -> dict[str, Any]:
    """Answer one question of the search; `model` is the float one and is changed in place.

    Answers to "float score" and "int8 trial": {"metric", "score" (None where it is not finite), "n", "examples" [n],
    "weights" [n] for a ratio: what `bench.statistics.noninferiority.influences` takes}, a trial also with "modules",
    the names of all layers that would be int8 were none kept. To "int8 error": {"errors": [[module, error or None]]} in
    model order. Raises BadInput where data, task and model do not fit.
    """
    from bench.methods.int8_dynamic import choose, quantised

    asked = dict(question.settings)
    task, data = work.tasks[question.tasks[0]], work.data[question.data[0]]
    if question.kind == ERROR:
        chosen = choose(model.model, tuple(asked["keep_fp32"]), asked["lm_head"])
        return {"errors": output_errors(model, chosen, asked["activations"], _calibrated(task, data, asked["samples"]))}
    if question.kind == FLOAT:
        for other in question.data[1:]:
            _check_apart(data, work.data[other], question.data[0], other)
        found = scored(model, task.on(data), asked["metric"])
        if found["score"] is None:
            raise BadInput(
                f"The float model's {found['metric']} on {question.data[0]!r} is not finite, so there is no target for "
                "int8: mend the model, or choose another metric."
            )
        return found
    if question.kind != TRIAL:
        raise ValueError(f"the fallback search asks no question of the kind {question.kind!r}")
    wanted, kept = asked.pop("metric"), asked.pop("kept")
    modules = list(choose(model.model, tuple(asked["keep_fp32"]), asked["lm_head"]))
    found = scored(quantised(model, **asked, kept=kept), task.on(data), wanted)
    return {**found, "modules": modules}


def _check_apart(data: DataSpec, tuning: DataSpec, name: str, other: str) -> None:
    """Raise BadInput where a row is in both: the same row of the same source."""
    if data.source == tuning.source:
        both = {e.index for e in data.examples()} & {e.index for e in tuning.examples()}
        if both:
            raise BadInput(
                f"The holdout {name!r} shares {len(both)} rows with {other!r}, on which the search scores, so the test "
                "would not be of new data: give one of them an offset or a limit."
            )


def scored(model: Loaded, task: TaskSpec, wanted: str | None) -> dict[str, Any]:
    """The model's score on a task that is bound to its data, with what each example gives to it."""
    from bench.store.quality import point

    _check(task, model)
    if wanted is not None and wanted not in task.metrics:
        raise unknown(f"metric of the task {task.name!r}", wanted, task.metrics)
    measured = metric(wanted or task.metrics[0])
    found = outcomes(model, task)
    per_example = _columns(found, measured, task.name)
    score = point(found, measured.name)
    if not (math.isfinite(score) and all(np.isfinite(c).all() for c in per_example)):
        return {"metric": measured.name, "score": None, "n": len(found.index), "examples": []}
    names = ("examples", "weights")
    return {
        "metric": measured.name,
        "score": score,
        "n": len(found.index),
        **{name: _rounded(column) for name, column in zip(names, per_example, strict=False)},
    }


def _check(task: TaskSpec, model: Loaded) -> None:
    """Raise BadInput where the model cannot do the task with the labels of these data."""
    found = architecture_of(model.model.config.to_dict())
    task.check(found.changed(class_name=type(model.model).__name__), "before int8_dynamic")


def _columns(found: Examples, measured: Metric, task: str) -> list[Any]:
    """The columns that the metric is made of, in the order of the task."""
    held: Mapping[str, Any] = {"score": found.score, **found.columns}
    kind, *names = measured.source or ("",)
    if kind in ("", "cells") or not held.keys() >= set(names):
        raise BadInput(
            f"The metric {measured.name!r} of the task {task!r} cannot be had from single examples here: set "
            "fallback.metric to one that is a mean or a ratio and asks no other model."
        )
    return [held[name] for name in names]


def _rounded(column: Any) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in column]


def _calibrated(task: TaskSpec, data: DataSpec, samples: int) -> TaskSpec:
    """The task on the first rows of the data."""
    data.checked()  # that they are still what they were; a part of them has another identity
    limit = min(samples, data.limit or samples)
    return task.on(data.model_copy(update={"limit": limit, "pinned": None}))


def output_errors(model: Loaded, layers: Mapping[str, nn.Linear], activations: str, task: TaskSpec) -> list[list[Any]]:
    """[module, error] of each layer, in the order given, from one run of the float model on the task.

    The error is neural-compressor's: the mean squared difference of the layer's float output and its int8 output, each
    min-max normalised to [0, 1] as a whole tensor first; here of every call, averaged over all numbers. Unlike there,
    the int8 layer is given the float model's input, so the error is the layer's own and not what reaches it. Padding
    counts. None where it is not finite.
    """
    from bench.methods.int8_linear import Int8DynamicLinear

    _check(task, model)
    sums = dict.fromkeys(layers, 0.0)
    counts = dict.fromkeys(layers, 0)

    def watch(name: str, layer: nn.Linear) -> torch.utils.hooks.RemovableHandle:
        twin = Int8DynamicLinear.from_linear(layer, activations)

        def compare(_: Any, args: tuple[Any, ...], named: dict[str, Any], output: torch.Tensor) -> None:
            given = args[0] if args else named["input"]
            gap = normalised(output) - normalised(twin(given))
            sums[name] += float((gap * gap).sum())
            counts[name] += gap.numel()

        return layer.register_forward_hook(compare, with_kwargs=True)

    try:
        handles = [watch(name, layer) for name, layer in layers.items()]
    except ValueError as error:
        raise BadInput(f"int8_dynamic cannot be applied: {error} Mend the model before this step.") from error
    try:
        outcomes(model, task)
    finally:
        for handle in handles:
            handle.remove()
    # A layer that the task never runs loses nothing by being int8.
    means = {name: sums[name] / counts[name] if counts[name] else 0.0 for name in layers}
    return [[name, mean if math.isfinite(mean) else None] for name, mean in means.items()]


def normalised(values: torch.Tensor) -> torch.Tensor:
    """Values moved and scaled to [0, 1], in float64; zeros where they are all equal."""
    import torch

    exact = values.detach().to(torch.float64)
    if not exact.numel():
        return exact
    low, high = exact.aminmax()
    return torch.zeros_like(exact) if high == low else (exact - low) / (high - low)
