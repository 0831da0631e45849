"""The leaderboard: one row a variant."""

from __future__ import annotations

import streamlit as st

from leaderboard import table
from leaderboard.choices import View, in_order
from leaderboard.controls import choose, chosen_variant, forget, open_page
from leaderboard.details import draw_details
from leaderboard.grid import draw_grid
from leaderboard.rows import Key, Row
from leaderboard.table import as_csv, column_name, payload, usual_columns

SORT = "sort"


def main() -> None:
    """Draw the page."""
    view, bar = open_page("board")
    keys = {column_name(key): key for key in view.board.axes}
    with bar:
        columns = _columns(view, keys)
    sort = _sort(keys)
    by = keys.get(sort[0], sort[0]) if sort else None
    rows = in_order(view.rows, by, descending=bool(sort and sort[1]))
    draw_grid(payload(view, _part(rows), columns, sort), choose, sort_by)
    st.caption("Small numbers are 95% intervals, and the bars draw them. ↑ higher is better, ↓ lower is better.")
    row = view.find(chosen_variant())
    if row is not None:
        _open(row, view)


def _columns(view: View, keys: dict[str, Key]) -> list[Key]:
    names = list(keys)
    usual = [column_name(key) for key in usual_columns(view.board)]
    with st.popover("Columns"):
        chosen = st.multiselect(
            "Numbers to show",
            names,
            default=usual,
            key="columns",
            bind="query-params",
            format_func=lambda name: view.board.axes[keys[name]].title,
        )
    st.download_button(
        "Download CSV",
        lambda: as_csv(view, view.rows),
        file_name="leaderboard.csv",
        mime="text/csv",
        on_click="ignore",
    )
    return [keys[name] for name in chosen]


def _sort(keys: dict[str, Key]) -> tuple[str, bool] | None:
    """What the address says of the order: `sort=size`, or `sort=-size` from the largest down."""
    asked = st.query_params.get(SORT, "")
    name = asked.removeprefix("-")
    return (name, asked.startswith("-")) if name in keys or name in ("name", "verdict") else None


def sort_by(name: str) -> None:
    """A click on a heading sorts upwards, a second one downwards, a third one as the sweep ranks."""
    now = st.query_params.get(SORT)
    if now == name:
        st.query_params[SORT] = f"-{name}"
    elif now == f"-{name}":
        st.query_params.pop(SORT, None)
    else:
        st.query_params[SORT] = name


def _part(rows: list[Row]) -> list[Row]:
    size = table.A_PAGE
    if len(rows) <= size:
        return rows
    last = -(-len(rows) // size)
    page = int(st.number_input(f"Page of {last}", 1, last, key="page", bind="query-params", width=160))
    return rows[(page - 1) * size : page * size]


@st.dialog("Variant", width="large", on_dismiss=forget)
def _open(row: Row, view: View) -> None:
    draw_details(row, view)


if __name__ == "__main__":  # which Streamlit calls a page
    main()
