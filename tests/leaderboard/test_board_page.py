"""The page of the table, run without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from leaderboard import PAGE, grid, table
from leaderboard.source import STORE


@pytest.fixture
def page(store: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv(STORE, str(store))
    return AppTest.from_file(PAGE, default_timeout=120)


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
