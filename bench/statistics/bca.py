"""Bias-corrected and accelerated bootstrap interval, for statistics that are no means (F1, MCC)."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.statistics.intervals import Interval, check_level


def bca(
    estimate: float,
    draws: NDArray[np.float64],
    jackknife: NDArray[np.float64],
    weights: NDArray[np.float64],
    level: float = 0.95,
) -> Interval:
    """BCa interval (Efron, JASA 82, 1987) from bootstrap draws and grouped jackknife values.

    `draws` [B] are the statistic on resamples. `jackknife` [G] is the statistic without one example of group g, and
    `weights` [G] how many examples the group has: examples of a group are alike, so one value serves them all. The
    ends are widened to the estimate where the draws do not reach it. ValueError for no draw or a bad level.
    """
    check_level(level)
    if not draws.size:
        raise ValueError("an interval needs at least one draw")
    n = int(weights.sum())
    below = (np.count_nonzero(draws < estimate) + 0.5 * np.count_nonzero(draws == estimate)) / draws.size
    shift = float(stats.norm.ppf(np.clip(below, 0.5 / draws.size, 1 - 0.5 / draws.size)))
    centre = float(np.average(jackknife, weights=weights))
    away = centre - jackknife
    spread = float((weights * away**2).sum())
    acceleration = float((weights * away**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = shift + float(stats.norm.ppf(tail))
        ends.append(float(stats.norm.cdf(shift + z / (1 - acceleration * z))))
    low, high = (float(q) for q in np.quantile(draws, ends))
    return Interval(estimate, min(low, estimate), max(high, estimate), level, n, "BCa bootstrap")
