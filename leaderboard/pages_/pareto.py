"""The Pareto plot: any two numbers, the frontier, and whoever is clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from leaderboard import markup
from leaderboard.axes import default_axes
from leaderboard.caption import described, left_out
from leaderboard.charts import figure
from leaderboard.choices import View
from leaderboard.controls import COMPETE, HELD, WHERE, choose, chosen_variant, forget, in_address, name_sweep, open_page
from leaderboard.details import draw_details
from leaderboard.index import LARGE
from leaderboard.judging import tells_no_pair
from leaderboard.large import column
from leaderboard.listing import Listing
from leaderboard.overlays import Overlays
from leaderboard.points import MOST_IN_BAND, far_outside, points
from leaderboard.rows import Axis, Board, Row
from leaderboard.slider import SliderEnds, slider_ends
from leaderboard.source import Loaded
from leaderboard.table import column_name, full_name
from leaderboard.thinning import thinned
from leaderboard.where import limit_in, with_limit

PLOT = "plot"
CONFIG = {
    "displaylogo": False,
    "scrollZoom": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
    # plotly counts from the beginning of a drag: a click soon after one would pass for the second of a double click,
    # which throws away zoom and selection. The bar of the plot has a button that resets the axes.
    "doubleClickDelay": 1,
}
GONE = (
    "There is no variant {} among those shown: a constraint leaves it out, or it is gone, or of another sweep or "
    "store. Loosen the constraint, or click a point."
)
POSITIVE = ("B", "count", "ms", "s")


def main() -> None:
    """Draw the page."""
    view, bar, loaded = open_page("pareto", with_axes=True)
    with bar:
        _by_slider(view)
    x, y, log, overlays = _axes(view)
    if x == y:
        st.html(markup.box("Both axes show the same number: choose two different ones."))
        return
    for axis in (x, y):
        if (sentence := tells_no_pair(view.board, axis.key)) is not None:
            st.html(markup.box(f"{sentence}: the points are drawn, and none of them is judged."))
    ringed = _ringed(view, x, y)
    with st.spinner("Choosing what to draw …", show_time=True):
        shown, thin = thinned(view, x, y, ringed, overlays.third)
    if not points(shown.rows, x, y):
        st.html(markup.box("No variant has both numbers yet: choose other axes, or wait for the sweep."))
        return
    drawn = figure(shown, x, y, log=log, selected=ringed, overlays=overlays, draws=loaded.draws)
    left, right = st.columns([2, 1], gap="medium")
    with left:
        event = st.plotly_chart(
            drawn,
            key=PLOT,
            on_select="rerun",
            selection_mode="points",
            config=CONFIG,
            alt=f"{full_name(y)} over {full_name(x)}: the leaderboard has the same numbers as a table.",
        )
        told = (
            _counted(shown, len(view.rows), thin, (x, y), log, overlays),
            described(drawn, overlays),
            left_out(drawn, shown, (x, y), log, overlays, loaded.draws),
        )
        st.caption(markup.as_label(" ".join(filter(None, told))))
    _take(event)
    if chosen_variant():
        name_sweep(loaded)
    with right, st.container(border=True):
        row = view.find(chosen_variant())
        if row is None and chosen_variant():
            st.html(markup.box(GONE.format(chosen_variant())))
        elif row is None:
            st.html(markup.block(markup.line(markup.text("Click a point to see its recipe and numbers."), css="quiet")))
        else:
            _links(row, loaded)
            draw_details(row, view)


def _ringed(view: View, x: Axis, y: Axis) -> str | None:
    """The variant of a link, ringed as long as these axes are shown.

    A click does not move it: other data in the figure would throw away the zoom, and plotly marks what is clicked.
    """
    about = (view.board.sweep_id, x.key, y.key)
    kept = st.session_state.get("ringed")
    if kept is None or kept[0] != about:
        row = view.find(chosen_variant())
        kept = (about, row.recipe_id if row else None)
        st.session_state["ringed"] = kept
    found: str | None = kept[1]
    return found


def _by_slider(view: View) -> None:
    """Constraints without typing: a slider over what the variants have, which writes the constraint into the box."""
    rows = st.session_state[HELD][1].board.rows  # those that a constraint leaves out too
    # A scope with a sign of comparison in its name cannot be written in a constraint.
    named = (axis for axis in view.board.axes.values() if not set(axis.scope) & set("<>=≤≥,"))
    numbers = {axis.title: axis for axis in named if _values(rows, axis)}
    with st.popover("Constraint by slider"):
        if not numbers:
            st.caption("No variant has a number yet that could be limited.")
            return
        st.caption(f"**{COMPETE}**. The slider writes into the box Constraints.")
        axis = numbers[str(st.selectbox("Number", list(numbers), key="limited"))]
        upper = axis.better == "lower"
        ends = slider_ends(axis, _values(rows, axis))
        if ends.low == ends.high:
            st.caption("All variants have the same: there is nothing to limit.")
            return
        key, typed = f"limit {axis.title}", limit_in(view.board, str(st.session_state.get(WHERE) or ""), axis)
        loosest = ends.high if upper else ends.low
        st.session_state[key] = loosest if typed is None else min(max(typed / ends.factor, ends.low), ends.high)
        st.slider(
            f"{'At most' if upper else 'At least'}{f', in{ends.suffix}' if ends.suffix else ''}",
            ends.low,
            ends.high,
            step=ends.step,
            format=f"%.{ends.digits}f",
            key=key,
            on_change=_limit,
            args=(view.board, axis, ends),
        )


def _values(rows: Sequence[Row], axis: Axis) -> list[float]:
    """The estimates of one number; of a large sweep the smallest and the largest."""
    if not isinstance(rows, Listing):
        return [row.cells[axis.key].estimate for row in rows if axis.key in row.cells]
    found = column(rows.source, rows.sweep_id, axis.key).estimate
    found = found[np.isfinite(found)]
    return [float(found.min()), float(found.max())] if found.size else []


def _limit(board: Board, axis: Axis, ends: SliderEnds) -> None:
    """Put the slider's constraint into the box, in place of one on the same number; where all keep it, none."""
    value = float(st.session_state[f"limit {axis.title}"])
    upper = axis.better == "lower"
    bound = f"{column_name(axis.key)} {'<=' if upper else '>='} {value:.{ends.digits}f}{ends.suffix}"
    text = str(st.session_state.get(WHERE) or "")
    loosest = ends.high if upper else ends.low
    st.session_state[WHERE] = with_limit(board, text, axis.key, "" if value == loosest else bound)


