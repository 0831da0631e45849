"""The page's logic, run without a browser."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from bench.store.folder import open_folder
from bench.store.reader import current_name
from leaderboard import PAGE, table
from leaderboard.rows import Board
from leaderboard.source import STORE, chosen_keys, default_axes, names_of
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, HTML, SQL, TASK, VARIANTS, make_store

BY_NAME = {v.name: v for v in VARIANTS}


@pytest.fixture
def page(store: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv(STORE, str(store))
    return AppTest.from_file(PAGE, default_timeout=30)


def words(page: AppTest) -> str:
    """All HTML that the page wrote, but for its style sheet."""
    return "\n".join(e.proto.body for e in page.get("html") if "<style>" not in e.proto.body)


def plot(page: AppTest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.get("plotly_chart")[0].proto.spec)
    return found


def on_pareto(page: AppTest) -> AppTest:
    return page.run().switch_page("pages_/pareto.py").run()


def names_drawn(page: AppTest) -> set[str]:
    known = {v.recipe_id: v.name for v in VARIANTS}
    return {known[c[0]] for trace in plot(page)["data"] for c in trace.get("customdata", ())}


def test_the_first_page_runs_clean(page: AppTest) -> None:
    page.run()
    assert not page.exception
    text = words(page)
    assert "sample &lt;b&gt;sweep&lt;/b&gt;" in text
    assert "31 done, 2 running, 1 failed, 6 to come; about 3:35 left" in text
    assert sample.CLASS in text
    assert page.get("bidi_component")


def test_everything_from_data_is_escaped(page: AppTest) -> None:
    page.query_params["variant"] = BY_NAME[f"{BASE}: decoder 12 to 0"].recipe_id[:16]
    text = words(page.run())
    assert "&lt;script&gt;alert(2)" in text
    assert "<script" not in text
    assert "<img" not in text


def test_filters_come_from_the_address_and_say_among_whom(page: AppTest) -> None:
    page.query_params["q"] = "decoder"
    page.query_params["verdict"] = "certain"
    text = words(page.run())
    assert page.text_input(key="q").value == "decoder"
    assert page.multiselect(key="verdict").value == ["certain"]
    assert "Frontier recomputed among 4 shown and the base" in text
    assert "2 of 4 variants have the chosen verdict or status" in text


def test_a_filter_that_matches_nothing_says_so(page: AppTest) -> None:
    page.run()
    page.text_input(key="q").set_value("no such thing").run()
    assert "No variant matches these filters" in words(page)
    assert not page.exception


def test_an_older_link_to_a_variant_leads_to_its_page(page: AppTest) -> None:
    page.query_params["variant"] = BY_NAME[SQL].recipe_id[:16]
    text = words(page.run())
    assert "&#x27;; drop table variants; --</h1>" in text
    assert "<b>layer_copy</b>" in text
    assert "75.9 to 80.1%" in text


def test_the_plot_shows_the_declared_objectives(page: AppTest) -> None:
    on_pareto(page)
    assert not page.exception
    assert plot(page)["layout"]["xaxis"]["title"]["text"].startswith("latency relative to base")
    assert names_drawn(page) == {v.name for v in sample.measured()}


def test_choosing_axes_redraws_and_judges_anew(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="x").set_value("size on disk (lower is better)").run()
    layout = plot(page)["layout"]
    assert layout["xaxis"]["title"]["text"] == "size on disk (lower is better)"
    assert f"Verdicts on size on disk and accuracy, {TASK}" in words(page)
    certain = next(t for t in plot(page)["data"] if t["name"] == "certain")
    assert [BY_NAME[SQL].recipe_id] in certain["customdata"]


def test_axes_in_the_address_are_judged_on(page: AppTest) -> None:
    page.query_params["x"] = "parameters (lower is better)"
    on_pareto(page)
    page.query_params["x"] = "parameters (lower is better)"
    page.run()
    assert plot(page)["layout"]["xaxis"]["title"]["text"] == "parameters (lower is better)"
    assert "Verdicts on parameters and accuracy" in words(page)


def test_the_same_axis_twice_is_refused_in_a_sentence(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="x").set_value(f"accuracy, {TASK} (higher is better)").run()
    assert "Both axes show the same number" in words(page)


def test_a_clicked_point_opens_its_details(page: AppTest) -> None:
    on_pareto(page)
    point = {"customdata": [BY_NAME[HTML].recipe_id]}
    page.session_state["plot"] = {"selection": {"points": [point], "point_indices": [0], "box": [], "lasso": []}}
    page.run()
    assert page.query_params["variant"] in ([BY_NAME[HTML].recipe_id[:16]], BY_NAME[HTML].recipe_id[:16])
    assert "&lt;img src=x onerror=alert(1)&gt; &lt;b&gt;bold&lt;/b&gt;</h2>" in words(page)


def test_a_long_table_comes_in_parts(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "A_PAGE", 4)
    page.query_params["page"] = "3"
    page.run()
    assert page.number_input(key="page").value == 3
    assert page.number_input(key="page").label == "Page of 3"
    assert not page.exception


def test_three_objectives_are_drawn_two_at_a_time(board: Board) -> None:
    three = replace(board, objectives=(*board.objectives, ("size", "")))
    assert chosen_keys(three, ()) == three.objectives
    assert chosen_keys(three, (None, None)) == (three.objectives[1], three.objectives[0])
    one = replace(board, objectives=board.objectives[:1])
    assert default_axes(one)[0] != default_axes(one)[1]


def test_sweeps_of_one_name_are_told_apart() -> None:
    sweeps = [
        {"sweep_id": str(i), "name": "same", "declared": f"2026-11-2{i}", "body": {"hardware_class": kind}}
        for i, kind in enumerate(("CPU", "GPU", "GPU"))
    ]
    called = [name for _, name in names_of(sweeps)]
    assert called == ["same on CPU", "same on GPU, 2026-11-21", "same on GPU, 2026-11-22"]


def test_words_are_explained(page: AppTest) -> None:
    page.run().switch_page("pages_/meaning.py").run()
    assert "A share, not a probability" in words(page)
    assert "Median time of one call" in words(page)


@pytest.fixture
def copied(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the store that a test may change."""
    shutil.copytree(store, tmp_path / "copied")
    monkeypatch.setenv(STORE, str(tmp_path / "copied"))
    return tmp_path / "copied"


