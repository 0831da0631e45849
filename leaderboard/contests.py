"""What is still open on the frontier of a sweep, and about what it would cost to close it by measuring more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bench.errors import BadInput
from bench.metrics import TIMED
from bench.statistics.looks import planned_looks
from bench.statistics.resample import SHIFT
from bench.statistics.settling import OpenPairs, best_rounds, open_pairs
from bench.statistics.simultaneous import half_widths
from bench.store.finished_leases import FinishedLease, finished_leases
from bench.store.reader import Snapshot
from leaderboard.candidates import Among, of_each_base
from leaderboard.large import board_in
from leaderboard.rows import Board, Row, judged_as

LEVEL = 0.95
NEVER_TIMED = "The sweep {name!r} times nothing that its objectives name, and settling buys time: name latency in them."
LONGER = 4  # times as many rounds as the sweep allowed a lease, where that is what narrows


@dataclass(frozen=True, slots=True)
class Price:
    """What deciding all that leases can decide would cost, if the estimates stay what they are."""

    closed: int  # comparisons that so many leases would decide
    never: int  # and those that none would
    leases: int
    seconds: float

    def sentence(self) -> str:
        """In words."""
        told = []
        if self.closed:
            told.append(
                f"About {self.leases:,} more leases, {takes(self.seconds)} in all, would decide {self.closed:,} of "
                f"{self.closed + self.never:,} open comparisons, if the estimates stay what they are."
            )
        if self.never:
            rest = f"the other {self.never:,}" if self.closed else f"any of {self.never:,} open comparisons"
            told.append(f"No number of leases decides {rest}: tied on time, or a matter of what no lease measures.")
        return " ".join(told)


def price(found: Sequence[Open]) -> Price:
    """Of all bases together."""
    each = [one.price() for one in found]
    return Price(
        sum(p.closed for p in each),
        sum(p.never for p in each),
        sum(p.leases for p in each),
        sum(p.seconds for p in each),
    )


def takes(seconds: float) -> str:
    """A time as one plans it."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{max(1, round(seconds / 60))} min"


@dataclass(frozen=True)
class Open:
    """What is open among the variants of one base."""

    rows: tuple[Row, ...]  # the base first
    pairs: OpenPairs
    leases: tuple[int, ...]  # of each row
    lease_seconds: float  # for each model of a lease
    rounds: int | None  # after which a further lease should end; None: as the sweep has it
    finished: tuple[FinishedLease, ...]
    others: int  # contested ones of a large sweep that are farther from the frontier and were not compared in pairs

    @property
    def contested(self) -> tuple[Row, ...]:
        """The rows that some open pair keeps contested."""
        return tuple(self.rows[i] for i in self.pairs.contested().tolist())

    def cost(self, group: Sequence[int]) -> float:
        """Predicted seconds of one lease."""
        return self.lease_seconds * (1 + len(group))

    def price(self) -> Price:
        """Of everything that leases would decide."""
        return self._price(self.pairs)

    def price_of(self, row: Row) -> Price:
        """Of what keeps one row contested."""
        return self._price(self.pairs.of_variant(self._at.get(row.recipe_id, -1)))

    def _price(self, pairs: OpenPairs) -> Price:
        """Of pairs; variants that need about as many leases share them."""
        more = np.zeros(len(self.rows), dtype=np.intp)  # leases that a variant lacks
        np.maximum.at(more, pairs.of, pairs.leases)
        np.maximum.at(more, pairs.other, pairs.leases)
        more[list(self.always)] = 0
        queue = [i for i in np.argsort(-more, kind="stable").tolist() if more[i]]
        most = max(1, *(len(lease.job["artefact_ids"]) - 1 for lease in self.finished))
        groups = [queue[first : first + most] for first in range(0, len(queue), most)]
        closed = int(np.count_nonzero(pairs.leases))
        return Price(
            closed=closed,
            never=pairs.of.size - closed,
            leases=sum(int(more[group[0]]) for group in groups),
            seconds=sum(int(more[group[0]]) * self.cost(group) for group in groups),
        )

    @cached_property
    def always(self) -> frozenset[int]:
        """The rows that every lease holds: the base, and what has its very bytes."""
        return _always(self.rows)

    @cached_property
    def _at(self) -> Mapping[str, int]:
        return {row.recipe_id: i for i, row in enumerate(self.rows)}

    def missing(self, row: Row) -> str:
        """What would decide a contested row, in words."""
        price = self.price_of(row)
        told = []
        if price.closed:
            told.append(
                f"{price.closed} of {price.closed + price.never} open comparisons by about {price.leases} more leases "
                f"({takes(price.seconds)})"
            )
        if price.never:
            told.append(f"{price.never} by no number of leases: tied on time, or a matter of what no lease measures")
        return "; ".join(told)


