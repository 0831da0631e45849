"""Intervals over seeds and examples: by hand, and whether they cover what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from bench.statistics.seeds import (
    MOST_SEEDS,
    Components,
    compare_recipes,
    over_seeds,
    seeds_needed,
    variance_of_scores,
    variance_of_timings,
)

FloatArray = NDArray[np.float64]
SIMULATIONS = 2000


def test_by_hand() -> None:
    # Seed means 1 and 3: variance 2, over 2 seeds 1. Example means 1, 2, 3: variance 1, over 3 examples 1/3.
    found = over_seeds([[0.0, 1, 2], [2.0, 3, 4]])
    reach = 12.7062047 * (1 + 1 / 3) ** 0.5  # t with one degree of freedom
    assert found.estimate == 2
    assert found.low == pytest.approx(2 - reach)
    assert found.high == pytest.approx(2 + reach)
    assert found.n == 2


@pytest.mark.parametrize(("seed_sd", "example_sd", "noise_sd"), [(1, 0, 0.1), (0, 1, 0.1), (0.3, 3, 3), (0, 0, 3)])
def test_intervals_cover_at_least_what_they_say(seed_sd: float, example_sd: float, noise_sd: float) -> None:
    rng = np.random.default_rng(1)
    seeds, examples = 5, 60
    hits = 0
    for _ in range(SIMULATIONS):
        table = (
            seed_sd * rng.standard_normal((seeds, 1))
            + example_sd * rng.standard_normal((1, examples))
            + noise_sd * rng.standard_normal((seeds, examples))
        )
        hits += over_seeds(table).contains(0.0)
    assert hits / SIMULATIONS >= 0.935  # 95% less three binomial standard errors


@pytest.mark.parametrize("table", [[[1.0, 2.0]], [[1.0], [2.0]], [1.0, 2.0], [[1.0, np.nan], [1.0, 2.0]]])
def test_what_cannot_give_an_interval_is_refused(table: list[object]) -> None:
    with pytest.raises(ValueError, match="differences"):
        over_seeds(np.array(table, dtype=float))


def crossed(rng: np.random.Generator, seeds: int, examples: int, sds: tuple[float, float, float]) -> FloatArray:
    """Scores [seeds, examples] with these deviations of seeds, examples and what is left."""
    out: FloatArray = (
        sds[0] * rng.standard_normal((seeds, 1))
        + sds[1] * rng.standard_normal((1, examples))
        + sds[2] * rng.standard_normal((seeds, examples))
    )
    return out


def test_variance_of_scores_by_hand() -> None:
    # Purely additive: nothing is left. Seed effects -1, 1: variance 2. Example effects -1, 0, 1: variance 1.
    found = variance_of_scores([[0.0, 1, 2], [2.0, 3, 4]])
    assert (found.seeds, found.examples, found.rest) == pytest.approx((2.0, 1.0, 0.0))
    # Seeds that agree exactly by mean, and nothing but interaction: neither factor's variance goes below zero.
    assert variance_of_scores([[1.0, -1], [-1.0, 1]]) == Components(seeds=0.0, examples=0.0, rest=4.0)


@pytest.mark.parametrize("sds", [(0.5, 2.0, 1.0), (0.0, 1.0, 1.0), (1.0, 0.0, 0.5)])
def test_variances_of_scores_are_right_on_average(sds: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(2)
    runs = [variance_of_scores(crossed(rng, 6, 40, sds)) for _ in range(1500)]
    for name, sd in zip(("seeds", "examples", "rest"), sds, strict=True):
        mean = float(np.mean([getattr(run, name) for run in runs]))
        # Cut off at zero, an absent variance shows as a small one.
        assert mean == pytest.approx(sd**2, rel=0.06, abs=0.02), name


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=st.integers(-3, 3).map(float)))
def test_variances_of_scores_follow_from_sums_of_squares(table: FloatArray) -> None:
    """The textbook's table of analysis of variance; and nothing is ever negative."""
    seeds, examples = table.shape
    grand = table.mean()
    squares_of_seeds = examples * sum((row.mean() - grand) ** 2 for row in table) / (seeds - 1)
    squares_of_examples = seeds * sum((column.mean() - grand) ** 2 for column in table.T) / (examples - 1)
    total = ((table - grand) ** 2).sum()
    left = total - squares_of_seeds * (seeds - 1) - squares_of_examples * (examples - 1)
    rest = left / ((seeds - 1) * (examples - 1))
    found = variance_of_scores(table)
    assert found.rest == pytest.approx(rest, abs=1e-9)
    assert found.seeds == pytest.approx(max(0.0, (squares_of_seeds - rest) / examples), abs=1e-9)
    assert found.examples == pytest.approx(max(0.0, (squares_of_examples - rest) / seeds), abs=1e-9)


