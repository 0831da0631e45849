"""Medians of a few repeats that share what their measurement has in common: covered, and told apart, as promised."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.statistics.racing import Repeated
from bench.statistics.repeats import Shift, error, interval

SHIFT = Shift(0.01, 0.5, 8)
TRUTH = 100.0
BETWEEN = math.hypot(0.01 * TRUTH, 0.5)


def measured(
    size: int, count: int, within: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Median, lowest and highest of so many repeats in each of `size` measurements of the same model."""
    rng = np.random.default_rng(seed)
    repeats = TRUTH + rng.normal(0, BETWEEN, (size, 1)) + rng.normal(0, within, (size, count))
    return np.median(repeats, axis=1), repeats.min(axis=1), repeats.max(axis=1)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("within", [0.0, 0.5, 3.0])
def test_an_interval_holds_the_truth(count: int, within: float) -> None:
    """Of a single measurement, whose repeats cannot show what it shares; with one repeat only where repeats agree."""
    if count == 1 and within:
        return
    medians, lows, highs = measured(4000, count, within, 1)
    repeats = zip(medians.tolist(), lows.tolist(), highs.tolist(), strict=True)
    ends = [interval(each[0], count, error(*each, count, SHIFT)) for each in repeats]
    covered = np.mean([each.low <= TRUTH <= each.high for each in ends])
    assert 0.94 <= covered <= 0.995


@pytest.mark.parametrize("within", [0.1, 3.0])
def test_equals_are_told_apart_no_more_often_than_the_level_says(within: float) -> None:
    middle, low, high = measured(4000, 3, within, 2)
    wrong = []
    for i in range(0, 4000, 2):
        pair = slice(i, i + 2)
        found = Repeated(middle[pair], error(middle[pair], low[pair], high[pair], [3, 3], SHIFT)).better(0.05)
        wrong.append(bool(found[0, 1]))
    assert np.mean(wrong) <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 2000)


def test_what_never_differs_and_is_only_counted_has_no_error() -> None:
    found = error([5.0, 5.0], [5.0, 4.0], [5.0, 6.0], [3, 3], Shift(0, 0, 8))
    assert found.deviation[0] == 0 < found.deviation[1]
    assert (found.freedom[0], found.freedom[1]) == (math.inf, 2)
    exact = interval(5.0, 3, error(5.0, 5.0, 5.0, 3, Shift(0, 0, 8)))
    assert (exact.low, exact.high) == (5.0, 5.0)


def test_a_small_number_errs_by_the_absolute_part_and_never_below_nothing() -> None:
    small = interval(1.0, 3, error(1.0, 0.9, 1.1, 3, SHIFT))
    assert small.low == 0.0
    assert small.high > 2.0
    with pytest.raises(ValueError, match="at least, got 0"):
        error(1.0, 1.0, 1.0, 0, SHIFT)
