"""The verb `paredown review`, run as a person would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bench.errors import BadInput
from bench.store.folder import open_folder
from bench.store.reader import open_snapshot
from bench.store.reviews import History, Person, append, open_review
from cluster.cli import app
from leaderboard.review.case import Case, constraints_that_are, figures, read_case
from tests.leaderboard import newer
from tests.leaderboard.sample import BASE, SQL, make_store

ANNA = Person(subject="a-1", name="Anna\u202e", issuer="https://id.example.invalid", how="oidc")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("commanded") / "store")


def run(store: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["review", "--store", str(store), *words])


def told(store: Path, *words: str) -> dict[str, Any]:
    done = run(store, *words, "--json")
    assert done.exit_code == 0, done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def approved(store: Path) -> History:
    with open_snapshot(store) as snapshot:
        case: Case = read_case(snapshot, None, constraints=["size <= 600 MB"])
    folder, asked = open_folder(store), case.found.question
    stated = {"title": "A phone", "sweep_id": case.board.sweep_id, "sweep": case.board.name, "base": asked.base}
    begun = open_review(folder, ANNA, case.seen, constraints=asked.constraints, weights=asked.written(), **stated)
    row = next(each.row for each in case.found.candidates if each.row.name == f"{BASE}: int8")
    said: dict[str, Any] = {"recipe_id": row.recipe_id, "artefact_id": row.artefact_id, "name": row.name}
    said |= {
        "reason": "small",
        "figures": figures(row, asked),
        "met": constraints_that_are("met", row, case.found.board),
    }
    return append(folder, begun.review, "approve", ANNA, case.seen, read_to=1, confirmed="no", **said)


def test_a_question_is_answered_as_text_and_data(store: Path) -> None:
    done = run(store, "--where", "size <= 600 MB", "--weigh", "accuracy=1, latency_ratio=9")
    assert done.exit_code == 0
    assert f"First with these weights: {SQL}" in done.stdout
    assert "the choice changes to" in done.stdout
    assert "paredown" not in done.stderr
    found = told(store, "--where", "size <= 600 MB", "--weigh", "accuracy=1, latency_ratio=9")
    assert found["shortlist"][0]["variant"] == SQL
    assert found["counts"]["not met"] == 7
    assert found["shortlist"][0]["held_back_examples"] == "none held back"
    assert found["shortlist"][0]["licences"][0]["licence"] == "MIT"
    assert found["weights"]["accuracy:entailment"] == pytest.approx(0.1)
    assert found["review"] is None
    assert len(found["seen"]["digest"]) == 64
    ends = found["sensitivity"]["accuracy:entailment"]
    assert (ends[0]["from"], ends[-1]["to"]) == (0, 1)


def test_a_review_is_shown_with_what_flags_it(tmp_path: Path) -> None:
    store = newer.store_before(tmp_path / "store")
    assert "There is no review in this store" in run(store, "--list").stdout
    history = approved(store)
    assert told(store, history.review[:8])["review"]["reasons_to_reopen"] == []
    newer.let_it_come(store)
    found = told(store, history.review[:8])["review"]
    assert found["state"] == "approved"
    assert found["reasons_to_reopen"][0].startswith("Newer results dominate it")
    assert [event["kind"] for event in found["events"]] == ["opened", "approve"]
    assert found["sha256"] == list(history.hashes)
    text = run(store, history.review).stdout
    assert "Flagged for reopening" in text
    assert "\u202e" not in text
    listed = json.loads(run(store, "--list", "--json").stdout)
    assert [(each["review"], each["state"]) for each in listed] == [(history.review, "approved")]
    assert "| A phone |" in run(store, "--list", "--format", "md").stdout


def test_files_are_written_whole(store: Path, tmp_path: Path) -> None:
    for name in ("r.html", "r.md"):
        assert run(store, "--out", str(tmp_path / name)).exit_code == 0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "r.md").read_text().startswith("# Shortlist of sample")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.md"]
    assert run(store, "--format", "md").stdout == (tmp_path / "r.md").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["0123456789abcdef"], "There is no review '0123456789abcdef' in this store. Known: none"),
        (["0123", "--where", "size <= 1"], "A review states its own question"),
        (["--weigh", "accuracy"], "cannot be read: write METRIC"),
        (["--weigh", "speed=1"], "There is no metric on this board called 'speed'"),
        (["--where", "size"], "has no operator"),
        (["--base", "gpt"], "There is no base in this sweep called 'gpt'"),
        (["--sweep", "other"], "There is no sweep in this store called 'other'"),
        (["--out", "r.pdf"], "end it in .html or .md"),
        (["--out", "no such folder/r.html"], "The review no such folder/r.html cannot be written"),
    ],
)
def test_a_wrong_request_is_one_sentence(store: Path, words: list[str], sentence: str) -> None:
    done = run(store, *words)
    assert isinstance(done.exception, BadInput)
    assert sentence in str(done.exception)


def test_a_provider_and_nobody_exclude_each_other(store: Path, tmp_path: Path) -> None:
    board = ["board", "--store", str(store)]
    both = CliRunner().invoke(app, [*board, "--auth", str(tmp_path / "a.toml"), "--sign-locally"])
    assert isinstance(both.exception, BadInput)
    assert "exclude each other" in str(both.exception)
    missing = CliRunner().invoke(app, [*board, "--auth", str(tmp_path / "a.toml")])
    assert isinstance(missing.exception, BadInput)
    assert "cannot be read" in str(missing.exception)
