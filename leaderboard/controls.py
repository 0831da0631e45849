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
from leaderboard.source import Loaded, StoreError, load, newest

VARIANT = "variant"
SWEEP = "sweep"
KEPT = (SWEEP, "q", "base", "method", "verdict")


def open_page(name: str, *, with_axes: bool = False) -> tuple[View, DeltaGenerator]:
    """Draw the head of a page; returns what to show, and the row of filters for the page's own controls.

    Ends the run with a sentence where there is nothing to show.
    """
    st.html(markup.style())
    carry_over(name)
    axes = (asked("x"), asked("y")) if with_axes else ()
    try:
        loaded = load(asked(SWEEP), axes)
    except StoreError as error:
        st.html(markup.box(str(error)))
        follow(newest())  # what cannot be shown now is tried again only once there is another
        st.stop()
    follow(loaded.snapshot)
    _title(loaded.board)
    draw_progress(loaded.board)
    bar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with bar:
        choice = _filters(loaded)
    st.session_state["kept"] = {key: st.session_state[key] for key in KEPT if key in st.session_state}
    view = look(loaded.board, choice, loaded.keys, loaded.draws)
    _among(view, choice)
    return view, bar


def carry_over(name: str) -> None:
    """Take the filters along to another page: a change of page drops boxes and address alike."""
    if st.session_state.get("on", name) != name:
        for key, value in st.session_state.get("kept", {}).items():
            if key not in st.query_params:
                st.session_state[key] = value
    st.session_state["on"] = name


def asked(key: str) -> str | None:
    """What was chosen in a box: the box knows it, and before there is a box, the address."""
    found = st.session_state.get(key) or st.query_params.get(key)
    return None if found is None else str(found)


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
        names = [name for _, name in loaded.sweeps]
        st.selectbox("Sweep", names, key=SWEEP, bind="query-params", width=260)
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
