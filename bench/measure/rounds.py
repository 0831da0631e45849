"""Rounds of visits: the base and its variants timed in turn, so that their ratios are paired round by round.

A round visits every model in random order and then in its mirror. A visit is a burst of calls of at least 50 ms whose
first call, which finds cold caches, is kept apart. What drifts over seconds is shared by all models of a round, and
cancels in the ratio.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.measure.clock import Call, Clock, host_seconds
from bench.measure.energy import Meter

Table = NDArray[np.float64]  # seconds per call [rounds, models]
WARM_CALLS = 3
KEPT_CALLS = 8  # of a visit are kept one by one: enough for a tail, few enough to store
BLOCKS_A_LOOK = 4  # stays of each model before the first look, where models take turns in memory


class Models(Protocol):
    """The models of a lease: `calls(i)` are the parts of model i to time, the same for each; the base comes first."""

    together: bool  # whether all are in memory at once

    def __len__(self) -> int: ...

    def calls(self, model: int) -> Sequence[Call]: ...


class Resident:
    """Models that are all in memory."""

    together = True

    def __init__(self, calls: Sequence[Sequence[Call]]) -> None:
        self._calls = calls

    def __len__(self) -> int:
        return len(self._calls)

    def calls(self, model: int) -> Sequence[Call]:
        return self._calls[model]


class Visits:
    """Raw timings as they come; every list has one entry a visit."""

    def __init__(self) -> None:
        self.part: list[int] = []
        self.model: list[int] = []
        self.round: list[int] = []
        self.position: list[int] = []
        self.calls: list[int] = []
        self.seconds: list[float] = []  # per call, without the first
        self.first: list[float] = []
        self.each: list[list[float]] = []  # the calls after the first, one by one, the earliest few
        self.joules: list[float] = []  # per call, NaN where no meter is

    def tables(self, models: int) -> list[Table]:
        """Of each part, seconds per call [rounds, models]: the mean of the two visits of each round."""
        return self._tables(models, self.seconds)

    def energy(self, models: int) -> list[Table]:
        """Of each part, joules per call likewise."""
        return self._tables(models, self.joules)

    def _tables(self, models: int, values: list[float]) -> list[Table]:
        total = np.zeros((max(self.part) + 1, max(self.round) + 1, models))
        np.add.at(total, (np.array(self.part), np.array(self.round), np.array(self.model)), np.array(values))
        return list(total / 2)


def visit(call: Call, calls: int, clock: Clock = host_seconds) -> tuple[float, list[float]]:
    """Seconds of the first call, and of each of the `calls` after it."""
    return clock(call), [clock(call) for _ in range(calls)]


def burst_length(call: Call, burst_seconds: float, clock: Clock = host_seconds) -> int:
    """How many calls after the first make a visit last at least `burst_seconds`."""
    for _ in range(WARM_CALLS):
        call()
    fastest = min(clock(call) for _ in range(WARM_CALLS))
    return max(1, math.ceil(burst_seconds / max(fastest, 1e-9)))


def measure_rounds(
    models: Models,
    *,
    looks: Sequence[int],
    burst_seconds: float,
    enough: Callable[[list[Table]], bool],
    rng: np.random.Generator,
    clock: Clock = host_seconds,
    meter: Meter | None = None,
    after_round: Callable[[], object] = lambda: None,
) -> Visits:
    """Visit all models in rounds until a look finds the intervals narrow enough, or the last look has passed.

    Args:
        models: what to time.
        looks: numbers of rounds after which `enough` is asked, ascending; the last one ends the lease.
        burst_seconds: shortest time of a visit; 0 for single calls, of which none is kept apart.
        enough: given the tables of all parts, whether the lease may end.
        rng: decides the order within rounds.
        clock: what times a call.
        meter: what tells the energy, if anything does.
        after_round: called between rounds, such as to look at the device.

    Models that do not fit in memory together stay for several visits before the next one is loaded; their rounds are
    then made of visits minutes apart, and what drifts in between is in the spread between the blocks of a series.
    """
    found, left = Visits(), list(looks)
    lengths: dict[tuple[int, int], int] = {}

    def length(model: int, part: int, call: Call) -> int:
        if (model, part) not in lengths:
            lengths[model, part] = burst_length(call, burst_seconds, clock) if burst_seconds else 0
        return lengths[model, part]

    # A function of its own: nothing of one model may be held while the next one, which replaces it, is loaded.
    def turn(model: int, position: int, rounds: range) -> None:
        for part, call in enumerate(models.calls(model)):
            calls = length(model, part, call)
            for round_ in rounds:
                _note(found, part, model, round_, position, call, calls, clock, meter)

    if models.together:  # lengths before the first round, which would find caches that others' warm-up filled
        for model in range(len(models)):
            turn(model, 0, range(0))
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number, stay in _stays(models, looks, rng):
            for position, model in enumerate(stay):
                turn(model, position, number)
            gc.collect(0)
            after_round()
            if number.stop >= left[0]:
                left = [look for look in left if look > number.stop]
                if not left or enough(found.tables(len(models))):
                    break
    finally:
        if collecting:
            gc.enable()
    return found


def _stays(models: Models, looks: Sequence[int], rng: np.random.Generator) -> Iterator[tuple[range, list[int]]]:
    """The rounds that go together, and the models in the order of their two stays each."""
    size = 1 if models.together else max(1, looks[0] // BLOCKS_A_LOOK)
    for start in range(0, looks[-1], size):
        order = [int(model) for model in rng.permutation(len(models))]
        yield range(start, min(start + size, looks[-1])), [*order, *order[::-1]]


def _note(
    found: Visits,
    part: int,
    model: int,
    round_: int,
    position: int,
    call: Call,
    length: int,
    clock: Clock,
    meter: Meter | None,
) -> None:
    """Visit a model and take down how it went."""
    before = meter.joules() if meter else math.nan
    first, each = visit(call, length, clock)
    joules = (meter.joules() - before) / (length + 1) if meter else math.nan
    found.part.append(part)
    found.model.append(model)
    found.round.append(round_)
    found.position.append(position)
    found.calls.append(max(length, 1))
    found.seconds.append(sum(each) / length if length else first)
    found.first.append(first)
    found.each.append(each[:KEPT_CALLS] or [first])
    found.joules.append(joules)
