"""Everything that a review reads from a store: the one place that knows how the board is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.store.reader import Snapshot
from bench.store.reviews import Decision, Figure, History, Seen
from bench.store.seen import data_digest
from leaderboard.judging import separates_nothing
from leaderboard.licences import licence_rows
from leaderboard.review_question import Question, question
from leaderboard.review_reopening import reopened_by
from leaderboard.review_shortlist import Shortlist, shortlist
from leaderboard.rows import Board, Key, Row, find_sweep, judged_as, read_board, read_draws
from leaderboard.table import column_name


@dataclass(frozen=True, slots=True)
class Case:
    """One question about one sweep of one snapshot, answered."""

    board: Board
    body: Mapping[str, Any]  # of the sweep's declaration
    found: Shortlist
    seen: Seen
    confirmations: tuple[Mapping[str, Any], ...]
    opened: bool  # whether held-back examples of the sweep were ever opened
    holds_back: bool  # whether the sweep holds examples back at all


def read_case(snapshot: Snapshot, sweep: str | None, asked: Question | None = None, **parts: Any) -> Case:
    """Read and answer. Raises BadInput for a sweep, base, constraint or weight that means nothing there.

    Args:
        snapshot: the published state.
        sweep: name or id; the newest without one.
        asked: the question, or
        parts: what `review_question.question` makes one of.
    """
    declared = find_sweep(snapshot, sweep)
    board = read_board(snapshot, declared["sweep_id"])
    return answer(snapshot, board, declared["body"], asked or question(board, **parts))


def answer(snapshot: Snapshot, board: Board, body: Mapping[str, Any], asked: Question) -> Case:
    """Answer a question on a board that was read already. Raises BadInput."""
    draws = read_draws(snapshot, board, list(asked.weights))
    sweep_id = board.sweep_id
    return Case(
        board=board,
        body=body,
        found=shortlist(board, asked, draws),
        seen=Seen(snapshot=snapshot.name, published=board.published, digest=data_digest(snapshot, sweep_id)),
        confirmations=tuple(snapshot.rows("select * from confirmations where sweep_id = ?", [sweep_id])),
        opened=bool(snapshot.rows("select 1 from openings where sweep_id = ? limit 1", [sweep_id])),
        holds_back=all("held_back" in task for task in body["tasks"]),
    )


def figures(row: Row, asked: Question) -> tuple[Figure, ...]:
    """The numbers of a variant that a decision is made by."""
    keys = [*asked.weights, *(key for key in map(judged_as, asked.weights) if key in row.cells)]
    return tuple(
        Figure(metric=key[0], scope=key[1], estimate=cell.estimate, low=cell.low, high=cell.high)
        for key in dict.fromkeys(keys)
        if (cell := row.cells.get(key)) is not None
    )


def asked_in(board: Board, history: History) -> Question:
    """What a review asks, on the board as it is now. Raises BadInput where it means nothing there any more."""
    first = history.opened
    assert first is not None
    return question(board, first.base, first.constraints, first.weights)


def for_review(snapshot: Snapshot, history: History) -> Case:
    """The case of a review on what the store holds now. Raises BadInput."""
    first = history.opened
    assert first is not None
    declared = find_sweep(snapshot, first.sweep_id)
    board = read_board(snapshot, declared["sweep_id"])
    return answer(snapshot, board, declared["body"], asked_in(board, history))


def reasons_to_reopen(case: Case, history: History) -> tuple[str, ...]:
    """Why the choice of an approved review should be looked at again, told from the data as they are now."""
    choice = history.choice
    return () if choice is None else reopened_by(case.found, choice)


def weighable(board: Board) -> list[Key]:
    """The numbers that can be weighed: declared objectives first, then exact ones and those that were resampled."""
    found = list(board.objectives)
    for key, axis in board.axes.items():
        resampled = any(key in row.cells and row.cells[key].evidence is not None for row in board.rows)
        if (axis.exact or resampled) and judged_as(key) == key and separates_nothing(board, key) is None:
            found.append(key)
    return list(dict.fromkeys(found))


def confirmation_of(case: Case, recipe_id: str) -> list[Mapping[str, Any]]:
    """What held-back examples said of a variant, oldest opening first."""
    return [each for each in case.confirmations if each["recipe_id"] == recipe_id]


def licences_of(case: Case, recipe_id: str) -> list[tuple[str, str, str, str]]:
    """(part, name, licence, who said so) of a variant."""
    return licence_rows(case.body, recipe_id)


def constraints_met(row: Row, board: Board) -> tuple[str, ...]:
    """The constraints that a row is known to keep."""
    return tuple(r.text for r, kept in zip(board.constraints, row.kept, strict=True) if kept.state == "met")


def weights_text(weights: Mapping[Key, float]) -> str:
    """Weights as they are written on a command line."""
    return ", ".join(f"{column_name(key)}={weight:.4g}" for key, weight in weights.items())


def decisions_text(decisions: Sequence[Decision]) -> str:
    """Who decided what, in a line."""
    verbs = {"approve": "approved", "reject": "rejected"}
    return "; ".join(f"{d.person.name} {verbs[d.kind]} {d.name}" for d in decisions)
