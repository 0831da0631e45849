"""Rounds of visits on calls of known cost: order, pairing, looks, stays, and what is kept of each visit."""

import gc
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.measure.clock import Call
from bench.measure.rounds import Resident, Visits, burst_length, measure_rounds, visit


def never(_: object) -> bool:
    return False


def counted(models: int) -> tuple[Resident, list[int]]:
    """Calls that note their own number."""
    log: list[int] = []
    return Resident([[partial(log.append, model)] for model in range(models)]), log


def test_rounds_are_random_and_mirrored() -> None:
    calls, _ = counted(4)
    found = measure_rounds(calls, looks=(30,), burst_seconds=1e-7, enough=never, rng=np.random.default_rng(0))
    orders = []
    for number in range(30):
        here = [i for i, r in enumerate(found.round) if r == number]
        assert [found.position[i] for i in here] == list(range(8))
        models = [found.model[i] for i in here]
        assert models == models[::-1]
        assert Counter(models) == dict.fromkeys(range(4), 2)
        orders.append(tuple(models[:4]))
    assert len(set(orders)) > 12  # of 24 possible ones
    starts = Counter(order[0] for order in orders)
    assert set(starts) == {0, 1, 2, 3}
    assert max(starts.values()) < 18
    again = measure_rounds(calls, looks=(30,), burst_seconds=1e-7, enough=never, rng=np.random.default_rng(0))
    assert again.model == found.model


def test_every_call_is_counted_and_first_calls_stand_apart() -> None:
    calls, log = counted(3)
    found = measure_rounds(calls, looks=(5,), burst_seconds=1e-5, enough=never, rng=np.random.default_rng(1))
    tail = log[-sum(n + 1 for n in found.calls) :]
    expected = [m for m, n in zip(found.model, found.calls, strict=True) for _ in range(n + 1)]
    assert tail == expected
    assert len(found.first) == len(found.seconds) == 5 * 6


def test_a_slow_first_call_is_no_part_of_the_time() -> None:
    pauses = iter([0.02] + [0.001] * 10)
    first, each = visit(lambda: None, 10, lambda call: (call(), next(pauses))[1])
    assert first == 0.02
    assert each == [0.001] * 10
    first, each = visit(lambda: time.sleep(0.002), 3)  # by the processor's own clock
    assert min(first, *each) >= 0.002


def test_bursts_are_long_enough() -> None:
    assert burst_length(lambda: None, 0.05, lambda call: (call(), 0.002)[1]) == 25
    assert burst_length(lambda: None, 0.05, lambda call: (call(), 0.0019)[1]) == 27
    assert burst_length(lambda: time.sleep(0.02), 0.001) == 1
    assert 1 <= burst_length(lambda: time.sleep(0.002), 0.05) <= 25  # a call never takes less


def test_looks_end_a_lease() -> None:
    calls, _ = counted(2)
    seen: list[int] = []

    def at_second_look(rounds: list[NDArray[np.float64]]) -> bool:
        seen.append(rounds[0].shape[0])
        return len(seen) == 2

    found = measure_rounds(
        calls, looks=(4, 8, 16), burst_seconds=1e-7, enough=at_second_look, rng=np.random.default_rng(0)
    )
    assert seen == [4, 8]
    assert max(found.round) + 1 == 8
    found = measure_rounds(calls, looks=(4, 8, 16), burst_seconds=1e-7, enough=never, rng=np.random.default_rng(0))
    assert max(found.round) + 1 == 16


def test_garbage_is_collected_between_rounds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[bool] = []
    assert gc.isenabled()
    measure_rounds(
        Resident([[lambda: states.append(gc.isenabled())]]),
        looks=(2,),
        burst_seconds=1e-7,
        enough=never,
        rng=np.random.default_rng(0),
    )
    assert not any(states[-4:])
    assert gc.isenabled()

    def broken() -> None:
        if len(states) > 8:
            raise RuntimeError("stop")
        states.append(True)

    states.clear()
    with pytest.raises(RuntimeError, match="stop"):
        measure_rounds(Resident([[broken]]), looks=(9,), burst_seconds=1e-7, enough=never, rng=np.random.default_rng(0))
    assert gc.isenabled()


