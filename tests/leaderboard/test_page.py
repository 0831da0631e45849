"""The page's logic, run without a browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from bench.store.folder import open_folder
from bench.store.reader import current_name
from leaderboard import PAGE
from leaderboard.source import STORE, names_of
from tests.leaderboard import sample
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import BASE, SQL, VARIANTS, make_store
from tests.leaderboard.test_pareto_page import on_pareto, plot

BY_NAME = {v.name: v for v in VARIANTS}


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
