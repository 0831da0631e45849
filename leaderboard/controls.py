"""What every page begins with: the title, the progress line, the filters, and the rows that they leave.

Filters live in the address (`bind="query-params"`), so a link brings back what was seen.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from leaderboard import markup
from leaderboard.choices import Choice, View, look
from leaderboard.live import draw_progress, follow
from leaderboard.rows import VERDICT_ORDER, Board
from leaderboard.source import Loaded, NothingToShow, default_axes, load
from leaderboard.table import column_name

VARIANT = "variant"


def open_page(*, with_axes: bool = False) -> tuple[View, DeltaGenerator]:
    """Draw the head of a page; returns what to show, and the row of filters for the page's own controls.

    Ends the run with a sentence where there is nothing to show.
    """
    st.html(markup.STYLE)
    params = st.query_params
    axes = (params.get("x"), params.get("y")) if with_axes else (None, None)
    try:
        loaded = load(_asked_sweep(), axes)
    except NothingToShow as error:
        st.html(markup.box(str(error)))
        follow(None)
        st.stop()
    follow(loaded.snapshot)
    _title(loaded.board)
    draw_progress(loaded.board)
    bar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with bar:
        choice = _filters(loaded)
    view = look(loaded.board, choice, loaded.keys, loaded.draws)
    _among(view, choice)
    return view, bar


def _asked_sweep() -> str | None:
    """The chosen sweep's id: from the widget where there is one, else by the name in the address."""
    return st.session_state.get("sweep_id")


def _title(board: Board) -> None:
    when = board.published[:19].replace("T", " ")
    st.html(
        markup.block(
            markup.heading(board.name, 1),
            markup.line(markup.text(board.description), css="quiet") if board.description else "",
            markup.line(
                markup.text(f"Measured on {board.hardware_class} · as of {when} UTC"),
                css="quiet small",
            ),
        )
    )


def _filters(loaded: Loaded) -> Choice:
    board = loaded.board
    if len(loaded.sweeps) > 1:
        _sweep_box(loaded)
    text = st.text_input(
        "Search",
        key="q",
        type="search",
        live=True,
        placeholder="name or method",
        bind="query-params",
        width=220,
    )
    base = None
    if len(board.bases) > 1:
        base = st.selectbox(
            "Base model", board.bases, index=None, key="base", placeholder="all", bind="query-params", width=200
        )
    known = sorted({method for row in board.rows for method in row.methods})
    methods = st.multiselect("Method", known, key="method", placeholder="all", bind="query-params", width=260)
    standings = st.multiselect(
        "Verdict", list(VERDICT_ORDER), key="verdict", placeholder="all", bind="query-params", width=260
    )
    return Choice(base, tuple(methods), text or "", tuple(standings))


def _sweep_box(loaded: Loaded) -> None:
    names = dict(loaded.sweeps)
    by_name = {name: sweep_id for sweep_id, name in loaded.sweeps}

    def changed() -> None:
        st.session_state["sweep_id"] = by_name.get(st.session_state["sweep"])

    chosen = st.selectbox("Sweep", list(by_name), key="sweep", bind="query-params", width=260, on_change=changed)
    if by_name.get(str(chosen)) != loaded.board.sweep_id:
        # The address named another sweep than the one that was loaded for the first run.
        st.session_state["sweep_id"] = by_name.get(str(chosen))
        if chosen in names.values():
            st.rerun()


def _among(view: View, choice: Choice) -> None:
    """Say what the verdicts are about, whenever it is not the whole sweep as it was declared."""
    said = []
    if view.narrowed:
        n = view.matching
        said.append(f"Frontier recomputed among {n} shown and the base: verdicts hold among these only.")
    if view.keys != view.board.objectives:
        titles = " and ".join(view.board.axes[key].title for key in view.keys)
        said.append(f"Verdicts on {titles}, instead of the objectives that the sweep declared.")
    if choice.standings:
        listed = sum(not row.is_base for row in view.rows)
        said.append(f"{listed} of {view.matching} variants have the chosen verdict.")
    if view.matching == 0 and view.board.rows:
        st.html(markup.box("No variant matches these filters: clear one of them to see more."))
    elif said:
        st.html(markup.block(markup.line(markup.text(" ".join(said)), css="small quiet")))


def chosen_variant() -> str | None:
    """recipe_id (or its beginning) of the variant in the address."""
    return st.query_params.get(VARIANT)


def choose(recipe_id: str) -> None:
    """Put a variant into the address; a short form that stays unique in practice."""
    st.query_params[VARIANT] = recipe_id[:16]


def forget() -> None:
    """Take the variant out of the address."""
    st.query_params.pop(VARIANT, None)


def declared_axes(view: View) -> tuple[str, str]:
    """Names of the axes that are drawn when none was chosen."""
    x, y = default_axes(view.board)
    return column_name(x), column_name(y)
