"""Intervals for all paired differences at once: every pair of variants, every noisy objective, one level."""

import math

import numpy as np
from scipy import stats

from bench.statistics.intervals import check_level
from bench.statistics.objectives import Evidence, FloatArray

# Pseudo examples that join a bounded score's paired variance, one each way (Bonett and Price, Journal of
# Educational and Behavioral Statistics 37, 2012): d discordant examples that all go one way then count as a difference
# of d / sqrt(d + 2) deviations.
PSEUDO_EXAMPLES = 2
# Differences this far below the values they come from are rounding of the same number, not variance.
ROUNDING = 1e-12


def half_widths(evidence: tuple[Evidence, ...], level: float) -> list[FloatArray]:
    """Half widths [V, V] of the simultaneous intervals of paired differences, one matrix an objective.

    With probability `level`, every true difference lies within its half width of the estimated one, for all pairs and
    all objectives together: the bootstrap of the largest standardised deviation, max-t (Westfall and Young,
    Resampling-Based Multiple Testing, 1993; Romano and Wolf, Econometrica 73, 2005). Covering both signs, it covers
    both orders of each pair. Exact objectives get zeros.

    A pair's deviation comes from its joint draws, about the estimate, so a bias of the draws widens it. Three guards,
    because a bootstrap cannot see what the sample did not show:
    - a score with a span gets two pseudo examples that differ by all of it, one each way;
    - the critical value is at least that of a single normal difference, and turned into Student's where n is known;
    - a pair whose draws never differ, and has no span, gets an infinite half width: nothing is known about it.

    Needs finite values only, and enough draws to show the level: ValueError below 1 / (1 - level) - 1 draws. One row of
    pairs, [V, B], is held at a time; the result takes V * V numbers an objective.
    """
    check_level(level)
    noisy = [each for each in evidence if each.draws is not None]
    largest: FloatArray | None = None
    deviations = []
    for each in noisy:
        deviation, tops = _deviations(each)
        deviations.append(deviation)
        largest = tops if largest is None else np.maximum(largest, tops)
    critical = 0.0 if largest is None else _critical(largest, level)
    widths = iter([_student(critical, each.n) * deviation for each, deviation in zip(noisy, deviations, strict=True)])
    size = evidence[0].estimates.size
    return [np.zeros((size, size)) if each.draws is None else next(widths) for each in evidence]


def _deviations(each: Evidence) -> tuple[FloatArray, FloatArray]:
    """Standard deviations of paired differences [V, V] and, in each draw, the largest standardised difference [B]."""
    draws, costs = each.cost_draws, each.costs
    assert draws is not None
    # Variants first: a row of pairs is then one stretch of memory.
    off = np.ascontiguousarray((draws - costs).T)
    size, count = off.shape
    rounding = ROUNDING * max(float(np.abs(draws).max(initial=0.0)), float(np.abs(costs).max(initial=0.0)))
    pseudo = 0.0 if each.n is None else PSEUDO_EXAMPLES * (each.span / each.n) ** 2
    deviation = np.zeros((size, size))
    largest = np.zeros(count)
    for i in range(size - 1):
        differences = off[i + 1 :] - off[i]
        seen = np.einsum("jb,jb->j", differences, differences) / count
        seen[seen <= rounding**2] = 0.0
        spread = np.sqrt(seen + pseudo)
        spread[spread == 0] = math.inf
        deviation[i, i + 1 :] = deviation[i + 1 :, i] = spread
        differences /= spread[:, None]
        np.maximum(largest, differences.max(axis=0), out=largest)
        np.maximum(largest, -differences.min(axis=0), out=largest)
    return deviation, largest


def _critical(largest: FloatArray, level: float) -> float:
    """The level's quantile of the largest deviation, rounded up to a draw, and at least a single normal one's."""
    rank = math.ceil((largest.size + 1) * level)
    if rank > largest.size:
        raise ValueError(f"{largest.size} draws cannot show a level of {level}; {math.ceil(level / (1 - level))} can")
    return max(float(np.sort(largest)[rank - 1]), float(stats.norm.isf((1 - level) / 2)))


def _student(critical: float, n: int | None) -> float:
    """The Student quantile with n - 1 degrees of freedom that is as rare as this normal one."""
    return critical if n is None else float(stats.t.isf(stats.norm.sf(critical), n - 1))
