"""A card of stores whose numbers and words are known: what it says, and what it does not claim."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from bench.architecture import Architecture
from bench.store.folder import open_folder
from bench.store.loading import Loading
from bench.store.reader import Snapshot, open_snapshot
from leaderboard.card.document import Made, card, numbers
from leaderboard.card.front import front_matter, stated_licence
from leaderboard.card.subject import Subject, read_subject
from leaderboard.index import open_indexed
from leaderboard.large import board_in
from tests.bench.store import defended
from tests.leaderboard import newer
from tests.leaderboard.review.test_case import LIMIT, approved
from tests.leaderboard.sample import BASE, HTML, MARKDOWN, SQL, VARIANTS

SHAPE = Architecture("bart", "BartForSequenceClassification", 2, 4, ("a", "b<i>"), 64)
LOADING = Loading(SHAPE, True, ("torch 2.13.0", "transformers 5.20.0"), "")
MADE = Made("2026-11-22 10:00:00 UTC", "paredown 0.1.0, sources 0123456789", "store", None, "x is missing")
Licences = list[tuple[str, str, str, str]]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    with open_snapshot(defended.make_store(tmp_path_factory.mktemp("card") / "store")) as snapshot:
        yield snapshot


def subject(snapshot: Snapshot, name: str, loading: Loading = LOADING) -> Subject:
    board = board_in(snapshot, None)
    (row,) = snapshot.rows("select recipe_id from variants where name = ?", [name])
    return read_subject(snapshot, board, row["recipe_id"], loading)


def head_of(text: str) -> Any:
    """The YAML at the head of a card, as the hub's own class reads it."""
    return ModelCard(text, ignore_metadata_errors=False).data


def test_what_was_measured(known: Snapshot) -> None:
    about = subject(known, f"{BASE}: fine-tuned, int8")
    text = card(about, MADE)
    assert "| accuracy, entailment | " in text
    assert "| latency relative to base, batch 1 x 128 tokens | " in text
    for row in known.rows("select * from numbers where recipe_id = ?", [about.row.recipe_id]):
        assert f"| {row['n']:,} |" in text
    assert about.board.hardware_class.replace("|", "\\|") in text
    assert (
        "\n### On examples that nobody chose by\n\nConfirmed on held-back examples: they contradict no number" in text
    )
    assert "\n\n| number | on held-back examples |" in text
    assert "latency_ratio \\<= 0.6" in text
    assert "| int8_dynamic | " in text
    assert "governor | performance" in text
    assert "## Did it shrink?" in text
    assert "No file of the recipe is here: x is missing." in text
    found = json.loads(numbers(about, MADE))
    assert found["recipe_id"] == about.row.recipe_id
    assert found["confirmations"]
    assert {each["relation"] for each in found["against_base"]} & {"better", "equivalent", "worse", "not known yet"}
    assert found["promises"][-1]["step"] == "int8_dynamic"


def test_the_base_has_nothing_to_be_compared_with(known: Snapshot) -> None:
    text = card(subject(known, f"{BASE}: base"), MADE)
    assert "the base model itself" in text
    assert "It is the base itself, and there is nothing to compare it with." in text
    assert "No step promised anything." in text


@pytest.mark.parametrize("name", [HTML, SQL, MARKDOWN])
def test_odd_names_stay_text(name: str, snapshot: Snapshot) -> None:
    if not any(v.name == name and v.fate == "measured" for v in VARIANTS):
        pytest.skip("it has no numbers in the sample")
    text = card(subject(snapshot, name), MADE)
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert head_of(text).model_name == name
    assert "<img" not in body.replace("\\<img", "")
    assert "[link](" not in body
    assert name.splitlines()[0][:6] in head


def test_an_approved_review_is_named(tmp_path: Path) -> None:
    store = newer.store_before(tmp_path / "store")
    history = approved(store, f"{BASE}: int8", LIMIT)
    with open_snapshot(store) as snapshot:
        text = card(subject(snapshot, f"{BASE}: int8"), MADE)
        other = card(subject(snapshot, f"{BASE}: base"), MADE)
    assert f"({history.review}; SHA-256 of its last event {history.hashes[-1]})" in text
    assert "Approved by \\<script\\>" in text
    assert "\u202e" not in text
    assert "Approved by" not in other
    assert open_folder(store).root == store


def test_a_large_sweep_has_the_same_card(known: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows stay in DuckDB, and one is read."""
    monkeypatch.setattr("leaderboard.index.LARGE", 1)
    expected = card(subject(known, f"{BASE}: int8"), MADE)
    with open_indexed(known.folder.root) as snapshot:
        found = card(subject(snapshot, f"{BASE}: int8"), MADE)
    tied, among = ", tied with [0-9,]+ others?", r"Tied: not told apart, among the \d that are not dominated; .*\.\n\n"
    assert re.search(tied, found)
    assert re.search(among, found)
    assert re.sub(among, "", re.sub(tied, "", found)) == re.sub(tied, "", expected)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (["Apache 2.0"], {"license": "apache-2.0"}),
        (["Apache-2.0", "apache-2.0"], {"license": "apache-2.0"}),
        (["mit", "apache-2.0"], {}),
        (["mit", "not stated"], {}),
        (["not stated"], {}),
        (["odd: <b>\n\u202ex"], {"license": "other", "license_name": "odd: <b> ⟨U+202E⟩x"}),
    ],
)
def test_a_licence_is_no_guess(stated: list[str], expected: dict[str, str]) -> None:
    rows: Licences = [("base model" if n == 0 else "teacher", "x", name, "") for n, name in enumerate(stated)]
    assert stated_licence([*rows, ("training data", "x", "cc-by-nc-4.0", "")]) == expected


def test_the_head_names_what_is_on_the_hub(known: Snapshot) -> None:
    about = subject(known, f"{BASE}: int8", replace(LOADING, plain=False))
    body = json.loads(json.dumps(about.body))
    for variant in body["variants"]:
        variant["model"] = "acme/bart-large@0123456789abcdef"
    rows: Licences = [
        ("base model", "acme/bart-large", "mit", "model card"),
        ("training data", "train (hf://datasets/acme/pairs@0123/train.csv)", "not stated", ""),
        ("task data", "test (hf://datasets/acme/others@0123/test.csv)", "not stated", ""),
    ]
    found = head_of(f"---\n{front_matter(replace(about, body=body, licences=rows))}\n---\n")
    assert found.base_model == "acme/bart-large"
    assert found.get("base_model_relation") == "quantized"
    assert found.datasets == ["acme/pairs"]
    assert found.license == "mit"
    assert found.library_name == "paredown"
    assert "int8-dynamic" in (found.tags or ())
    assert head_of(f"---\n{front_matter(about)}\n---\n").base_model is None