def _links(row: Row, loaded: Loaded) -> None:
    """Where more is known of the chosen variant."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        to = in_address(loaded, variant=row.recipe_id[:16])
        st.page_link("pages_/variant.py", label="Open its page →", query_params=to)
        st.button("Close", on_click=forget)


def _axes(view: View) -> tuple[Axis, Axis, tuple[bool, bool], Overlays]:
    # The address holds the full name: it is what the head of the page reads to judge on these axes.
    by_name = {full_name(axis): axis for axis in view.board.axes.values()}
    names = list(by_name)
    usual = [full_name(view.board.axes[key]) for key in default_axes(view.board)]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        picked = [
            st.selectbox(
                f"{'Horizontal' if key == 'x' else 'Vertical'} axis",
                names,
                index=names.index(default),
                key=key,
                bind="query-params",
                width=400,
            )
            for key, default in zip("xy", usual, strict=True)
        ]
        x, y = (by_name[str(name)] for name in picked)
        log = tuple(
            st.toggle(f"log {key}", key=f"log{key}", bind="query-params")
            if axis.unit in POSITIVE or axis.metric.endswith("_ratio")
            else False
            for key, axis in zip("xy", (x, y), strict=True)
        )
        overlays = _overlays(by_name)
    return x, y, (log[0], log[1]), overlays


def _overlays(by_name: Mapping[str, Axis]) -> Overlays:
    with st.popover("Drawing"):
        st.caption("Only what is drawn: verdicts stay.")
        third = st.selectbox(
            "Third number",
            list(by_name),
            index=None,
            placeholder="none",
            key="z",
            bind="query-params",
            help="Any further number, as the colour or the size of the points. Verdicts are on the two axes.",
        )
        by = st.segmented_control(
            "Third number as", ["colour", "size"], default="colour", required=True, key="as", bind="query-params"
        )
        band = st.toggle(
            "Attainment band",
            value=True,
            key="band",
            bind="query-params",
            help="Pointwise: along any one direction 95% of the resampled frontiers cross inside it. It shows the "
            "resamples; verdicts rest on intervals. "
            f"On linear axes, of timings as ratios, with up to {MOST_IN_BAND} variants of a base in a sweep of up to "
            f"{LARGE:,}.",
        )
        whiskers = st.toggle("Whiskers", value=True, key="whiskers", bind="query-params", help="95% intervals.")
        everything = st.toggle(
            "Outliers too",
            key="outliers",
            bind="query-params",
            help="Points far from all others are left out of the drawn range, but for the base and the frontier.",
        )
    return Overlays(band, whiskers, everything, by_name[third] if third else None, str(by))


def _take(event: Any) -> None:
    """Put a freshly clicked point into the address; what was clicked before stays as it is."""
    picked = [point["customdata"][0] for point in event["selection"]["points"] if point.get("customdata")]
    if picked != st.session_state.get("picked"):
        st.session_state["picked"] = picked
        if picked:
            choose(picked[0])
            st.rerun()


def _counted(
    view: View, count: int, thin: str, axes: tuple[Axis, Axis], log: tuple[bool, bool], overlays: Overlays
) -> str:
    """How many points are drawn, and why the others are not."""
    x, y = axes
    drawn = len(points(view.rows, x, y))
    said = thin
    if not thin:
        said = f"{drawn:,} of {count:,} rows drawn"
        said += f"; {count - drawn:,} have no number on one axis." if drawn < count else "."
    far = 0 if overlays.everything else far_outside(view, x, y, log=log)
    if far:
        said += f" {far} lie{'s' * (far == 1)} far outside of what is drawn: 'Outliers too', under Drawing, draws all."
    return said


if __name__ == "__main__":  # which Streamlit calls a page
    main()