def sentence() -> str:
    page = AppTest.from_file(PAGE, default_timeout=30).run()
    assert not page.exception
    return words(page)


def test_a_missing_store_is_a_sentence_without_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE, str(tmp_path / "nowhere"))
    text = sentence()
    assert "nowhere is not a paredown store" in text
    assert str(tmp_path) not in text


def test_a_store_without_a_snapshot_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_folder(tmp_path / "fresh", create=True)
    monkeypatch.setenv(STORE, str(tmp_path / "fresh"))
    text = sentence()
    assert "fresh has nothing to show yet" in text
    assert str(tmp_path) not in text


def test_a_store_without_a_sweep_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sample.writing(tmp_path / "empty"):
        pass
    monkeypatch.setenv(STORE, str(tmp_path / "empty"))
    text = sentence()
    assert "holds no sweep yet" in text
    assert str(tmp_path) not in text


def test_a_newer_store_is_a_sentence(copied: Path) -> None:
    marker = json.loads((copied / "store.json").read_text())
    (copied / "store.json").write_text(json.dumps({**marker, "schema": 99}))
    text = sentence()
    assert "update paredown" in text
    assert str(copied) not in text


def test_a_newer_snapshot_is_a_sentence(copied: Path) -> None:
    snapshot = copied / "published" / str(current_name(open_folder(copied)))
    with duckdb.connect(str(snapshot)) as connection:
        connection.execute("update info set value = '99' where key = 'schema'")
    text = sentence()
    assert "written by a newer paredown" in text
    assert str(copied.parent) not in text


@pytest.mark.parametrize("broken", ["{", '{"snapshot": "missing.duckdb"}'])
def test_a_broken_pointer_is_a_sentence(copied: Path, broken: str) -> None:
    (copied / "published" / "current.json").write_text(broken)
    text = sentence()
    assert "box" in text
    assert str(copied.parent) not in text


def test_a_snapshot_that_is_no_database_is_a_sentence(copied: Path) -> None:
    (copied / "published" / str(current_name(open_folder(copied)))).write_bytes(b"not a database" * 100)
    text = sentence()
    assert "box" in text
    assert str(copied.parent) not in text


def test_a_second_sweep_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path / "two", VARIANTS[:2], {})
    with sample.writing(tmp_path / "two") as writer:
        writer.append([sample.declaration(VARIANTS[:3], "newer", day=21)])
    monkeypatch.setenv(STORE, str(tmp_path / "two"))
    page = AppTest.from_file(PAGE, default_timeout=30).run()
    assert "<h1>newer</h1>" in words(page)
    page.selectbox(key="sweep").set_value(sample.SWEEP).run()
    assert "sample &lt;b&gt;sweep" in words(page)
    linked = AppTest.from_file(PAGE, default_timeout=30)
    linked.query_params["sweep"] = sample.SWEEP
    assert "sample &lt;b&gt;sweep" in words(linked.run())


def test_progress_of_a_finished_sweep_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path / "done", VARIANTS[:2], {"done": 9, "running": 0, "failed": 0, "open": 0, "now": []})
    monkeypatch.setenv(STORE, str(tmp_path / "done"))
    text = sentence()
    assert "to come" not in text
    assert "done," not in text
