"""The shortlist: who keeps the constraints and is beaten by nobody who does, in order of a score. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.errors import BadInput
from bench.statistics.constraints import combined
from leaderboard.judging import evidence_of, judge
from leaderboard.listing import Listing
from leaderboard.review.large import beaten_in_large, read_large
from leaderboard.review.nearest import nearest
from leaderboard.review.question import Question
from leaderboard.review.weights import (
    Segment,
    resampled,
    scaled,
    scores,
    segments,
    weighted_anyhow,
)
from leaderboard.rows import Board, Draws, Key, Row
from leaderboard.where import kept_under

NO_RESAMPLES = (
    "{title} has intervals but no paired resamples, so that variants cannot be told apart on it: state a constraint on "
    "it instead of a weight."
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One variant of the shortlist, judged among those that keep the constraints."""

    row: Row
    score: float  # lower is better
    losses: Mapping[Key, float]  # 0 the best of the shortlist, 1 the worst
    resampled: float  # share of resamples in which it is the choice, with these weights
    anyhow: float  # share of all weightings that choose it


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The answer to a question."""

    question: Question
    board: Board  # with the question's constraints: the rows of the base that may keep them
    candidates: tuple[Candidate, ...]  # the best score first
    open: tuple[Row, ...]  # may keep the constraints: an interval straddles, or there is no number
    counts: Mapping[str, int]  # of the base's variants: all, not met, open, unknown, beaten, unscored
    beaten_by: Mapping[str, str]  # recipe_id of who may keep the constraints and is dominated -> name of who does it
    scale: Mapping[Key, tuple[float, float]]  # from loss 0 to loss 1, in the unit of what is judged
    sensitivity: Mapping[Key, tuple[Segment, ...]]  # choices are places among the candidates
    advice: str | None  # what to do where nobody is known to keep the constraints

    @property
    def choice(self) -> Candidate | None:
        return self.candidates[0] if self.candidates else None

    def find(self, recipe_id: str) -> Candidate | None:
        """The candidate with that recipe_id."""
        return next((each for each in self.candidates if each.row.recipe_id == recipe_id), None)


def shortlist(board: Board, asked: Question, draws: Draws, watched: str | None = None) -> Shortlist:
    """Propose. Raises BadInput for a weight on a number that cannot tell variants apart.

    Of a large sweep only the rows that matter are read, `watched` (a recipe_id) among them.

    The base takes part like any other. Who is only open to keep the constraints does not compete: it may not be
    allowed, and must beat nobody. Verdicts are found among those who compete, since a variant that is beaten only by
    one that is not allowed is not beaten.
    """
    if isinstance(board.rows, Listing):
        return _of_large(board, asked, watched)
    field = _field(board, asked, draws)
    bound, met, may, known = field.bound, field.met, field.may, field.known
    kept = [row for row in field.judged if row.verdict in ("certain", "contested")]
    kept = _placed(bound, kept, tuple(asked.weights), draws)
    counts = {
        "all": len(field.mine.rows),
        "not met": len(field.mine.rows) - len(met) - len(may),
        "open": len(may),
        "unknown": len(met) - len(known),
        "beaten": len(known) - len(kept),
        "unscored": 0,
    }
    beaten = _beaten_by(field, asked, draws, watched)
    advice = None if known else nearest(field.mine, asked, len(may), has_met=bool(met))
    if not kept:
        return Shortlist(asked, bound, (), may, counts, beaten, {}, {}, advice)
    return replace(_scored(asked, bound, kept, draws), open=may, counts=counts, beaten_by=beaten)


def dominated_by(board: Board, asked: Question, draws: Draws, watched: str) -> str | None:
    """The name of who dominates one variant (a recipe_id) among those who compete; None where nobody does.

    Raises as `shortlist`, which says the same and much more.
    """
    if isinstance(board.rows, Listing):
        return beaten_in_large(board, asked, watched).get(watched)
    return _beaten_by(_field(board, asked, draws), asked, draws, watched).get(watched)


class _Field(NamedTuple):
    mine: Board  # of the question's base
    bound: Board  # the same with the question's constraints
    met: list[Row]  # are known to keep them
    may: tuple[Row, ...]  # may keep them
    known: list[Row]  # keep them and have every number
    judged: tuple[Row, ...]  # the same among themselves


def _field(board: Board, asked: Question, draws: Draws) -> _Field:
    """Who competes."""
    mine = replace(board, rows=tuple(row for row in board.rows if row.base == asked.base))
    bound = kept_under(mine, asked.constraints) if asked.constraints else mine
    states = {row.recipe_id: combined([kept.state for kept in row.kept]) for row in bound.rows}
    met = [row for row in bound.rows if states[row.recipe_id] == "met"]
    may = tuple(row for row in bound.rows if states[row.recipe_id] == "open")
    keys = tuple(asked.weights)
    known = _with_numbers(bound, met, keys, draws)
    return _Field(mine, bound, met, may, known, tuple(judge(bound, known, keys, draws)) if known else ())


def _beaten_by(field: _Field, asked: Question, draws: Draws, watched: str | None) -> dict[str, str]:
    """recipe_id of who is dominated -> name of who does it; of those that are only open, of the watched one alone."""
    names = {row.recipe_id: row.name for row in field.bound.rows}
    beaten = {row.recipe_id: names[row.dominated_by] for row in field.judged if row.dominated_by is not None}
    for row in (row for row in field.may if row.recipe_id == watched):  # who is open beats nobody, and may be beaten
        *_, itself = judge(field.bound, [*field.known, row], tuple(asked.weights), draws)
        beaten |= {row.recipe_id: names[itself.dominated_by]} if itself.dominated_by is not None else {}
    return beaten


def _of_large(board: Board, asked: Question, watched: str | None) -> Shortlist:
    found = read_large(board, asked, watched)
    if not found.kept:
        known = found.counts["all"] - found.counts["not met"] - found.counts["open"] - found.counts["unknown"]
        some = replace(board, rows=found.nearest)
        advice = None if known else nearest(some, asked, found.counts["open"], has_met=found.has_met)
        return Shortlist(asked, found.board, (), found.open, found.counts, found.beaten_by, {}, {}, advice)
    scored = _scored(asked, found.board, found.kept, found.draws, found.ends)
    return replace(scored, open=found.open, counts=found.counts, beaten_by=found.beaten_by)


def _with_numbers(board: Board, rows: Sequence[Row], keys: Sequence[Key], draws: Draws) -> list[Row]:
    """The rows that have every number. Raises BadInput where one of them is none that variants differ on."""
    evidence = [evidence_of(board, key, rows, draws) for key in keys]
    for key, each in zip(keys, evidence, strict=True):
        if rows and not each.present.any() and any(key in row.cells and not row.stopped for row in rows):
            raise BadInput(NO_RESAMPLES.format(title=board.axes[key].title))
    there = np.logical_and.reduce([each.present for each in evidence]) if rows else ()
    return [row for row, has in zip(rows, there, strict=True) if has]


def _placed(board: Board, rows: Sequence[Row], keys: Sequence[Key], draws: Draws) -> list[Row]:
    """The rows with what is known of each against the base, which may itself not keep the constraints."""
    base = next((row for row in board.rows if row.is_base), None)
    if not rows or base is None or any(row.is_base for row in rows):
        return list(rows)
    beside = {row.recipe_id: row.places for row in judge(board, [base, *rows], keys, draws)}
    return [replace(row, places=beside[row.recipe_id]) for row in rows]


def _scored(
    asked: Question, board: Board, rows: Sequence[Row], draws: Draws, ends: NDArray[np.float64] | None = None
) -> Shortlist:
    """`ends` are the best and the worst cost of each number among all candidates [2, K], where these rows are some."""
    keys = tuple(asked.weights)
    weights = np.array([asked.weights[key] for key in keys])
    evidence = [evidence_of(board, key, rows, draws) for key in keys]
    costs = np.column_stack([each.costs for each in evidence])
    ideal, nadir = (costs.min(axis=0), costs.max(axis=0)) if ends is None else ends
    losses = scaled(costs, ideal, nadir)
    found = scores(losses, weights)
    worlds = [each.costs[None] if each.cost_draws is None else each.cost_draws for each in evidence]
    again, anyhow = resampled(worlds, weights, ideal, nadir), weighted_anyhow(losses)
    order = np.argsort(found, kind="stable")
    candidates = tuple(
        Candidate(
            rows[i],
            float(found[i]),
            dict(zip(keys, losses[i].tolist(), strict=True)),
            float(again[i]),
            float(anyhow[i]),
        )
        for i in order.tolist()
    )
    turn = [1 if each.objective.better == "lower" else -1 for each in evidence]
    return Shortlist(
        question=asked,
        board=board,
        candidates=candidates,
        open=(),
        counts={},
        beaten_by={},
        scale={key: (turn[k] * float(ideal[k]), turn[k] * float(nadir[k])) for k, key in enumerate(keys)},
        sensitivity={key: segments(losses[order], weights, k) for k, key in enumerate(keys)},
        advice=None,
    )
