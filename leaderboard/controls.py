"""What every page begins with: the title, the progress line, the filters, and the rows that they leave.

Filters live in the address (`bind="query-params"`), so a link brings back what was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitAPIException

from bench.errors import BadInput
from leaderboard import markup
from leaderboard.among import nothing_shown, told_among
from leaderboard.choices import Choice, View, look
from leaderboard.live import Live, awaits, draw_progress, follow, note
from leaderboard.rows import VERDICT_ORDER, Board
from leaderboard.source import Loaded, StoreError, chosen_keys, load, store_root
from leaderboard.verdicts import judging_of
from leaderboard.where import kept_under

BOARD = "board"  # the page of that name
VARIANT = "variant"
SWEEP = "sweep"
COMPARED = "variants"
NARROWING = ("base", "method", "verdict", "status", "task")
WHERE = "where"
HELD = "held"
# In typing, after which rows are looked for. Letters come some hundredths of a second apart and more: a longer pause
# delays every search and spares next to none; Streamlit's own quarter of a second is most of one.
PAUSE = "20ms"
PATIENCE = 0.0  # seconds that a page waits for verdicts before it shows the rows without them
COMPETE = "Chooses who competes: verdicts are worked out again among them"
HIDE = "Only hides rows: verdicts stay"
SORT = "sort"
OF_BOARD = ("columns", "together", SORT)  # how the leaderboard lists its rows
KEPT = (SWEEP, "class", "q", WHERE, *NARROWING, *OF_BOARD)


def open_page(
    name: str, *, with_axes: bool = False, leave: Callable[[Loaded], None] | None = None
) -> tuple[View, DeltaGenerator, Loaded]:
    """Draw the head of a page; returns what to show, the row of filters for the page's own controls, and the sweep.

    With axes the page is judged on those in the address, and shows one snapshot until it is told to take the newest:
    new data would throw away the zoom. Ends the run with a sentence where there is nothing to show. `leave` may go to
    another page, before anything of this one is worked out or drawn again.
    """
    carry_over(name)
    axes = (asked("x"), asked("y")) if with_axes else ()
    try:
        loaded = held(asked(SWEEP), axes) if with_axes else load(asked(SWEEP), axes)
    except StoreError as error:
        _nothing(error)
    if leave is not None:
        _keep()
        leave(loaded)
    st.html(markup.style())
    note(Live(loaded.snapshot, offers=with_axes))
    _say_missing(loaded)
    _title(loaded.board)
    draw_progress(loaded.board)
    bar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with bar:
        choice = _filters(loaded)
        loaded = _constrained(loaded)
    _keep()
    sorted_by = st.query_params.get("sort", "").removeprefix("-")
    patience = None if with_axes or sorted_by == "verdict" else PATIENCE
    with st.spinner("Comparing candidates …", show_time=True):
        view = look(loaded.board, choice, loaded.keys, loaded.draws, patience=patience, judging=judging_of(loaded))
    if view.waiting:
        awaits(view.worth_asking_again)
    _among(view, choice)
    return view, bar, loaded


def _nothing(error: StoreError) -> NoReturn:
    """End the run with the reason why there is nothing to show; tried again once there is another snapshot."""
    st.html(markup.style() + markup.box(str(error)))
    follow()
    st.stop()


def held(sweep: str | None, axes: tuple[str | None, ...]) -> Loaded:
    """What this visitor's plot shows: the newest snapshot when the sweep or an axis was chosen, until asked again."""
    kept: tuple[str, Loaded] | None = st.session_state.get(HELD)
    if kept is not None and kept[0] == str(store_root()):
        found = kept[1]
        if sweep in (None, found.called, found.missing) and chosen_keys(found.board, axes) == found.keys:
            return found
    found = load(sweep, axes)
    st.session_state[HELD] = str(store_root()), found
    return found


