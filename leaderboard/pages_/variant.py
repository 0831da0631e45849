"""One variant: its numbers, how it was made, what is left of the base, where it errs, and how to have it again."""

from __future__ import annotations

import json

import streamlit as st

from leaderboard import layer_map, markup
from leaderboard.choices import View
from leaderboard.controls import chosen_variant, in_address, name_sweep, open_head, whole
from leaderboard.details import (
    draw_decisions,
    head_html,
    held_back_html,
    numbers_html,
    steps_html,
)
from leaderboard.dossier import Dossier
from leaderboard.downloads import variant_json
from leaderboard.examples import draw_examples
from leaderboard.format import clock
from leaderboard.reading import attempts, dossier, why
from leaderboard.rows import Row
from leaderboard.sheets import sheet_html, shortened
from leaderboard.source import Loaded, StoreError, decisions, store_option, version
from leaderboard.table import column_name, label
from leaderboard.ties import with_ties
from leaderboard.waiting import told_if_long
from leaderboard.wording import (
    OBJECTIVES,
    SHORT,
    TAKEN,
    export_command,
    group_rows,
    objective_rows,
    slice_rows,
    why_command,
)

TABS = ("Overview", "Lineage and layers", "Examples", "Why this number", "Attempts")


def main() -> None:
    """Draw the page."""
    loaded = open_head("variant")
    name_sweep(loaded)
    view = whole(loaded)
    row = view.find(chosen_variant())
    if row is None:
        asked = chosen_variant()
        sentence = (
            f"There is no variant {asked} in the sweep {loaded.board.name}: it is gone, or of another sweep or store."
            if asked
            else "No variant is chosen."
        )
        st.html(markup.box(f"{sentence} Choose one on the leaderboard."))
        st.page_link("pages_/board.py", label="Leaderboard", query_params=in_address(loaded))
        return
    try:
        with told_if_long("Reading what is known of the variant …"):
            known = dossier(loaded.board.sweep_id, row.recipe_id, version())
    except StoreError as error:
        st.html(markup.box(str(error)))
        return
    _head(row, view, known, loaded)
    tabs = st.tabs(TABS, key="tab", on_change="rerun", bind="query-params")
    draw = (_overview, _lineage, _examples, _why, _attempts)
    for tab, section in zip(tabs, draw, strict=True):
        if tab.open:
            with tab:
                section(row, view, known)


def _head(row: Row, view: View, known: Dossier, loaded: Loaded) -> None:
    st.html(markup.block(head_html(row, view, known)))
    base = view.base_of(row)
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        st.page_link("pages_/board.py", label="← Leaderboard", query_params=in_address(loaded))
        st.page_link(
            "pages_/pareto.py", label="In the plot", query_params=in_address(loaded, variant=row.recipe_id[:16])
        )
        if base is not None and base is not row:
            both = f"{base.recipe_id[:16]},{row.recipe_id[:16]}"
            st.page_link("pages_/compare.py", label="Compare with base", query_params=in_address(loaded, variants=both))
        st.download_button(
            "Download (JSON)",
            lambda: json.dumps(variant_json(row, view.board, known), indent=1, ensure_ascii=False),
            file_name="variant.json",
            mime="application/json",
            on_click="ignore",
            help="Recipe, lineage, every number with its interval, verdict, notes and the command.",
        )


def _overview(row: Row, view: View, known: Dossier) -> None:
    (row,), _ = with_ties(view, [row])
    parts = slice_rows(row, view.board, [str(t["name"]) for t in known.tasks])
    group = group_rows(row, view.board)
    st.html(
        markup.block(
            markup.heading("Objectives", 3),
            markup.table(
                OBJECTIVES,
                objective_rows(row, view.board),
                frozenset({1, 2, 4}),
            ),
            markup.heading("Recipe", 3),
            steps_html(row),
            markup.heading("All numbers", 3),
            numbers_html(row, view),
            held_back_html(row, view, known.held_back, store_option()),
            markup.heading("Parts of the data", 3) if parts else "",
            markup.table(("part", "value", "95% interval", "how"), parts, frozenset({1, 2})) if parts else "",
            markup.heading("The same recipe with other seeds", 3) if group else "",
            markup.table(("variant", "seed", "verdict", "first objective"), group, frozenset({1})) if group else "",
            markup.heading("To have it again", 3),
        )
    )
    st.html(markup.command(known.command))
    st.html(markup.block(markup.line(markup.text(known.command_note), css="quiet small")))
    if row.artefact_id is not None:
        st.html(markup.block(markup.heading("To take it along", 3)))
        st.html(markup.command(export_command(row.recipe_id, view.board.sweep_id[:SHORT]) + store_option()))
        st.html(markup.block(markup.line(markup.text(TAKEN), css="quiet small")))
        st.html(markup.command("paredown run DIR/recipe.yaml --store NEW_FOLDER"))
        said = "makes and measures this variant alone anew, beside its base, from what the folder DIR says of it."
        st.html(markup.block(markup.line(markup.text(said), css="quiet small")))


