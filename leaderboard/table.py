"""The table of the board: which columns, what stands in each cell, and the same as CSV. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.metrics import of_base
from leaderboard.choices import View, several_seeds
from leaderboard.format import SIGNS, interval, number, rank
from leaderboard.glossary import meaning_of
from leaderboard.listing import Listing
from leaderboard.rows import Axis, Board, Cell, Key, Row

USUAL = ("latency_ratio", "latency_ms", "host_peak", "cuda_allocated_peak", "size", "parameters")
VERDICT = f"{meaning_of('verdict')} Below it the share on the frontier: {meaning_of('share on the frontier')}"
COMPARED = ("_difference", "_ratio")  # endings of metrics that compare a variant with its base
RANKED = "Ranks: all that the intervals leave possible among those compared"
LETTERED = f"{RANKED}; variants of one group tie: they were not told apart."
A_PAGE = 50  # rows: more than anyone reads, and drawn in a moment
Ties = Mapping[tuple[str, Key, str], Sequence[Row]]  # who has a letter, by base, number and letter


@dataclass(frozen=True, slots=True)
class Shown:
    """One cell: the number, its interval below it, a remark, and where it lies in its column, from 0 to 1."""

    text: str
    below: str = ""
    note: str = ""
    bar: tuple[float, float, float] | None = None


def comparisons(board: Board) -> tuple[Key, ...]:
    """The numbers that compare the objectives' scores with the base's, where the board has them."""
    wanted = ((f"{metric}{end}", scope) for metric, scope in board.objectives for end in COMPARED)
    return tuple(key for key in wanted if key in board.axes)


def usual_columns(board: Board) -> tuple[Key, ...]:
    """The declared objectives, then what a decision needs beside them."""
    keys = list(board.objectives)
    keys += [key for key in comparisons(board) if key not in keys]
    scopes = {scope for _, scope in board.objectives}
    for metric in USUAL:
        found = [key for key in board.axes if key[0] == metric and key not in keys]
        same = [key for key in found if key[1] in scopes]
        keys += (same or found)[:1]
    return tuple(keys)


def label(row: Row, board: Board) -> str:
    """The variant's name; without the base's where the board has only one."""
    if len(board.bases) > 1 or not row.name.startswith(f"{row.base}: "):
        return row.name
    return row.base if row.is_base else row.name.removeprefix(f"{row.base}: ")


def share(row: Row) -> str:
    """The share of resamples in which the variant is on the frontier."""
    return "–" if row.verdict == "not evaluated" else f"{100 * row.share:.0f}%"


def notes(row: Row, board: Board) -> tuple[str, ...]:
    """What must be known before a row is believed: why it has no number, or what is odd about one."""
    found: list[str] = []
    if row.status == "failed":
        found.append(f"failed: {row.reason or row.verdict_reason}")
    elif row.status == "waiting":
        found.append(f"not built yet{f': {row.reason}' if row.reason else ''}")
    elif row.status == "partial":
        found.append(f"not finished: {row.reason or row.verdict_reason}")
    elif row.stopped:
        found.append(row.stopped.reason)
    found += [f"did not deliver: {sentence}" for sentence in row.undelivered]
    for required, kept in zip(board.constraints, row.kept, strict=True):
        if kept.state != "met":
            found.append(f"{'does not meet' if kept.state == 'not met' else 'open'}: {required.text}")
    found += dict.fromkeys(cell.note for cell in row.cells.values() if cell.note)
    if row.status == "complete" and row.seed is not None:
        seeds = row.seeds or len({other.seed for other in board.rows if other.group == row.group})
        found += ["one seed"] if seeds == 1 else []
    if row.status == "complete" and row.reason:
        found.append(f"a job failed: {row.reason}")
    return tuple(found)


def ties_among(rows: Sequence[Row]) -> Ties:
    """Who shares a letter; one that is told apart from all others has a letter that nobody else has, and is not told.

    Large sweeps have no letters.
    """
    found: dict[tuple[str, Key, str], list[Row]] = {}
    for row in () if isinstance(rows, Listing) else rows:
        for key, place in row.places.items():
            for letter in place.letters:
                found.setdefault((row.base, key, letter), []).append(row)
    return {name: several for name, several in found.items() if len(several) > 1}


def shared(row: Row, key: Key, ties: Ties) -> str:
    """The letters of a row's ties on a number that others have too, between commas."""
    mine = row.places[key].tie.split(",")
    return ",".join(letter for letter in mine if (row.base, key, letter) in ties)


