"""Two to four variants side by side: what is known of each pair, and the examples on which they differ."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from leaderboard import markup
from leaderboard.choices import View
from leaderboard.comparison import FEWEST, MOST, WHOLE_SWEEP, flip_rows, pair_rows, side_by_side
from leaderboard.controls import COMPARED, compared, in_address, name_sweep, open_head, whole
from leaderboard.examples import draw_examples
from leaderboard.reading import dossier, pairs
from leaderboard.rows import Row
from leaderboard.source import Loaded, StoreError, version
from leaderboard.table import label
from leaderboard.waiting import told_if_long

OF_ONE = "A chosen variant; the first is whom the others are compared with."
OFFERED = 500  # names in the box: the first of the leaderboard


def main() -> None:
    """Draw the page."""
    loaded = open_head("compare")
    name_sweep(loaded)
    view = whole(loaded)
    st.html(markup.block(markup.heading("Compare", 1), markup.line(markup.text(_about(view)), css="quiet small")))
    gone = [each for each in compared() if view.find(each) is None]
    chosen = _choose(view)
    if gone:
        lost = ", ".join(gone)
        st.html(markup.box(f"Not in the sweep {view.board.name}: {lost}. It is gone, or of another sweep or store."))
    if len(chosen) < FEWEST:
        st.html(markup.box(f"Choose {FEWEST} to {MOST} variants above, or tick them on the leaderboard."))
        return
    names = [label(row, view.board) for row in chosen]
    _links(chosen, names, loaded)
    _pairs(view, chosen, names)
    _table(view, chosen, names)
    _disagreements(view, chosen, names)


def _about(view: View) -> str:
    return f"Sweep {view.board.name} · measured on {view.board.hardware_class}"


def _choose(view: View) -> list[Row]:
    """The variants in the address, changed by the box."""
    named = [row for row in (view.find(each) for each in compared()) if row is not None]
    named = list({row.recipe_id: row for row in named}.values())[:MOST]
    offered = {row.recipe_id: row for row in (*named, *view.board.rows[:OFFERED])}
    if st.session_state.get("compared from") != [row.recipe_id for row in named]:
        st.session_state["compared box"] = [row.recipe_id for row in named]
    picked = st.multiselect(
        f"Variants ({FEWEST} to {MOST})",
        list(offered),
        key="compared box",
        format_func=lambda recipe_id: label(offered[recipe_id], view.board),
        max_selections=MOST,
        placeholder="Choose variants",
        help="The first one is whom the others are compared with.",
    )
    st.session_state["compared from"] = list(picked)
    if picked:
        st.query_params[COMPARED] = ",".join(recipe_id[:16] for recipe_id in picked)
    elif named:
        st.query_params.pop(COMPARED, None)
    return [offered[recipe_id] for recipe_id in picked]


def _links(chosen: Sequence[Row], names: Sequence[str], loaded: Loaded) -> None:
    with st.container(horizontal=True, gap="medium"):
        for row, name in zip(chosen, names, strict=True):
            to = in_address(loaded, variant=row.recipe_id[:16])
            st.page_link("pages_/variant.py", label=markup.as_label(name), query_params=to)


def _table(view: View, chosen: Sequence[Row], names: Sequence[str]) -> None:
    st.html(
        markup.block(
            markup.heading("Side by side", 3),
            markup.table(("number", *names), side_by_side(view.board, chosen), told=dict.fromkeys(names, OF_ONE)),
            markup.line(markup.text("95% intervals. Numbers in which all agree are left out."), css="quiet small"),
        )
    )


def _pairs(view: View, chosen: Sequence[Row], names: Sequence[str]) -> None:
    board = view.board
    try:
        found = pairs(board.sweep_id, tuple(row.recipe_id for row in chosen), version())
    except StoreError as error:
        st.html(markup.box(str(error)))
        return
    if not found:
        st.html(markup.box("These variants have different bases: nothing was measured of them together."))
        return
    among = "all variants of the base, as verdicts do"
    if len(board.rows) > WHOLE_SWEEP:
        among = f"the {len(board.everyone):,} variants of the sweep, by Bonferroni; verdicts may tell a little more"
    head = ("pair", *(board.axes[key].title for key in board.objectives))
    tests = flip_rows(board, found, names)
    st.html(
        markup.block(
            markup.heading("Pair by pair, on the objectives", 3),
            markup.table(
                head,
                pair_rows(board, found, chosen, names),
                told={a.title: a.meaning for a in board.axes.values()},
            ),
            markup.line(
                markup.text(f"95% intervals of differences that hold at once over all pairs of {among}."),
                css="quiet small",
            ),
            markup.heading("Flips", 3) if tests else "",
            markup.table(("pair", "metric", "flips", "p", "p, adjusted"), tests, frozenset({2, 3, 4})) if tests else "",
            markup.line(
                markup.text(
                    "Flips: examples that only the former and only the latter has right. p: McNemar's exact test; "
                    "adjusted (Holm) over the sweep's variants x 0/1 metrics, whatever is chosen here."
                ),
                css="quiet small",
            )
            if tests
            else "",
        )
    )


def _disagreements(view: View, chosen: Sequence[Row], names: Sequence[str]) -> None:
    st.html(markup.block(markup.heading("Disagreements", 3)))
    if len({row.base for row in chosen}) > 1:
        st.html(markup.box("These variants have different bases: choose variants of one base to see their answers."))
        return
    base = view.base_of(chosen[0]) or chosen[0]
    try:
        with told_if_long("Reading the tasks …"):
            tasks = dossier(view.board.sweep_id, chosen[0].recipe_id, version()).tasks
    except StoreError as error:
        st.html(markup.box(str(error)))
        return
    draw_examples(view.board.sweep_id, chosen, names, base, tasks)


if __name__ == "__main__":  # which Streamlit calls a page
    main()
