"""The points of a Pareto plot as numbers: where they lie, in which unit, who is on the line, how far the axes reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.statistics.attainment import attainment_band
from bench.statistics.frontier import knee, nondominated
from leaderboard.choices import View
from leaderboard.extent import MARGIN, reach
from leaderboard.judging import evidence_of
from leaderboard.rows import Axis, Board, Draws, Required, Row, judged_as

Ends = tuple[float, float, float]  # low, estimate, high
MOST_IN_BAND = 300  # variants: with more the band takes longer than anyone waits
NEAR = 0.5  # of what the points span: a bound beyond that is not drawn


@dataclass(frozen=True, slots=True)
class Scale:
    """How a number is drawn: what it is divided by, and what stands behind the ticks."""

    factor: float = 1.0
    suffix: str = ""
    form: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One variant in the plot, in the axes' own units."""

    row: Row
    x: Ends
    y: Ends


def points(rows: Sequence[Row], x: Axis, y: Axis) -> list[Point]:
    """The rows that have both numbers."""
    found = []
    for row in rows:
        a, b = row.cells.get(x.key), row.cells.get(y.key)
        if a is not None and b is not None:
            found.append(Point(row, (a.low, a.estimate, a.high), (b.low, b.estimate, b.high)))
    return found


def competing(found: Sequence[Point], x: Axis, y: Axis) -> list[Point]:
    """Those that may be on the frontier: the numbers of one that a race stopped are of fewer examples or leases.

    Verdicts and the band leave it out too (`judging.evidence_of`).
    """
    whole = x.exact and y.exact
    return [point for point in found if whole or point.row.stopped is None]


def frontier_line(found: Sequence[Point], x: Axis, y: Axis) -> list[tuple[float, float]]:
    """Estimates that no other estimate beats, from the best x onwards."""
    if not found:
        return []
    signs = np.array([1.0 if axis.better == "lower" else -1.0 for axis in (x, y)])
    places = np.array([[p.x[1], p.y[1]] for p in found])
    kept = places[nondominated(places * signs)]
    return sorted({(float(a), float(b)) for a, b in kept}, key=lambda p: (signs[0] * p[0], signs[1] * p[1]))


def scale(axis: Axis, values: Sequence[float]) -> Scale:
    """Percent for shares, MB or kB for bytes, the unit itself for the rest."""
    if axis.unit == "B":
        largest = max(values, default=0.0)
        factor, suffix = (1e9, " GB") if largest >= 1e10 else (1e6, " MB") if largest >= 1e6 else (1e3, " kB")
        return Scale(factor, suffix, ",")
    if axis.unit == "count":
        return Scale(form="~s")
    if axis.unit in ("ms", "s", "J"):
        return Scale(suffix=f" {axis.unit}")
    if axis.unit == "1/s":
        return Scale(suffix=" / s")
    if axis.unit in ("points", "tokens", "plain"):
        return Scale(form="+" if axis.metric.endswith("_difference") else "")
    if axis.metric.endswith("_difference"):
        return Scale(0.01, " pts", "+")
    if axis.metric.endswith("_ratio"):
        return Scale(suffix="×")
    return Scale(0.01, "%")


def xs(point: Point) -> Ends:
    """Along the horizontal axis."""
    return point.x


def ys(point: Point) -> Ends:
    """Along the vertical axis."""
    return point.y


def placed(
    found: Sequence[Point], where: Callable[[Point], Ends], scale_: Scale, *, as_log: bool
) -> list[Sequence[float]]:
    """Low end, estimate and high end of each point along an axis, as plotly counts there: exponents on a log axis."""
    return [[math.log10(v / scale_.factor) if as_log and v > 0 else v / scale_.factor for v in where(p)] for p in found]


def bounds_on(constraints: Sequence[Required], axis: Axis) -> list[Required]:
    """The constraints on the number of an axis."""
    return [each for each in constraints if (each.constraint.metric, each.constraint.scope) == axis.key]


def with_bounds(
    between: Sequence[float], constraints: Sequence[Required], axis: Axis, factor: float, *, as_log: bool
) -> list[float]:
    """Both ends of an axis, with room for each bound on it that lies near; one far away would squeeze the points."""
    low, high = between
    bounds = [required.constraint.bound / factor for required in bounds_on(constraints, axis)]
    places = [math.log10(at) if as_log else at for at in bounds if at > 0 or not as_log]
    near = [at for at in places if low - NEAR * (high - low) <= at <= high + NEAR * (high - low)]
    margin = MARGIN * (high - low)
    return [min([low, *(at - margin for at in near)]), max([high, *(at + margin for at in near)])]


def far_outside(view: View, x: Axis, y: Axis, *, log: tuple[bool, bool] = (False, False)) -> int:
    """How many points lie outside of what is drawn where outliers may not squeeze the plot."""
    found = points(view.rows, x, y)
    if not found:
        return 0
    across, up = (placed(found, w, Scale(), as_log=g) for w, g in zip((xs, ys), log, strict=True))
    on_line = {place for base in view.board.bases for place in frontier_line(of_base(view, base, x, y), x, y)}
    kept = [p.row.is_base or (p.x[1], p.y[1]) in on_line for p in found]
    ranges = [
        with_bounds(reach(ends, kept), view.board.constraints, axis, 1.0, as_log=as_log)
        for ends, axis, as_log in zip((across, up), (x, y), log, strict=True)
    ]
    return sum(
        not (ranges[0][0] <= a[1] <= ranges[0][1] and ranges[1][0] <= b[1] <= ranges[1][1])
        for a, b in zip(across, up, strict=True)
    )


def of_base(view: View, base: str, x: Axis, y: Axis) -> list[Point]:
    """The points of the variants of one base that compete."""
    return [p for p in competing(points(view.field, x, y), x, y) if p.row.base == base]


def band_outline(
    board: Board, rows: Sequence[Row], axes: tuple[Axis, Axis], draws: Draws, ends: tuple[float, float]
) -> NDArray[np.float64] | None:
    """Corners [C, 2] of the area in which the frontier of 95% of the resamples runs, in the axes' own units.

    None where a number is not judged as itself, where nothing is noisy, or there are too many variants.
    """
    if len(rows) > MOST_IN_BAND or any(judged_as(axis.key) != axis.key for axis in axes):
        return None
    evidence = [evidence_of(board, axis.key, rows, draws) for axis in axes]
    if all(each.draws is None for each in evidence):
        return None
    best, worst = attainment_band(evidence[0], evidence[1]).lines(ends)
    return np.concatenate([best, worst[::-1]]) if best.size and worst.size else None


def knee_of(places: Sequence[tuple[float, float]], x: Axis, y: Axis) -> int | None:
    """The place in the bend of the frontier of estimates, None where there is no bend."""
    if len(places) < 3:
        return None
    signs = np.array([1.0 if axis.better == "lower" else -1.0 for axis in (x, y)])
    return knee(np.array(places) * signs)
