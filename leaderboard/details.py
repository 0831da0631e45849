"""Everything that is known of one variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from leaderboard.format import SIGNS, interval, number
from leaderboard.rows import Row, Step
from leaderboard.source import decisions, newest
from leaderboard.table import notes, share

SHORT = 12  # characters shown of an identity


def settings_text(settings: Mapping[str, Any]) -> str:
    """The settings that say something, in their declared order."""
    said = [(name, value) for name, value in settings.items() if value not in (None, [], {})]
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in said)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(_value(item) for item in value)
    text = str(value)
    return f"{text[:SHORT]}…" if len(text) == 64 and text.isalnum() else text


def number_rows(row: Row, view: View) -> list[tuple[str, str, str, str]]:
    """Every number of a variant: what it is, its value, its interval, how it came about."""
    found = []
    for key, axis in view.board.axes.items():
        cell = row.cells.get(key)
        if cell is None:
            continue
        exact = cell.low == cell.high
        how = [cell.method if cell.n < 2 else f"{cell.method}, n = {cell.n:,}", *([cell.note] if cell.note else ())]
        between = "" if exact else interval(cell.low, cell.high, axis.unit, axis.metric)
        found.append((axis.title, number(cell.estimate, axis.unit, axis.metric), between, "; ".join(how)))
    return found


def verdict_sentence(row: Row, view: View) -> str:
    """Where the variant stands, on what, and why."""
    outside = all(row.recipe_id != other.recipe_id for other in view.field)
    keys = view.board.objectives if outside else view.keys
    titles = " and ".join(view.board.axes[key].title for key in keys)
    if outside:
        titles += ", in the whole sweep"
    if row.verdict == "not evaluated":
        return f"No verdict on {titles}: {row.verdict_reason}."
    by = view.find(row.dominated_by)
    beaten = f" Dominated by {by.name}." if by else ""
    return f"On {titles}: {row.verdict_reason}. On the frontier in {share(row)} of resamples.{beaten}"


def _steps(row: Row) -> str:
    def described(step: Step) -> tuple[str, str]:
        seed = "" if step.seed is None else f"; seed {step.seed}"
        return step.name, f"{settings_text(step.settings)}{seed}"

    if not row.steps:
        return markup.line(markup.text("The base model itself: no step."))
    return markup.steps(described(step) for step in row.steps)


def draw_details(row: Row, view: View) -> None:
    """Name, verdict, recipe, numbers, and whatever went wrong."""
    remarks = notes(row, view.board)
    artefact = f"artefact {row.artefact_id[:SHORT]}" if row.artefact_id else "no artefact"
    st.html(
        markup.block(
            markup.heading(row.name),
            markup.line(
                markup.text(f"{SIGNS[row.verdict]} {row.verdict}", row.verdict.replace(" ", "-")),
                markup.text(f" · recipe {row.recipe_id[:SHORT]} · {artefact}", "quiet small"),
            ),
            markup.line(markup.text(verdict_sentence(row, view)), css="small"),
            *(
                markup.line(markup.text(f"Note: {remark}"), css="failed small" if row.status == "failed" else "small")
                for remark in remarks
            ),
            markup.heading("Recipe", 3),
            _steps(row),
            markup.heading("Numbers", 3),
            markup.table(("number", "value", "95% interval", "how"), number_rows(row, view), frozenset({1, 2}))
            if row.cells
            else markup.line(markup.text("None yet."), css="quiet"),
            markup.line(markup.text(f"Times and memory hold for {view.board.hardware_class}."), css="quiet small"),
        )
    )
    draw_decisions(decisions(view.board.sweep_id, row.recipe_id, newest()))


FACTS = ("after", "parameters", "bytes", "layers", "FLOPs", "types", "zeros", "operators of a forward pass")


def draw_decisions(found: Decisions) -> None:
    """What each step promised and did; what was dropped and kept, and why."""
    told = found.get("delivered")
    if told:
        st.html(
            markup.block(
                markup.heading("Promise and fact", 3),
                markup.table(("step", "promised", "verdict", "facts"), promise_rows(told), frozenset({0, 2})),
                markup.table(FACTS, fact_rows(told), frozenset({0, 1, 2, 3})),
            )
        )
    pruned = found.get("depth_prune")
    if pruned:
        st.html(
            markup.block(markup.heading("Layers", 3), markup.line(markup.text(layers_sentence(pruned)), css="small"))
        )
        if pruned.get("distance"):
            st.plotly_chart(heat_map(pruned), config={"displayModeBar": False})
            st.caption(heat_map_sentence(pruned))
    searched = found.get("fallback")
    if searched:
        st.html(
            markup.block(
                markup.heading("Which modules stay in float", 3),
                markup.line(markup.text(searched["verdict"]), css="small"),
                markup.line(markup.text(trace_sentence(searched)), css="small"),
                markup.table(("in float", searched["metric"], "target"), trial_rows(searched), frozenset({0, 1})),
                markup.line(markup.text(kept_sentence(searched)), css="quiet small"),
            )
        )
