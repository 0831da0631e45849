"""The Pareto plot: points as numbers first, then the figure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go  # type: ignore[import-untyped]

from leaderboard.choices import View
from leaderboard.extent import reach
from leaderboard.format import interval, number
from leaderboard.labels import place_labels
from leaderboard.overlays import Overlays, add_band, add_constraints, marker_of
from leaderboard.points import (
    Ends,
    Point,
    Scale,
    band_outline,
    competing,
    frontier_line,
    knee_of,
    placed,
    points,
    scale,
    with_bounds,
    xs,
    ys,
)
from leaderboard.rows import VERDICT_ORDER, Axis, Draws
from leaderboard.table import full_name, label, share

# Readable on white and on black, and apart for every kind of colour blindness; shapes say the same.
LOOKS = {
    "certain": ("circle", "#2b7bba"),
    "contested": ("diamond", "#d97706"),
    "dominated": ("x-thin-open", "#7d8590"),
    "not evaluated": ("square-open", "#7d8590"),
}
LINE = "#7d8590"
RING = "#b3447a"  # around one of thousands
WRITTEN_OUT = 40  # with more points no label would find a place
PLOT_SIZE = (760.0, 430.0)  # pixels, about, on a wide screen; labels keep clear of each other at this size
LONGEST = 34
WEBGL_FROM = 1000
MOST_WHISKERS = 300  # with more they would be a carpet
MOST_DESCRIBED = 2000  # points whose numbers are told on pointing; with more, their names alone


def figure(
    view: View,
    x: Axis,
    y: Axis,
    *,
    log: tuple[bool, bool] = (False, False),
    selected: str | None,
    overlays: Overlays | None = None,
    draws: Draws | None = None,
) -> go.Figure:
    """The plot of `view` on two axes. Names are escaped: plotly would read them as markup."""
    overlays = overlays or Overlays(band=False, everything=True)
    found = points(view.rows, x, y)
    sx, sy = (scale(axis, [v for p in found for v in where(p)]) for axis, where in ((x, xs), (y, ys)))
    drawn = go.Figure()
    field = competing(points(view.field, x, y), x, y)
    lines = {base: frontier_line([p for p in field if p.row.base == base], x, y) for base in view.board.bases}
    across, up = placed(found, xs, sx, as_log=log[0]), placed(found, ys, sy, as_log=log[1])
    on_line = {place for line in lines.values() for place in line}
    kept = [p.row.is_base or (p.x[1], p.y[1]) in on_line for p in found]
    ranges = [reach(ends, kept, everything=overlays.everything) for ends in (across, up)] if found else []
    ranges = [
        with_bounds(between, view.board.constraints, axis, each.factor, as_log=as_log)
        for between, axis, each, as_log in zip(ranges, (x, y), (sx, sy), log, strict=False)
    ]
    if overlays.band and draws is not None and found and not any(log):
        for place, base in enumerate(view.board.bases):
            rows = [p.row for p in field if p.row.base == base]
            outline = band_outline(view.board, rows, (x, y), draws, _worse_ends((x, y), (sx, sy), ranges))
            if outline is not None:
                add_band(drawn, outline, (sx.factor, sy.factor), first=not place)
    for base, line in lines.items():
        drawn.add_scatter(
            x=[a / sx.factor for a, _ in line],
            y=[b / sy.factor for _, b in line],
            mode="lines",
            line={"color": LINE, "width": 1.5, "dash": "dot", "shape": "hv"},
            name="frontier",
            showlegend=base == view.board.bases[0],
            hoverinfo="skip",
        )
    for verdict in reversed(LOOKS):  # what matters most lies on top
        mine = [p for p in found if p.row.verdict == verdict]
        if mine:
            drawn.add_trace(_trace(verdict, mine, view, (x, y), (sx, sy), overlays, len(found)))
    # Of all that compete: rows that a filter only hides bend the frontier too.
    bend = _knee(field, x, y) if len(view.board.bases) == 1 else None
    shown = {p.row.recipe_id for p in found}
    _rings(drawn, found, (sx, sy), selected, bend if bend and bend.row.recipe_id in shown else None)
    add_constraints(drawn, view.board.constraints, (x, y), (sx.factor, sy.factor), log)
    _layout(drawn, x, y, (sx, sy), log)
    if overlays.third is not None and overlays.by == "colour":
        _colour_bar(drawn, view, overlays.third)
    if found:
        drawn.update_xaxes(range=ranges[0])  # fixed: plotly's own would make room for labels as wide as the plot
        drawn.update_yaxes(range=ranges[1])
        if len(found) <= WRITTEN_OUT:
            _labels(drawn, found, view, (across, up), ranges)
    return drawn


def _worse_ends(
    axes: tuple[Axis, Axis], scales: tuple[Scale, Scale], ranges: Sequence[Sequence[float]]
) -> tuple[float, float]:
    """Where the plot ends on the worse side of each axis, in its unit."""
    ends = [
        between[1 if axis.better == "lower" else 0] * each.factor
        for axis, each, between in zip(axes, scales, ranges, strict=True)
    ]
    return ends[0], ends[1]


def _knee(found: Sequence[Point], x: Axis, y: Axis) -> Point | None:
    place = knee_of([(p.x[1], p.y[1]) for p in found], x, y)
    return None if place is None else found[place]


def _colour_bar(drawn: go.Figure, view: View, third: Axis) -> None:
    """The bar that says what the colours of the third number mean."""
    values = [row.cells[third.key].estimate for row in view.rows if third.key in row.cells]
    if values:
        each = scale(third, values)
        drawn.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            showlegend=False,
            hoverinfo="skip",
            marker={
                "color": [min(values) / each.factor],
                "cmin": min(values) / each.factor,
                "cmax": max(values) / each.factor,
                "colorscale": "Cividis",
                "showscale": True,
                "colorbar": {
                    "title": {"text": escape(full_name(third)), "side": "right", "font": {"size": 12}},
                    "ticksuffix": each.suffix,
                    "thickness": 12,
                },
            },
        )


def _trace(
    verdict: str,
    found: Sequence[Point],
    view: View,
    axes: tuple[Axis, Axis],
    scales: tuple[Scale, Scale],
    overlays: Overlays,
    count: int,
) -> go.Scatter | go.Scattergl:
    symbol, colour = LOOKS[verdict]
    faint = verdict in ("dominated", "not evaluated")
    large = count >= WEBGL_FROM
    sx, sy = scales
    whiskers = overlays.whiskers and count <= MOST_WHISKERS
    size = (5 if faint else 9) if large else (10 if faint else 13)
    by_colour = overlays.third is not None and overlays.by == "colour"
    if large or by_colour:
        # Open and thin marks show no filling, and of thousands no outline: the colour goes where it can be seen.
        symbol = symbol.removesuffix("-open").removesuffix("-thin")
    marker: dict[str, object] = {
        "symbol": symbol,
        "color": colour,
        "size": size,
        "line": {"width": 0 if large else 2, "color": colour},
    }
    third = overlays.third
    if third is not None:
        factor = scale(third, [r.cells[third.key].estimate for r in view.rows if third.key in r.cells]).factor
        marker |= marker_of([p.row for p in found], overlays, view.rows, factor)
        if by_colour:
            marker["line"] = {"width": 0 if large and faint else 1, "color": LINE}
    return (go.Scattergl if large else go.Scatter)(
        x=[p.x[1] / sx.factor for p in found],
        y=[p.y[1] / sy.factor for p in found],
        error_x=_whiskers([p.x for p in found], sx, colour) if whiskers else None,
        error_y=_whiskers([p.y for p in found], sy, colour) if whiskers else None,
        mode="markers",
        name=verdict if verdict != "not evaluated" else "no verdict",
        legendrank=list(LOOKS).index(verdict),
        marker=marker,
        opacity=0.35 if large and faint else 0.85 if faint else 1.0,
        customdata=[[p.row.recipe_id] for p in found],
        text=[_hover(p, () if count > MOST_DESCRIBED else (*axes, *([third] if third else []))) for p in found],
        hovertemplate="%{text}<extra></extra>",
        selected={"marker": {"size": size + 8}} if third is None else None,
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


def _hover(point: Point, axes: Sequence[Axis]) -> str:
    row = point.row
    lines = [f"<b>{escape(row.name)}</b>", f"{row.verdict}, on the frontier in {share(row)} of resamples"]
    for axis in dict.fromkeys(axes):
        cell = row.cells.get(axis.key)
        if cell is None:
            lines.append(escape(f"{axis.title}: no number"))
            continue
        text = f"{axis.title}: {number(cell.estimate, axis.unit, axis.metric)}"
        if cell.low < cell.high:
            text += f" ({interval(cell.low, cell.high, axis.unit, axis.metric)})"
        lines.append(escape(f"{text} [{cell.note}]" if cell.note else text))
    return "<br>".join(lines)


def _rings(
    drawn: go.Figure,
    found: Sequence[Point],
    scales: tuple[Scale, Scale],
    selected: str | None,
    bend: Point | None,
) -> None:
    """A ring around the bases, another around the chosen variant, a square around the knee."""
    sx, sy = scales
    many = len(found) >= WEBGL_FROM
    for name, size, symbol, mine in (
        ("base", 24, "circle-open", [p for p in found if p.row.is_base]),
        ("chosen", 31, "circle-open", [p for p in found if p.row.recipe_id == selected]),
        ("knee", 27, "square-open", [bend] if bend else []),
    ):
        if mine:
            drawn.add_scatter(
                x=[p.x[1] / sx.factor for p in mine],
                y=[p.y[1] / sy.factor for p in mine],
                mode="markers",
                name=name,
                marker={"symbol": symbol, "size": size, "color": RING if many else LINE, "line": {"width": 2}},
                hoverinfo="skip",
                # The ring lies above the point that it marks, so a click on it means that point.
                customdata=[[p.row.recipe_id] for p in mine],
            )


def _labels(
    drawn: go.Figure,
    found: Sequence[Point],
    view: View,
    places: tuple[Sequence[Sequence[float]], Sequence[Sequence[float]]],
    ranges: Sequence[Sequence[float]],
) -> None:
    """Names beside the points, the base's and the best verdicts' first; the others are told by pointing at them."""
    order = sorted(range(len(found)), key=lambda i: (not found[i].row.is_base, VERDICT_ORDER[found[i].row.verdict]))
    names = [label(found[i].row, view.board) for i in order]
    texts = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    columns = []
    across, up = places
    for ends, length, (low, high) in zip(places, PLOT_SIZE, ranges, strict=True):
        columns.append([length * (ends[i][1] - low) / (high - low) for i in order])
    beside = place_labels(list(zip(*columns, strict=True)), texts, PLOT_SIZE)
    for i, text, place in zip(order, texts, beside, strict=True):
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
        font={"size": 13},
    )
    drawn.update_layout(
        height=560,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemsizing": "trace"},
        hoverlabel={"align": "left"},
        dragmode="pan",
        clickmode="event+select",
        uirevision=f"{x.key} {y.key} {log}",
    )
