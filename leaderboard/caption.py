"""What is said below a Pareto plot: of what is drawn, and of what was asked for and is not. Draws nothing."""

from __future__ import annotations

import math

import plotly.graph_objects as go  # type: ignore[import-untyped]

from leaderboard.charts import LOOKS, MOST_WHISKERS
from leaderboard.choices import View
from leaderboard.format import number
from leaderboard.index import LARGE
from leaderboard.listing import Listing
from leaderboard.overlays import BAND_NAME, Overlays
from leaderboard.points import MOST_IN_BAND, of_base, points
from leaderboard.rows import Axis, Draws, judged_as


def described(drawn: go.Figure, overlays: Overlays) -> str:
    """Sentences on the marks that the figure has, and on no others."""
    traces = list(drawn.data)
    names = {trace.name for trace in traces}
    said = []
    if any(_reaches(trace.error_x) or _reaches(trace.error_y) for trace in traces):
        said.append("Whiskers: 95% intervals.")
    if any(trace.name == "frontier" and len(trace.x) > 1 for trace in traces):
        said.append("The dotted line joins the estimates that no other beats.")
    if names & set(LOOKS):
        coloured = overlays.third is not None and overlays.by == "colour"
        told = "Shapes say" if coloured else "Shapes and colours say"
        said.append(f"{told} the verdicts: how sure it is that a variant is beaten, or that none beats it.")
    if BAND_NAME in names:
        said.append("The band is pointwise: along any one direction 95% of the resampled frontiers cross inside it.")
    if "knee" in names:
        said.append("The square marks the knee, where giving up a little of one gains most of the other.")
    return " ".join(said)


def _reaches(ends: go.scatter.ErrorX | go.scatter.ErrorY) -> bool:
    """Whether some whisker is longer than nothing."""
    return any(length for side in (ends.array, ends.arrayminus) if side is not None for length in side)


def left_out(
    drawn: go.Figure, view: View, axes: tuple[Axis, Axis], log: tuple[bool, bool], overlays: Overlays, draws: Draws
) -> str:
    """Sentences on what was asked for and is not in the figure; empty otherwise."""
    said = []
    found = points(view.rows, *axes)
    if overlays.whiskers and len(found) > MOST_WHISKERS and any(a < b for p in found for a, _, b in (p.x, p.y)):
        said.append(f"Whiskers are drawn for up to {MOST_WHISKERS} points: a filter brings them back.")
    if overlays.third is not None and overlays.by == "size":
        said.append(_sizes(view, overlays.third))
    said += [f"{shape.name} lies too far from the points to be drawn." for shape in _unseen(drawn, log)]
    if overlays.band:
        said.append(_no_band(drawn, view, axes, log, draws))
    return " ".join(filter(None, said))


def _unseen(drawn: go.Figure, log: tuple[bool, bool]) -> list[go.layout.Shape]:
    """The lines of constraints that lie outside of the axes."""
    found = []
    for shape in drawn.layout.shapes:
        across = shape.x0 == shape.x1
        at, as_log = (shape.x0, log[0]) if across else (shape.y0, log[1])
        low, high = (drawn.layout.xaxis if across else drawn.layout.yaxis).range
        if not low <= (math.log10(at) if as_log else at) <= high:
            found.append(shape)
    return found


def _sizes(view: View, third: Axis) -> str:
    """What the sizes of the points say."""
    values = [row.cells[third.key].estimate for row in view.rows if third.key in row.cells]
    if not values:
        return f"No point has a number for {third.title}: all have one size."
    ends = (number(value, third.unit, third.metric) for value in (min(values), max(values)))
    said = f"Size: {third.title}, from {' to '.join(ends)}"
    return (
        f"{said}; without a number a point is as small as the smallest." if len(values) < len(view.rows) else f"{said}."
    )


def _no_band(drawn: go.Figure, view: View, axes: tuple[Axis, Axis], log: tuple[bool, bool], draws: Draws) -> str:
    """Why a frontier has no band; empty where each has one."""
    if any(log):
        return "The band is drawn on linear axes alone."
    if any(judged_as(axis.key) != axis.key for axis in axes):
        return "The band is drawn of timings as ratios and of scores as they are: choose these as axes."
    if isinstance(view.board.rows, Listing):
        return f"The band is drawn in sweeps of up to {LARGE:,} variants."
    noisy = any(key in {axis.key for axis in axes} for _, key in draws)
    if noisy and any(len(of_base(view, base, *axes)) > MOST_IN_BAND for base in view.board.bases):
        return f"The band is drawn for up to {MOST_IN_BAND} variants of a base: a filter brings it back."
    if BAND_NAME not in {trace.name for trace in drawn.data}:
        return "There is no band: neither number was resampled."
    return ""
