"""A lease on calls of known cost and on real models: a planted difference is found, figures come from raw samples."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.artefacts import Artefacts
from bench.data import DataSpec
from bench.execute import Site, attempt
from bench.job import LatencyJob, parts_of
from bench.measure import latency, predict
from bench.measure.conditions import Watch
from bench.measure.latency import Alternating, lease_values, narrow_enough, run_lease
from bench.measure.rounds import Resident, measure_rounds
from bench.models import load, save
from bench.record import Failed, Finished, Samples, Value
from bench.sweep_file import TaskSection
from bench.tasks.spec import bind_task
from tests import tiny

SHAPE = (1, 8)
SCOPE = parts_of(SHAPE, None)[0]


def never(_: object) -> bool:
    return False


def stated(table: NDArray[np.float64], ids: str, looks: tuple[int, ...]) -> dict[tuple[str, str], Value]:
    """What a lease of one shape states, by artefact and metric."""
    none = np.full(table.shape, np.nan)
    values = lease_values({SCOPE: table}, {SCOPE: none}, tuple(ids), [SHAPE], None, looks)
    return {(v.artefact_id, v.metric): v for v in values}


class Clock:
    """Time that only work makes pass: a nanosecond a turn, give or take what a quiet machine adds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._rng = np.random.default_rng(1)

    def __call__(self) -> float:
        return self.seconds

    def busy(self, turns: int) -> Callable[[], None]:
        """Work whose cost is the number of turns, with noise of 2% and one call in twenty half as long again."""

        def call() -> None:
            burst = 1.5 if self._rng.random() < 0.05 else 1.0
            self.seconds += 1e-9 * turns * burst * (1 + 0.02 * abs(self._rng.standard_normal()))

        return call


def test_a_planted_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.25 times the work, and a model against its copy."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    calls = [clock.busy(turns) for turns in (400_000, 500_000, 400_000)]
    looks = (40, 80)
    found = measure_rounds(
        Resident([[c] for c in calls]), looks=looks, burst_seconds=0.003, enough=never, rng=np.random.default_rng(0)
    )
    (table,) = found.tables(3)
    values = stated(table, "abc", looks)
    slower, same = values["b", "latency_ratio"], values["c", "latency_ratio"]
    assert slower.estimate == pytest.approx(1.25, rel=0.01)
    assert same.estimate == pytest.approx(1.0, rel=0.01)
    assert 1.2 < slower.low < 1.25 < slower.high < 1.3
    assert 0.95 < same.low < 1.0 < same.high < 1.05
    assert (values["a", "latency_ratio"].low, values["a", "latency_ratio"].high) == (1.0, 1.0)
    assert values["a", "latency_ms"].estimate == pytest.approx(1e3 * np.median(table[:, 0]), rel=0.1)
    assert {v.scope for v in values.values()} == {SCOPE}


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
    ratio = stated(np.array(rounds), "ab", (60,))["b", "latency_ratio"]
    assert ratio.estimate == pytest.approx(1.25, rel=0.01)


def test_narrow_enough() -> None:
    rng = np.random.default_rng(0)
    quiet = 1 + 0.001 * rng.standard_normal((80, 3))
    loud = quiet.copy()
    loud[:, 2] *= rng.choice([1.0, 1.5], size=80)
    enough = narrow_enough(0.02, 0.95)
    assert enough([quiet])
    assert not enough([loud])
    assert enough([quiet, loud[:, :2]])


def lease_job(data: dict[str, DataSpec], **changes: object) -> LatencyJob:
    settings = {
        "artefact_ids": ("bart", "other"),
        "names": ("base", "x"),
        "hardware_class": "this",
        "inputs": bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": 32}), data),
        "versions": {},
        "lease": 1,
        "shapes": ((1, 8), (2, 12)),
        "first_rounds": 20,
        "max_rounds": 20,
        "half_width": 0.5,
        "burst_ms": 0.01,
        "threads": 1,
    }
    return LatencyJob.model_validate({**settings, **changes})