def _constrained(loaded: Loaded) -> Loaded:
    """The sweep without the variants that do not meet what was typed; a sentence where that cannot be read."""
    text = st.text_input(
        "Constraints",
        key=WHERE,
        bind="query-params",
        placeholder="size <= 100 MB, recovery >= 99%",
        width=300,
        help="METRIC OPERATOR NUMBER, with commas between several. Whoever does not meet one is left out; whoever may "
        f"meet it stays, marked as open: the whole interval must keep the bound. {COMPETE}.",
    )
    if not (text or "").strip():
        return loaded
    try:
        return replace(loaded, board=kept_under(loaded.board, [str(text)]))
    except BadInput as error:
        st.session_state["refused"] = str(error)
        return loaded


def open_head(name: str, *, with_box: bool = False) -> Loaded:
    """Draw the head of a page without filters; returns the sweep that the address names, the newest without one.

    On a page with a box for the sweep the box counts: within a run the address still holds what it was before. Ends
    the run with a sentence where there is nothing to show.
    """
    carry_over(name)
    try:
        loaded = load((None if with_box else st.query_params.get(SWEEP)) or asked(SWEEP), ())
    except StoreError as error:
        _nothing(error)
    st.html(markup.style())
    note(Live(loaded.snapshot))
    _say_missing(loaded)
    return loaded


def _say_missing(loaded: Loaded) -> None:
    """Say that what follows is another sweep than the address names, where the store has none of that name."""
    if loaded.missing is not None:
        st.html(
            markup.box(
                f"There is no sweep called {loaded.missing!r} in this store: it is gone, or the link is of another "
                f"store. The newest one, {loaded.called}, is shown instead: the page Sweeps has all that there are."
            )
        )


def whole(loaded: Loaded) -> View:
    """Everything that the sweep has, judged as it was declared."""
    return look(loaded.board, Choice(), loaded.board.objectives, loaded.draws)


def in_address(loaded: Loaded, **more: str) -> dict[str, str]:
    """What the address of another page needs: the sweep, also of a store with one, which may get more; and `more`."""
    return {SWEEP: loaded.called, **more}


def _keep() -> None:
    """Remember the filters for another page, and how the leaderboard was listed."""
    if st.session_state.get("on") == BOARD:
        st.session_state[SORT] = st.query_params.get(SORT)  # which no box has
        st.session_state["listed"] = asked(SWEEP)
    st.session_state["kept"] = {key: st.session_state[key] for key in KEPT if key in st.session_state}


def carry_over(name: str) -> None:
    """Take the filters along to another page: a change of page drops boxes and address alike."""
    if st.session_state.get("on", name) != name:
        for key, value in st.session_state.get("kept", {}).items():
            if key not in st.query_params:
                st.session_state[key] = value
        if name == BOARD and st.session_state.get("listed") != asked(SWEEP):
            for key in OF_BOARD:  # another sweep has other numbers
                st.session_state.pop(key, None)
        if name == BOARD and SORT not in st.query_params and st.session_state.get(SORT):
            st.query_params[SORT] = st.session_state[SORT]
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
    choose_sweep(loaded)
    text = st.text_input(
        "Search",
        key="q",
        type="search",
        live=PAUSE,
        placeholder="name or method",
        bind="query-params",
        width=220,
        help=f"Words that the name, a step of the recipe or the recipe's id has, all of them. {COMPETE}.",
    )
    on = sum(bool(st.session_state.get(key) or st.query_params.get(key)) for key in NARROWING)
    with st.popover(f"Filters · {on}" if on else "Filters"):
        base = None
        st.caption(f"**{COMPETE}**, as by the search and the constraints.")
        if len(board.bases) > 1:
            base = st.selectbox(
                "Base model", board.bases, index=None, key="base", placeholder="all", bind="query-params"
            )
        known = list(board.about.methods)
        methods = _several("Method", known, "method", "Variants whose recipe has one of these steps compete.")
        st.caption(f"**{HIDE}**.")
        standings = _several("Verdict", list(VERDICT_ORDER), "verdict", "Only rows with one of these verdicts.")
        found = sorted(board.about.statuses)
        statuses = _several("Status", found, "status", "Only rows with one of these: how far their jobs are.")
        if len(board.tasks) > 1:
            st.selectbox(
                "Task",
                board.tasks,
                index=None,
                key="task",
                placeholder="all",
                bind="query-params",
                help="Only rows with a number of this task, without the columns of others.",
            )
    task = st.session_state.get("task")
    return Choice(base, methods, text or "", standings, statuses, task if task in board.tasks else None)


