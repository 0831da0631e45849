"""One sweep on several kinds of machine: do they agree which variant is faster?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.errors import BadInput
from bench.measure.rank_flips import Interval, Order, rank_flips
from bench.store.reader import Snapshot
from cluster.show import Printable
from leaderboard.format import interval
from leaderboard.rows import Board, Key, find_sweep, read_board

WORDS: dict[Order, str] = {"below": "faster", "above": "slower", "open": "not told apart"}


def boards_across(snapshot: Snapshot, asked: str | None) -> tuple[Board, ...]:
    """The newest board of a sweep on each hardware class. Raises BadInput where there is one only."""
    name = find_sweep(snapshot, asked)["name"]
    found: dict[str, Board] = {}
    for sweep in snapshot.sweeps():
        if sweep["name"] == name:
            board = read_board(snapshot, sweep["sweep_id"])
            found.setdefault(board.hardware_class, board)
    if len(found) < 2:
        raise BadInput(
            f"The sweep {name!r} was measured on one hardware class only ({next(iter(found))}): run it on another kind "
            "of machine into the same store to compare them."
        )
    return tuple(found.values())


def across_table(boards: Sequence[Board]) -> Printable:
    """Every pair of variants of one base that two classes measured, at each shape; flipped orders come first."""
    rows: list[tuple[str, ...]] = []
    records: list[dict[str, Any]] = []
    keys = dict.fromkeys(key for board in boards for key in board.axes if key[0] == "latency_ratio")
    for base, key in ((base, key) for base in boards[0].bases for key in keys):
        ratios = {board.hardware_class: _ratios(board, base, key) for board in boards}
        names = {r.artefact_id: r.name for board in boards for r in board.rows if r.artefact_id}
        for pair in rank_flips(ratios):
            both = {where: (ratios[where][pair.first], ratios[where][pair.second]) for where in pair.orders}
            told = (
                f"{where}: {WORDS[order]}, {_shown(both[where][0])} against {_shown(both[where][1])}"
                for where, order in pair.orders.items()
            )
            rows.append((names[pair.first], names[pair.second], key[1], pair.verdict, "; ".join(told)))
            records.append(
                {
                    "first": pair.first,
                    "second": pair.second,
                    "scope": key[1],
                    "verdict": pair.verdict,
                    "orders": dict(pair.orders),
                    "ratios": both,
                }
            )
    order = sorted(range(len(rows)), key=lambda i: rows[i][3] != "flipped")
    notes = (
        "Latency relative to the base, 95% intervals. Flipped: one class shows the first to be faster, another slower. "
        "Each class keeps a leaderboard of its own.",
    )
    return Printable(
        f"{boards[0].name}: orders by hardware class",
        ("variant", "against", "shape", "order", "of the first, by class"),
        tuple(rows[i] for i in order),
        [records[i] for i in order],
        notes,
    )


def _ratios(board: Board, base: str, key: Key) -> dict[str, Interval]:
    """artefact_id -> interval of its ratio; the base's own is (1, 1)."""
    cells = {row.artefact_id: row.cells.get(key) for row in board.rows if row.base == base and row.artefact_id}
    return {artefact_id: (cell.low, cell.high) for artefact_id, cell in cells.items() if cell is not None}


def _shown(ratio: Interval) -> str:
    return interval(ratio[0], ratio[1], "1", "latency_ratio")
