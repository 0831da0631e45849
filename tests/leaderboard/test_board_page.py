"""The page of the table, run without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from leaderboard import PAGE, controls, grid, table
from leaderboard.source import STORE
from tests.leaderboard.sample import BASE, VARIANTS


@pytest.fixture
def page(store: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv(STORE, str(store))
    return AppTest.from_file(PAGE, default_timeout=120)


def words(page: AppTest) -> str:
    """All HTML that the page wrote."""
    found = "\n".join(e.proto.body for e in page.get("html"))
    assert not page.exception
    assert "could not be drawn" not in found
    return found


def test_a_long_table_comes_in_parts(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "A_PAGE", 4)
    drawn: list[dict[str, Any]] = []
    monkeypatch.setattr(grid, "draw_grid", lambda data, **_: drawn.append(data))
    page.query_params["page"] = "3"
    page.run()
    assert page.number_input(key="page").value == 3
    assert page.number_input(key="page").label == "Page of 3"
    seen = []
    for number in (1, 2, 3):
        page.number_input(key="page").set_value(number).run()
        assert not page.exception
        rows = drawn[-1]["rows"]
        assert [row["base"] for row in rows] == [True] + [False] * (len(rows) - 1)
        seen += [row["id"] for row in rows if not row["base"]]
    # The base stands on every page and is counted once: 11 rows, every variant on one page.
    assert len(seen) == len(set(seen)) == 10


def test_a_click_leads_to_the_variant_before_its_table_is_worked_out_again(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.run()
    page.text_input(key="q").set_value("int8").run()
    page.session_state["visit"] = VARIANTS[1].recipe_id

    def drawn(*_: object) -> None:
        raise AssertionError("the page that is left is drawn again")

    with monkeypatch.context() as patched:
        patched.setattr(controls, "_filters", drawn)
        assert f"{BASE}: int8</h1>" in words(page.run())
    page.switch_page("pages_/board.py").run()
    assert page.text_input(key="q").value == "int8"


def test_it_is_said_which_filters_change_verdicts_and_which_only_hide(page: AppTest) -> None:
    page.run()
    told = [each.value for each in page.caption]
    assert f"**{controls.COMPETE}**, as by the search and the constraints." in told
    assert f"**{controls.HIDE}**." in told
    hidden = "The others are only hidden: they still compete."
    assert hidden not in words(page)
    page.multiselect(key="verdict").set_value(["dominated"]).run()
    assert hidden in words(page)
    assert "Frontier recomputed" not in words(page)
    page.multiselect(key="verdict").set_value([]).run()
    page.multiselect(key="method").set_value(["int8_dynamic"]).run()
    assert "Frontier recomputed among" in words(page)
    assert hidden not in words(page)
