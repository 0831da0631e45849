"""What is still open on the frontier of a sweep, and about what it would cost to close it by measuring more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import BadInput
from bench.metrics import TIMED
from bench.statistics.objectives import Evidence
from bench.statistics.settling import OpenPair, open_pairs
from bench.statistics.simultaneous import half_widths
from bench.store.finished_leases import finished_leases
from bench.store.reader import Snapshot
from leaderboard.judging import evidence_of
from leaderboard.rows import Board, Row, judged_as, read_board, read_draws

LEVEL = 0.95
NEVER_TIMED = "The sweep {name!r} times nothing that its objectives name, and settling buys time: name latency in them."
Lease = tuple[Mapping[str, Any], float]  # job as described, seconds


@dataclass(frozen=True)
class Open:
    """What is open among the variants of one base."""

    rows: tuple[Row, ...]  # the base first
    pairs: tuple[OpenPair, ...]
    leases: tuple[int, ...]  # of each row
    lease_seconds: float  # for each model of a lease
    finished: tuple[Lease, ...]

    @property
    def contested(self) -> tuple[Row, ...]:
        """The rows that some open pair keeps contested."""
        return tuple(self.rows[i] for i in sorted({pair.of for pair in self.pairs}))

    def cost(self, group: Sequence[int]) -> float:
        """Predicted seconds of one lease."""
        return self.lease_seconds * (1 + len(group))

    def missing(self, row: Row) -> str:
        """What would decide a contested row, in words."""
        mine = [pair for pair in self.pairs if self.rows[pair.of].recipe_id == row.recipe_id]
        closed = [min(n for n in (pair.better, pair.beaten) if n) for pair in mine if pair.better or pair.beaten]
        never = len(mine) - len(closed)
        told = []
        if closed:
            hours = max(closed) * self.cost([0, 0]) / 3600
            takes = f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"
            told.append(f"{len(closed)} of {len(mine)} open comparisons by about {max(closed)} more leases ({takes})")
        if never:
            told.append(f"{never} by no number of leases: tied on time, or a matter of scores")
        return "; ".join(told)


def open_contests(snapshot: Snapshot, sweep: Mapping[str, Any]) -> list[Open]:
    """What is open on a sweep's declared objectives, for each of its bases. Raises BadInput where nothing was timed."""
    body = sweep["body"]
    if not any(o["metric"] in _timed() for o in body["objectives"]):
        raise BadInput(NEVER_TIMED.format(name=body["name"]))
    board = read_board(snapshot, sweep["sweep_id"])
    leases = finished_leases(snapshot, body)
    draws = read_draws(snapshot, board, board.objectives)
    found = []
    for base in board.bases:
        rows = sorted((row for row in board.rows if row.base == base), key=lambda row: not row.is_base)
        mine = [(job, seconds) for job, seconds in leases if job["artefact_ids"][0] == rows[0].artefact_id]
        if mine:
            found.append(
                _contest(board, rows, [evidence_of(board, key, rows, draws) for key in board.objectives], mine)
            )
    if not found:
        raise BadInput(
            f"The sweep {body['name']!r} has no finished lease yet: run it to its end with `paredown run`, then settle."
        )
    return found


def _timed() -> frozenset[str]:
    return frozenset(f"{name}_ratio" for name in TIMED)


def _contest(board: Board, rows: Sequence[Row], evidence: Sequence[Evidence], leases: Sequence[Lease]) -> Open:
    counts = tuple(sum(row.artefact_id in job["artefact_ids"] for job, _ in leases) for row in rows)
    measured = [judged_as(key)[0] in _timed() for key in board.objectives]
    pairs = open_pairs(evidence, half_widths(tuple(evidence), LEVEL), measured, counts)
    return Open(
        rows=tuple(rows),
        pairs=tuple(pairs),
        leases=counts,
        lease_seconds=sum(s for _, s in leases) / sum(len(job["artefact_ids"]) for job, _ in leases),
        finished=tuple(leases),
    )
