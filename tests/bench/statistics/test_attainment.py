"""The attainment band: against counting draws, ties and missing numbers included."""

import math
from itertools import product
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bench.statistics.attainment import Band, attainment_band
from bench.statistics.frontier import nondominated
from bench.statistics.objectives import Evidence, Objective

FloatArray = NDArray[np.float64]
SIDES = range(5)


def evidence(name: str, better: Literal["lower", "higher"], draws: FloatArray | None, size: int) -> Evidence:
    estimates = np.full(size, 2.0) if draws is None else draws.mean(axis=0)
    return Evidence(Objective(name, better), estimates, draws)


@st.composite
def drawn(draw: st.DrawFn) -> tuple[Evidence, Evidence, FloatArray, FloatArray]:
    """Two objectives drawn as small integers that tie, either exact at times, with a missing variant at times."""
    worlds, size = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    cells = st.integers(0, 4).map(float)
    x = draw(arrays(np.float64, (worlds, size), elements=cells))
    y = draw(arrays(np.float64, (worlds, size), elements=cells))
    better: Literal["lower", "higher"] = draw(st.sampled_from(["lower", "higher"]))
    if draw(st.booleans()):
        x[draw(st.integers(0, worlds - 1)), draw(st.integers(0, size - 1))] = math.nan
    missing = np.isnan(x).any(axis=0)
    exact = draw(st.booleans())
    second = np.full((worlds, size), 2.0) if exact else y
    sign = 1.0 if better == "lower" else -1.0
    pair = evidence("x", "lower", x, size), evidence("y", better, None if exact else y, size)
    return *pair, x[:, ~missing], sign * second[:, ~missing]


@settings(max_examples=200, deadline=None)
@given(drawn(), st.sampled_from([0.5, 0.8, 0.95]))
def test_surfaces_bound_what_enough_draws_attain(
    case: tuple[Evidence, Evidence, FloatArray, FloatArray], level: float
) -> None:
    first, second, x, y = case
    band = attainment_band(first, second, level)
    worlds = x.shape[0]
    assert band.draws == worlds
    assert band.best_draws == max(1, math.ceil(worlds * (1 - level) / 2 - 1e-9))
    assert band.worst_draws == max(1, math.ceil(worlds * (1 + level) / 2 - 1e-9))
    for px, py in product(SIDES, [*SIDES, *(-side for side in SIDES)]):
        attained = int(((x <= px) & (y <= py)).any(axis=1).sum())
        for corners, count in ((band.best, band.best_draws), (band.worst, band.worst_draws)):
            assert bool((corners <= [px, py]).all(axis=1).any()) == (attained >= count)
    for corners in (band.best, band.worst):
        assert (np.diff(corners[:, 0]) > 0).all()
        assert (np.diff(corners[:, 1]) < 0).all()


def test_exact_objectives_give_the_frontier_twice() -> None:
    costs = np.random.default_rng(0).integers(0, 9, (30, 2)).astype(float)
    x, y = (Evidence(Objective(name, "lower"), column) for name, column in zip("xy", costs.T, strict=True))
    band = attainment_band(x, y)
    front = np.unique(costs[nondominated(costs)], axis=0)
    assert (band.best == front).all()
    assert (band.worst == front).all()
    assert (band.draws, band.best_draws, band.worst_draws) == (1, 1, 1)


def test_lines_run_through_the_corners_in_the_objectives_own_directions() -> None:
    latency = Evidence(Objective("latency", "lower"), np.array([1.0, 2.0]))
    quality = Evidence(Objective("quality", "higher"), np.array([0.5, 0.9]))
    best, worst = attainment_band(latency, quality).lines((4.0, 0.0))
    assert best.tolist() == [[1, 0], [1, 0.5], [2, 0.5], [2, 0.9], [4, 0.9]]
    assert (best == worst).all()
    clipped, _ = attainment_band(latency, quality).lines((1.5, 0.6))
    assert clipped.tolist() == [[1, 0.6], [1, 0.6], [1.5, 0.6], [1.5, 0.9], [1.5, 0.9]]


def test_a_thousand_draws_put_25_below_and_25_above() -> None:
    rng = np.random.default_rng(1)
    draws = rng.standard_normal((1000, 1))
    band = attainment_band(
        Evidence(Objective("x", "lower"), np.zeros(1), draws), Evidence(Objective("y", "lower"), np.zeros(1))
    )
    ordered = np.sort(draws[:, 0])
    assert (band.best_draws, band.worst_draws) == (25, 975)
    assert band.best.tolist() == [[ordered[24], 0.0]]
    assert band.worst.tolist() == [[ordered[974], 0.0]]


def test_no_complete_variant_gives_an_empty_band() -> None:
    x = Evidence(Objective("x", "lower"), np.array([math.nan, 1.0]))
    y = Evidence(Objective("y", "lower"), np.array([1.0, math.inf]))
    band = attainment_band(x, y)
    assert isinstance(band, Band)
    assert band.best.shape == band.worst.shape == (0, 2)
    assert [line.shape for line in band.lines((1.0, 1.0))] == [(0, 2), (0, 2)]


def test_bad_requests_are_refused() -> None:
    x = Evidence(Objective("x", "lower"), np.array([1.0]))
    with pytest.raises(ValueError, match="level"):
        attainment_band(x, Evidence(Objective("y", "lower"), np.array([1.0])), 1.0)
    with pytest.raises(ValueError, match="must differ"):
        attainment_band(x, x)
