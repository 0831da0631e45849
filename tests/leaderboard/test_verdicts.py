"""Verdicts of a filtered board are worked out once, and are those of judging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from bench.store.reader import Snapshot
from leaderboard import PAGE, verdicts
from leaderboard.choices import Choice, look
from leaderboard.judging import judge
from leaderboard.rows import Board, Draws, Row
from leaderboard.source import STORE, Loaded
from leaderboard.verdicts import judging_of
from leaderboard.where import kept_under

FILTER = Choice(text="decoder")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The names of the rows of each time that verdicts were worked out."""
    seen: list[tuple[str, ...]] = []

    def watched(board: Board, rows: Sequence[Row], *more: Any) -> tuple[Row, ...]:
        seen.append(tuple(row.name for row in rows))
        return judge(board, rows, *more)

    verdicts._verdicts.clear()
    monkeypatch.setattr(verdicts, "judge", watched)
    return seen


def loaded_of(snapshot: Snapshot, board: Board, draws: Draws) -> Loaded:
    return Loaded(snapshot.name, ((board.sweep_id, board.name),), ("",), board, board.objectives, draws, ())


def test_the_same_variants_of_the_same_snapshot_are_judged_once(
    judged: list[tuple[str, ...]], snapshot: Snapshot, board: Board, draws: Draws
) -> None:
    loaded = loaded_of(snapshot, board, draws)
    plain = look(board, FILTER, board.objectives, draws)
    for _ in range(2):
        assert look(board, FILTER, board.objectives, draws, judging=judging_of(loaded)) == plain
    assert len(judged) == 1
    size = (("size", ""), *board.objectives[1:])
    for choice, keys in ((Choice(text="fine"), board.objectives), (FILTER, size)):
        assert look(board, choice, keys, draws, judging=judging_of(loaded)) == look(board, choice, keys, draws)
    assert len(judged) == 3
    newer = replace(loaded, board=replace(board, published="2027-01-01T00:00:00.000+00:00"))
    look(newer.board, FILTER, board.objectives, draws, judging=judging_of(newer))
    assert len(judged) == 4


def test_constraints_of_one_visitor_are_not_another_s(
    judged: list[tuple[str, ...]], snapshot: Snapshot, board: Board, draws: Draws
) -> None:
    """Two bounds that leave the same variants: one field, and each row says what it keeps."""
    judging = judging_of(loaded_of(snapshot, board, draws))
    for bound in ("size <= 900 MB", "size <= 901 MB"):
        under = kept_under(board, [bound])
        view = look(under, Choice(), board.objectives, draws, judging=judging)
        assert view == look(under, Choice(), board.objectives, draws)
        assert view.narrowed
    assert len(judged) == 1


def test_a_page_that_is_drawn_again_judges_nothing(
    judged: list[tuple[str, ...]], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE, str(store))
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.query_params["q"] = "decoder"
    for _ in range(3):
        page.run()
        assert not page.exception
    assert len(judged) == 1
    assert len(judged[0]) == 5
