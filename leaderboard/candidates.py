"""The variants of each base that are compared in pairs: all of them, of a large sweep those that nothing beats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bench.statistics import pruned
from bench.statistics.objectives import Evidence
from bench.statistics.pruned import nearest, prune
from bench.store.reader import Snapshot
from leaderboard.judging import evidence_of
from leaderboard.large import known_of, members
from leaderboard.listing import Listing
from leaderboard.rows import Board, Row, read_draws


@dataclass(frozen=True, slots=True, eq=False)
class Among:
    """Variants of one base, the base first, with what is known of them on each objective of the board."""

    rows: tuple[Row, ...]
    evidence: tuple[Evidence, ...]
    pairs: int | None = None  # of the field that they are taken from, as for `half_widths`
    others: int = 0  # that nothing is known to beat either, but which are not among them: farther from the frontier


def of_each_base(snapshot: Snapshot, board: Board) -> Iterator[Among]:
    """Of each base of a board. Of a large sweep no more than `MOST_CANDIDATES` and the base."""
    if isinstance(board.rows, Listing):
        yield from _of_large(board, board.rows)
        return
    draws = read_draws(snapshot, board, board.objectives)
    for base in board.bases:
        rows = tuple(sorted((row for row in board.rows if row.base == base), key=lambda row: not row.is_base))
        yield Among(rows, tuple(evidence_of(board, key, rows, draws) for key in board.objectives))


def _of_large(board: Board, listing: Listing) -> Iterator[Among]:
    """What is beaten even at the ends of its interval changes nothing for the others (`pruned.judge`)."""
    who = members(listing.source, listing.sweep_id)
    places = np.sort(listing.places()).astype(np.intp)
    for number in np.unique(who.base[places]):
        mine = places[who.base[places] == number]
        known = known_of(board, listing.source, listing.sweep_id, board.objectives, mine)
        base = np.flatnonzero(who.is_base[mine])
        chosen, rest, pairs = np.arange(mine.size), base[:0], None
        if mine.size > pruned.MOST_CANDIDATES:  # fewer are compared in pairs, all of them
            chosen, rest = nearest(prune(known.between).candidates, known.between)
            pairs = known.pairs
        picked = np.concatenate([base, np.setdiff1d(chosen, base)])
        evidence = tuple(known.pick(picked))
        if not np.isin(base, chosen).any():  # it is beaten, and keeps nobody contested
            evidence = tuple(_without_first(each) for each in evidence)
        yield Among(tuple(listing.read(mine[picked].tolist())), evidence, pairs, int(rest.size))


def _without_first(each: Evidence) -> Evidence:
    return replace(each, estimates=np.concatenate([[np.nan], each.estimates[1:]]))
