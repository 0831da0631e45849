"""The page of one variant, and the page that compares a few, run without a browser."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.statistics.frontier import Comparison
from bench.store.reader import Snapshot
from leaderboard import PAGE
from leaderboard.comparison import Pair, compare, flip_rows, pair_rows, side_by_side
from leaderboard.dossier import job_words, read_dossier
from leaderboard.downloads import variant_json
from leaderboard.rows import Board, Stopped
from leaderboard.source import STORE
from leaderboard.wording import objective_rows, rank_text, why_command
from tests.leaderboard.commands import commands
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import BASE, HTML, MARKDOWN, SCOPE, SQL, TASK, VARIANTS

BY_NAME = {v.name: v for v in VARIANTS}
INT8 = f"{BASE}: int8"


@pytest.fixture
def page(store: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv(STORE, str(store))
    return AppTest.from_file(PAGE, default_timeout=120).run()


def on(page: AppTest, name: str, **query: str) -> str:
    page.switch_page("pages_/variant.py")
    page.query_params["variant"] = BY_NAME[name].recipe_id[:16]
    for key, value in query.items():
        page.query_params[key] = value
    return words(page.run())


def comparing(page: AppTest, *names: str) -> str:
    page.switch_page("pages_/compare.py")
    page.query_params["variants"] = ",".join(BY_NAME[name].recipe_id[:16] for name in names)
    return words(page.run())


def test_the_overview_has_recipe_numbers_and_the_command(page: AppTest) -> None:
    text = on(page, SQL)
    assert "&#x27;; drop table variants; --</h1>" in text
    assert "<b>layer_copy</b>" in text
    assert "worse: −6.33 pts" in text
    assert "better: −0.66" in text
    assert commands(page)[0].startswith("paredown run SWEEP.yaml --store")
    with_folder = shlex.split(commands(page)[1])
    assert with_folder[:4] == ["paredown", "export", BY_NAME[SQL].recipe_id[:12], "DIR"]
    assert "To take it along" not in on(page, f"{BASE}: distilled")  # nothing is built of it yet


def test_lineage_and_layers_say_so_where_artefacts_are_gone(page: AppTest) -> None:
    text = on(page, INT8, tab="Lineage and layers")
    assert "<h3>Lineage</h3>" in text
    assert "no layer map" in text


def test_examples_can_be_filtered_and_paged(page: AppTest) -> None:
    text = on(page, SQL, tab="Examples", change="lost: better in the base")
    assert text.count('<article class="example">') == 20
    assert "✓ right" in text
    assert "✗ wrong" in text
    first = text
    page.number_input(key="examples").set_value(2).run()
    assert words(page) != first
    page.selectbox(key="change").set_value("gained: better here").run()
    assert words(page).count('<article class="example">') > 0


def test_why_has_the_raw_material_and_no_path(page: AppTest, store: Path) -> None:
    text = on(page, INT8, tab="Why this number", why=f"latency relative to base, {SCOPE}")  # as the box shows it
    assert page.selectbox(key="why").value == f"latency_ratio:{SCOPE}"
    assert "Leases" in text
    page.selectbox(key="why").set_value(f"accuracy:{TASK}").run()
    text = words(page)
    assert "Wilson" in text
    assert "<h3>Flips against the base</h3>" in text
    assert "paredown why" in commands(page)[0]
    assert str(store) not in text


def test_the_command_asks_the_sweep_that_is_shown_and_runs_nothing_else(page: AppTest, board: Board) -> None:
    row = next(r for r in board.rows if r.name == INT8)
    hostile = f"{TASK} / it's; rm -rf x; '"
    assert shlex.split(why_command(row, ("accuracy", hostile), board.name)) == [
        *("paredown", "why", row.recipe_id[:12], "accuracy", "--scope", hostile, "--sweep", board.name, "--raw")
    ]
    on(page, INT8, tab="Why this number")
    page.selectbox(key="why").set_value("size").run()
    asked = f"paredown why {row.recipe_id[:12]} size --sweep {board.sweep_id[:12]} --raw"
    assert commands(page)[0] == f"{asked} --store STORE"


def test_attempts_name_the_cause(page: AppTest) -> None:
    text = on(page, f"{BASE}: decoder 12 to 0", tab="Attempts")
    assert "1 attempt at jobs that concern this variant, 1 failed" in text
    assert "build: bad spec: ValueError: &lt;script&gt;" in text
    assert "<script" not in text


def test_a_variant_that_waits_has_a_page(page: AppTest) -> None:
    assert "not built yet" in on(page, f"{BASE}: distilled")
    assert "Not all of these variants are built" in on(page, f"{BASE}: distilled", tab="Examples")
    assert "no number yet" in on(page, f"{BASE}: distilled", tab="Why this number")
    assert "0 attempts at jobs" in on(page, f"{BASE}: distilled", tab="Attempts")  # none of those that measured others


def test_examples_say_why_there_are_none_and_a_base_alone_has_all_of_its_own(page: AppTest) -> None:
    assert "decoder 12 to 0 could not be built" in on(page, f"{BASE}: decoder 12 to 0", tab="Examples")
    text = on(page, f"{BASE}: base", tab="Examples")
    assert "1,500 examples match" in text
    assert "Their words cannot be read here" in text  # the sample's data are nowhere


def test_a_variant_that_is_gone_is_a_sentence(page: AppTest) -> None:
    page.switch_page("pages_/variant.py")
    page.query_params["variant"] = "0123456789abcdef"
    text = words(page.run())
    assert "There is no variant 0123456789abcdef in the sweep" in text
    assert "<h1>" not in text


def test_what_is_exported_is_plain_and_whole(snapshot: Snapshot, board: Board) -> None:
    row = next(r for r in board.rows if r.name == HTML)
    found = variant_json(row, board, read_dossier(snapshot, board.sweep_id, row.recipe_id))
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again["variant"] == HTML
    assert {n["metric"] for n in again["numbers"]} >= {"accuracy", "latency_ratio", "size"}
    assert again["lineage"][-1]["step"] == "layer_copy"


def test_objectives_have_places_in_words(board: Board) -> None:
    base, int8 = (next(r for r in board.rows if r.name == name) for name in (f"{BASE}: base", INT8))
    (quality, latency) = objective_rows(int8, board)
    assert latency[3].startswith("better: −0.4")
    assert quality[3].startswith("not known yet: ")
    assert objective_rows(base, board)[0][3] == "–"
    assert rank_text(None, base, board, board.objectives[0]) == "–"


def test_jobs_in_words() -> None:
    assert job_words("build", "BuildJob", {"step": None}) == "build: import the base model"
    evaluation = {"task": {"name": "t"}, "first": 2, "last": 3}
    assert job_words("evaluate", "EvaluateJob", evaluation) == "evaluate on t, window 2"
    assert job_words("measure", "LatencyJob", {"lease": 1, "artefact_ids": [1, 2]}) == "measure time, lease 2, 2 models"


def test_comparing_shows_numbers_pairs_and_disagreements(page: AppTest) -> None:
    text = comparing(page, f"{BASE}: base", INT8, MARKDOWN)
    assert "**bold** [link](http://example.invalid)" in text
    assert "▲ better" in text
    assert "▼ worse" in text
    assert "McNemar" in text
    assert text.count('<article class="example">') == 20
    assert page.multiselect(key="compared box").value == [
        BY_NAME[name].recipe_id for name in (f"{BASE}: base", INT8, MARKDOWN)
    ]


def test_one_variant_is_too_few_and_an_unknown_one_is_named(page: AppTest) -> None:
    assert "Choose 2 to 4 variants" in comparing(page, INT8)
    page.query_params["variants"] = f"{BY_NAME[INT8].recipe_id[:16]},0123456789abcdef"
    assert "Not in the sweep" in words(page.run())


def test_choosing_in_the_box_changes_the_address(page: AppTest) -> None:
    comparing(page, f"{BASE}: base", INT8)
    chosen = [BY_NAME[name].recipe_id for name in (f"{BASE}: base", SQL)]
    page.multiselect(key="compared box").set_value(chosen).run()
    assert page.query_params["variants"] == ",".join(each[:16] for each in chosen)
    assert "drop table" in words(page)


def test_pairs_agree_with_the_published_standings(snapshot: Snapshot, board: Board) -> None:
    chosen = [next(r for r in board.rows if r.name == name) for name in (f"{BASE}: base", INT8, SQL)]
    pairs = compare(snapshot, board, chosen)
    assert [(p.first, p.second) for p in pairs] == [(0, 1), (0, 2), (1, 2)]
    for pair in pairs[:2]:  # against the base, as the store says it
        places = chosen[pair.second].places
        assert [c.relation for c in pair.comparisons] == [places[key].relation for key in board.objectives]
        assert [c.low for c in pair.comparisons] == pytest.approx(
            [places[key].low for key in board.objectives], rel=1e-4
        )  # the store keeps its draws in single precision
    names = ["base", "int8", "sql"]
    assert [line[0] for line in pair_rows(board, pairs, chosen, names)][-1] == "sql against int8"
    assert len(flip_rows(board, pairs, names)) == 3
    lines = {line[0]: line[1:] for line in side_by_side(board, chosen)}
    assert lines["recipe"] == ("the base model itself", "int8_dynamic", "layer_copy → finetune → int8_dynamic")


def test_a_pair_of_which_nothing_is_known_says_why(board: Board) -> None:
    nothing = tuple(Comparison(key[0], "not known yet", math.nan, -math.inf, math.inf) for key in board.objectives)
    out = Stopped(None, frozenset(board.objectives), "beaten")
    chosen = [board.rows[0], replace(board.rows[1], stopped=out)]
    pairs = [Pair(0, 1, nothing, {})]
    (told,) = pair_rows(board, pairs, chosen, ("base", "int8"))
    assert set(told[1:]) == {"? not known yet: stopped by a race"}
    (told,) = pair_rows(board, pairs, board.rows[:2], ("base", "int8"))
    assert set(told[1:]) == {"? not known yet"}


def test_variants_of_different_bases_have_no_pairs(snapshot: Snapshot, board: Board) -> None:
    chosen = [board.rows[0], replace(board.rows[1], base="another", recipe_id="f" * 64)]
    other = replace(board, rows=(*board.rows, chosen[1]))
    with pytest.raises(Exception, match="variant"):  # a row that the store does not know is refused, never guessed
        compare(snapshot, other, chosen)
