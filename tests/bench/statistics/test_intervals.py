"""Intervals: closed forms, known values, coverage."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from bench.statistics.autocorrelation import correlation_time
from bench.statistics.intervals import (
    Interval,
    block_length,
    block_median,
    exact_proportion,
    hull,
    mean_t,
    median_order_statistic,
    overlap,
    quantile,
    wilson,
)

FloatArray = NDArray[np.float64]


def interval(low: float, high: float, level: float = 0.95, n: int = 10) -> Interval:
    return Interval((low + high) / 2, low, high, level, n, "by hand")


def autoregression(n: int, phi: float, rng: np.random.Generator) -> FloatArray:
    """A stationary Gaussian series with correlation phi between neighbours and variance 1."""
    noise = rng.standard_normal(n + 200) * math.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], noise)[200:], dtype=np.float64)


@pytest.mark.parametrize(
    ("estimate", "low", "high", "level", "n"),
    [
        (math.nan, 0, 1, 0.95, 5),
        (0.5, -math.inf, 1, 0.95, 5),
        (2.0, 0, 1, 0.95, 5),
        (0.5, 0.6, 1, 0.95, 5),
        (0.5, 0, 1, 1.0, 5),
        (0.5, 0, 1, 0.0, 5),
        (0.5, 0, 1, 0.95, 0),
    ],
)
def test_an_interval_that_cannot_be_is_refused(estimate: float, low: float, high: float, level: float, n: int) -> None:
    with pytest.raises(ValueError, match="got"):
        Interval(estimate, low, high, level, n, "by hand")


def test_half_widths_of_an_interval() -> None:
    assert interval(1.0, 3.0).half_width == 1.0
    assert interval(1.0, 3.0).relative_half_width == 0.5
    assert interval(-1.0, 1.0).relative_half_width == math.inf
    assert interval(0.0, 0.0).relative_half_width == 0.0


@pytest.mark.parametrize("k", [0, 1, 7, 20])
def test_proportions_agree_with_scipy(k: int) -> None:
    test = stats.binomtest(k, 20)
    pairs = (
        (exact_proportion(k, 20, 0.9), test.proportion_ci(0.9, method="exact")),
        (wilson(k, 20, 0.9), test.proportion_ci(0.9, method="wilson")),
    )
    for got, known in pairs:
        assert (got.low, got.high) == pytest.approx((known.low, known.high), abs=1e-12)


def test_no_failure_in_n_is_the_rule_of_three() -> None:
    assert 1 - exact_proportion(300, 300, 0.90).low == pytest.approx(3 / 300, rel=0.01)


def binomial_coverage(method: Callable[[int, int], Interval], n: int, truth: float) -> float:
    chances = stats.binom.pmf(np.arange(n + 1), n, truth)
    return float(sum(chance for k, chance in enumerate(chances) if method(k, n).contains(truth)))


def test_exact_proportion_covers_every_truth_and_wilson_the_average() -> None:
    truths = np.linspace(0.005, 0.995, 34)
    for n in (15, 80):
        assert min(binomial_coverage(exact_proportion, n, truth) for truth in truths) >= 0.95
        assert 0.945 <= np.mean([binomial_coverage(wilson, n, truth) for truth in truths]) <= 0.965


@pytest.mark.parametrize("method", [exact_proportion, wilson])
def test_impossible_counts_are_refused(method: Callable[[int, int], Interval]) -> None:
    for successes, n in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match="successes"):
            method(successes, n)


def test_mean_t_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).normal(3, 2, 12)
    known = stats.ttest_1samp(values, 0).confidence_interval(0.99)
    got = mean_t(values, 0.99)
    assert (got.low, got.high) == pytest.approx((known.low, known.high))
    assert got.n == 12


@pytest.mark.parametrize("values", [[1.0], [1.0, math.nan], [[1.0, 2.0]]])
def test_mean_t_refuses_what_has_no_mean_interval(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"values|needed"):
        mean_t(values)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 60), level=st.sampled_from([0.5, 0.9, 0.95, 0.9875]))
def test_median_ranks_are_the_tightest_that_cover(n: int, level: float) -> None:
    got = median_order_statistic(np.arange(1, n + 1), level)
    rank = round(got.low)
    assert got.high == n + 1 - rank

    def covers(k: int) -> float:
        # Chance that at least k and at most n - k of n values lie below the median.
        return float(np.sum(stats.binom.pmf(np.arange(k, n - k + 1), n, 0.5)))

    assert covers(rank) >= got.level - 1e-12
    assert rank == 1 or got.level == level
    assert 2 * rank + 1 > n or covers(rank + 1) < level


def test_too_few_values_lower_the_level_instead_of_lying() -> None:
    assert median_order_statistic([1.0, 2.0, 9.0]).level == pytest.approx(0.75)
    assert median_order_statistic([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]).level == 0.95


@pytest.mark.parametrize("shape", ["normal", "skewed", "stalls"])
@pytest.mark.parametrize(("rounds", "phi"), [(40, 0.0), (40, 0.8), (80, 0.5), (80, 0.9), (320, 0.0), (320, 0.9)])
def test_block_median_covers_whatever_the_correlation(shape: str, rounds: int, phi: float) -> None:
    rng = np.random.default_rng(20)
    shapes: dict[str, Callable[[FloatArray], FloatArray]] = {
        "normal": lambda x: x,
        "skewed": np.expm1,
        "stalls": lambda x: np.where(x > 1.5, 50 * x, x),
    }
    # Every shape is a rising function of a Gaussian series with f(0) = 0, so the true median is 0.
    hits = sum(block_median(shapes[shape](autoregression(rounds, phi, rng))).contains(0.0) for _ in range(400))
    # 0.927 is 95% less 2.1 standard errors of 400 runs; plain order statistics of the rounds cover 0.43 at phi = 0.9.
    assert hits / 400 >= 0.927


def test_block_median_is_not_wide_where_rounds_are_independent() -> None:
    rng = np.random.default_rng(3)
    ratio = [
        block_median(values).half_width / median_order_statistic(values).half_width
        for values in rng.standard_normal((200, 320))
    ]
    assert np.median(ratio) < 1.15


def test_blocks_are_odd_leave_eight_and_grow_with_correlation() -> None:
    rng = np.random.default_rng(4)
    for n in (1, 7, 16, 40, 80, 160, 320, 1001):
        for phi in (0.0, 0.9):
            length = block_length(autoregression(n, phi, rng))
            assert length % 2 == 1
            assert n // length >= min(8, n)
    assert block_length(autoregression(320, 0.9, rng)) > 3 * block_length(autoregression(320, 0.2, rng))


def test_a_drift_widens_the_interval() -> None:
    noise = np.random.default_rng(5).standard_normal(160)
    drifting = noise + np.linspace(-3, 3, 160)
    assert block_median(drifting).half_width > 3 * median_order_statistic(noise).half_width


def test_correlation_time() -> None:
    rng = np.random.default_rng(6)
    assert correlation_time(np.ones(50)) == 1.0
    assert correlation_time(np.array([1.0, 2.0, 1.0])) == 1.0
    assert correlation_time(np.tile([0.0, 1.0], 40)) == 1.0
    times = [correlation_time(autoregression(4000, 0.8, rng)) for _ in range(20)]
    # (1 + 0.8) / (1 - 0.8) = 9 for values, a little less for ranks.
    assert 7 <= np.mean(times) <= 9.5


def test_one_stall_does_not_hide_correlation() -> None:
    series = autoregression(320, 0.9, np.random.default_rng(7))
    stalled = series.copy()
    stalled[100] = 1e6
    assert correlation_time(stalled) == pytest.approx(correlation_time(series), rel=0.1)


@pytest.mark.parametrize(("n", "q", "shown"), [(99, 0.9, False), (100, 0.9, True), (999, 0.99, False), (20, 0.5, True)])
def test_a_quantile_needs_ten_values_beyond_it(n: int, q: float, shown: bool) -> None:
    values = np.arange(float(n))
    assert (quantile(values, q) is not None) == shown
    assert (quantile(values, 1 - q) is not None) == shown


def test_values_that_are_alike_count_for_fewer() -> None:
    values = np.repeat(np.arange(400.0), 5)
    assert quantile(values, 0.95) is not None
    assert quantile(values, 0.95, worth=199) is None
    rough, fine = quantile(values, 0.95, worth=400), quantile(values, 0.95)
    assert rough is not None
    assert fine is not None
    alone = quantile(np.arange(400.0), 0.95)
    assert alone is not None
    assert abs(rough.low - alone.low) <= 1
    assert abs(rough.high - alone.high) <= 1
    assert rough.half_width > 1.8 * fine.half_width
    with pytest.raises(ValueError, match="worth"):
        quantile(values, 0.95, worth=3000)


def test_quantile_ranks_cover() -> None:
    for n, q in ((100, 0.9), (320, 0.95), (50, 0.5), (200, 0.05)):
        got = quantile(np.arange(1, n + 1), q)
        assert got is not None
        below = np.arange(round(got.low), round(got.high))
        assert 0.95 <= np.sum(stats.binom.pmf(below, n, q)) <= 0.99


def test_hull_and_overlap() -> None:
    a, b, c = interval(1.0, 2.0, n=40), interval(1.5, 4.0, 0.9, n=80), interval(4.5, 5.0)
    assert hull([a]) == a
    both = hull([a, b])
    assert (both.low, both.high, both.level, both.n) == (1.0, 4.0, 0.9, 120)
    assert both.estimate == pytest.approx((1.5 + 2.75) / 2)
    assert hull([a, b, c]).estimate == 2.75
    assert overlap(a, b)
    assert overlap(b, a)
    assert not overlap(b, c)
    assert overlap(interval(0, 1), interval(1, 2))
    with pytest.raises(ValueError, match="at least one"):
        hull([])