def open_contests(snapshot: Snapshot, sweep: Mapping[str, Any]) -> list[Open]:
    """What is open on a sweep's declared objectives, for each of its bases. Raises BadInput where nothing was timed."""
    body = sweep["body"]
    if not any(o["metric"] in _timed() for o in body["objectives"]):
        raise BadInput(NEVER_TIMED.format(name=body["name"]))
    board = board_in(snapshot, sweep["sweep_id"])
    leases = finished_leases(snapshot, body)
    found = []
    for among in of_each_base(snapshot, board):
        base = among.rows[0]
        mine = [lease for lease in leases if lease.job["artefact_ids"][0] == base.artefact_id]
        if mine:
            buying = _lease_to_buy(snapshot, board, base, mine)
            found.append(_contest(board, among, mine, body["leases"], buying))
    if not found:
        raise BadInput(
            f"The sweep {body['name']!r} has no finished lease yet: run it to its end with `paredown run`, then settle."
        )
    return found


def _always(rows: Sequence[Row]) -> frozenset[int]:
    return frozenset(i for i, row in enumerate(rows) if row.artefact_id == rows[0].artefact_id)


def _timed() -> frozenset[str]:
    return frozenset(f"{name}_ratio" for name in TIMED)


def _lease_to_buy(
    snapshot: Snapshot, board: Board, base: Row, leases: Sequence[FinishedLease]
) -> tuple[int | None, float]:
    """(rounds after which a further lease should end, seconds that it takes for each model)."""
    models = sum(len(lease.job["artefact_ids"]) for lease in leases)
    usual = sum(lease.seconds for lease in leases) / models
    ((rest, sessions),) = (
        tuple(row.values())
        for row in snapshot.rows(
            "select avg(variance_rest), avg(variance_sessions) from recipes "
            "where sweep_id = ? and base = ? and metric = 'latency_ratio' and other = ''",
            [board.sweep_id, base.base],
        )
    )
    job = leases[-1].job
    rounds = [lease.rounds for lease in leases if lease.rounds]
    calls = [cell.estimate for (name, _), cell in base.cells.items() if name == "latency_ms"]  # of each shape
    # Only the steady protocol of forward passes spends its time as is reckoned here.
    plain = job["new_tokens"] is None and job["protocol"] == "steady" and len(calls) == len(job["shapes"])
    if rest is None or len(rounds) < len(leases) or not plain:
        return None, usual
    shapes = len(job["shapes"])
    mean = sum(rounds) / len(rounds)
    # Two visits a round, each a first call and then calls for as long as a burst.
    each = sum(2 * call * (1 + math.ceil(job["burst_ms"] / call)) for call in calls) / 1e3
    fixed = max(0.0, usual - mean / shapes * each)
    looks = planned_looks(job["first_rounds"], LONGER * job["max_rounds"])
    found = best_rounds(looks, max(sessions, SHIFT**2), rest * mean / shapes, fixed, each)
    return found, fixed + found * each


def _contest(
    board: Board,
    among: Among,
    leases: Sequence[FinishedLease],
    declared: int,
    lease: tuple[int | None, float],
) -> Open:
    times = Counter(artefact_id for done in leases for artefact_id in set(done.job["artefact_ids"]))
    counts = tuple(times[str(row.artefact_id)] for row in among.rows)
    measured = [judged_as(key)[0] in _timed() for key in board.objectives]
    # The base's ratio to itself is the same in any number of leases.
    always = _always(among.rows)
    own = [math.inf if i in always else n for i, n in enumerate(counts)]
    widths = half_widths(among.evidence, LEVEL, among.pairs)
    planned = [_planned(board, row, n, declared) for row, n in zip(among.rows, counts, strict=True)]
    return Open(
        rows=among.rows,
        pairs=open_pairs(among.evidence, widths, measured, own, planned, among.pairs),
        leases=counts,
        lease_seconds=lease[1],
        rounds=lease[0],
        finished=tuple(leases),
        others=among.others,
    )


def _planned(board: Board, row: Row, leases: int, declared: int) -> float:
    """How many leases of a row were planned before anybody looked, as its number says."""
    keys = (key for key in board.objectives if judged_as(key)[0] in _timed())
    extended = next((cell.extended for key in keys if (cell := row.cells.get(judged_as(key))) and cell.extended), None)
    return declared if extended is None else leases / extended
