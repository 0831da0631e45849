"""The page of the table, run without a browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from bench.store.journal import Entry
from leaderboard import PAGE, controls, grid, table
from leaderboard.source import STORE
from tests.leaderboard import sample
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import BASE, TASK, VARIANTS, Variant


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


Drawn = Callable[[], dict[str, Any]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """What the page has given its table last."""
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(grid, "draw_grid", lambda data, **_: given.append(data))
    return lambda: given[-1]


def columns(data: dict[str, Any]) -> list[str]:
    return [each["id"] for each in data["columns"]][2:-1]


def test_columns_are_picked_and_stay_on_the_way_to_another_page_and_back(page: AppTest, drawn: Drawn) -> None:
    page.query_params["sort"] = "-size"
    page.run()
    usual = columns(drawn())
    assert usual[0] == f"accuracy:{TASK}"
    assert "layers" not in usual
    page.multiselect(key="columns").set_value(["size", "layers"]).run()
    assert columns(drawn()) == ["size", "layers"]
    first = [row["title"] for row in drawn()["rows"]][:3]
    words(page.switch_page("pages_/pareto.py").run())
    words(page.switch_page("pages_/board.py").run())
    assert columns(drawn()) == ["size", "layers"]
    assert page.query_params["sort"] == "-size"
    assert [row["title"] for row in drawn()["rows"]][:3] == first
    page.multiselect(key="columns").set_value([]).run()
    assert columns(drawn()) == []
    assert len(drawn()["rows"]) == len(VARIANTS)


def test_columns_of_one_sweep_do_not_follow_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: Drawn
) -> None:
    """The other one declares other objectives, which are what its table is about."""
    sample.make_store(tmp_path / "two")
    entry = sample.declaration(VARIANTS[:3], "sizes", day=21)
    body = json.loads(entry.body)
    body["objectives"][1] = {"axis": "size", "metric": "parameters", "scope": "", "title": "parameters"}
    with sample.writing(tmp_path / "two") as writer:
        writer.append([Entry.statement("sweep", entry.identity, body)])
    monkeypatch.setenv(STORE, str(tmp_path / "two"))
    page = AppTest.from_file(PAGE, default_timeout=120)
    page.query_params["sweep"] = "sizes"
    page.run()
    own = columns(drawn())
    assert own[1] == "parameters"
    page.selectbox(key="sweep").set_value(sample.SWEEP).run()
    page.multiselect(key="columns").set_value(["size", "layers"]).run()
    words(page.switch_page("pages_/pareto.py").run())
    page.selectbox(key="sweep").set_value("sizes").run()
    words(page.switch_page("pages_/board.py").run())
    assert columns(drawn()) == own
    assert "columns" not in page.query_params


def test_columns_of_a_link_that_are_gone_are_left_out(page: AppTest, drawn: Drawn) -> None:
    page.query_params["columns"] = ["layers", "no such number"]
    words(page.run())
    assert "no such number" not in columns(drawn())


def two_of_all(root: Path) -> Path:
    """A store with two bases, and a task that only the second one's variants lack numbers of."""
    other = (
        replace(VARIANTS[0], name="other: base"),
        Variant("other: int8", (sample.INT8,), 0.02, 0.01, 0.6, 0, 2, 570, 407e6, 800e6, seed=9),
    )
    entry = sample.declaration((*VARIANTS[:3], *other))
    body = json.loads(entry.body)
    for variant in body["variants"]:
        if variant["name"].startswith("other"):
            variant |= {"base": "other", "is_base": variant["name"] == "other: base"}
    body["tasks"].append(body["tasks"][0] | {"name": "second", "fingerprint": "f" * 64})
    with sample.writing(root) as writer:
        records = sample.deliveries((*VARIANTS[:3], other[1]))
        writer.append([Entry.statement("sweep", entry.identity, body), *(Entry.of(each) for each in records)])
    return root


def test_base_and_task_are_filters_where_there_are_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: Drawn
) -> None:
    monkeypatch.setenv(STORE, str(two_of_all(tmp_path / "store")))
    page = AppTest.from_file(PAGE, default_timeout=120).run()
    every = {row["title"] for row in drawn()["rows"]}
    assert {f"{BASE}: int8", "other: int8"} <= every
    page.selectbox(key="base").set_value("other").run()
    assert "Frontier recomputed among" in words(page)
    assert all(row["title"].startswith("other") for row in drawn()["rows"])
    page.selectbox(key="base").set_value(None).run()
    assert {row["title"] for row in drawn()["rows"]} == every
    page.selectbox(key="task").set_value("second").run()
    assert f"accuracy:{TASK}" not in columns(drawn())
    assert "are only hidden" in words(page) or len(drawn()["rows"]) == len(every)
