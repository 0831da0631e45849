"""How many rounds of a series count as one independent round."""

import numpy as np
from numpy.typing import NDArray


def correlation_time(series: NDArray[np.float64]) -> float:
    """Integrated autocorrelation time 1 + 2 (r_1 + r_2 + ...) of the ranks of `series` [n]; at least 1, at most n.

    Ranks, because one stall of a shared machine is a hundred times a round and would drown every product it is in. The
    sum stops where a pair of neighbouring lags stops being positive (Geyer's initial positive sequence, Statistical
    Science 7, 1992). A series with fewer than 4 rounds, or constant, has time 1.
    """
    n = series.size
    if n < 4:
        return 1.0
    # Ties share their mean rank; breaking them by position would invent a trend.
    _, group, size = np.unique(series, return_inverse=True, return_counts=True)
    if size.size == 1:
        return 1.0
    centred = (np.cumsum(size) - (size - 1) / 2)[group] - (n + 1) / 2
    padded = np.fft.rfft(centred, 2 * n)
    products = np.fft.irfft(padded * np.conj(padded), 2 * n)[:n]
    correlations = products / products[0]
    pairs = correlations[0 : n - 1 : 2] + correlations[1:n:2]
    stop = np.flatnonzero(pairs <= 0)
    kept = pairs[: stop[0]] if stop.size else pairs
    return float(np.clip(2 * kept.sum() - 1, 1.0, n))
