"""The BCa interval: coverage on a skewed statistic, agreement with a textbook definition, edges."""

import numpy as np
import pytest
from scipy import stats

from bench.statistics.bca import bca
from bench.store.quality import Outcomes, macro_f1, score
from tests.bench.statistics.simulated_scores import Floats, confusion, counts, resampled


def correlation(x: Floats, y: Floats) -> Floats:
    """Pearson's r over the last axis: skewed where it is high."""
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    return np.asarray((x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1)))


def without_each(x: Floats) -> Floats:
    n = x.size
    return np.array([np.delete(x, i) for i in range(n)])


def test_equals_scipy() -> None:
    """scipy's BCa with the same resamples: the same ends."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(40)
    y = 0.9 * x + 0.3 * rng.standard_normal(40)
    rows = np.random.default_rng(7).integers(0, 40, (4000, 40))
    found = bca(
        float(correlation(x, y)),
        correlation(x[rows], y[rows]),
        correlation(without_each(x), without_each(y)),
        np.ones(40),
    )
    theirs = stats.bootstrap(
        (x, y),
        lambda a, b, axis=-1: correlation(a, b),
        paired=True,
        vectorized=True,
        n_resamples=4000,
        method="BCa",
        rng=np.random.default_rng(7),
    ).confidence_interval
    assert found.low == pytest.approx(theirs.low, abs=0.004)
    assert found.high == pytest.approx(theirs.high, abs=0.004)
    plain = np.quantile(correlation(x[rows], y[rows]), (0.025, 0.975))
    assert abs(found.low - plain[0]) > 0.004  # and it is not simply the percentile interval


# 20% errors.
POPULATION = confusion(0.8)


def test_coverage_of_macro_f1() -> None:
    """1,500 data sets of 300 examples: 93 to 97% hold the truth (binomial error 0.6 points), misses on both sides."""
    rng = np.random.default_rng(3)
    expected = float(macro_f1(POPULATION))
    intervals = [resampled(counts(POPULATION, 300, rng), rng) for _ in range(1500)]
    held = np.mean([i.low <= expected <= i.high for i in intervals])
    assert 0.93 <= held <= 0.97
    assert 0.01 < np.mean([i.high < expected for i in intervals]) < 0.04
    assert 0.01 < np.mean([i.low > expected for i in intervals]) < 0.04


def test_the_store_computes_this_interval() -> None:
    cells = counts(POPULATION, 400, np.random.default_rng(5)).astype(int)
    label, prediction = np.repeat(np.indices((3, 3)).reshape(2, -1), cells.ravel(), axis=1)
    names = np.array(["a", "b", "c"])
    columns = {"score": (label == prediction).astype(np.float64)}
    found = Outcomes(names[label], names[prediction], np.full(label.size, ""), columns)
    (number,) = score(found, ("macro_f1",), "task")
    ours = resampled(cells.astype(np.float64), np.random.default_rng(0))
    assert number.interval.method == "BCa bootstrap"
    assert number.interval.estimate == ours.estimate
    assert (number.interval.low, number.interval.high) == pytest.approx((ours.low, ours.high), abs=0.006)


def test_grouped_jackknife_equals_the_plain_one() -> None:
    """Examples of one cell are alike, so one value with its weight says what one value an example says."""
    cells = counts(POPULATION, 60, np.random.default_rng(1))
    draws = np.random.default_rng(2).normal(0.6, 0.05, 500)
    occupied = np.flatnonzero(cells.ravel())
    grouped = np.repeat(cells.reshape(1, -1), occupied.size, axis=0)
    grouped[np.arange(occupied.size), occupied] -= 1
    values = macro_f1(grouped.reshape(-1, 3, 3))
    weights = cells.ravel()[occupied]
    estimate = float(macro_f1(cells))
    short = bca(estimate, draws, values, weights)
    long = bca(estimate, draws, np.repeat(values, weights.astype(int)), np.ones(60))
    assert (short.low, short.high, short.n) == pytest.approx((long.low, long.high, long.n))


def test_symmetric_and_unbiased_is_the_percentile_interval() -> None:
    draws = np.linspace(-1, 1, 2001)
    found = bca(0.0, draws, np.array([-0.1, 0.1]), np.array([5.0, 5.0]))
    assert (found.low, found.high) == pytest.approx((-0.95, 0.95), abs=1e-6)
    assert found.method == "BCa bootstrap"
    assert found.n == 10
    narrower = bca(0.0, draws, np.array([-0.1, 0.1]), np.array([5.0, 5.0]), level=0.5)
    assert (narrower.low, narrower.high) == pytest.approx((-0.5, 0.5), abs=1e-6)


def test_edges() -> None:
    one = np.ones(1)
    constant = bca(1.0, np.ones(100), np.ones(3), np.array([2.0, 3.0, 5.0]))
    assert (constant.low, constant.estimate, constant.high) == (1.0, 1.0, 1.0)
    beyond = bca(2.0, np.linspace(0, 1, 50), one, one)  # no draw reaches the estimate
    assert beyond.low <= beyond.estimate == beyond.high == 2.0
    below = bca(-1.0, np.linspace(0, 1, 50), one, one)
    assert below.low == below.estimate == -1.0 <= below.high
    single = bca(0.5, np.array([0.4]), one, one)
    assert (single.low, single.high) == (0.4, 0.5)
    with pytest.raises(ValueError, match="at least one draw"):
        bca(0.5, np.array([]), one, one)
    with pytest.raises(ValueError, match="level"):
        bca(0.5, np.ones(3), one, one, level=1.0)
    hard = bca(0.9, np.r_[np.full(400, 0.9), np.linspace(0, 0.9, 100)], np.r_[0.0, np.full(9, 0.95)], np.ones(10))
    assert 0.0 <= hard.low <= hard.estimate <= hard.high <= 0.9 + 1e-12
