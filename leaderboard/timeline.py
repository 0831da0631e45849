"""The timeline of a run by node: what ran where, and side by side with what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

import plotly.graph_objects as go  # type: ignore[import-untyped]

from leaderboard.format import clock
from leaderboard.running import Bar

# Apart for every kind of colour blindness, readable on white and on black; the text on pointing says the kind too.
COLOURS = {"build": "#2b7bba", "study": "#56b4e9", "evaluate": "#009e73", "timing": "#d97706", "memory": "#b07aa1"}
FAILED = "#d1242f"
LANE_HEIGHT = 26
MOST_LANES = 40


def lanes(bars: Sequence[Bar]) -> list[str]:
    """The names of the rows, top down: a node once for everything that ran side by side on it."""
    return [_lane(node, lane) for node, lane in sorted({(bar.node, bar.lane) for bar in bars})]


def _lane(node: str, lane: int) -> str:
    return node if lane == 0 else f"{node} +{lane}"


def timeline(bars: Sequence[Bar]) -> go.Figure:
    """One bar an attempt, by node and lane; failed ones are outlined and crossed. Names are escaped."""
    drawn = go.Figure()
    for kind in dict.fromkeys(bar.kind for bar in bars):
        mine = [bar for bar in bars if bar.kind == kind]
        drawn.add_bar(
            base=[_moment(bar.started) for bar in mine],
            x=[1000 * max(bar.seconds, 0.05) for bar in mine],
            y=[escape(_lane(bar.node, bar.lane)) for bar in mine],
            orientation="h",
            name=kind,
            marker={
                "color": COLOURS.get(kind, "#7d8590"),
                "line": {"color": [FAILED if bar.failed else "rgba(0,0,0,0)" for bar in mine], "width": 2},
                "pattern": {"shape": ["x" if bar.failed else "" for bar in mine], "fgcolor": FAILED},
            },
            text=[_hover(bar) for bar in mine],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    rows = lanes(bars)
    drawn.update_layout(
        barmode="overlay",
        bargap=0.25,
        height=110 + LANE_HEIGHT * max(3, min(MOST_LANES, len(rows))),
        margin={"l": 10, "r": 10, "t": 36, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        hoverlabel={"align": "left"},
        dragmode="pan",
    )
    drawn.update_xaxes(type="date", title={"text": "UTC"}, automargin=True)
    drawn.update_yaxes(
        categoryorder="array", categoryarray=[escape(name) for name in reversed(rows)], automargin=True, title=None
    )
    return drawn


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")


def _hover(bar: Bar) -> str:
    took = clock(bar.seconds) if bar.seconds >= 60 else f"{bar.seconds:.1f} s"
    failed = "<b>failed</b><br>" if bar.failed else ""
    return f"{failed}{escape(bar.what)}<br>{took} on {escape(bar.worker)}"
