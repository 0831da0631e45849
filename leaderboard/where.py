"""Boards as someone asks for them: on which objectives, who keeps the constraints, the frontier among those who may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.errors import BadInput
from bench.metrics.bounds import bound, read, refuse_contradictions
from bench.statistics.constraints import combined
from bench.store.reader import Snapshot
from leaderboard.axes import find_axis
from leaderboard.bounded import kept_by
from leaderboard.facts import keeps
from leaderboard.judging import judged_anew, with_objectives
from leaderboard.large import board_in
from leaderboard.listing import Listing
from leaderboard.rows import Axis, Board, Key, Required, Row


def asked_board(snapshot: Snapshot, sweep: str | None, objectives: str | None, where: Sequence[str]) -> Board:
    """The board of a sweep, the newest without one, as someone asks for it. Raises BadInput.

    Args:
        snapshot: that holds it; by its index, not every row of a large sweep is read.
        sweep: its name.
        objectives: metrics to judge on between commas; the declared ones without.
        where: constraints; variants that do not meet them are left out.
    """
    board = board_in(snapshot, sweep)
    if objectives:
        board = with_objectives(snapshot, board, [name.strip() for name in objectives.split(",")])
    return with_constraints(snapshot, board, where) if where else board


def with_constraints(snapshot: Snapshot, board: Board, texts: Sequence[str]) -> Board:
    """The same board without the variants that do not meet the constraints, judged among those left and the base.

    Where that is open, a variant stays and its row says so; the base always stays. Raises BadInput for what cannot be
    read, is on no number of this board, or contradicts itself.
    """
    return judged_anew(snapshot, kept_under(board, texts))


def kept_under(board: Board, texts: Sequence[str]) -> Board:
    """The same, with the verdicts still those among all. Raises BadInput."""
    asked = understand(board, texts)
    if isinstance(board.rows, Listing):
        listing = replace(board.rows, asked=(*board.rows.asked, *asked))
        left = listing.narrowed(kept_by(listing, asked))
        counts = [each.variants for each in (left, listing)]
        return replace(board, rows=left, constraints=(*board.constraints, *asked), among=(counts[0], counts[1]))
    rows = tuple(_with_kept(row, asked) for row in board.rows)
    kept = tuple(
        row for row in rows if row.is_base or combined([k.state for k in row.kept[-len(asked) :]]) != "not met"
    )
    counts = [sum(not row.is_base for row in some) for some in (kept, rows)]
    constraints = (*board.constraints, *asked)
    return replace(board, rows=kept, constraints=constraints, among=(counts[0], counts[1]), whole=board.everyone)


def understand(board: Board, texts: Sequence[str]) -> tuple[Required, ...]:
    """Constraints as they are written on numbers of this board. Raises BadInput with one sentence.

    Those that contradict each other are refused, and one that contradicts a constraint of the board: nobody would be
    left. What the board's own say of each other is not for whoever asks.
    """
    written = read(texts)
    found = []
    for each in written:
        metric, scope = find_axis(board, each.asked)
        found.append(bound(each, metric, scope, board.axes[metric, scope].unit))
    asked = [each.text for each in written]
    refuse_contradictions(asked, found)
    for standing in board.constraints:
        refuse_contradictions([standing.text, *asked], [standing.constraint, *found])
    return tuple(Required(constraint, each.text) for constraint, each in zip(found, written, strict=True))


def _with_kept(row: Row, asked: Sequence[Required]) -> Row:
    return replace(row, kept=(*row.kept, *(keeps(row.cells, row.as_base, each.constraint) for each in asked)))


def with_limit(board: Board, text: str, key: Key, bound: str) -> str:
    """Typed constraints with one more, in place of those on the same number; what cannot be read stays as it is."""
    try:
        kept = [each.text for each in read([text]) if not _is_on(board, each.asked, key)] if text.strip() else []
    except BadInput:
        return text
    return ", ".join(filter(None, [*kept, bound]))


def limit_in(board: Board, text: str, axis: Axis) -> float | None:
    """Where typed constraints bound a number on its worse side, in its own unit; None without such a bound."""
    upper = axis.better == "lower"
    try:
        mine = [each for each in read([text]) if _is_on(board, each.asked, axis.key)] if text.strip() else []
        asked = [bound(each, *axis.key, axis.unit) for each in mine]
    except BadInput:
        return None
    return (min if upper else max)((each.bound for each in asked if each.upper is upper), default=None)


def _is_on(board: Board, asked: str, key: Key) -> bool:
    try:
        return find_axis(board, asked) == key
    except BadInput:
        return False
