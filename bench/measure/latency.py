"""Latency in blocks: the base and its variants visited in turn, so that their ratios are paired round by round.

A round visits every model in random order and then in its mirror. A visit is a burst of calls of at least 50 ms whose
first call, which finds cold caches, is kept apart. What drifts over seconds is shared by all models of a round, and
cancels in the ratio.
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.artefacts import Artefacts
from bench.job import LatencyJob, shape_scope
from bench.measure.conditions import capture
from bench.measure.inputs import inputs_of_shape
from bench.record import Conditions, Finished, Samples, Value
from bench.statistics.intervals import Interval, block_median
from bench.statistics.looks import look_level, planned_looks

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bench.models import Loaded

Call = Callable[[], object]
WARM_CALLS = 3


class Visits:
    """Raw timings as they come."""

    def __init__(self) -> None:
        self.model: list[int] = []
        self.round: list[int] = []
        self.position: list[int] = []
        self.calls: list[int] = []
        self.seconds: list[float] = []
        self.first: list[float] = []

    def rounds(self, models: int) -> NDArray[np.float64]:
        """Seconds per call, [rounds, models]: the mean of the two visits of each round."""
        total = np.zeros((max(self.round) + 1, models))
        np.add.at(total, (np.array(self.round), np.array(self.model)), np.array(self.seconds))
        return total / 2


def visit(call: Call, calls: int) -> tuple[float, float]:
    """Seconds of the first call, and seconds per call of the `calls` after it."""
    begin = time.perf_counter()
    call()
    after_first = time.perf_counter()
    for _ in range(calls):
        call()
    end = time.perf_counter()
    return after_first - begin, (end - after_first) / calls


def burst_length(call: Call, burst_seconds: float) -> int:
    """How many calls after the first make a visit last at least `burst_seconds`."""
    for _ in range(WARM_CALLS):
        call()
    fastest = min(visit(call, 1)[1] for _ in range(WARM_CALLS))
    return max(1, math.ceil(burst_seconds / max(fastest, 1e-9)))


def measure_rounds(
    calls: Sequence[Call],
    *,
    looks: Sequence[int],
    burst_seconds: float,
    enough: Callable[[NDArray[np.float64]], bool],
    rng: np.random.Generator,
) -> Visits:
    """Visit all models in rounds until a look finds the intervals narrow enough, or the last look has passed.

    Args:
        calls: one forward pass of each model; the base first.
        looks: numbers of rounds after which `enough` is asked, ascending; the last one ends the lease.
        burst_seconds: shortest time of a visit.
        enough: given seconds per call [rounds, models], whether the lease may end.
        rng: decides the order within rounds.
    """
    lengths = [burst_length(call, burst_seconds) for call in calls]
    found = Visits()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(looks[-1]):
            order = rng.permutation(len(calls))
            for position, model in enumerate((*order, *order[::-1])):
                first, seconds = visit(calls[model], lengths[model])
                found.model.append(int(model))
                found.round.append(number)
                found.position.append(position)
                found.calls.append(lengths[model])
                found.seconds.append(seconds)
                found.first.append(first)
            gc.collect(0)
            if number + 1 in looks and enough(found.rounds(len(calls))):
                break
    finally:
        if collecting:
            gc.enable()
    return found


def lease_values(
    rounds: NDArray[np.float64], artefact_ids: Sequence[str], scope: str, looks: Sequence[int]
) -> tuple[Value, ...]:
    """Milliseconds and ratio to the base of each model, with intervals that respect autocorrelation.

    Args:
        rounds: seconds per call [rounds, models], the base first.
        artefact_ids: of the models.
        scope: the shape, in words.
        looks: the planned looks, over which the level is split.
    """
    level = look_level(looks=len(looks))
    values: list[Value] = []
    for column, artefact_id in enumerate(artefact_ids):
        values.append(_value(artefact_id, "latency_ms", scope, block_median(1e3 * rounds[:, column], level)))
        if column:
            ratio = block_median(rounds[:, column] / rounds[:, 0], level)
            values.append(_value(artefact_id, "latency_ratio", scope, ratio))
        else:
            values.append(Value.exact(artefact_id, "latency_ratio", 1.0, scope))
    return tuple(values)


def _value(artefact_id: str, metric: str, scope: str, found: Interval) -> Value:
    return Value(
        artefact_id=artefact_id,
        metric=metric,
        scope=scope,
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        n=found.n,
        method=found.method,
    )


def narrow_enough(half_width: float, level: float) -> Callable[[NDArray[np.float64]], bool]:
    """Whether every model's ratio to the base has a relative half-width of at most `half_width`."""

    def enough(rounds: NDArray[np.float64]) -> bool:
        ratios = rounds[:, 1:] / rounds[:, :1]
        return all(block_median(column, level).relative_half_width <= half_width for column in ratios.T)

    return enough


def run_lease(job: LatencyJob, artefacts: Artefacts) -> tuple[Finished, Samples, Conditions]:
    """Measure every declared shape of a lease in this process, which must have done nothing else.

    Raises BadInput where an artefact is gone or an input of a shape cannot be made.
    """
    import torch

    from bench.models import load

    torch.set_num_threads(job.threads)
    before = os.getloadavg()[0]
    examples = job.inputs.data.examples()
    models = [load(artefacts.path(artefact_id)) for artefact_id in job.artefact_ids]
    looks = planned_looks(job.first_rounds, job.max_rounds)
    enough = narrow_enough(job.half_width, look_level(looks=len(looks)))
    rng = np.random.default_rng([job.lease, int(job.key[:12], 16)])
    values: list[Value] = []
    visits: list[tuple[str, Visits]] = []
    with torch.inference_mode():
        for batch, length in job.shapes:
            calls = [_call(m, inputs_of_shape(m.tokenizer, examples, batch, length)) for m in models]
            found = measure_rounds(calls, looks=looks, burst_seconds=job.burst_ms / 1e3, enough=enough, rng=rng)
            scope = shape_scope(batch, length)
            visits.append((scope, found))
            values.extend(lease_values(found.rounds(len(calls)), job.artefact_ids, scope, looks))
    backends = {f"backend_{i}": b for i, m in enumerate(models) if (b := backend_of(m.model))}
    conditions = capture(job.threads, load_before=round(before, 2), **backends)
    rounds = sum(max(v.round) + 1 for _, v in visits)
    return Finished(values=tuple(values), notes={"rounds": rounds, **backends}), _samples(job, visits), conditions


def _call(loaded: Loaded, inputs: dict[str, torch.Tensor]) -> Call:
    return lambda: loaded.model(**inputs)


def backend_of(model: nn.Module) -> str | None:
    """Which int8 kernels a model ran on, None for a float model."""
    found = sorted({str(b) for m in model.modules() if (b := getattr(m, "backend", None)) and isinstance(b, str)})
    return ", ".join(found) or None


def _samples(job: LatencyJob, visits: Sequence[tuple[str, Visits]]) -> Samples:
    flat = [(scope, v, i) for scope, v in visits for i in range(len(v.model))]
    return Samples(
        artefact_id=tuple(job.artefact_ids[v.model[i]] for _, v, i in flat),
        scope=tuple(scope for scope, _, _ in flat),
        lease=job.lease,
        round=np.array([v.round[i] for _, v, i in flat], dtype=np.int32),
        position=np.array([v.position[i] for _, v, i in flat], dtype=np.int16),
        calls=np.array([v.calls[i] for _, v, i in flat], dtype=np.int32),
        seconds=np.array([v.seconds[i] for _, v, i in flat]),
        first=np.array([v.first[i] for _, v, i in flat]),
    )
