"""Two to four variants side by side: each pair on each objective, and exact tests of what one has right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from bench.statistics.frontier import Comparison
from bench.store.reader import Snapshot
from leaderboard.against import Tested, beside
from leaderboard.format import MINUS, SIGNS, interval, number
from leaderboard.listing import Listing
from leaderboard.rows import Board, Key, Row
from leaderboard.table import full_name, share, usual_columns
from leaderboard.wording import change_text

FEWEST, MOST = 2, 4
WHOLE_SWEEP = 500  # variants whose resamples are read; with more those of the chosen ones, adjusted for all pairs
RELATIONS = {"better": "▲ better", "worse": "▼ worse", "equivalent": "= equivalent", "not known yet": "? not known yet"}


@dataclass(frozen=True, slots=True)
class Pair:
    """The second variant against the first, as their places among the chosen ones."""

    first: int
    second: int
    comparisons: tuple[Comparison, ...]  # by objective: the second minus the first
    tests: Mapping[Key, Tested]


def compare(snapshot: Snapshot, board: Board, chosen: Sequence[Row]) -> tuple[Pair, ...]:
    """Every pair of the chosen variants of one base; pairs of different bases have no common measure and are left out.

    Intervals hold at once over all pairs of the sweep's variants and all objectives, as those of the verdicts: whoever
    is compared was chosen among all of them.
    """
    whole = len(board.rows) <= WHOLE_SWEEP
    among = replace(board, rows=tuple(board.rows if whole else _with_bases(board, chosen)))
    many = None if whole else len(board.everyone)
    each = {row.recipe_id: beside(snapshot, among, row.recipe_id, many)[1] for row in chosen}
    known = {recipe_id: {b.row.recipe_id: b for b in found} for recipe_id, found in each.items()}
    found = []
    for i, j in combinations(range(len(chosen)), 2):
        other = known[chosen[i].recipe_id].get(chosen[j].recipe_id)
        if other is not None:
            found.append(Pair(i, j, other.comparisons, other.tests))
    return tuple(found)


def _with_bases(board: Board, chosen: Sequence[Row]) -> list[Row]:
    wanted = {row.recipe_id: row for row in chosen}
    if isinstance(board.rows, Listing):
        bases = (board.rows.base(name) for name in dict.fromkeys(row.base for row in chosen))
        return list({row.recipe_id: row for row in (*bases, *chosen) if row is not None}.values())
    named = {row.base for row in chosen}
    return [row for row in board.rows if row.recipe_id in wanted or (row.is_base and row.base in named)]


def side_by_side(board: Board, chosen: Sequence[Row]) -> list[tuple[str, ...]]:
    """One line a number, one column a variant: verdicts, then the usual numbers, then all others that differ."""
    lines = [
        ("verdict", *(f"{SIGNS[row.verdict]} {row.verdict}" for row in chosen)),
        ("share on the frontier", *(share(row) for row in chosen)),
        ("recipe", *(" → ".join(row.methods) or "the base model itself" for row in chosen)),
    ]
    usual = usual_columns(board)
    rest = [key for key in board.axes if key not in usual and _differs(key, chosen)]
    lines += [(full_name(board.axes[key]), *(_cell(row, board, key) for row in chosen)) for key in (*usual, *rest)]
    return lines


def _differs(key: Key, chosen: Sequence[Row]) -> bool:
    found = {None if key not in row.cells else row.cells[key].estimate for row in chosen}
    return len(found) > 1


def _cell(row: Row, board: Board, key: Key) -> str:
    cell, axis = row.cells.get(key), board.axes[key]
    if cell is None:
        return "–"
    text = number(cell.estimate, axis.unit, axis.metric)
    return text if cell.low == cell.high else f"{text} ({interval(cell.low, cell.high, axis.unit, axis.metric)})"


def pair_rows(
    board: Board, pairs: Sequence[Pair], chosen: Sequence[Row], names: Sequence[str]
) -> list[tuple[str, ...]]:
    """One line a pair: (second against first, what is known on each objective, or why nothing is)."""
    found = []
    for pair in pairs:
        cells = []
        for key, each in zip(board.objectives, pair.comparisons, strict=True):
            told = RELATIONS[each.relation]
            if each.difference == each.difference:
                told += f": {change_text(each.difference, each.low, each.high, board, key)}"
            elif any(chosen[place].stopped for place in (pair.first, pair.second)):
                told += ": stopped by a race"
            cells.append(told)
        found.append((f"{names[pair.second]} against {names[pair.first]}", *cells))
    return found


def flip_rows(board: Board, pairs: Sequence[Pair], names: Sequence[str]) -> list[tuple[str, ...]]:
    """One line a pair and 0/1 metric: flips both ways, with the exact test of them."""
    return [
        (
            f"{names[pair.second]} against {names[pair.first]}",
            board.axes[key].title if key in board.axes else " ".join(key),
            f"+{test.gained:,} {MINUS}{test.lost:,} of {test.n:,}",
            f"{test.p:.2g}",
            f"{test.p_holm:.2g}",
        )
        for pair in pairs
        for key, test in pair.tests.items()
    ]
