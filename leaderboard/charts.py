"""The Pareto plot: points as numbers first, then the figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from bench.statistics.frontier import nondominated
from leaderboard.choices import View
from leaderboard.format import interval, number
from leaderboard.labels import place_labels
from leaderboard.rows import VERDICT_ORDER, Axis, Row
from leaderboard.table import full_name, label, share

# Readable on white and on black, and apart for every kind of colour blindness; shapes say the same.
LOOKS = {
    "certain": ("circle", "#2b7bba"),
    "contested": ("diamond", "#d97706"),
    "dominated": ("x-thin-open", "#7d8590"),
    "not evaluated": ("square-open", "#7d8590"),
}
LINE = "#7d8590"
WRITTEN_OUT = 40  # with more points no label would find a place
PLOT_SIZE = (760.0, 430.0)  # pixels, about, on a wide screen; labels keep clear of each other at this size
LONGEST = 34
WEBGL_FROM = 1000

Ends = tuple[float, float, float]  # low, estimate, high


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


def figure(view: View, x: Axis, y: Axis, *, log: tuple[bool, bool] = (False, False), selected: str | None) -> go.Figure:
    """The plot of `view` on two axes. Names are escaped: plotly would read them as markup."""
    found = points(view.rows, x, y)
    sx, sy = (scale(axis, [v for p in found for v in where(p)]) for axis, where in ((x, _xs), (y, _ys)))
    drawn = go.Figure()
    for base in view.board.bases:
        line = frontier_line([p for p in points(view.field, x, y) if p.row.base == base], x, y)
        drawn.add_scatter(
            x=[a / sx.factor for a, _ in line],
            y=[b / sy.factor for _, b in line],
            mode="lines",
            line={"color": LINE, "width": 1.5, "dash": "dot", "shape": "hv"},
            name="frontier",
            showlegend=base == view.board.bases[0],
            hoverinfo="skip",
        )
    for verdict in LOOKS:
        mine = [p for p in found if p.row.verdict == verdict]
        if mine:
            drawn.add_trace(_trace(verdict, mine, view, (x, y), (sx, sy), large=len(found) >= WEBGL_FROM))
    _rings(drawn, found, (sx, sy), selected)
    _layout(drawn, x, y, (sx, sy), log)
    if found:
        across, up = _placed(found, _xs, sx, as_log=log[0]), _placed(found, _ys, sy, as_log=log[1])
        drawn.update_xaxes(range=_reach(across))  # fixed: plotly's own would make room for labels as wide as the plot
        drawn.update_yaxes(range=_reach(up))
        if len(found) <= WRITTEN_OUT:
            _labels(drawn, found, view, across, up)
    return drawn


def _xs(point: Point) -> Ends:
    return point.x


def _ys(point: Point) -> Ends:
    return point.y


def _trace(
    verdict: str,
    found: Sequence[Point],
    view: View,
    axes: tuple[Axis, Axis],
    scales: tuple[Scale, Scale],
    *,
    large: bool,
) -> go.Scatter | go.Scattergl:
    symbol, colour = LOOKS[verdict]
    faint = verdict in ("dominated", "not evaluated")
    kind = go.Scattergl if large else go.Scatter
    sx, sy = scales
    return kind(
        x=[p.x[1] / sx.factor for p in found],
        y=[p.y[1] / sy.factor for p in found],
        error_x=_whiskers([p.x for p in found], sx, colour),
        error_y=_whiskers([p.y for p in found], sy, colour),
        mode="markers",
        name=verdict if verdict != "not evaluated" else "no verdict",
        marker={"symbol": symbol, "color": colour, "size": 10 if faint else 13, "line": {"width": 2, "color": colour}},
        opacity=0.85 if faint else 1.0,
        customdata=[[p.row.recipe_id] for p in found],
        text=[_hover(p, view, axes) for p in found],
        hovertemplate="%{text}<extra></extra>",
        unselected={"marker": {"opacity": 0.75 if faint else 1.0}},
    )


def _whiskers(ends: Sequence[Ends], scale: Scale, colour: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [(high - middle) / scale.factor for _, middle, high in ends],
        "arrayminus": [(middle - low) / scale.factor for low, middle, _ in ends],
        "thickness": 1.2,
        "width": 0,
        "color": f"rgba({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))}, 0.6)",
    }


def _hover(point: Point, view: View, axes: tuple[Axis, Axis]) -> str:
    row = point.row
    lines = [f"<b>{escape(row.name)}</b>", f"{row.verdict}, on the frontier in {share(row)} of resamples"]
    for axis in axes:
        cell = row.cells[axis.key]
        text = f"{axis.title}: {number(cell.estimate, axis.unit, axis.metric)}"
        if cell.low < cell.high:
            text += f" ({interval(cell.low, cell.high, axis.unit, axis.metric)})"
        lines.append(escape(f"{text} [{cell.note}]" if cell.note else text))
    return "<br>".join(lines)


def _rings(drawn: go.Figure, found: Sequence[Point], scales: tuple[Scale, Scale], selected: str | None) -> None:
    """A ring around the bases, and another around the chosen variant."""
    sx, sy = scales
    for name, size, mine in (
        ("base", 24, [p for p in found if p.row.is_base]),
        ("chosen", 31, [p for p in found if p.row.recipe_id == selected]),
    ):
        if mine:
            drawn.add_scatter(
                x=[p.x[1] / sx.factor for p in mine],
                y=[p.y[1] / sy.factor for p in mine],
                mode="markers",
                name=name,
                marker={"symbol": "circle-open", "size": size, "color": LINE, "line": {"width": 2}},
                hoverinfo="skip",
                # The ring lies above the point that it marks, so a click on it means that point.
                customdata=[[p.row.recipe_id] for p in mine],
            )


def _placed(
    found: Sequence[Point], where: Callable[[Point], Ends], scale_: Scale, *, as_log: bool
) -> list[Sequence[float]]:
    """Low end, estimate and high end of each point along an axis, as plotly counts there: exponents on a log axis."""
    return [[math.log10(v / scale_.factor) if as_log and v > 0 else v / scale_.factor for v in where(p)] for p in found]


def _reach(ends: Sequence[Sequence[float]]) -> list[float]:
    """Both ends of an axis: all whiskers and a margin."""
    low, high = min(low for low, _, _ in ends), max(high for _, _, high in ends)
    margin = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return [low - margin, high + margin]


def _labels(
    drawn: go.Figure,
    found: Sequence[Point],
    view: View,
    across: Sequence[Sequence[float]],
    up: Sequence[Sequence[float]],
) -> None:
    """Names beside the points, the base's and the best verdicts' first; the others are told by pointing at them."""
    order = sorted(range(len(found)), key=lambda i: (not found[i].row.is_base, VERDICT_ORDER[found[i].row.verdict]))
    names = [label(found[i].row, view.board) for i in order]
    texts = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    columns = []
    for ends, length in ((across, PLOT_SIZE[0]), (up, PLOT_SIZE[1])):
        low, high = _reach(ends)
        columns.append([length * (ends[i][1] - low) / (high - low) for i in order])
    places = place_labels(list(zip(*columns, strict=True)), texts, PLOT_SIZE)
    for i, text, place in zip(order, texts, places, strict=True):
        if place is not None:
            anchor, right, above = place
            drawn.add_annotation(
                x=across[i][1],
                y=up[i][1],
                text=escape(text),
                showarrow=False,
                xanchor=anchor,
                xshift=right,
                yshift=above,
                font={"size": 12},
            )


def _layout(drawn: go.Figure, x: Axis, y: Axis, scales: tuple[Scale, Scale], log: tuple[bool, bool]) -> None:
    for update, axis, scale_, as_log in (
        (drawn.update_xaxes, x, scales[0], log[0]),
        (drawn.update_yaxes, y, scales[1], log[1]),
    ):
        update(
            title={"text": escape(full_name(axis)), "font": {"size": 14}},
            type="log" if as_log else "linear",
            ticksuffix=scale_.suffix,
            tickformat=scale_.form or None,
            automargin=True,
            zeroline=False,
        )
    left, top = x.better == "lower", y.better == "higher"
    arrow = {(True, True): "↖", (False, True): "↗", (True, False): "↙", (False, False): "↘"}[left, top]
    drawn.add_annotation(
        xref="paper",
        yref="paper",
        x=0.005 if left else 0.995,
        y=0.995 if top else 0.005,
        text=f"{arrow} better",
        showarrow=False,
        font={"size": 13, "color": LINE},
    )
    drawn.update_layout(
        height=560,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemsizing": "trace"},
        hoverlabel={"align": "left"},
        dragmode="pan",
        clickmode="event+select",
    )