def test_variance_of_timings_by_hand() -> None:
    # Within: 0.5 each over 2 degrees of freedom, 0.5. Between: 2 (means 0.5, 4.5: 8 apart squared over 1 = 16).
    found = variance_of_timings([[0.0, 1.0], [4.0, 5.0]])
    assert (found.seeds, found.sessions, found.rest) == pytest.approx(((16 - 0.5) / 2, 0.5, 0.0))
    assert found.examples is None
    known = variance_of_timings([[0.0, 1.0], [4.0, 5.0]], own=[[0.2, 0.2], [0.2, 0.2]])
    assert (known.seeds, known.sessions, known.rest) == pytest.approx((7.75, 0.3, 0.2))
    assert variance_of_timings([[0.0, 1.0], [4.0, 5.0]], own=[[1, 1], [1, 1]]).sessions == 0.0
    assert variance_of_timings([[1.0, 3.0, 5.0]]) == Components(seeds=None, sessions=4.0)
    assert variance_of_timings([[0.0, 2.0], [1.0, 1.0], [1.0]]).seeds == 0.0


def test_variances_of_timings_are_right_on_average_with_unequal_counts() -> None:
    rng = np.random.default_rng(3)
    leases = [2, 3, 1, 2, 4]
    runs = []
    for _ in range(2000):
        values = [0.5 * rng.standard_normal() + 0.3 * rng.standard_normal(count) for count in leases]
        errors = [0.2 * rng.standard_normal(count) for count in leases]
        own = [np.full(count, 0.04) for count in leases]
        runs.append(variance_of_timings([v + e for v, e in zip(values, errors, strict=True)], own))
    assert np.mean([run.seeds for run in runs if run.seeds is not None]) == pytest.approx(0.25, rel=0.06)
    assert np.mean([run.sessions for run in runs]) == pytest.approx(0.09, rel=0.08)
    assert all(run.rest == pytest.approx(0.04) for run in runs)


def test_recipes_compared_by_hand() -> None:
    table = np.array([[0.0, 1, 2], [2.0, 3, 4]])
    paired = compare_recipes({1: table[0], 2: table[1]}, {2: np.zeros(3), 1: np.zeros(3)})
    assert paired == over_seeds(table)
    # Other seeds: variances of seed means 2 and 0 over 2 seeds each, of example differences 1 over 3.
    welch = compare_recipes({1: table[0], 2: table[1]}, {3: np.zeros(3), 4: np.zeros(3)})
    assert welch.estimate == 2
    assert welch.half_width == pytest.approx(12.7062047 * (1 + 1 / 3) ** 0.5)
    # Single numbers: the textbook's Welch.
    a, b = [1.0, 2.0, 4.0], [3.0, 3.5, 5.0, 9.0]
    single = compare_recipes(dict(enumerate(a)), dict(enumerate(b)))
    textbook = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (single.low, single.high) == pytest.approx((textbook.low, textbook.high))
    matched = compare_recipes({1: 1.0, 2: 2.0, 3: 4.0}, {1: 3.0, 2: 3.5, 3: 5.0})
    textbook = stats.ttest_rel([1.0, 2, 4], [3.0, 3.5, 5]).confidence_interval(0.95)
    assert (matched.low, matched.high) == pytest.approx((textbook.low, textbook.high))
    same = compare_recipes({1: [1.0, 1.0], 2: [1.0, 1.0]}, {3: [1.0, 1.0], 4: [1.0, 1.0]})
    assert (same.low, same.high) == (0.0, 0.0)


