"""A step that did not do what it promises: marked in the table, told in the terminal, explained in the dialog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from bench.store.reader import open_snapshot
from cluster.shown import board_table
from leaderboard import PAGE
from leaderboard.choices import Choice, look
from leaderboard.decisions import fact_rows, promise_rows, read_decisions
from leaderboard.rows import Board, read_board
from leaderboard.source import STORE
from leaderboard.table import notes, payload, usual_columns
from leaderboard.undelivered import own_builds
from tests.leaderboard.sample import BASE, VARIANTS, make_store

INT8, KEPT = VARIANTS[1], VARIANTS[2]
REASON = "int8_dynamic promised products in int8, but all 23 run in <float32>"
FACTS: dict[str, Any] = {
    "parameters": 8339,
    "weights": 8339,
    "bytes": 33356,
    "layers": 3,
    "shape": "batch 1 x 64 tokens",
    "flops": 1573472,
    "operators": {"aten.addmm float32": 20, "aten.embedding float32": 3},
    "types": {"float32": 8339},
    "zeros": 0.00206,
    "left": [],
    "unknown": None,
}


def told(step: str, verdict: str, reason: str, **facts: Any) -> dict[str, Any]:
    """What a build's record keeps of its step."""
    promise = ["fewer bytes of weights", "products in int8"]
    found = {"step": step, "promise": promise, "verdict": verdict, "reason": reason}
    return {"delivered": {**found, "before": FACTS, "after": {**FACTS, **facts}}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers = {
        INT8.recipe_id: told("int8_dynamic", "not delivered", REASON),
        KEPT.recipe_id: told("layer_copy", "delivered", "fewer layers: 24 to 18; it is not delivered late", layers=2),
    }
    return make_store(tmp_path_factory.mktemp("undelivered") / "store", answers=answers)


@pytest.fixture(scope="module")
def marked(root: Path) -> Board:
    with open_snapshot(root) as snapshot:
        return read_board(snapshot)


def test_only_the_row_of_that_step_is_marked(marked: Board, board: Board) -> None:
    found = {row.name: row.undelivered for row in marked.rows if row.undelivered}
    assert found == {INT8.name: (REASON,)}
    assert not any(row.undelivered for row in board.rows)
    row = next(row for row in marked.rows if row.name == INT8.name)
    assert notes(row, marked)[0] == f"did not deliver: {REASON}"
    assert row.status == "complete"


def test_the_page_gets_the_mark_as_text(marked: Board) -> None:
    view = look(marked, Choice(), marked.objectives, {})
    rows = payload(view, view.rows, usual_columns(marked), None)["rows"]
    assert {row["title"]: row["mark"] for row in rows if row["mark"]} == {INT8.name: REASON}
    row = next(row for row in rows if row["mark"])
    assert f"did not deliver: {REASON}" in row["notes"]


def test_the_terminal_has_notes_where_there_is_something_to_say(marked: Board, board: Board) -> None:
    table = board_table(marked)
    assert table.columns[-1] == "notes"
    assert {row[0]: row[-1] for row in table.rows if row[-1]} == {INT8.name: "did not deliver"}
    assert table.notes[-1] == f"{INT8.name} did not deliver: {REASON}."
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "notes" not in board_table(board).columns
    assert not any("deliver" in note for note in board_table(board).notes)
    records = {r["name"]: r["undelivered"] for r in table.records["variants"]}
    assert records[INT8.name] == [REASON]
    assert records[f"{BASE}: base"] == []


def test_promise_and_fact_of_every_step(root: Path, marked: Board) -> None:
    with open_snapshot(root) as snapshot:
        found = read_decisions(snapshot, marked.sweep_id, INT8.recipe_id)
        other = read_decisions(snapshot, marked.sweep_id, KEPT.recipe_id)
    assert json.loads(json.dumps(found)).keys() == {"delivered"}
    promised = "fewer bytes of weights, products in int8"
    assert promise_rows(found["delivered"]) == [("int8_dynamic", promised, "not delivered", REASON)]
    (facts,) = fact_rows(found["delivered"])
    assert facts[:4] == ("int8_dynamic", "8,339", "33,356", "3")
    assert facts[4] == "1,573,472 (batch 1 x 64 tokens)"
    assert facts[-1] == "20 aten.addmm float32, 3 aten.embedding float32"
    assert fact_rows(other["delivered"])[0][3] == "2"


def test_facts_that_are_not_known_say_why() -> None:
    lost = told("x", "not known", "?", flops=None, operators=None, unknown="a forward pass failed: needs pixels")
    (facts,) = fact_rows({"steps": [lost["delivered"]]})
    assert facts[4] == "–"
    assert facts[-1] == "a forward pass failed: needs pixels"
    lost["delivered"]["promise"] = []
    assert promise_rows({"steps": [lost["delivered"]]})[0][1] == "nothing"


def test_a_teachers_steps_do_not_mark_its_pupil() -> None:
    assert own_builds({"prefixes": ["base", "teacher", "mine"], "chain": ["base", "mine"]}) == ["base", "mine"]
    assert own_builds({"prefixes": ["base", "mine"]}) == ["base", "mine"]  # declared before there were chains


def test_the_page_shows_promise_and_fact(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE, str(root))
    page = AppTest.from_file(PAGE, default_timeout=120).run().switch_page("pages_/variant.py")
    page.query_params["variant"] = INT8.recipe_id[:16]
    page.query_params["tab"] = "Lineage and layers"
    page.run()
    assert not page.exception
    text = "\n".join(e.proto.body for e in page.get("html"))
    reason = REASON.replace("<", "&lt;").replace(">", "&gt;")
    assert f"Note: did not deliver: {reason}" in text
    assert "<h3>Promise and fact</h3>" in text
    assert f"<td>{reason}</td>" in text
    assert "20 aten.addmm float32" in text
