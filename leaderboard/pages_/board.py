"""The leaderboard: one row a variant."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from leaderboard import markup, table
from leaderboard.choices import View, has_task, in_order, with_bases, with_seeds_together
from leaderboard.comparison import FEWEST, MOST
from leaderboard.controls import BOARD, COMPARED, SORT, compared, go, in_address, open_page, to_visit, visit
from leaderboard.downloads import as_csv, as_json, as_parquet
from leaderboard.grid import draw_grid
from leaderboard.listing import AT_ONCE
from leaderboard.rows import Key, Row
from leaderboard.source import Loaded
from leaderboard.table import column_name, payload, usual_columns
from leaderboard.ties import with_ties


def main() -> None:
    """Draw the page."""
    view, bar, loaded = open_page(BOARD, leave=visit)
    keys = {column_name(key): key for key in _of_task(view)}
    sort = _sort(keys)
    by = keys.get(sort[0], sort[0]) if sort else None
    rows = in_order(view.rows, by, descending=bool(sort and sort[1]))
    with bar:
        columns = _columns(view, keys)
        _downloads(view, len(rows))
        ticked = _ticked(view)
        _compare(ticked, loaded)
    if view.board.about.several_seeds:
        with bar:
            said = "Variants of one recipe with several training seeds stand below the first of them."
            if st.toggle("Seeds together", value=True, key="together", bind="query-params", help=said):
                rows = with_seeds_together(rows)
    _missing(view, loaded)
    part, ties = with_ties(view, with_bases(view, _part(rows)))
    shown = payload(view, part, columns, sort, [row.recipe_id for row in ticked])
    draw_grid(shown, picked=to_visit, sorted_by=sort_by, ticked=tick)
    told = [cell["ranked"] for row in shown["rows"] for cell in row["cells"] if cell["ranked"]]
    legend = (
        "Small numbers are 95% intervals, and the bars draw them. ↑ higher is better, ↓ lower is better.",
        *(_ranks(told), ties),
        "Click a row for everything known of it; tick two to four to compare them.",
    )
    st.caption(" ".join(filter(None, legend)))


def _ranks(told: Sequence[str]) -> str:
    """What the ranks below the objectives are, where there are some; with letters where some are shown."""
    return (table.LETTERED if table.LETTERED in told else told[0]) if told else ""


def _of_task(view: View) -> list[Key]:
    """The numbers to choose columns from: all, or without those of other tasks than the chosen one."""
    board, task = view.board, st.session_state.get("task")
    others = [name for name in board.tasks if task in board.tasks and name != task]
    return [key for key in board.axes if not any(has_task(key, name) for name in others)]


def _columns(view: View, keys: dict[str, Key]) -> list[Key]:
    names = list(keys)
    usual = [column_name(key) for key in usual_columns(view.board) if key in keys.values()]
    with st.popover("Columns"):
        st.caption("Only what is listed: verdicts stay on the declared objectives.")
        chosen = st.multiselect(
            "Numbers to show",
            names,
            default=usual,
            key="columns",
            bind="query-params",
            format_func=lambda name: view.board.axes[keys[name]].title,
        )
    return [keys[name] for name in chosen]


def _downloads(view: View, count: int) -> None:
    """The listed rows with all their numbers at full precision."""
    board, rows = view.board, view.rows
    with st.popover("Download"):
        st.caption(f"The {count:,} rows that are listed, with all numbers at full precision.{_wait(count)}")
        st.download_button(
            "CSV",
            lambda: as_csv(board, rows),
            file_name="leaderboard.csv",
            mime="text/csv",
            on_click="ignore",
            help="For spreadsheets: one line a variant, every number with its interval.",
        )
        st.download_button(
            "Parquet",
            lambda: as_parquet(board, rows),
            file_name="leaderboard.parquet",
            on_click="ignore",
            help="For pandas, DuckDB and the like: one line a variant, typed columns.",
        )
        st.download_button(
            "JSON",
            lambda: as_json(board, rows),
            file_name="leaderboard.json",
            mime="application/json",
            on_click="ignore",
            help="For programs: recipes, numbers, verdicts and notes in full.",
        )


def _wait(count: int) -> str:
    """What to expect of a file of many rows, which is made when its button is pressed."""
    if count <= AT_ONCE:
        return ""
    return " So many take up to a minute: the button turns until the file is ready, and the download then starts."


def _ticked(view: View) -> list[Row]:
    """The variants that are ticked, as the address says."""
    found = [row for row in (view.find(each) for each in compared()) if row is not None]
    return list({row.recipe_id: row for row in found}.values())


def _compare(ticked: Sequence[Row], loaded: Loaded) -> None:
    if not ticked:
        return
    count = len(ticked)
    wanted = st.button(
        f"Compare {count}",
        type="primary",
        disabled=not FEWEST <= count <= MOST,
        help=f"Tick {FEWEST} to {MOST} variants; {count} {'is' if count == 1 else 'are'} ticked.",
    )
    if st.button("Untick all"):
        st.query_params.pop(COMPARED, None)
        st.rerun()
    if wanted:
        chosen = ",".join(row.recipe_id[:16] for row in ticked)
        go("pages_/compare.py", loaded, variants=chosen)


def tick(recipe_id: str) -> None:
    """Tick a variant, or take its tick away."""
    now, mine = compared(), recipe_id[:16]
    now = [each for each in now if each != mine] if mine in now else [*now, mine]
    if now:
        st.query_params[COMPARED] = ",".join(now)
    else:
        st.query_params.pop(COMPARED, None)


def _missing(view: View, loaded: Loaded) -> None:
    """Say how many rows lack numbers, and where their causes stand."""
    counts = [
        (view.board.about.statuses.get(status, 0), words)
        for status, words in (("failed", "failed"), ("waiting", "not built yet"), ("partial", "not finished"))
    ]
    told = ", ".join(f"{count:,} {words}" for count, words in counts if count)
    if told:
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            said = f"{told}: their rows stay listed, with the cause in the notes."
            st.html(markup.block(markup.line(markup.text(said), css="small")), width="content")
            st.page_link("pages_/sweeps.py", label="Causes and how to retry", query_params=in_address(loaded))


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


def _part(rows: Sequence[Row]) -> Sequence[Row]:
    size, count = table.A_PAGE, len(rows)
    if count <= size:
        return rows[:]
    last = -(-count // size)
    page = int(st.number_input(f"Page of {last}", 1, last, key="page", bind="query-params", width=160))
    return rows[(page - 1) * size : page * size]


if __name__ == "__main__":  # which Streamlit calls a page
    main()