def shown(cell: Cell | None, axis: Axis, ends: tuple[float, float] | None) -> Shown:
    """A number as a cell; `ends` are the smallest and largest of its column."""
    if cell is None:
        return Shown("–")
    text = number(cell.estimate, axis.unit, axis.metric)
    if cell.low == cell.high:
        return Shown(text, "", cell.note or "")
    bar = None
    if ends is not None and ends[1] > ends[0]:
        low, middle, high = ((x - ends[0]) / (ends[1] - ends[0]) for x in (cell.low, cell.estimate, cell.high))
        bar = (low, middle, high)
    return Shown(text, interval(cell.low, cell.high, axis.unit, axis.metric), cell.note or "", bar)


def column_ends(rows: Sequence[Row], key: Key) -> tuple[float, float] | None:
    """The smallest low and the largest high of a column."""
    cells = [row.cells[key] for row in rows if key in row.cells]
    return (min(c.low for c in cells), max(c.high for c in cells)) if cells else None


def full_name(axis: Axis) -> str:
    """The number with its direction, as axes and addresses say it."""
    return f"{axis.title} ({axis.better} is better)"


def column_meaning(axis: Axis) -> str:
    """What stands in a column of numbers, and which way is better."""
    return f"{axis.meaning} {axis.better.capitalize()} is better."


def column_name(key: Key) -> str:
    """How a number is written in an address: `metric` or `metric:scope`."""
    return f"{key[0]}:{key[1]}" if key[1] else key[0]


def payload(
    view: View,
    rows: Sequence[Row],
    keys: Sequence[Key],
    sort: tuple[str, bool] | None,
    ticked: Sequence[str] = (),
) -> dict[str, Any]:
    """The table as plain data for the page: every string in it is text, never markup."""
    board = view.board
    axes = [board.axes[key] for key in keys]
    ends, ties = {key: column_ends(rows, key) for key in keys}, ties_among(view.field)
    # Of a large sweep each row knows its own.
    seeds = {} if isinstance(board.rows, Listing) else several_seeds(board.rows)
    seeds |= {row.group: row.seeds for row in rows if row.seeds is not None and row.seeds > 1}
    return {
        "columns": [
            {
                "id": "name",
                "title": "variant",
                "scope": "",
                "better": "",
                "meaning": f"{meaning_of('variant')} Click a row for everything known of it.",
            },
            {
                "id": "verdict",
                "title": "verdict",
                "scope": "share on the frontier",
                "better": "",
                "meaning": VERDICT,
            },
            *(
                {
                    "id": column_name(axis.key),
                    "title": axis.title.removesuffix(f", {axis.scope}"),
                    "scope": axis.scope,
                    "better": axis.better,
                    "meaning": f"{column_meaning(axis)}{f' {LETTERED}' if axis.key in view.keys else ''}",
                    "objective": axis.key in view.keys,
                }
                for axis in axes
            ),
            {"id": "notes", "title": "notes", "scope": "", "better": "", "meaning": meaning_of("notes")},
        ],
        "rows": [_row(row, view, axes, ends, seeds, ties) for row in rows],
        "sort": {"id": sort[0], "descending": sort[1]} if sort else None,
        "ticked": list(ticked),
    }


def _row(
    row: Row,
    view: View,
    axes: Sequence[Axis],
    ends: dict[Key, tuple[float, float] | None],
    seeds: dict[str, int],
    ties: Ties,
) -> dict[str, Any]:
    seed = f" · seed {row.seed}, one of {seeds[row.group]}" if row.group in seeds else ""
    cells = []
    for axis in axes:
        if row.as_base and axis.key not in row.cells and of_base(axis.metric) is not None:
            found = Shown("–", "the base itself" if row.is_base else "the base's very bytes")
        else:
            # Bars only where the decision is made: on every column they would be noise.
            found = shown(row.cells.get(axis.key), axis, ends[axis.key] if axis.key in view.keys else None)
        place = row.places.get(axis.key) if axis.key in view.keys else None
        letters = "" if place is None else shared(row, axis.key, ties)
        stands = "" if place is None else rank(place.rank, letters, place.tied)
        cells.append(
            {
                "text": found.text,
                "below": found.below,
                "note": found.note,
                "bar": found.bar,
                "rank": stands,
                "ranked": "" if place is None or not stands else LETTERED if letters else f"{RANKED}.",
            }
        )
    return {
        "id": row.recipe_id,
        "name": label(row, view.board),
        "title": row.name,
        "mark": "; ".join(row.undelivered),
        "recipe": (" → ".join(row.methods) if row.methods else "the base model itself") + seed,
        "base": row.is_base,
        "status": row.status,
        "verdict": "being judged" if view.waiting else row.verdict,
        "sign": "…" if view.waiting else SIGNS[row.verdict],
        "share": "" if row.verdict == "not evaluated" else share(row),
        "why": row.verdict_reason,
        "cells": cells,
        "empty": not any(axis.key in row.cells for axis in axes),
        "notes": list(notes(row, view.board)),
    }
