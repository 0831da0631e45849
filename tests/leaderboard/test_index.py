"""The file by which large sweeps are read: made once, beside the snapshot or apart, by one or by two at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.store.reader import open_snapshot
from leaderboard import PAGE
from leaderboard import index as index_module
from leaderboard.index import Index, _make, open_index
from leaderboard.large import board_in
from leaderboard.rows import Board
from leaderboard.source import STORE
from tests.leaderboard import sample
from tests.leaderboard.sample import VARIANTS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.make_store(tmp_path_factory.mktemp("whole") / "store")


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def test_an_index_is_made_once_and_an_older_one_goes(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "LARGE", 1)
    folder = store / "published"
    with open_snapshot(store) as found:
        index = open_index(found)
    assert index is not None
    (made,) = folder.glob(".board-*.index")
    before = made.stat().st_mtime_ns
    with open_snapshot(store) as found:
        assert open_index(found) is not None
        assert made.stat().st_mtime_ns == before
        monkeypatch.setattr(index_module, "LAYOUT", 99)
        monkeypatch.setattr(index_module, "STALE_SECONDS", -1.0)
        assert open_index(found) is not None
    assert [path != made for path in folder.glob(".board-*.index")] == [True]
    assert not list(folder.glob(".*.indexing*"))
    assert not list(folder.glob(f"{made.name}*"))
    assert len(list(board_of(index).rows)) == len(VARIANTS)  # still open, still there


def test_two_that_write_one_index_do_not_mix_their_files(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looked before the other's was there."""
    monkeypatch.setattr(index_module, "LARGE", 1)
    monkeypatch.setattr(index_module, "LAYOUT", 96)
    with open_snapshot(store) as found:
        first = open_index(found)
        assert first is not None
        made = max((store / "published").glob(".board-*.index"), key=lambda path: path.stat().st_mtime_ns)
        rows = list(board_of(first).rows)
        _make(found, found.folder.place.near(f"published/{found.name}"), made.name, list(first.large))
        assert len(list(made.parent.glob(f"{made.name}.*.rows"))) == 2
        second = open_index(found)
    assert second is not None
    assert list(board_of(first).rows) == list(board_of(second).rows) == rows


def board_of(index: Index) -> Board:
    with index.snapshot() as found:
        return board_in(found, None)


def test_a_place_that_may_only_be_read_gets_a_temporary_folder(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "LARGE", 1)
    monkeypatch.setattr(index_module, "LAYOUT", 98)
    monkeypatch.setattr("os.access", lambda *_: False)
    before = sorted((store / "published").iterdir())
    with open_snapshot(store) as found:
        assert open_index(found) is not None
    assert sorted((store / "published").iterdir()) == before


def test_an_index_that_cannot_be_written_is_a_sentence(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(index_module, "LARGE", 1)
    monkeypatch.setattr(index_module, "LAYOUT", 97)
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr(index_module, "_own_folder", lambda: tmp_path / "gone")
    monkeypatch.setenv(STORE, str(store))
    page = AppTest.from_file(PAGE, default_timeout=120).run()
    text = "\n".join(e.proto.body for e in page.get("html"))
    assert f"of the store {store.name} are read by could not be written: free space" in text
    assert "Error" not in text
    assert str(tmp_path) not in text
    assert str(tmp_path / "gone") in caplog.text


def test_a_small_store_needs_no_index(store: Path) -> None:
    with open_snapshot(store) as found:
        assert open_index(found) is None
