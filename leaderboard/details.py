"""Everything that is known of one variant."""

from __future__ import annotations

import streamlit as st

from leaderboard import markup
from leaderboard.choices import View
from leaderboard.decisions import (
    Decisions,
    fact_rows,
    heat_map,
    heat_map_sentence,
    kept_sentence,
    layers_sentence,
    promise_rows,
    trace_sentence,
    trial_rows,
)
from leaderboard.dossier import Dossier
from leaderboard.format import SIGNS, interval, number
from leaderboard.held_back import CONFIRMED, HeldBack, confirmed_rows, sentences
from leaderboard.rows import Row, Step
from leaderboard.table import notes, usual_columns
from leaderboard.wording import SHORT, number_rows, objective_rows, settings_text, verdict_sentence


def steps_html(row: Row) -> str:
    """The recipe as a numbered list."""

    def described(step: Step) -> tuple[str, str]:
        seed = "" if step.seed is None else f"; seed {step.seed}"
        return step.name, f"{settings_text(step.settings)}{seed}"

    if not row.steps:
        return markup.line(markup.text("The base model itself: no step."))
    return markup.steps(described(step) for step in row.steps)


def numbers_html(row: Row, view: View) -> str:
    """Every number as a table."""
    if not row.cells:
        return markup.line(markup.text("None yet."), css="quiet")
    head = ("number", "value", "95% interval", "how")
    return markup.table(head, number_rows(row, view), frozenset({1, 2})) + markup.line(
        markup.text(f"Times and memory hold for {view.board.hardware_class}."), css="quiet small"
    )


def held_back_html(row: Row, view: View, held: HeldBack, store: str) -> str:
    """What examples said of a variant that nobody chose by; `store` is what a command needs to find the store."""
    said, command = sentences(held, view.board, row, [])
    lines = confirmed_rows(held, view.board, row.recipe_id)
    return (
        markup.heading("On examples that nobody chose by", 3)
        + markup.line(markup.text(said), css="small")
        + (markup.command(command + store) if command else "")
        + (markup.table(CONFIRMED, lines, frozenset({1, 2})) if lines else "")
    )


def head_html(row: Row, view: View, known: Dossier | None = None) -> str:
    """Name, verdict, identities and notes."""
    artefact = f"artefact {row.artefact_id[:SHORT]}" if row.artefact_id else "no artefact"
    made = ""
    if known is not None:
        licence = f", licence {known.licence}" if known.licence else ""
        made = markup.line(
            markup.text(f"Base model {known.model}{licence} · sweep {view.board.name} · {view.board.hardware_class}"),
            css="quiet small",
        )
    return (
        markup.heading(row.name, 1 if known else 2)
        + markup.line(
            markup.text(f"{SIGNS[row.verdict]} {row.verdict}", row.verdict.replace(" ", "-")),
            markup.text(f" · recipe {row.recipe_id[:SHORT]} · {artefact}", "quiet small"),
        )
        + made
        + markup.line(markup.text(verdict_sentence(row, view)), css="small")
        + "".join(
            markup.line(
                markup.text(f"Note: {remark}"),
                css="failed small" if row.status == "failed" else "small",
            )
            for remark in notes(row, view.board)
        )
    )


def draw_details(row: Row, view: View) -> None:
    """What a glance needs: name, verdict, objectives, recipe, and whatever went wrong."""
    board = view.board
    numbers = [(name, value, between) for name, value, between, *_ in objective_rows(row, board)]
    usual = [key for key in usual_columns(board) if key not in board.objectives and key in row.cells]
    for key in usual:
        axis, cell = board.axes[key], row.cells[key]
        between = "" if cell.low == cell.high else interval(cell.low, cell.high, axis.unit, axis.metric)
        numbers.append((axis.title, number(cell.estimate, axis.unit, axis.metric), between))
    st.html(
        markup.block(
            head_html(row, view),
            markup.heading("Recipe", 3),
            steps_html(row),
            markup.heading("Numbers", 3),
            markup.table(("number", "value", "95% interval"), numbers, frozenset({1, 2})),
        )
    )


KEPT = {"verdict": "Whether the step did what its method promises."}
FACTS = ("after", "parameters", "bytes", "layers", "FLOPs", "types", "zeros", "operators of a forward pass")


def draw_decisions(found: Decisions) -> None:
    """What each step promised and did; what was dropped and kept, and why."""
    told = found.get("delivered")
    if told:
        st.html(
            markup.block(
                markup.heading("Promise and fact", 3),
                markup.table(("step", "promised", "verdict", "facts"), promise_rows(told), frozenset({0, 2}), KEPT),
                markup.table(FACTS, fact_rows(told), frozenset({0, 1, 2, 3})),
            )
        )
    pruned = found.get("depth_prune")
    if pruned:
        st.html(
            markup.block(markup.heading("Layers", 3), markup.line(markup.text(layers_sentence(pruned)), css="small"))
        )
        if pruned.get("distance"):
            st.plotly_chart(heat_map(pruned), config={"displayModeBar": False}, alt=heat_map_sentence(pruned))
            st.caption(heat_map_sentence(pruned))
    searched = found.get("fallback")
    if searched:
        st.html(
            markup.block(
                markup.heading("Which modules stay in float", 3),
                markup.line(markup.text(searched["verdict"]), css="small"),
                markup.line(markup.text(trace_sentence(searched)), css="small"),
                markup.table(
                    ("in float", searched["metric"], "target"),
                    trial_rows(searched),
                    frozenset({0, 1}),
                    {searched["metric"]: "The score of that trial on tuning examples."},
                ),
                markup.line(markup.text(kept_sentence(searched)), css="quiet small"),
            )
        )
