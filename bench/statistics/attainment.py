"""The band in which the frontier of two objectives moves from draw to draw, for the plot."""

import math
from dataclasses import dataclass

import moocore  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.intervals import check_level
from bench.statistics.objectives import Evidence, FloatArray, count_variants


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Two attainment surfaces of two objectives, as corners [C, 2] in costs: the first ascending, the second falling.

    `draws` draws were made. A point is attained in a draw if some variant's drawn numbers are at least as good on both
    objectives. `best` bounds what is attained in `best_draws` draws or more, `worst` what is attained in `worst_draws`
    or more, which is a part of that. Both are empty where no variant has both numbers. `signs` turn costs back into the
    objectives' own units and directions.
    """

    best: FloatArray
    worst: FloatArray
    draws: int
    best_draws: int
    worst_draws: int
    signs: tuple[float, float]

    def lines(self, ends: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
        """The best and the worst surface as step lines [2 C + 1, 2] in the objectives' own units and directions.

        `ends` are where the plot ends on the worse side of each objective, in its unit: a line comes from there to its
        first corner and leaves that way after its last. What lies beyond an end is drawn at the end.
        """
        signs = np.array(self.signs)
        limit = np.asarray(ends, dtype=np.float64) * signs
        return _steps(self.best, limit) * signs, _steps(self.worst, limit) * signs


def attainment_band(first: Evidence, second: Evidence, level: float = 0.95) -> Band:
    """The middle `level` of the draws' attainment surfaces of two objectives.

    Every draw has a frontier, and the points that it attains. The surfaces bound the points attained in at least
    (1 - level) / 2 and at least (1 + level) / 2 of the draws (empirical attainment function, Grunert da Fonseca,
    Fonseca and Hall, EMO 2001). So along any ray the frontiers of `level` of the draws lie between them, for each ray
    by itself and not for all of them together. It shows the draws and promises no coverage of the true frontier: the
    best of many noisy numbers looks better than it is. Verdicts rest on intervals instead.

    Exact objectives are the same in every draw; with two of them both surfaces are the frontier. Variants without a
    finite number on both take no part. Errors as for `verdicts`.
    """
    check_level(level)
    count_variants((first, second))
    signs = tuple(1.0 if each.objective.better == "lower" else -1.0 for each in (first, second))
    rows = np.flatnonzero(first.present & second.present)
    kept = (first.only(rows), second.only(rows))
    worlds = [each.cost_draws for each in kept]
    draws = next((drawn.shape[0] for drawn in worlds if drawn is not None), 1)
    wanted = [_at_least(draws, (1 - level) / 2), _at_least(draws, (1 + level) / 2)]
    best = worst = np.empty((0, 2))
    if rows.size:
        columns = [each.costs[None] if drawn is None else drawn for each, drawn in zip(kept, worlds, strict=True)]
        best, worst = _surfaces(np.stack(np.broadcast_arrays(*columns), axis=2), wanted)
    return Band(best, worst, draws, wanted[0], wanted[1], (signs[0], signs[1]))


def _surfaces(points: FloatArray, wanted: list[int]) -> list[FloatArray]:
    """Corners of what is attained in at least so many of the draws, from points [B, V, 2]."""
    draws = points.shape[0]
    fronts = [world[moocore.is_nondominated(world, keep_weakly=False)] for world in points]
    sets = np.repeat(np.arange(draws), [front.shape[0] for front in fronts])
    out = []
    for count in wanted:
        found = moocore.eaf(np.vstack(fronts), sets=sets, percentiles=[100 * count / draws])[:, :2]
        out.append(found[np.argsort(found[:, 0])])
    return out


def _at_least(draws: int, share: float) -> int:
    # 1,000 times 0.975 is 975 and a bit.
    return max(1, math.ceil(draws * share - 1e-9))


def _steps(corners: FloatArray, limit: ArrayLike) -> FloatArray:
    """Vertices of the line through corners [C, 2], from the upper end of the second objective to that of the first."""
    if not corners.size:
        return np.empty((0, 2))
    x, y = np.minimum(corners, limit).T
    x_end, y_end = np.asarray(limit)
    across = np.append(np.repeat(x, 2), x_end)
    up = np.concatenate(([y_end], np.repeat(y, 2)))
    return np.column_stack([across, up])