def _several(name: str, options: list[str], key: str, said: str) -> tuple[str, ...]:
    chosen = st.multiselect(name, options, key=key, placeholder="all", bind="query-params", help=said)
    return tuple(str(each) for each in chosen)


def choose_sweep(loaded: Loaded) -> None:
    """Boxes for the hardware class and the sweep, where there is a choice: a board never joins two classes.

    The address names the sweep in any case: a link keeps its meaning when a newer one comes, which is then offered.
    Begins the run again where the box shows another sweep than was loaded, as after the choice of another class.
    """
    name_sweep(loaded)
    if len(loaded.sweeps) < 2:
        return
    names = [name for _, name in loaded.sweeps]
    classes = list(dict.fromkeys(loaded.classes))
    if len(classes) > 1:
        kind = st.selectbox(
            "Hardware class", classes, index=None, placeholder="all", key="class", bind="query-params", width=260
        )
        names = [n for n, c in zip(names, loaded.classes, strict=True) if kind in (None, c)]
    if st.session_state.get(SWEEP) not in names:  # nothing chosen yet, or a name that is gone or shared by now
        st.session_state[SWEEP] = loaded.called if loaded.called in names else names[0]
    # No default, which Streamlit would take out of the address.
    picked = st.selectbox("Sweep", names, index=None, key=SWEEP, bind="query-params", width=260)
    if picked != loaded.called:
        st.rerun()
    (newest, name), *_ = loaded.sweeps
    if newest not in (st.session_state.setdefault("newest sweep", newest), loaded.board.sweep_id):
        st.button(f"Newer sweep: {markup.as_label(name)}", on_click=st.session_state.update, args=({SWEEP: name},))


def _among(view: View, choice: Choice) -> None:
    """Say what the verdicts are about, whenever it is not the whole sweep as it was declared."""
    refused = st.session_state.pop("refused", None)
    if refused:
        st.html(markup.box(refused))
    nothing, said = nothing_shown(view), told_among(view, choice)
    if nothing:
        st.html(markup.box(nothing))
    if said:
        st.html(markup.block(markup.line(markup.text(" ".join(said)), css="small quiet")))


def chosen_variant() -> str | None:
    """recipe_id (or its beginning) of the variant in the address."""
    return st.query_params.get(VARIANT)


def choose(recipe_id: str) -> None:
    """Put a variant into the address; a short form that stays unique in practice."""
    st.query_params[VARIANT] = recipe_id[:16]


def to_visit(recipe_id: str) -> None:
    """Remember that a variant was clicked: pages change only while a page is drawn."""
    st.session_state["visit"] = recipe_id


def visit(loaded: Loaded) -> None:
    """Go to the page of a variant that was clicked, or that an older link to this page names."""
    clicked = st.session_state.pop("visit", None)
    if clicked is None and "visited" not in st.session_state:
        clicked = chosen_variant()
    st.session_state["visited"] = True
    if clicked:
        go("pages_/variant.py", loaded, variant=str(clicked)[:16])


def go(page: str, loaded: Loaded, **more: str) -> None:
    """Go to another page of the same sweep, from a page that may have a box for the sweep.

    A box that is bound to the address keeps others from writing there: the sweep goes along in the session, and the
    page that is reached puts it into the address (`name_sweep`).
    """
    st.session_state.setdefault("kept", {})[SWEEP] = loaded.called
    st.switch_page(page, query_params=more)


def name_sweep(loaded: Loaded) -> None:
    """Let the address of a page without a box for it name the sweep; one that is missing stays, so that it is told."""
    if loaded.missing is None and st.query_params.get(SWEEP) != loaded.called:
        # On a busy server the box of the page before may still hold it; the next run writes it then.
        with suppress(StreamlitAPIException):
            st.query_params[SWEEP] = loaded.called


def forget() -> None:
    """Take the variant out of the address."""
    st.query_params.pop(VARIANT, None)


def compared() -> list[str]:
    """Beginnings of the recipe_ids in the address that are to be compared."""
    return [each.strip() for each in st.query_params.get(COMPARED, "").split(",") if each.strip()]
