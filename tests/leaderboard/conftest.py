"""One sample store for all tests of the page; nothing writes to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.store.reader import Snapshot, open_snapshot
from leaderboard.rows import Board, Draws, read_board, read_draws
from tests.leaderboard.sample import make_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("sample") / "store")


@pytest.fixture(scope="session")
def snapshot(store: Path) -> Iterator[Snapshot]:
    with open_snapshot(store) as found:
        yield found


@pytest.fixture(scope="session")
def board(snapshot: Snapshot) -> Board:
    return read_board(snapshot)


@pytest.fixture(scope="session")
def draws(snapshot: Snapshot, board: Board) -> Draws:
    return read_draws(snapshot, board, list(board.axes))
