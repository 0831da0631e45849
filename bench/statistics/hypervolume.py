"""How much of the space of trade-offs a set of variants covers, as one number."""

import moocore  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.objectives import FloatArray


def hypervolume(costs: ArrayLike, reference: ArrayLike, ideal: ArrayLike | None = None) -> float:
    """Volume between the rows of costs [V, K] and a reference point [K] that is worse: lower is better, more is more.

    What any row is at least as good as, up to the reference (Zitzler and Thiele, IEEE Transactions on Evolutionary
    Computation 3, 1999). With `ideal` [K] it is the share of the box from there to the reference: without unit, 0 to 1
    where no row is better than the ideal, which would count in full. Without, it has the objectives' units multiplied.

    Duplicates and dominated rows add nothing, nor do rows that are not better than the reference on every objective,
    nor rows with NaN or an infinity; no row left is 0. One sweep's number says little about another's: it moves with
    the reference. ValueError for costs that are no table, points of another length or not finite, or an ideal that is
    not below the reference on every objective.
    """
    table = np.asarray(costs, dtype=np.float64)
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"costs come as a table [variants, objectives], got shape {table.shape}")
    corner = _point(reference, table.shape[1], "the reference")
    scale = np.ones(table.shape[1])
    if ideal is not None:
        scale = corner - _point(ideal, table.shape[1], "the ideal")
        if not (scale > 0).all():
            raise ValueError(f"the ideal is below the reference on every objective, got differences of {scale}")
    inside = table[np.isfinite(table).all(axis=1) & (table < corner).all(axis=1)]
    if not inside.size:
        return 0.0
    return float(moocore.hypervolume((inside - corner) / scale, ref=np.zeros(table.shape[1])))


def _point(values: ArrayLike, objectives: int, what: str) -> FloatArray:
    point = np.asarray(values, dtype=np.float64)
    if point.shape != (objectives,) or not np.isfinite(point).all():
        raise ValueError(f"{what} needs a finite number for each of {objectives} objectives, got {point}")
    return point
