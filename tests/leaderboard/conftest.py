"""One sample store for all tests of the page; nothing writes to it."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from bench.store.reader import Snapshot, open_snapshot
from leaderboard import PAGE, index
from leaderboard.choices import Choice, View, look
from leaderboard.large import board_in
from leaderboard.rows import Axis, Board, Draws, read_board, read_draws
from leaderboard.source import STORE
from tests.leaderboard.sample import SCOPE, TASK, make_store


@pytest.fixture(scope="session", autouse=True)
def packages_read_once() -> Iterator[None]:
    """A server reads what every installed package says of itself as it starts; an AppTest would for every page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("sample") / "store")


@pytest.fixture
def page(store: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """A visitor who has not been anywhere yet."""
    monkeypatch.setenv(STORE, str(store))
    return AppTest.from_file(PAGE, default_timeout=120)


@pytest.fixture(scope="session")
def snapshot(store: Path) -> Iterator[Snapshot]:
    with open_snapshot(store) as found:
        yield found


@pytest.fixture(scope="session")
def board(snapshot: Snapshot) -> Board:
    return read_board(snapshot)


@pytest.fixture(scope="session")
def large(snapshot: Snapshot) -> Board:
    """The same board, read as that of a large sweep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "LARGE", 1)
        made = index.open_index(snapshot)
    assert made is not None
    with made.snapshot() as indexed:
        return board_in(indexed, None)


@pytest.fixture(scope="session")
def draws(snapshot: Snapshot, board: Board) -> Draws:
    return read_draws(snapshot, board, list(board.axes))


@pytest.fixture(scope="session")
def view(board: Board, draws: Draws) -> View:
    return look(board, Choice(), board.objectives, draws)


@pytest.fixture(scope="session")
def axes(board: Board) -> tuple[Axis, Axis]:
    return board.axes["latency_ratio", SCOPE], board.axes["accuracy", TASK]