def rounds_of(samples: Samples, scope: str, rounds: int) -> NDArray[np.float64]:
    """The table of one scope, from raw samples."""
    table = np.zeros((rounds, 2))
    for i in range(len(samples.seconds)):
        if samples.scope[i] == scope:
            table[samples.round[i], ("bart", "other").index(samples.artefact_id[i])] += samples.seconds[i] / 2
    return table


def test_a_real_lease(models: dict[str, Path], data: dict[str, DataSpec], tmp_path: Path) -> None:
    """Two models and two shapes through the whole job: every number has its raw samples and its conditions."""
    save(load(models["bart"]), tmp_path / "bart")
    save(load(models["bert"]), tmp_path / "other")
    finished, samples, conditions = run_lease(lease_job(data), Artefacts(tmp_path))
    keys = {(v.artefact_id, v.metric, v.scope) for v in finished.values}
    scopes = ("batch 1 x 8 tokens", "batch 2 x 12 tokens")
    wanted = {(a, m, s) for a in ("bart", "other") for m in ("latency_ms", "latency_ratio") for s in scopes}
    assert {k for k in keys if not k[1].startswith("energy")} == wanted  # energy, where this machine can tell
    assert finished.notes["rounds"] == 40
    assert len(samples.seconds) == 2 * 20 * 4 == len(samples.artefact_id) == len(samples.first) == len(samples.each)
    assert samples.lease == 1
    assert (samples.seconds > 0).all()
    assert (samples.calls >= 1).all()
    table = rounds_of(samples, scopes[0], 20)
    none = np.full(table.shape, np.nan)
    again = lease_values({scopes[0]: table}, {scopes[0]: none}, ("bart", "other"), [(1, 8)], None, (20,))
    for value in again:
        assert value in finished.values  # summaries are functions of the raw samples
    assert conditions.threads == 1
    assert conditions.details["models_in_memory"] == "all together"
    assert conditions.details["energy"]
    assert latency.backend_of(load(tmp_path / "bart")) is None


def test_a_lease_of_models_that_write(data: dict[str, DataSpec], tmp_path: Path) -> None:
    written = tiny.saved(tiny.writer(), tmp_path / "written")
    for name in ("bart", "other"):
        save(load(written), tmp_path / name)
    job = lease_job(data, shapes=((2, 8),), new_tokens=8, first_rounds=8, max_rounds=8)
    finished, samples, _ = run_lease(job, Artefacts(tmp_path))
    scope = "batch 2 x 8 tokens, 8 new"
    assert set(samples.scope) == {scope, f"{scope}: prefill", f"{scope}: first token"}
    found = {v.metric: v for v in finished.values if v.artefact_id == "bart"}
    assert {"latency_ms", "prefill_ms", "first_token_ms", "per_token_ms"} <= set(found)
    assert {v.scope for v in finished.values} == {scope}
    assert found["first_token_ms"].estimate < found["latency_ms"].estimate
    assert found["per_token_ms"].estimate < found["latency_ms"].estimate / 4


