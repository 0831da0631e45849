"""A number that one measurement repeated a few times, where two measurements lie further apart than its repeats. Pure.

Repeats share what a measurement has in common, such as how the memory of its process lies; how far that moves a number
cannot be seen in them. So it leans on what calibration found (results/reference/memory_jobs.md), as lease ratios do.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats

from bench.statistics.intervals import Interval, check_level

FloatArray = NDArray[np.float64]


class Shift(NamedTuple):
    """What measurements of one number x deviate by, sqrt((relative x)^2 + absolute^2), of so many degrees of freedom.

    The fewer they are, the more it may be another for this model than for those that it was found on.
    """

    relative: float
    absolute: float  # in the unit of the number
    freedom: float


class Error(NamedTuple):
    """Standard error [V] of each estimate, and its degrees of freedom [V]."""

    deviation: FloatArray
    freedom: FloatArray


def error(estimate: ArrayLike, low: ArrayLike, high: ArrayLike, count: ArrayLike, shift: Shift) -> Error:
    """Of the medians [V] of so many repeats, which lie from `low` to `high`.

    What repeats deviate by is told from their range, and a median's deviation is at most sqrt(pi / 2n) of that. Degrees
    of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946). ValueError for a count below 1.
    """
    middle, ends = np.asarray(estimate, dtype=np.float64), np.asarray(high, dtype=np.float64) - np.asarray(low)
    repeats = np.asarray(count, dtype=np.intp)
    if (repeats < 1).any():
        raise ValueError(f"a median has a value at least, got {repeats.min()}")
    between = (shift.relative * middle) ** 2 + shift.absolute**2
    within = (ends * np.vectorize(_of_range, otypes=[np.float64])(repeats)) ** 2
    spread = between**2 / shift.freedom + within**2 / np.maximum(1, repeats - 1)
    variance = between + within
    freedom = np.divide(variance**2, spread, out=np.full(spread.shape, np.inf), where=spread > 0)
    return Error(np.sqrt(variance), freedom)


@cache
def _of_range(count: int) -> float:
    """The standard deviation of a median of so many normal values, at most, over their expected range."""
    if count == 1:
        return 0.0
    expected, _ = integrate.quad(
        lambda x: 1 - stats.norm.cdf(x) ** count - stats.norm.sf(x) ** count, -math.inf, math.inf
    )
    return math.sqrt(math.pi / (2 * count)) / float(expected)


def interval(estimate: float, count: int, about: Error, level: float = 0.95) -> Interval:
    """Student's interval for the median of so many repeats, of that error; not below 0."""
    check_level(level)
    reach = float(about.deviation * stats.t.isf((1 - level) / 2, about.freedom))
    method = "Student t with what measurements differ by"
    return Interval(estimate, max(0.0, estimate - reach), estimate + reach, level, count, method)
