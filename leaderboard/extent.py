"""How far the axes of a plot reach: all that matters, and no further for the sake of a few that are far away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEWEST = 12  # points among which something can be far away
FAR = 6.0  # times the middle half, from its ends
MARGIN = 0.06

Ends = Sequence[float]  # low, estimate, high


def reach(ends: Sequence[Ends], kept: Sequence[bool], *, everything: bool = False) -> list[float]:
    """Both ends of an axis.

    Points are far away where their estimate lies `FAR` times the middle half of all beyond it; whiskers beyond the
    points are shown up to a half of what the points span.

    Args:
        ends: of each point, as plotly counts along the axis.
        kept: whether a point must be seen wherever it lies, as the base and the frontier must.
        everything: leave nothing out.
    """
    table = np.asarray(ends, dtype=np.float64).reshape(-1, 3)
    shown = np.ones(table.shape[0], dtype=np.bool_) if everything else ~far(ends) | np.asarray(kept, dtype=np.bool_)
    middle = table[shown, 1]
    low, high = float(middle.min()), float(middle.max())
    room = np.inf if everything or high <= low else 0.5 * (high - low)
    low = max(float(table[shown, 0].min()), low - room)
    high = min(float(table[shown, 2].max()), high + room)
    margin = MARGIN * (high - low) or abs(high) * 0.1 or 1.0
    return [low - margin, high + margin]


def far(ends: Sequence[Ends]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[P]: which estimates lie far from the others."""
    middle = np.asarray(ends, dtype=np.float64).reshape(-1, 3)[:, 1]
    if middle.size < FEWEST:
        return np.zeros(middle.size, dtype=np.bool_)
    first, last = np.quantile(middle, (0.25, 0.75))
    fence = FAR * (last - first)
    if not fence:
        return np.zeros(middle.size, dtype=np.bool_)
    return np.asarray((middle < first - fence) | (middle > last + fence), dtype=np.bool_)


def outside(ends: Sequence[Ends], between: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[P]: which estimates a plot between two ends leaves out."""
    middle = np.asarray(ends, dtype=np.float64).reshape(-1, 3)[:, 1]
    return np.asarray((middle < between[0]) | (middle > between[1]), dtype=np.bool_)