def test_a_round_is_the_mean_of_its_two_visits() -> None:
    found = Visits()
    for model, number, seconds in [
        (0, 0, 1.0),
        (1, 0, 2.0),
        (1, 0, 4.0),
        (0, 0, 3.0),
        (1, 1, 6.0),
        (0, 1, 5.0),
        (0, 1, 7.0),
        (1, 1, 8.0),
    ]:
        found.part.append(0)
        found.model.append(model)
        found.round.append(number)
        found.seconds.append(seconds)
    (table,) = found.tables(2)
    assert table.tolist() == [[2.0, 3.0], [6.0, 7.0]]


class Counter3:
    """A meter that gains 3 J at every reading."""

    def __init__(self) -> None:
        self.total = 0.0

    def joules(self) -> float:
        self.total += 3.0
        return self.total


def test_energy_is_of_a_visit_shared_by_its_calls() -> None:
    models, _ = counted(2)
    found = measure_rounds(
        models,
        looks=(4,),
        burst_seconds=1e-7,
        enough=never,
        rng=np.random.default_rng(0),
        clock=lambda call: (call(), 1.0)[1],
        meter=Counter3(),
    )
    assert found.calls == [1] * 16
    assert found.joules == [1.5] * 16  # 3 J for the first call and the one after it
    (table,) = found.energy(2)
    assert table.tolist() == [[1.5, 1.5]] * 4
    models, _ = counted(1)
    without = measure_rounds(models, looks=(2,), burst_seconds=1e-7, enough=never, rng=np.random.default_rng(0))
    assert all(math.isnan(joules) for joules in without.joules)


def test_single_calls_keep_none_apart() -> None:
    models, log = counted(2)
    seconds = iter(range(1, 100))
    found = measure_rounds(
        models,
        looks=(3,),
        burst_seconds=0,
        enough=never,
        rng=np.random.default_rng(0),
        clock=lambda call: (call(), float(next(seconds)))[1],
    )
    assert len(log) == 12 == len(found.seconds)
    assert found.calls == [1] * 12
    assert found.seconds == found.first == [float(i) for i in range(1, 13)]
    assert found.each == [[float(i)] for i in range(1, 13)]


def test_parts_of_a_model_are_timed_one_after_the_other() -> None:
    log: list[tuple[int, int]] = []

    def part(model: int, number: int) -> Call:
        return lambda: log.append((model, number))

    models = Resident([[part(m, n) for n in range(3)] for m in range(2)])
    times = {0: 1.0, 1: 2.0, 2: 4.0}
    found = measure_rounds(
        models,
        looks=(5,),
        burst_seconds=0.5,
        enough=never,
        rng=np.random.default_rng(0),
        clock=lambda call: (call(), times[log[-1][1]])[1],
    )
    assert [p for p, _ in zip(found.part, range(6), strict=False)] == [0, 1, 2, 0, 1, 2]
    assert [table.tolist() for table in found.tables(2)] == [[[t, t]] * 5 for t in (1.0, 2.0, 4.0)]


class Turns:
    """Models that take turns in memory; notes who was fetched."""

    together = False

    def __init__(self, count: int) -> None:
        self._count = count
        self.fetched: list[int] = []

    def __len__(self) -> int:
        return self._count

    def calls(self, model: int) -> Sequence[Callable[[], object]]:
        if self.fetched[-1:] != [model]:
            self.fetched.append(model)
        return [lambda: None]


def test_models_that_do_not_fit_together_stay_for_several_visits() -> None:
    models = Turns(3)
    asked: list[int] = []

    def note(tables: Sequence[np.ndarray]) -> bool:
        asked.append(len(tables[0]))
        return False

    found = measure_rounds(models, looks=(8, 16), burst_seconds=1e-7, enough=note, rng=np.random.default_rng(0))
    assert asked == [8]
    assert Counter(zip(found.round, found.model, strict=True)) == {(r, m): 2 for r in range(16) for m in range(3)}
    # Blocks of two rounds: each model comes twice a block, and the last of one half stays for the other.
    assert len(models.fetched) <= 8 * 5
    assert [m for i, m in enumerate(found.model) if found.round[i] in (0, 1)] == [
        m for m in found.model[:12:2] for _ in range(2)
    ]


def test_a_visit_keeps_its_earliest_calls_one_by_one() -> None:
    models, _ = counted(1)
    seconds = iter([1.0] * 3 + [0.1] * 1000)
    found = measure_rounds(
        models,
        looks=(1,),
        burst_seconds=20.0,
        enough=never,
        rng=np.random.default_rng(0),
        clock=lambda call: (call(), next(seconds))[1],
    )
    assert found.calls == [20, 20]
    assert [len(each) for each in found.each] == [8, 8]
