"""Verdicts of boards that are judged as a page is drawn: worked out once for the same snapshot, numbers and variants.

Large sweeps keep theirs with their index (`leaderboard.large`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import streamlit as st

from leaderboard.judging import Judging, judge
from leaderboard.rows import Board, Draws, Key, Place, Row
from leaderboard.source import Loaded, store_root

REMEMBERED = 32  # fields, of up to a few megabytes each


@dataclass(frozen=True, slots=True)
class Verdict:
    """What judging says of a row; numbers and constraints are not kept, which older snapshots would hold in memory."""

    verdict: str
    share: float
    reason: str
    dominated_by: str | None  # recipe_id
    places: Mapping[Key, Place]


def judging_of(loaded: Loaded) -> Judging:
    """`judge` for the rows of what a page has loaded; a rerun with the same filters does not work it out again."""
    # More than the snapshot's name: a store that was deleted and made again repeats its names.
    snapshot = f"{store_root()}|{loaded.snapshot}|{loaded.board.published}"

    def judging(board: Board, rows: Sequence[Row], keys: Sequence[Key], draws: Draws) -> tuple[Row, ...]:
        among = sha256("\n".join(row.recipe_id for row in rows).encode()).hexdigest()
        found = _verdicts(snapshot, board.sweep_id, tuple(keys), among, board, rows, draws)
        return tuple(
            replace(
                row,
                verdict=each.verdict,
                share=each.share,
                verdict_reason=each.reason,
                dominated_by=each.dominated_by,
                places=each.places,
            )
            for row, each in zip(rows, found, strict=True)
        )

    return judging


@st.cache_resource(max_entries=REMEMBERED, show_spinner=False)
def _verdicts(
    snapshot: str,
    sweep_id: str,
    keys: tuple[Key, ...],
    among: str,
    _board: Board,
    _rows: Sequence[Row],
    _draws: Draws,
) -> tuple[Verdict, ...]:
    """By row. Shared between visitors; two who ask at once wait for the same answer."""
    del snapshot, sweep_id, among  # parts of the cache's key
    return tuple(
        Verdict(row.verdict, row.share, row.verdict_reason, row.dominated_by, row.places)
        for row in judge(_board, _rows, keys, _draws)
    )