@pytest.mark.parametrize("numbers", ["the same", "other", "some shared"])
@pytest.mark.parametrize("sds", [(1.0, 0.0, 0.3), (0.3, 3.0, 3.0), (0.2, 0.0, 2.0)])
def test_comparisons_cover_what_they_say(numbers: str, sds: tuple[float, float, float]) -> None:
    """Seeds move both recipes alike by half of their variance, examples too; one recipe has fewer seeds."""
    rng = np.random.default_rng(4)
    first = range(5)
    second = {"the same": range(5), "other": range(10, 14), "some shared": range(3, 8)}[numbers]
    hits, examples, runs = 0, 50, 700
    for _ in range(runs):
        by_number = rng.standard_normal((20, 1))
        shared = sds[1] * rng.standard_normal((1, examples))
        tables = [
            sds[0] * np.sqrt(0.5) * by_number[list(seeds)]
            + np.sqrt(0.5) * shared
            + crossed(rng, len(seeds), examples, (sds[0] * np.sqrt(0.5), sds[1] * np.sqrt(0.5), sds[2]))
            for seeds in (first, second)
        ]
        a, b = (dict(zip(seeds, table, strict=True)) for seeds, table in zip((first, second), tables, strict=True))
        hits += compare_recipes(a, b).contains(0.0)
    error = 3 * (0.05 * 0.95 / runs) ** 0.5
    assert hits / runs >= 0.95 - error
    # Where seeds are all there is, nothing is counted twice: about 95%, not more.
    if sds[1] == 0 and sds[2] < 1 and numbers != "some shared":
        assert hits / runs <= 0.95 + error


def test_pairing_by_seed_narrows_where_seeds_move_both_alike() -> None:
    rng = np.random.default_rng(5)
    common = rng.standard_normal(5)
    a, b = common + 0.1 * rng.standard_normal(5), common + 0.1 * rng.standard_normal(5)
    paired = compare_recipes(dict(enumerate(a)), dict(enumerate(b)))
    unpaired = compare_recipes(dict(enumerate(a)), dict(enumerate(b, start=9)))
    assert paired.half_width < 0.4 * unpaired.half_width
    assert paired.estimate == pytest.approx(unpaired.estimate)


def test_bad_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 seeds, got 1"):
        compare_recipes({1: [1.0, 2]}, {1: [1.0, 2], 2: [1.0, 2]})
    with pytest.raises(ValueError, match="same examples, got "):
        compare_recipes({1: [1.0, 2], 2: [1.0]}, {1: [1.0, 2], 2: [1.0, 2]})
    with pytest.raises(ValueError, match="same examples, got 2 and 1"):
        compare_recipes({1: [1.0, 2], 2: [1.0, 3]}, {1: 1.0, 2: 2.0})
    with pytest.raises(ValueError, match="finite"):
        compare_recipes({1: np.nan, 2: 1.0}, {1: 1.0, 2: 2.0})
    with pytest.raises(ValueError, match="scores come as"):
        variance_of_scores([[1.0, 2.0]])
    with pytest.raises(ValueError, match="at least one seed needs two"):
        variance_of_timings([[1.0], [2.0]])
    with pytest.raises(ValueError, match="at least one seed needs two"):
        variance_of_timings([])
    with pytest.raises(ValueError, match="or none does"):
        variance_of_timings([[1.0, 2.0]], [[1.0]])
    with pytest.raises(ValueError, match="not negative"):
        variance_of_timings([[1.0, 2.0]], [[1.0, -1.0]])


@pytest.mark.parametrize("level", [0.95, 1 - 0.05 / 10])  # of one pair of recipes, and of each of ten
def test_seeds_needed_are_the_first_whose_interval_leaves_nothing_open(level: float) -> None:
    """Means of two seeds that deviate by 1: over n of them the interval is t(n - 1) / sqrt(n) to either side."""
    reach = [float(stats.t.isf((1 - level) / 2, n - 1)) / np.sqrt(n) for n in range(2, MOST_SEEDS + 1)]
    for gap in (0.5, 1.0, 2.0):
        assert seeds_needed(gap, reach[0], 2, level) == next(n for n, r in enumerate(reach, 2) if r < gap)
    assert seeds_needed(0.01, reach[0], 2, level) is None
    with pytest.raises(ValueError, match="at least 2"):
        seeds_needed(1.0, 1.0, 1)