def _lineage(row: Row, view: View, known: Dossier) -> None:
    st.html(markup.block(sheet_html(known.lineage)))
    if known.stacks:
        st.html(
            markup.block(
                markup.heading("Layer map", 3),
                layer_map.html_of(known.stacks),
                markup.line(
                    markup.text("Numbers are the base's. A star: not all matrices of the layer have the named type."),
                    css="quiet small",
                ),
            )
        )
    else:
        missing = "Its artefact is not in the store: no layer map."
        if known.elsewhere:
            missing = "Its artefact lies in a bucket, and no copy of it is on this machine: no layer map."
        st.html(markup.block(markup.line(markup.text(missing), css="quiet")))
    try:
        draw_decisions(decisions(view.board.sweep_id, row.recipe_id, version()))
    except StoreError as error:
        st.html(markup.box(str(error)))


def _examples(row: Row, view: View, known: Dossier) -> None:
    base = view.base_of(row) or row
    rows = [base, row] if base is not row else [row]
    draw_examples(view.board.sweep_id, rows, [label(r, view.board) for r in rows], base, known.tasks)


def _why(row: Row, view: View, known: Dossier) -> None:
    del known
    names = {column_name(key): key for key in view.board.axes if key in row.cells}
    if not names:
        st.html(markup.box("It has no number yet: the attempts say why."))
        return
    chosen = st.selectbox(
        "Number",
        list(names),
        key="why",
        bind="query-params",
        format_func=lambda name: view.board.axes[names[name]].title,
        width=420,
    )
    try:
        found = why(view.board.sweep_id, row.recipe_id, names[str(chosen)], version())
    except StoreError as error:
        st.html(markup.box(str(error)))
        return
    lines = [found.missing] if found.missing else [*found.formula, *found.interval]
    st.html(
        markup.block(
            markup.heading("How it was summarised", 3),
            *(markup.line(markup.text(shortened(str(sentence)))) for sentence in lines),
            *(sheet_html(sheet) for sheet in found.raw),
            sheet_html(found.conditions),
            sheet_html(found.records),
            sheet_html(found.key),
            markup.heading("What does not enter it", 3),
            *(markup.line(markup.text(each), css="small") for each in found.outside),
        )
    )
    command = why_command(row, names[str(chosen)], view.board.sweep_id[:SHORT])
    st.html(markup.command(command + store_option()))
    st.html(markup.block(markup.line(markup.text("prints all of its raw material."), css="quiet small")))


def _attempts(row: Row, view: View, known: Dossier) -> None:
    del known
    try:
        count, found = attempts(view.board.sweep_id, row.recipe_id, version())
    except StoreError as error:
        st.html(markup.box(str(error)))
        return
    failed = sum(attempt.status == "failed" for attempt in found)
    rows = [
        (
            f"{'✗' if a.status == 'failed' else '✓'} {a.status}",
            a.what,
            a.cause,
            f"{a.number}",
            a.started[:19].replace("T", " "),
            clock(a.seconds) if a.seconds >= 60 else f"{a.seconds:.1f} s",
            a.worker,
        )
        for a in found
    ]
    head = ("outcome", "job", "cause", "attempt", "started (UTC)", "took", "worker")
    said = f"{count:,} attempt{'s' * (count != 1)} at jobs that concern this variant"
    said += f"; the newest {len(rows):,}, of which" if count > len(rows) else ","
    said += f" {failed:,} failed; the newest first."
    st.html(markup.block(markup.line(markup.text(said)), markup.table(head, rows, frozenset({0, 3, 4, 5}))))
    if failed:
        st.html(markup.command(f"paredown retry{store_option()}"))
        st.html(
            markup.block(markup.line(markup.text("lets the next `paredown run` try failed jobs again."), css="small"))
        )


if __name__ == "__main__":  # which Streamlit calls a page
    main()
