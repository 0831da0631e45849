"""The page of a sweep's jobs, run without a browser: what runs where, what failed, what settling would cost."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.store.reader import Snapshot
from leaderboard import PAGE, reading, running
from leaderboard.pages_ import sweeps
from leaderboard.rows import Board
from leaderboard.running import Bar, Work, contested
from leaderboard.source import STORE
from tests.leaderboard.commands import commands
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import BASE, REASON, SWEEP


@pytest.fixture
def page(store: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv(STORE, str(store))
    for known in (reading.told_of, reading.open_of):
        known.clear()
    return AppTest.from_file(PAGE, default_timeout=120).run().switch_page("pages_/sweeps.py")


def test_reasons_and_names_are_text(page: AppTest) -> None:
    text = words(page.run())
    assert "attempts over time, by node (1)" in page.get("plotly_chart")[0].proto.alt
    assert "bad spec in build" in text
    assert escape(REASON, quote=False) in text
    assert "paredown retry --where 'bad spec'" in commands(page)[0]


def test_what_runs_is_told_with_its_node(page: AppTest) -> None:
    text = words(page.run())
    assert "<h2>Running now</h2>" in text
    assert f"<td>sample-1</td><td>build {BASE}: distilled</td>" in text
    assert "<td>sample-2</td><td>evaluate bart-large: &lt;img src=x" in text
    assert "11:06:40" in text


def test_what_settling_would_cost_is_told_with_its_command(page: AppTest, snapshot: Snapshot, board: Board) -> None:
    found = contested(snapshot, board.sweep_id)
    assert len(found.rows) == 3
    text = words(page.run()).partition("<h2>What more measuring would decide</h2>")[2]
    for variant, leases, what in found.rows:
        assert f"<td>{escape(variant)}</td>" in text
        assert f">{leases}</td><td>{escape(what)}</td>" in text
    assert escape(found.sentence) in text
    assert commands(page)[-1] == f"paredown settle '{SWEEP}' --budget {found.budget} --store STORE"


def test_the_name_of_a_run_stays_while_it_goes_on() -> None:
    """A link to it holds: neither how long it has taken nor how many runs there are is in it."""
    bar = Bar("a", 0, "build", "build: import", 1795000000.0, 10.0, failed=False, worker="a:1")
    assert sweeps._run_name([bar]) == "2026-11-18 11:06:40 UTC"
    assert sweeps._run_name([bar, Bar("a", 0, "build", "x", 1795000900.0, 99.0, failed=False, worker="a:1")]) == (
        sweeps._run_name([bar])
    )


def test_a_run_can_be_chosen_by_the_address(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Bar("a", 0, "build", "build: import", 1795000000.0, 10.0, failed=False, worker="a:1")
    later = Bar("b", 0, "build", "build: import", 1795009000.0, 10.0, failed=False, worker="b:1")
    monkeypatch.setattr(reading, "bars", lambda *_: (first, later))
    monkeypatch.setattr(reading, "work", lambda *_: (Work("build", 2, 0, 20.0),))
    page.query_params["run"] = "2026-11-18 11:06:40 UTC"
    words(page.run())
    assert page.selectbox(key="run").value == "2026-11-18 11:06:40 UTC"
    assert any("Run 1 of 2, 0:10 long. 1 attempt on 1 node." in each.value for each in page.caption)


def test_a_run_of_which_only_the_end_is_known_is_left_out(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is when it began, and would change with every further attempt."""
    begun = (1795000000.0, 1795009000.0, 1795018000.0)
    found = tuple(Bar("a", 0, "build", "build: x", at, 10.0, failed=False, worker="a:1") for at in begun)
    monkeypatch.setattr(reading, "bars", lambda *_: found)
    monkeypatch.setattr(reading, "work", lambda *_: (Work("build", 90, 0, 900.0),))
    words(page.run())
    assert page.selectbox(key="run").options == ["2026-11-18 16:06:40 UTC", "2026-11-18 13:36:40 UTC"]
    assert any(each.value.startswith("The newest 2 of 90 attempts. Run 2 of the newest 2, ") for each in page.caption)


def test_what_is_left_out_is_said(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_BARS", 5)
    monkeypatch.setattr(running, "MOST_CAUSES", 1)
    monkeypatch.setattr(sweeps, "MOST_CAUSES", 1)
    text = words(page.run())
    assert any(each.value.startswith("The newest 5 of ") for each in page.caption)
    assert "The first 1 causes: those that most attempts are open for." in text
