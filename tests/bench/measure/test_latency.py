"""The latency machinery on calls of known cost: order, pairing, looks, and a planted difference that must be found."""

import gc
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.artefacts import Artefacts
from bench.data import DataSpec
from bench.job import LatencyJob
from bench.measure import latency
from bench.measure.latency import Visits, burst_length, lease_values, measure_rounds, narrow_enough, run_lease, visit
from bench.models import load, save
from bench.sweep_file import TaskSection
from bench.tasks.spec import bind_task


def never(_: object) -> bool:
    return False


def counted(models: int) -> tuple[list[Callable[[], object]], list[int]]:
    """Calls that note their own number."""
    log: list[int] = []
    return [partial(log.append, model) for model in range(models)], log


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
    first, seconds = visit(lambda: time.sleep(next(pauses)), 10)
    assert first >= 0.02
    assert 0.001 <= seconds < 0.005


def test_bursts_are_long_enough() -> None:
    assert burst_length(lambda: time.sleep(0.002), 0.05) in range(15, 26)
    assert burst_length(lambda: time.sleep(0.02), 0.001) == 1


def test_looks_end_a_lease() -> None:
    calls, _ = counted(2)
    seen: list[int] = []

    def at_second_look(rounds: object) -> bool:
        seen.append(np.shape(np.asarray(rounds))[0])
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
        [lambda: states.append(gc.isenabled())],
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
        measure_rounds([broken], looks=(9,), burst_seconds=1e-7, enough=never, rng=np.random.default_rng(0))
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
        found.model.append(model)
        found.round.append(number)
        found.seconds.append(seconds)
    assert found.rounds(2).tolist() == [[2.0, 3.0], [6.0, 7.0]]


def busy(turns: int) -> Callable[[], object]:
    """Work whose cost is the number of turns, whatever the machine's speed."""

    def call() -> None:
        for _ in range(turns):
            pass

    return call


def test_a_planted_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.25 times the work, and a model against its copy. In CPU time, so that what else runs here does not matter."""
    monkeypatch.setattr(time, "perf_counter", time.thread_time)
    calls = [busy(40_000), busy(50_000), busy(40_000)]
    looks = (40, 80)
    found = measure_rounds(calls, looks=looks, burst_seconds=0.003, enough=never, rng=np.random.default_rng(0))
    values = {(v.artefact_id, v.metric): v for v in lease_values(found.rounds(3), "abc", "s", looks)}
    slower, same = values["b", "latency_ratio"], values["c", "latency_ratio"]
    assert slower.estimate == pytest.approx(1.25, rel=0.03)
    assert same.estimate == pytest.approx(1.0, rel=0.03)
    assert 1.15 < slower.low < 1.26
    assert 1.24 < slower.high < 1.35
    assert 0.9 < same.low <= 1.01
    assert 0.99 <= same.high < 1.1
    assert (values["a", "latency_ratio"].low, values["a", "latency_ratio"].high) == (1.0, 1.0)
    assert values["a", "latency_ms"].estimate == pytest.approx(1e3 * np.median(found.rounds(3)[:, 0]), rel=0.1)
    assert {v.scope for v in values.values()} == {"s"}


def test_drift_within_a_round_cancels() -> None:
    """A machine that slows steadily: the mirror gives every model the same share of it."""
    clock = [1.0]

    def steady(work: float) -> Callable[[], float]:
        return lambda: work * clock[0]

    rng, rounds = np.random.default_rng(0), []
    works = [steady(1.0), steady(1.25)]
    for _ in range(60):
        order = rng.permutation(2)
        seconds = np.zeros(2)
        for model in (*order, *order[::-1]):
            seconds[model] += works[model]() / 2
            clock[0] += 0.05
        rounds.append(seconds)
    ratio = {v.metric: v for v in lease_values(np.array(rounds), "ab", "", (60,)) if v.artefact_id == "b"}[
        "latency_ratio"
    ]
    assert ratio.estimate == pytest.approx(1.25, rel=0.01)


def test_narrow_enough() -> None:
    rng = np.random.default_rng(0)
    quiet = 1 + 0.001 * rng.standard_normal((80, 3))
    loud = quiet.copy()
    loud[:, 2] *= rng.choice([1.0, 1.5], size=80)
    enough = narrow_enough(0.02, 0.95)
    assert enough(quiet)
    assert not enough(loud)
    assert enough(loud[:, :2])


def test_a_real_lease(
    models: dict[str, Path], data: dict[str, DataSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models and two shapes through the whole job: every number has its raw samples and its conditions."""
    for name in ("bart", "bert"):
        save(load(models[name]), tmp_path / name)
    job = LatencyJob(
        artefact_ids=("bart", "bert"),
        names=("base", "x"),
        hardware_class="this",
        inputs=bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": 32}), data),
        versions={},
        lease=1,
        shapes=((1, 8), (2, 12)),
        first_rounds=20,
        max_rounds=20,
        half_width=0.5,
        burst_ms=0.01,
        threads=1,
    )
    finished, samples, conditions = run_lease(job, Artefacts(tmp_path))
    keys = {(v.artefact_id, v.metric, v.scope) for v in finished.values}
    scopes = ("batch 1 x 8 tokens", "batch 2 x 12 tokens")
    assert keys == {(a, m, s) for a in ("bart", "bert") for m in ("latency_ms", "latency_ratio") for s in scopes}
    assert finished.notes["rounds"] == 40
    assert len(samples.seconds) == 2 * 20 * 4 == len(samples.artefact_id) == len(samples.first)
    assert samples.lease == 1
    assert (samples.seconds > 0).all()
    assert (samples.calls >= 1).all()
    rounds = np.zeros((20, 2))
    for i in range(len(samples.seconds)):
        if samples.scope[i] == scopes[0]:
            rounds[samples.round[i], ("bart", "bert").index(samples.artefact_id[i])] += samples.seconds[i] / 2
    again = {(v.artefact_id, v.metric): v for v in lease_values(rounds, ("bart", "bert"), scopes[0], (20,))}
    for value in finished.values:
        if value.scope == scopes[0]:
            assert value == again[value.artefact_id, value.metric]  # summaries are functions of the raw samples
    assert conditions.threads == 1
    assert "load_before" in conditions.details
    assert latency.backend_of(load(tmp_path / "bart").model) is None
