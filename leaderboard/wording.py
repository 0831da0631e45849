"""What is said of a variant, in words and rows of text: its numbers, its standing, its recipe. Draws nothing."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from leaderboard.choices import View
from leaderboard.format import SIGNS, difference, interval, number, tied_with
from leaderboard.judged import judged_axis
from leaderboard.listing import Listing
from leaderboard.rows import Board, Key, Place, Row
from leaderboard.table import full_name, share

SHORT = 12  # characters shown of an identity
TAKEN = "writes the folder DIR: the model as it was measured, its card, its recipe and its numbers."
OBJECTIVES = ("objective", "value", "95% interval", "against the base", "rank")  # headings of `objective_rows`


def settings_text(settings: Mapping[str, Any]) -> str:
    """The settings that say something, in their declared order."""
    said = [(name, value) for name, value in settings.items() if value not in (None, [], {})]
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in said)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(_value(item) for item in value)
    text = str(value)
    return f"{text[:SHORT]}…" if len(text) == 64 and text.isalnum() else text


def why_command(row: Row, key: Key, sweep: str) -> str:
    """Prints what stands behind a number. A scope may name a part of the data in its own words: it is quoted."""
    metric, scope = key
    where = ["--scope", scope] if scope else []
    return shlex.join(["paredown", "why", row.recipe_id[:SHORT], metric, *where, "--sweep", sweep, "--raw"])


def export_command(recipe_id: str, sweep: str) -> str:
    """Writes a variant as a folder that loads; DIR stands for its name."""
    return shlex.join(["paredown", "export", recipe_id[:SHORT], "DIR", "--sweep", sweep])


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
    outside = not view.competes(row)
    keys = view.board.objectives if outside else view.keys
    titles = " and ".join(view.board.axes[key].title for key in keys)
    if outside:
        titles += ", in the whole sweep"
    if row.verdict == "not evaluated":
        return f"No verdict on {titles}: {row.verdict_reason}."
    by = view.find(row.dominated_by)
    beaten = f" Dominated by {by.name}." if by else ""
    return f"On {titles}: {row.verdict_reason}. On the frontier in {share(row)} of resamples.{beaten}"


def objective_rows(row: Row, board: Board) -> list[tuple[str, str, str, str, str]]:
    """(objective, value, interval, what is known against the base, rank) for each declared objective."""
    found = []
    for key in board.objectives:
        axis, cell, place = board.axes[key], row.cells.get(key), row.places.get(key)
        value = "–" if cell is None else number(cell.estimate, axis.unit, axis.metric)
        between = "" if cell is None else interval(cell.low, cell.high, axis.unit, axis.metric)
        told = against_base(place, board, key), rank_text(place, row, board, key)
        found.append((full_name(axis), value, between, *told))
    return found


def against_base(place: Place | None, board: Board, key: Key) -> str:
    """What is known of a variant against its base on one objective: the relation and the difference."""
    if place is None or place.relation is None:
        return "–"
    if place.difference is None or place.low is None or place.high is None:
        return place.relation
    return f"{place.relation}: {change_text(place.difference, place.low, place.high, board, key)}"


def change_text(change: float, low: float, high: float, board: Board, key: Key) -> str:
    """A difference of two variants with its interval, in the unit of what is judged: named where another is shown."""
    axis = judged_axis(board, key)
    ends = [difference(value, axis.unit, axis.metric) for value in (change, low, high)]
    text = ends[0] if low == high or not math.isfinite(low) else f"{ends[0]} ({ends[1]} to {ends[2]})"
    return text if axis.key == key else f"{text}, {axis.title.removesuffix(f', {axis.scope}')}"


def rank_text(place: Place | None, row: Row, board: Board, key: Key) -> str:
    """The ranks that a variant may have, and how many others share its place."""
    if place is None or place.rank is None:
        return "–"
    best, worst = place.rank
    tied = place.tied
    if not isinstance(board.rows, Listing):
        tied = sum(
            other is not row
            and other.base == row.base
            and key in other.places
            and bool(other.places[key].letters & place.letters)
            for other in board.rows
        )
    said = f"{best:,}" if best == worst else f"between {best:,} and {worst:,}"
    return f"{said}, {tied_with(tied)}" if tied else said


def slice_rows(row: Row, board: Board, tasks: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """The numbers of parts of tasks: (number, value, interval, how)."""
    found = []
    for key, cell in row.cells.items():
        task, _, part = key[1].partition(" / ")
        if part and task in tasks and key[1] not in tasks:
            axis = board.axes[key]
            p = "" if cell.p_holm is None else f"; p = {cell.p_holm:.2g}, adjusted"
            between = interval(cell.low, cell.high, axis.unit, axis.metric)
            how = f"n = {cell.n:,}{p}" + (f"; {cell.note}" if cell.note else "")
            found.append((axis.title, number(cell.estimate, axis.unit, axis.metric), between, how))
    return found


def group_rows(row: Row, board: Board) -> list[tuple[str, str, str, str]]:
    """The variants of the same recipe with other seeds: (name, seed, verdict, first objective)."""
    key = board.objectives[0]
    axis = board.axes[key]
    rows = board.rows.of_group(row.group) if isinstance(board.rows, Listing) else board.rows
    mine = [other for other in rows if other.group == row.group and other.base == row.base]
    if len(mine) < 2:
        return []
    return [
        (
            other.name,
            "–" if other.seed is None else str(other.seed),
            f"{SIGNS[other.verdict]} {other.verdict}",
            "–" if key not in other.cells else number(other.cells[key].estimate, axis.unit, axis.metric),
        )
        for other in mine
    ]
