"""What lies over the points of a Pareto plot: the attainment band, the knee, constraints, a third number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
from numpy.typing import NDArray

from leaderboard.points import bounds_on
from leaderboard.rows import Axis, Required, Row

BAND = "rgba(43, 123, 186, 0.16)"
BAND_NAME = "resampled frontiers, pointwise 95%"
BOUND = "#b3447a"
SMALLEST, LARGEST = 8.0, 30.0  # pixels across, of the points of a third number


@dataclass(frozen=True, slots=True)
class Overlays:
    """What is to be drawn over the points."""

    band: bool = True
    whiskers: bool = True
    everything: bool = False  # outliers too
    third: Axis | None = None
    by: str = "colour"  # or "size": how the third number is shown


def add_band(drawn: go.Figure, outline: NDArray[np.float64], factors: tuple[float, float], *, first: bool) -> None:
    """Draw the band beneath everything that comes later."""
    drawn.add_scatter(
        x=(outline[:, 0] / factors[0]).tolist(),
        y=(outline[:, 1] / factors[1]).tolist(),
        mode="lines",
        fill="toself",
        fillcolor=BAND,
        line={"width": 0},
        name=BAND_NAME,
        showlegend=first,
        hoverinfo="skip",
    )


def add_constraints(
    drawn: go.Figure,
    constraints: Sequence[Required],
    axes: tuple[Axis, Axis],
    factors: tuple[float, float],
    log: tuple[bool, bool] = (False, False),
) -> None:
    """A line at each bound that is on one of the axes."""
    for axis, factor, as_log, across in zip(axes, factors, log, (True, False), strict=True):
        for required in bounds_on(constraints, axis):
            at = required.constraint.bound / factor
            if as_log and at <= 0:
                continue
            # On a log axis plotly takes lines at their value, and words at its exponent.
            beside = {"x" if across else "y": math.log10(at) if as_log else at}
            (drawn.add_vline if across else drawn.add_hline)(
                at,
                name=required.text,
                line={"color": BOUND, "width": 1.5, "dash": "dash"},
                annotation={"text": escape(required.text), "font": {"size": 11}, **beside},
            )


def marker_of(rows: Sequence[Row], overlays: Overlays, everyone: Sequence[Row], factor: float) -> dict[str, Any]:
    """The part of a trace's marker that shows the third number; without one: as small as the smallest, or grey."""
    axis = overlays.third
    if axis is None:
        return {}
    values = [row.cells[axis.key].estimate for row in everyone if axis.key in row.cells]
    mine = [row.cells[axis.key].estimate if axis.key in row.cells else None for row in rows]
    if not values:
        return {}
    low, high = min(values), max(values)
    if overlays.by == "size":
        span = (high - low) or 1.0
        shares = [0.0 if value is None else (value - low) / span for value in mine]
        return {"size": [SMALLEST + (LARGEST - SMALLEST) * share**0.5 for share in shares]}
    return {
        "color": [None if value is None else value / factor for value in mine],
        "cmin": low / factor,
        "cmax": high / factor,
        "colorscale": "Cividis",
        "showscale": False,
    }
