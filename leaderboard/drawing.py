"""The Pareto plot as SVG: for a report that needs no script and nothing from outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from leaderboard.axes import default_axes
from leaderboard.choices import View
from leaderboard.extent import outside, reach
from leaderboard.format import interval, number
from leaderboard.labels import place_labels
from leaderboard.points import (
    Point,
    Scale,
    band_outline,
    bounds_on,
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
from leaderboard.rows import VERDICT_ORDER, Axis, Draws, Required
from leaderboard.table import full_name, label, share

WIDTH, HEIGHT = 900.0, 520.0
LEFT, RIGHT, TOP, BOTTOM = 84.0, 20.0, 16.0, 58.0
INSIDE = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
WRITTEN_OUT = 40  # points with names; with more no name would find a place
MOST_WHISKERS = 300
LONGEST = 40
MARKS = {"certain": "circle", "contested": "diamond", "dominated": "cross", "not evaluated": "square"}


class _Frame:
    """From the axes' units, as drawn, to pixels."""

    def __init__(self, ranges: Sequence[Sequence[float]]) -> None:
        self.x, self.y = ranges

    def across(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return LEFT + INSIDE[0] * min(1.02, max(-0.02, share))

    def up(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return TOP + INSIDE[1] * (1 - min(1.02, max(-0.02, share)))


def plot_svg(view: View, draws: Draws) -> str:
    """Quality over cost with whiskers, verdicts, frontier line and band; a sentence where nothing can be drawn."""
    x, y = (view.board.axes[key] for key in default_axes(view.board))
    found = points(view.rows, x, y)
    if not found or x == y:
        return "<p>No variant has both numbers: nothing to draw.</p>"
    sx, sy = (scale(axis, [v for p in found for v in where(p)]) for axis, where in ((x, xs), (y, ys)))
    ends = placed(found, xs, sx, as_log=False), placed(found, ys, sy, as_log=False)
    asked = view.board.constraints
    field = competing(found, x, y)
    lines = {b: frontier_line([p for p in field if p.row.base == b], x, y) for b in view.board.bases}
    on_line = {place for line in lines.values() for place in line}
    kept = [p.row.is_base or (p.x[1], p.y[1]) in on_line for p in found]
    frame = _Frame(
        [
            with_bounds(reach(each, kept), asked, axis, unit.factor, as_log=False)
            for each, axis, unit in zip(ends, (x, y), (sx, sy), strict=True)
        ]
    )
    parts = [_grid(frame, x, y, sx, sy), _bounds(asked, (x, y), (sx, sy), frame)]
    for base, line in lines.items():
        mine = [p for p in field if p.row.base == base]
        parts.append(_band(view, mine, (x, y), (sx, sy), draws, frame))
        parts.append(_line(line, (sx, sy), frame))
    far = outside(ends[0], frame.x) | outside(ends[1], frame.y)
    found = [point for point, out in zip(found, far, strict=True) if not out]
    order = sorted(range(len(found)), key=lambda i: -VERDICT_ORDER[found[i].row.verdict])
    whiskers = len(found) <= MOST_WHISKERS
    parts += [_point(found[i], (x, y), (sx, sy), frame, whiskers=whiskers) for i in order]
    if len(view.board.bases) == 1:
        bend = knee_of([(p.x[1], p.y[1]) for p in field], x, y)
        if bend is not None:
            a, b = frame.across(field[bend].x[1] / sx.factor), frame.up(field[bend].y[1] / sy.factor)
            parts.append(f'<rect class="ring" x="{a - 12:.1f}" y="{b - 12:.1f}" width="24" height="24"/>')
    if len(found) <= WRITTEN_OUT:
        parts.append(_names(found, view, (sx, sy), frame))
    note = f"<p>{far.sum():,} far outside of what is drawn, and left out.</p>" if far.any() else ""
    title = escape(f"{full_name(y)} over {full_name(x)}")
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{title}"><title>{title}</title>'
        f"{''.join(parts)}</svg>{note}"
    )


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers from low to high: steps of 1, 2 or 5 times a power of ten, at most so many."""
    if not high > low:
        return [low]
    step = 10 ** math.floor(math.log10((high - low) / most))
    step *= next((m for m in (1, 2, 5) if (high - low) / (m * step) <= most), 10)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _grid(frame: _Frame, x: Axis, y: Axis, sx: Scale, sy: Scale) -> str:
    parts = []
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in ticks(frame.x[0], frame.x[1]):
        a = frame.across(value)
        parts.append(f'<line class="grid" x1="{a:.1f}" x2="{a:.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{a:.1f}" y="{bottom + 18}" text-anchor="middle">{_tick(value, sx)}</text>')
    for value in ticks(frame.y[0], frame.y[1]):
        b = frame.up(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{b:.1f}" y2="{b:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{b + 4:.1f}" text-anchor="end">{_tick(value, sy)}</text>')
    middle = LEFT + INSIDE[0] / 2, TOP + INSIDE[1] / 2
    parts.append(f'<text x="{middle[0]}" y="{HEIGHT - 14}" text-anchor="middle">{escape(full_name(x))}</text>')
    turned = f"translate(18 {middle[1]}) rotate(-90)"
    parts.append(f'<text transform="{turned}" text-anchor="middle">{escape(full_name(y))}</text>')
    return "".join(parts)


def _tick(value: float, each: Scale) -> str:
    text = f"{value:,.6g}"
    return escape(f"{f'{value:,.0f}' if 'e+' in text else text}{each.suffix}".replace("-", "−"))


def _bounds(asked: Sequence[Required], axes: tuple[Axis, Axis], scales: tuple[Scale, Scale], frame: _Frame) -> str:
    """A line at each bound that is on one of the axes and near the points; all of them stand in the head."""
    parts = []
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for axis, unit, between, across in zip(axes, scales, (frame.x, frame.y), (True, False), strict=True):
        for required in bounds_on(asked, axis):
            at = required.constraint.bound / unit.factor
            if not between[0] <= at <= between[1]:
                continue
            a, b = frame.across(at), frame.up(at)
            line = f"M{a:.1f} {TOP}V{bottom}" if across else f"M{LEFT} {b:.1f}H{right}"
            beside = f'x="{a + 4:.1f}" y="{TOP + 10}"' if across else f'x="{LEFT + 4}" y="{b - 4:.1f}"'
            words = f'<text class="bound" {beside}>{escape(required.text)}</text>'
            parts.append(f'<path class="bound" d="{line}"/>{words}')
    return "".join(parts)


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places)


def _line(line: Sequence[tuple[float, float]], scales: tuple[Scale, Scale], frame: _Frame) -> str:
    """Steps through the estimates of the frontier: across first, then up or down."""
    sx, sy = scales
    places: list[tuple[float, float]] = []
    for a, b in line:
        here = frame.across(a / sx.factor), frame.up(b / sy.factor)
        if places:
            places.append((here[0], places[-1][1]))
        places.append(here)
    return f'<path class="front" d="{_path(places)}"/>' if len(places) > 1 else ""


def _band(
    view: View,
    mine: Sequence[Point],
    axes: tuple[Axis, Axis],
    scales: tuple[Scale, Scale],
    draws: Draws,
    frame: _Frame,
) -> str:
    worse = [
        between[1 if axis.better == "lower" else 0] * each.factor
        for axis, each, between in zip(axes, scales, (frame.x, frame.y), strict=True)
    ]
    outline = band_outline(view.board, [p.row for p in mine], axes, draws, (worse[0], worse[1]))
    if outline is None:
        return ""
    places = [(frame.across(a / scales[0].factor), frame.up(b / scales[1].factor)) for a, b in outline.tolist()]
    return f'<path class="band" d="{_path(places)}Z"/>'


def _point(point: Point, axes: tuple[Axis, Axis], scales: tuple[Scale, Scale], frame: _Frame, *, whiskers: bool) -> str:
    sx, sy = scales
    a, b = frame.across(point.x[1] / sx.factor), frame.up(point.y[1] / sy.factor)
    row = point.row
    ends = [frame.across(v / sx.factor) for v in point.x], [frame.up(v / sy.factor) for v in point.y]
    level = f"M{ends[0][0]:.1f} {b:.1f}H{ends[0][2]:.1f}"
    lines = f'<path class="whisker" d="{level}M{a:.1f} {ends[1][0]:.1f}V{ends[1][2]:.1f}"/>' if whiskers else ""
    ring = f'<circle class="ring" cx="{a:.1f}" cy="{b:.1f}" r="12"/>' if row.is_base else ""
    told = [f"{row.name}: {row.verdict}, on the frontier in {share(row)} of resamples"]
    for axis in axes:
        cell = row.cells[axis.key]
        between = interval(cell.low, cell.high, axis.unit, axis.metric)
        told.append(f"{axis.title}: {number(cell.estimate, axis.unit, axis.metric)} ({between})")
    css = row.verdict.replace(" ", "-")
    return f'<g class="{css}"><title>{escape(chr(10).join(told))}</title>{lines}{ring}{_mark(row.verdict, a, b)}</g>'


def _mark(verdict: str, a: float, b: float) -> str:
    """A shape that says the verdict without its colour."""
    shape = MARKS[verdict]
    if shape == "circle":
        return f'<circle class="mark" cx="{a:.1f}" cy="{b:.1f}" r="5.5"/>'
    if shape == "diamond":
        return f'<path class="mark" d="M{a:.1f} {b - 7:.1f}l7 7l-7 7l-7 -7Z"/>'
    if shape == "cross":
        return f'<path class="mark open" d="M{a - 4:.1f} {b - 4:.1f}l8 8m0 -8l-8 8"/>'
    return f'<rect class="mark open" x="{a - 4:.1f}" y="{b - 4:.1f}" width="8" height="8"/>'


def _names(found: Sequence[Point], view: View, scales: tuple[Scale, Scale], frame: _Frame) -> str:
    order = sorted(range(len(found)), key=lambda i: (not found[i].row.is_base, VERDICT_ORDER[found[i].row.verdict]))
    texts = [label(found[i].row, view.board) for i in order]
    texts = [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in texts]
    places = []
    for i in order:
        a, b = frame.across(found[i].x[1] / scales[0].factor), frame.up(found[i].y[1] / scales[1].factor)
        places.append((a - LEFT, HEIGHT - BOTTOM - b))
    parts = []
    for (a, b), text, place in zip(places, texts, place_labels(places, texts, INSIDE), strict=True):
        if place is not None:
            side, right, above = place
            at = f'x="{LEFT + a + right:.1f}" y="{HEIGHT - BOTTOM - b - above + 4:.1f}"'
            anchor = "start" if side == "left" else "end"
            parts.append(f'<text class="name" {at} text-anchor="{anchor}">{escape(text)}</text>')
    return "".join(parts)
