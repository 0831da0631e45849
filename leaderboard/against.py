"""Every variant beside one of them: differences on the objectives, and exact tests of what is right or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np
from numpy.typing import NDArray

from bench.errors import BadInput
from bench.statistics.frontier import Comparison, against
from bench.statistics.paired import flips, holm, mcnemar_exact
from bench.statistics.simultaneous import half_widths
from bench.store.asked import find_variant
from bench.store.reader import Snapshot
from leaderboard.index import LARGE
from leaderboard.judging import evidence_of, widths_among
from leaderboard.large import LEVEL
from leaderboard.listing import Listing
from leaderboard.rows import Board, Key, Row, read_draws

Hits = dict[Key, dict[str, NDArray[np.uint8]]]  # 0/1 metric in a scope -> recipe_id -> which examples count


@dataclass(frozen=True, slots=True)
class Tested:
    """One 0/1 metric of two variants on the same examples; `p` is McNemar's, exact."""

    gained: int  # examples that count for this one and not for the other
    lost: int
    n: int
    p: float
    p_holm: float  # over the sweep's variants x its 0/1 metrics


@dataclass(frozen=True, slots=True)
class Beside:
    """A variant beside the one that was asked for."""

    row: Row
    comparisons: tuple[Comparison, ...]  # by objective, this one minus the other
    tests: Mapping[Key, Tested]


def beside(snapshot: Snapshot, board: Board, asked: str, among: int | None = None) -> tuple[Row, tuple[Beside, ...]]:
    """The variant that is meant, and all others of its base against it. Raises BadInput with near misses.

    Differences have simultaneous intervals over all pairs and objectives, those of the verdicts; p-values are adjusted
    for a family that does not depend on what is shown either.

    `among` is how many variants the rows were chosen from, where these are not at hand: intervals are then adjusted for
    all their pairs (Bonferroni), as they are in a large sweep.
    """
    if isinstance(board.rows, Listing) and len(board.rows) < board.rows.source.large[board.sweep_id]:
        among = board.rows.source.large[board.sweep_id]
    if len(board.rows) > LARGE:
        raise BadInput(
            f"--against compares every pair of at most {LARGE:,} variants, and {len(board.rows):,} are asked for: "
            "narrow them with --where, or compare two to four on the page."
        )
    board = replace(board, rows=tuple(board.rows))
    reference = _row_of(snapshot, board, asked)
    rows = [row for row in board.rows if row.base == reference.base]
    at = rows.index(reference)
    draws = read_draws(snapshot, board, board.objectives)
    evidence = tuple(evidence_of(board, key, rows, draws) for key in board.objectives)
    if among is None:
        widths = widths_among(board, board.objectives, rows, draws) or half_widths(evidence, LEVEL)
    else:
        widths = half_widths(evidence, LEVEL, comb(among, 2) * sum(each.draws is not None for each in evidence))
    compared = against(evidence, at, widths)
    tests = _tests(snapshot, board.sweep_id, reference.recipe_id, [row.recipe_id for row in rows])
    found = (
        Beside(row, tuple(column[i] for column in compared), tests.get(row.recipe_id, {}))
        for i, row in enumerate(rows)
        if i != at
    )
    return reference, tuple(found)


def _row_of(snapshot: Snapshot, board: Board, asked: str) -> Row:
    exact = next((row for row in board.rows if row.recipe_id == asked), None)
    known = "select 1 from variants where sweep_id = ? and recipe_id = ?"
    if exact is not None and snapshot.rows(known, [board.sweep_id, asked]):
        return exact
    variants = snapshot.rows("select * from variants where sweep_id = ? order by position", [board.sweep_id])
    found = find_variant(variants, asked)
    row = next((row for row in board.rows if row.recipe_id == found["recipe_id"]), None)
    if row is None:
        raise BadInput(f"--where leaves out {found['name']!r}, which --against asks for: choose one that it keeps.")
    return row


def _tests(snapshot: Snapshot, sweep_id: str, reference: str, shown: Sequence[str]) -> dict[str, dict[Key, Tested]]:
    """Exact tests of every variant with the reference by recipe_id, adjusted for all that there could be (Holm).

    Of a large sweep only those shown are tested: that the others might be tested too still counts, as if none of them
    differed, which makes no p smaller.
    """
    ((others, metrics),) = (
        tuple(row.values())
        for row in snapshot.rows(
            "select (select count(*) from variants where sweep_id = $1 and not is_base), "
            "(select count(distinct (metric, scope)) from hits where sweep_id = $1)",
            [sweep_id],
        )
    )
    hits = _hits(snapshot, sweep_id, shown if others > LARGE else None)
    found: dict[tuple[str, Key], tuple[int, int, int, float]] = {}
    for key, by_variant in hits.items():
        theirs = by_variant.get(reference)
        for recipe_id, mine in by_variant.items():
            if theirs is not None and recipe_id != reference and mine.size == theirs.size:
                found[recipe_id, key] = (*flips(theirs, mine), mine.size, mcnemar_exact(mine, theirs))
    to_come = np.ones(max(0, others * metrics - len(found)))
    adjusted = holm(np.concatenate([np.array([each[3] for each in found.values()], dtype=np.float64), to_come]))
    result: dict[str, dict[Key, Tested]] = {}
    for ((recipe_id, key), (gained, lost, n, p)), p_holm in zip(found.items(), adjusted.tolist(), strict=False):
        result.setdefault(recipe_id, {})[key] = Tested(gained, lost, n, p, p_holm)
    return result


def _hits(snapshot: Snapshot, sweep_id: str, shown: Sequence[str] | None) -> Hits:
    found: Hits = {}
    some, asked = ("", []) if shown is None else (" and recipe_id in (select unnest(?))", [list(shown)])
    for r in snapshot.rows(f"select * from hits where sweep_id = ?{some}", [sweep_id, *asked]):  # noqa: S608 - fixed
        packed = np.frombuffer(r["bits"], dtype=np.uint8)
        found.setdefault((r["metric"], r["scope"]), {})[r["recipe_id"]] = np.unpackbits(packed, count=r["n"])
    return found
