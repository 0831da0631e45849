"""The page's logic, run without a browser."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from bench.store.folder import open_folder
from bench.store.reader import current_name
from leaderboard import PAGE
from leaderboard.axes import default_axes
from leaderboard.rows import Board
from leaderboard.source import STORE, chosen_keys, names_of
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, HTML, SQL, TASK, VARIANTS, make_store

BY_NAME = {v.name: v for v in VARIANTS}


@pytest.fixture
def page(store: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv(STORE, str(store))
    return AppTest.from_file(PAGE, default_timeout=120)


def words(page: AppTest) -> str:
    """All HTML that the page wrote, but for its style sheet."""
    found = "\n".join(e.proto.body for e in page.get("html"))
    assert not page.exception
    assert "could not be drawn" not in found
    assert not re.findall("<th>(?!<details)[^<]*", found)  # every column says what it means
    return re.sub("<style>.*?</style>", "", found, flags=re.DOTALL)


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


def test_a_sweep_without_any_number_yet_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first minutes of every run: declared, and nothing built."""
    with sample.writing(tmp_path / "store") as writer:
        writer.append([sample.declaration()])
    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    page = AppTest.from_file(PAGE, default_timeout=120).run()
    for name in ("board", "pareto", "variant", "compare", "sweeps", "review", "claims", "meaning"):
        text = words(page.switch_page(f"pages_/{name}.py").run())
        if name == "pareto":
            assert "No variant has both numbers yet" in text


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
    return words(AppTest.from_file(PAGE, default_timeout=120).run())


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
    page = AppTest.from_file(PAGE, default_timeout=120).run()
    assert "<h1>newer</h1>" in words(page)
    assert page.query_params == {"sweep": "newer"}  # of the newest one too: copied, it keeps its meaning
    with sample.writing(tmp_path / "two") as writer:
        writer.append([sample.declaration(VARIANTS[:4], "newest", day=22)])
    copied = AppTest.from_file(PAGE, default_timeout=120)
    copied.query_params["sweep"] = page.query_params["sweep"]
    assert "<h1>newer</h1>" in words(copied.run())
    assert "<h1>newer</h1>" in words(page.run())
    (button,) = [b for b in page.button if b.label.startswith("Newer sweep")]
    assert "<h1>newest</h1>" in words(button.click().run())
    assert not [b for b in page.button if b.label.startswith("Newer sweep")]
    page.selectbox(key="sweep").set_value(sample.SWEEP).run()
    assert "sample &lt;b&gt;sweep" in words(page)


def test_a_row_of_the_older_of_two_sweeps_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path / "two", VARIANTS, {})
    with sample.writing(tmp_path / "two") as writer:
        writer.append([sample.declaration(VARIANTS[:1], "newer", day=21)])
    monkeypatch.setenv(STORE, str(tmp_path / "two"))
    page = AppTest.from_file(PAGE, default_timeout=120).run()
    page.selectbox(key="sweep").set_value(sample.SWEEP).run()
    page.session_state["visit"] = VARIANTS[1].recipe_id
    assert f"{BASE}: int8</h1>" in words(page.run())
    assert page.query_params["sweep"] in (sample.SWEEP, [sample.SWEEP])
    page.switch_page("pages_/board.py").run()
    page.query_params["variants"] = ",".join(v.recipe_id[:16] for v in VARIANTS[:2])
    (button,) = [b for b in page.run().button if b.label == "Compare 2"]
    assert "Pair by pair" in words(button.click().run())


def test_progress_of_a_finished_sweep_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path / "done", VARIANTS[:2], {"done": 9, "running": 0, "failed": 0, "open": 0, "now": []})
    monkeypatch.setenv(STORE, str(tmp_path / "done"))
    text = sentence()
    assert "to come" not in text
    assert "done," not in text


def test_constraints_are_typed_leave_out_and_are_drawn(page: AppTest) -> None:
    on_pareto(page)
    page.text_input(key="where").set_value("size <= 1 GB").run()
    text = words(page)
    assert "4 of 10 variants do not meet size &lt;= 1 GB and are left out" in text
    assert "Frontier recomputed among 6 shown and the base" in text
    page.selectbox(key="x").set_value("size on disk (lower is better)").run()
    assert [shape["x0"] for shape in plot(page)["layout"]["shapes"]] == [1000]  # MB
    page.text_input(key="where").set_value("sise <= 1").run()
    assert "Did you mean" in words(page)
    page.text_input(key="where").set_value("size <= 1 B").run()
    assert "loosen one of them" in words(page)


def test_a_slider_writes_the_constraint(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="limited").set_value("size on disk").run()
    page.slider(key="limit size on disk").set_value(1000.0).run()
    assert page.text_input(key="where").value == "size <= 1000 MB"
    assert "do not meet size &lt;= 1000 MB" in words(page)
    page.slider(key="limit size on disk").set_value(1625.0).run()
    assert page.text_input(key="where").value == ""  # at its end nobody is left out


def test_a_third_number_is_the_size_of_the_points(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="z").set_value("size on disk (lower is better)")
    page.button_group(key="as").set_value("size")
    words(page.run())
    certain = next(t for t in plot(page)["data"] if t["name"] == "certain")
    assert len(set(certain["marker"]["size"])) == len(certain["x"])


def test_a_newer_snapshot_waits_until_it_is_asked_for(copied: Path) -> None:
    page = AppTest.from_file(PAGE, default_timeout=120).run()
    on_pareto(page)
    before = plot(page)
    with sample.writing(copied) as writer:
        writer.report({**sample.PROGRESS, "done": 34, "open": 3})
        writer.publish(now=True)
    page.run()
    assert plot(page) == before
    (button,) = [b for b in page.button if "refresh" in b.label]
    assert button.label == "3 new results: refresh"
    button.click().run()
    assert not [b for b in page.button if "refresh" in b.label]
    assert "34 done" in words(page)


def test_statuses_and_causes_are_never_missing(page: AppTest) -> None:
    page.query_params["status"] = "failed"
    text = words(page.run())
    assert "1 failed, 1 not built yet: their rows stay listed" in text
    assert "1 of 10 variants have the chosen verdict or status" in text


def test_ticked_variants_are_in_the_address_and_can_be_compared(page: AppTest) -> None:
    ids = [v.recipe_id[:16] for v in VARIANTS[:2]]
    page.query_params["variants"] = ",".join(ids)
    page.run()
    (button,) = [b for b in page.button if b.label == "Compare 2"]
    assert "Pair by pair" in words(button.click().run())


def test_an_error_is_a_sentence_for_visitors(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("/a/path/of/the/machine")

    monkeypatch.setattr("leaderboard.live.progress_lines", broken)
    page.run()
    found = "\n".join(e.proto.body for e in page.get("html"))
    assert "This page could not be drawn" in found
    assert "/a/path" not in found
    assert not page.exception
