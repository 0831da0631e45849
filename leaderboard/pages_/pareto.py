"""The Pareto plot: any two numbers, the frontier, and whoever is clicked."""

from __future__ import annotations

from typing import Any

import streamlit as st

from leaderboard import markup
from leaderboard.charts import figure, points
from leaderboard.choices import View
from leaderboard.controls import choose, chosen_variant, forget, in_address, open_page
from leaderboard.details import draw_details
from leaderboard.rows import Axis, Row
from leaderboard.source import Loaded, default_axes
from leaderboard.table import full_name

PLOT = "plot"
POSITIVE = ("B", "count", "ms", "s")


def main() -> None:
    """Draw the page."""
    view, _, loaded = open_page("pareto", with_axes=True)
    x, y, log = _axes(view)
    row = view.find(chosen_variant())
    if x == y:
        st.html(markup.box("Both axes show the same number: choose two different ones."))
        return
    if not points(view.rows, x, y):
        st.html(markup.box("No variant has both numbers yet: choose other axes, or wait for the sweep."))
        return
    drawn = figure(view, x, y, log=log, selected=row.recipe_id if row else None)
    left, right = st.columns([2, 1], gap="medium")
    with left:
        event = st.plotly_chart(
            drawn,
            key=PLOT,
            on_select="rerun",
            selection_mode="points",
            config={"displaylogo": False, "scrollZoom": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]},
        )
        _caption(view, x, y)
    _take(event)
    with right, st.container(border=True):
        row = view.find(chosen_variant())
        if row is None:
            st.html(markup.block(markup.line(markup.text("Click a point to see its recipe and numbers."), css="quiet")))
        else:
            _links(row, loaded)
            draw_details(row, view)


def _links(row: Row, loaded: Loaded) -> None:
    """Where more is known of the chosen variant."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        to = in_address(loaded, variant=row.recipe_id[:16])
        st.page_link("pages_/variant.py", label="Open its page →", query_params=to)
        st.button("Close", on_click=forget)


def _axes(view: View) -> tuple[Axis, Axis, tuple[bool, bool]]:
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
                width=420,
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
    return x, y, (log[0], log[1])


def _take(event: Any) -> None:
    """Put a freshly clicked point into the address; what was clicked before stays as it is."""
    picked = [point["customdata"][0] for point in event["selection"]["points"] if point.get("customdata")]
    if picked != st.session_state.get("picked"):
        st.session_state["picked"] = picked
        if picked:
            choose(picked[0])
            st.rerun()


def _caption(view: View, x: Axis, y: Axis) -> None:
    drawn = len(points(view.rows, x, y))
    missing = len(view.rows) - drawn
    said = f"{drawn} of {len(view.rows)} rows drawn" + (f"; {missing} have no number on one axis." if missing else ".")
    st.caption(
        f"{said} Whiskers: 95% intervals. The dotted line joins the estimates that no other beats; the verdicts, "
        "in shape and colour, say how sure that is."
    )


if __name__ == "__main__":  # which Streamlit calls a page
    main()
