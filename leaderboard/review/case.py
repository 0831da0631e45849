"""Everything that a review reads from a store: the one place that knows how the board is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.statistics.constraints import State
from bench.store.reader import Snapshot
from bench.store.reviews import Decision, Figure, History, Seen
from bench.store.seen import data_digest
from leaderboard.held_back import HeldBack, contradicted, read_held_back, sentences
from leaderboard.index import Indexed
from leaderboard.judging import separates_nothing
from leaderboard.large import board_in
from leaderboard.licences import licence_rows
from leaderboard.listing import Listing
from leaderboard.review.elsewhere import Elsewhere, look_elsewhere
from leaderboard.review.large import weighable_in
from leaderboard.review.question import Question, question
from leaderboard.review.reopening import reopened_by
from leaderboard.review.shortlist import Shortlist, shortlist
from leaderboard.rows import Board, Key, Row, find_sweep, judged_as, read_draws
from leaderboard.table import column_name


@dataclass(frozen=True, slots=True)
class Case:
    """One question about one sweep of one snapshot, answered."""

    board: Board
    body: Mapping[str, Any]  # of the sweep's declaration
    found: Shortlist
    snapshot: str
    digest: Callable[[float | None], str | None]  # hash of the data, if known within so many seconds; None waits
    held_back: HeldBack

    @property
    def about(self) -> tuple[object, ...]:
        """What it is the case of, whatever the store says of that."""
        asked = self.found.question
        return (self.board.sweep_id, asked.base, asked.constraints, tuple(asked.weights.items()))

    @property
    def seen(self) -> Seen:
        """What whoever signs has before them; of a large sweep it may take seconds."""
        digest = self.digest(None)
        assert digest is not None
        return Seen(snapshot=self.snapshot, published=self.board.published, digest=digest)

    @property
    def hashed(self) -> bool:
        """Whether `seen` is known by now; else it is worked out beside, so that nobody waits for it to look."""
        return self.digest(0) is not None


def read_case(snapshot: Snapshot, sweep: str | None, watched: str | None = None, **parts: Any) -> Case:
    """Read and answer. Raises BadInput for a sweep, base, constraint or weight that means nothing there.

    Args:
        snapshot: the published state.
        sweep: name or id; the newest without one.
        watched: as for `answer`.
        parts: what `question.question` makes a question of.
    """
    board = board_in(snapshot, find_sweep(snapshot, sweep)["sweep_id"])
    return answer(snapshot, board, question(board, **parts), watched)


def answer(snapshot: Snapshot, board: Board, asked: Question, watched: str | None = None) -> Case:
    """Answer a question on a board that was read already. Raises BadInput.

    Args:
        snapshot: that it was read from.
        board: of one sweep.
        asked: the question.
        watched: recipe_id of a variant that must be told of, whether it is on the shortlist or not.
    """
    draws = read_draws(snapshot, board, list(asked.weights))
    sweep_id = board.sweep_id
    found = shortlist(board, asked, draws, watched)
    told = [*(each.row for each in found.candidates), *found.open]
    body = snapshot.body(sweep_id, [*(row.recipe_id for row in told), *([watched] if watched else [])])
    assert body is not None
    return Case(
        board=board,
        body=body,
        found=found,
        snapshot=snapshot.name,
        digest=_digest(snapshot, sweep_id),
        held_back=read_held_back(snapshot, body),
    )


def _digest(snapshot: Snapshot, sweep_id: str) -> Callable[[float | None], str | None]:
    """Gives the hash of the data; that of a large sweep takes seconds, and is worked out once, when it is asked for."""
    if not isinstance(snapshot, Indexed):
        known = data_digest(snapshot, sweep_id)
        return lambda _: known
    index = snapshot.index

    def read() -> str:
        with index.snapshot() as mine:
            return data_digest(mine, sweep_id)

    def found(patience: float | None) -> str | None:
        asked = ("data digest", sweep_id)
        return index.remembered(asked, read) if patience is None else index.begin(asked, read, patience)

    return found


def figures(row: Row, asked: Question) -> tuple[Figure, ...]:
    """The numbers of a variant that a decision is made by."""
    keys = [*asked.weights, *(key for key in map(judged_as, asked.weights) if key in row.cells)]
    return tuple(
        Figure(metric=key[0], scope=key[1], estimate=cell.estimate, low=cell.low, high=cell.high)
        for key in dict.fromkeys(keys)
        if (cell := row.cells.get(key)) is not None
    )


def for_review(snapshot: Snapshot, history: History) -> Case:
    """The case of a review on what the store holds now. Raises BadInput."""
    first = history.opened
    assert first is not None
    board = board_in(snapshot, find_sweep(snapshot, first.sweep_id)["sweep_id"])
    watched = history.decisions[-1].recipe_id if history.decisions else None
    return answer(snapshot, board, question(board, first.base, first.constraints, first.weights), watched)


def reasons_to_reopen(case: Case, history: History, elsewhere: Elsewhere) -> tuple[str, ...]:
    """Why the choice of an approved review should be looked at again, told from the data as they are now.

    Args:
        case: of the review.
        history: its events.
        elsewhere: what other sweeps say of the choice now.
    """
    choice = history.choice
    if choice is None:
        return ()
    told = contradicted(case.held_back, case.board, choice.recipe_id)
    return reopened_by(case.found, choice, told, elsewhere)


def elsewhere_of(snapshot: Snapshot, case: Case, history: History) -> Elsewhere:
    """What other sweeps say of the choice of a review; nothing without one."""
    if history.choice is None:
        return Elsewhere()
    return look_elsewhere(snapshot, case.board.sweep_id, case.found.question, history.choice.recipe_id)


def weighable(board: Board) -> list[Key]:
    """The numbers that can be weighed: declared objectives first, then exact ones and those that were resampled."""
    if isinstance(board.rows, Listing):
        able = weighable_in(board.rows)
    else:
        able = {key for key in board.axes if _tells_apart(board, key)}
    others = [key for key in board.axes if key in able and judged_as(key) == key]
    return list(dict.fromkeys([*board.objectives, *others]))


def _tells_apart(board: Board, key: Key) -> bool:
    resampled = any(key in row.cells and row.cells[key].evidence is not None for row in board.rows)
    return (board.axes[key].exact or resampled) and separates_nothing(board, key) is None


def find_row(board: Board, recipe_id: str) -> Row | None:
    """The variant with that recipe_id."""
    if isinstance(board.rows, Listing):
        return board.rows.find(recipe_id)
    return next((row for row in board.rows if row.recipe_id == recipe_id), None)


def on_held_back(case: Case, row: Row) -> tuple[str, str | None]:
    """What held-back examples said of a variant, and the command that asks them: of the shortlist, and of all of it."""
    beside = [each.row for each in case.found.candidates]
    return sentences(case.held_back, case.board, row, beside)


def licences_of(case: Case, recipe_id: str) -> list[tuple[str, str, str, str]]:
    """(part, name, licence, who said so) of a variant."""
    return licence_rows(case.body, recipe_id)


def constraints_that_are(state: State, row: Row, board: Board) -> tuple[str, ...]:
    """The constraints that a row is known to keep, or not to, or that are open."""
    return tuple(r.text for r, kept in zip(board.constraints, row.kept, strict=True) if kept.state == state)


def weights_text(weights: Mapping[Key, float]) -> str:
    """Weights as they are written on a command line."""
    return ", ".join(f"{column_name(key)}={weight:.4g}" for key, weight in weights.items())


def decisions_text(decisions: Sequence[Decision]) -> str:
    """Who decided what, in a line."""
    verbs = {"approve": "approved", "reject": "rejected"}
    return "; ".join(f"{d.person.name} {verbs[d.kind]} {d.name}" for d in decisions)
