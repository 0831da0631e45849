"""Single facts, text to pre-train on and pairs that mislead a shallow reader: what was committed, and right by form."""

import json
from collections import Counter
from itertools import islice

import pytest

from bench.zoo import FACTS, FOLDER, digest, rows, write
from bench.zoo.bert_shape import MAX_TOKENS, bert_tokenizer
from bench.zoo.heuristics import DATA as HEURISTICS
from bench.zoo.heuristics import ENTAILED, FORMS, OPEN
from tests.bench.zoo.conftest import Rows
from tests.bench.zoo.test_data import plain, used_names

SHOWN = 1_000


@pytest.fixture(scope="module")
def first() -> dict[str, Rows]:
    """The first rows of every set."""
    return {name: list(islice(write(name), 2_048)) for name in (*FACTS, *HEURISTICS)}


def test_rows_are_what_was_committed(first: dict[str, Rows]) -> None:
    committed = json.loads((FOLDER / "digests.json").read_text())
    assert {name: digest(found) for name, found in first.items()} == {name: committed[name] for name in first}


def test_sides_share_no_name_template_or_pair(first: dict[str, Rows]) -> None:
    sides: dict[str, Rows] = {}
    for name, split in FACTS.items():
        sides.setdefault(split.side, []).extend(first[name])
    for held in (
        [used_names(found) for found in sides.values()],
        [{row["template"] for row in found} for found in sides.values()],
        [{row["premise"] + row["hypothesis"] for row in found} for found in sides.values()],
    ):
        assert len(set().union(*held)) == sum(len(side) for side in held)


def test_a_model_is_distilled_and_pre_trained_on_other_rows_than_it_is_tuned_on(first: dict[str, Rows]) -> None:
    pairs = [{row["premise"] + row["hypothesis"] for row in first[n]} for n in ("facts/train", "facts/transfer")]
    assert len(pairs[0] & pairs[1]) < 0.02 * len(pairs[0])


def test_labels_are_balanced(first: dict[str, Rows]) -> None:
    for name in FACTS:
        assert min(Counter(row["label"] for row in first[name]).values()) >= len(first[name]) // 3 - 1, name
    cells = Counter((row["heuristic"], row["label"]) for row in rows("heuristics/test"))
    assert set(cells) == {
        (h, label) for h in ("lexical_overlap", "subsequence", "constituent") for label in (ENTAILED, OPEN)
    }
    assert set(cells.values()) == {256}


def test_shallow_rules_hold_for_every_row_whatever_its_label() -> None:
    for row in rows("heuristics/test"):
        premise, hypothesis = (" ".join(plain(row[side])).lower() for side in ("premise", "hypothesis"))
        assert set(hypothesis.split()) <= set(premise.split())
        if row["heuristic"] != "lexical_overlap":
            assert f" {hypothesis} " in f" {premise} "


def test_every_form_is_used_and_no_pair_comes_twice() -> None:
    found = rows("heuristics/test")
    assert len({(row["premise"], row["hypothesis"]) for row in found}) == len(found)
    assert len({(row["heuristic"], row["label"], row["subcase"]) for row in found}) == sum(map(len, FORMS.values()))


def test_the_tokenizer_knows_every_word(first: dict[str, Rows]) -> None:
    tokenizer = bert_tokenizer()
    for name, found in first.items():
        encoded = tokenizer([r["premise"] for r in found[:SHOWN]], [r["hypothesis"] for r in found[:SHOWN]])
        assert all(tokenizer.unk_token_id not in ids for ids in encoded["input_ids"]), name
        assert max(map(len, encoded["input_ids"])) <= MAX_TOKENS
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("Basol sings.", "Basol never sings.")["input_ids"])
    assert " ".join(tokens) == "[CLS] Basol sings . [SEP] Basol never sings . [SEP]"