def test_the_device_is_looked_at_before_anything_of_ours_is_on_it(
    models: dict[str, Path], data: dict[str, DataSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking torch what a GPU has free makes a context there: what others hold could then not be told from ours."""
    asked: list[str] = []
    start = Watch.start
    for name in ("bart", "other"):
        save(load(models["bart"]), tmp_path / name)

    def free(device: str) -> int:
        asked.append(f"what {device} has free")
        return 10**12

    def started(watch: Watch) -> None:
        asked.append("watch")
        start(watch)

    monkeypatch.setattr(Watch, "start", started)
    monkeypatch.setattr(predict, "available_bytes", free)
    monkeypatch.setattr(latency, "available_bytes", free)
    outcome = attempt(lease_job(data, shapes=((1, 8),)), 1, Site(tmp_path)).record.outcome
    assert isinstance(outcome, Finished), outcome
    assert asked == ["watch", *["what cpu has free"] * 3]  # each model alone, then all of them together


@pytest.mark.parametrize("every", [1, 50])
def test_a_counter_that_is_too_coarse_is_told(
    every: int, models: dict[str, Path], data: dict[str, DataSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read twice a visit; one that moves at every fiftieth reading says nothing of most rounds."""

    class Steps:
        readings = 0

        def joules(self) -> float:
            self.readings += 1
            return float(self.readings // every)

    for name in ("bart", "other"):
        save(load(models["bart"]), tmp_path / name)
    monkeypatch.setattr(latency, "meter", lambda device: Steps())
    finished, _, conditions = run_lease(lease_job(data, shapes=((1, 8),)), Artefacts(tmp_path))
    measured = any(value.metric == "energy_j" for value in finished.values)
    told = str(conditions.details["energy"])
    assert (measured, told == "measured") == ((True, True) if every == 1 else (False, False))
    if every > 1:
        assert "of 40 rounds of a model the counter did not move" in told
        assert "raise latency.burst_ms" in told


def test_a_model_that_cannot_run_the_largest_shape_is_refused_as_out_of_memory(
    models: dict[str, Path], data: dict[str, DataSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bart", "other"):
        save(load(models["bart"]), tmp_path / name)
    monkeypatch.setattr(predict, "available_bytes", lambda device: 1)
    outcome = attempt(lease_job(data), 1, Site(tmp_path)).record.outcome
    assert isinstance(outcome, Failed)
    assert (outcome.stage, outcome.kind) == ("measure", "out of memory")
    assert "cannot fit into the memory of cpu" in outcome.reason


def test_models_that_do_not_fit_together_take_turns(
    models: dict[str, Path], data: dict[str, DataSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bart", "other"):
        save(load(models["bart"]), tmp_path / name)
    monkeypatch.setattr(latency, "available_bytes", lambda device: 1)
    finished, samples, conditions = run_lease(lease_job(data, shapes=((1, 8),)), Artefacts(tmp_path))
    assert conditions.details["models_in_memory"] == "one at a time: they do not fit together"
    assert finished.notes["rounds"] == 40  # twice as many as were asked for
    ratio = next(v for v in finished.values if (v.artefact_id, v.metric) == ("other", "latency_ratio"))
    assert 0.5 < ratio.estimate < 2.0  # a model against its copy
    assert len(samples.seconds) == 40 * 4


def test_only_one_of_them_is_in_memory() -> None:
    here: list[str] = []
    beside: list[int] = []  # how many are in memory when one has been loaded

    class Thing:
        def __init__(self, name: str) -> None:
            here.append(name)
            beside.append(len(here))
            self.name = name

        def __call__(self) -> None: ...

        def __del__(self) -> None:
            here.remove(self.name)

    turns = Alternating(["a", "b"], lambda name: [Thing(name)])
    for model in (0, 1, 1, 0):
        turns.calls(model)
        assert here == ["ab"[model]]
    beside.clear()
    measure_rounds(turns, looks=(8,), burst_seconds=0.0, enough=lambda tables: True, rng=np.random.default_rng(0))
    assert set(beside) == {1}


def test_on_device_times_single_calls_on_one_core(
    models: dict[str, Path], data: dict[str, DataSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = os.sched_getaffinity(0)
    seen: list[set[int]] = []

    def noted(*args: Any, **named: Any) -> Any:
        seen.append(os.sched_getaffinity(0))
        return measure_rounds(*args, **named)

    monkeypatch.setattr(latency, "measure_rounds", noted)
    for name in ("bart", "other"):
        save(load(models["bart"]), tmp_path / name)
    job = lease_job(data, protocol="on_device", shapes=((1, 8),))
    _, samples, conditions = run_lease(job, Artefacts(tmp_path))
    assert seen == [{max(allowed)}]
    assert os.sched_getaffinity(0) == allowed
    assert conditions.details["kept_on_one_core"] is True
    assert (samples.calls == 1).all()
    assert (samples.seconds == samples.first).all()
