"""What takes long says what it does, and what is quick says nothing."""

import time
from pathlib import Path

import pytest

from leaderboard import source, waiting
from leaderboard.source import STORE, load
from leaderboard.waiting import told_if_long


class Place:
    """Where a sentence may stand; keeps what was shown there."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def caption(self, sentence: str) -> None:
        self.shown.append(sentence)

    def empty(self) -> None:
        self.shown.append("")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place()
    monkeypatch.setattr("streamlit.empty", lambda: found)
    return found


def until(place: Place, sentence: str) -> None:
    last = time.monotonic() + 10
    while sentence not in place.shown and time.monotonic() < last:
        time.sleep(0.01)


def test_a_sentence_stands_as_long_as_the_work_takes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with told_if_long("Reading …"):
        pass
    assert place.shown == [""]
    monkeypatch.setattr(waiting, "LONG", 0.01)
    with told_if_long("Reading …"):
        until(place, "Reading …")
    assert place.shown == ["", "Reading …", ""]


def test_a_store_that_is_read_for_long_says_so(place: Place, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE, str(store))
    monkeypatch.setattr(waiting, "LONG", 0.01)
    monkeypatch.setattr(source, "_read", lambda *_: until(place, "Reading the store …"))
    load(None, ())
    assert place.shown == ["Reading the store …", ""]
