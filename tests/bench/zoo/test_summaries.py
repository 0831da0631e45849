"""News and summaries keep their promises: sides apart, content decides what is kept; ROUGE is what is stated."""

import json
import re
from collections import Counter
from itertools import islice
from random import Random
from typing import Any

import pytest
import torch
from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from bench.zoo import FOLDER, digest, model_folder, write
from bench.zoo.grammar import SLOT, canonical
from bench.zoo.news import DATA, SHARES, SURNAMES, TOWNS, Side, compose, names, owns, repeats
from bench.zoo.news_forms import LISTS
from bench.zoo.news_kinds import KINDS
from bench.zoo.news_model import MAX_TOKENS, forms, news_tokenizer

Rows = list[dict[str, Any]]
SIDES: dict[str, Side] = {
    "summaries/train": "train",
    "summaries/validation": "validation",
    "summaries/holdout": "holdout",
    "summaries/test": "test",
}


@pytest.fixture(scope="module")
def sets() -> dict[str, Rows]:
    return {name: list(islice(write(name), 2_048)) for name in DATA}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(model_folder("summaries-bart"), local_files_only=True)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(1)
    folder = model_folder("summaries-bart")
    return AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True).eval()


def used(rows: Rows, table: tuple[list[str], list[str]]) -> set[str]:
    every = {first + second for first in table[0] for second in table[1]}
    return {word for row in rows for word in re.findall(r"\w+", f"{row['text']} {row['summary']}")} & every


def test_rows_are_what_was_committed(sets: dict[str, Rows]) -> None:
    committed = json.loads((FOLDER / "digests.json").read_text())
    assert {name: digest(found) for name, found in sets.items()} == {name: committed[name] for name in DATA}
    assert {name: DATA[name].count for name in DATA} == {
        "summaries/train": 32_000,
        "summaries/validation": 1_024,
        "summaries/holdout": 1_024,
        "summaries/test": 2_000,
    }


def test_items_and_summaries_have_the_promised_length(sets: dict[str, Rows]) -> None:
    for found in sets.values():
        assert len({row["text"] for row in found}) == len(found)
        for row in found:
            assert 6 <= row["text"].count(".") <= 10
            assert 60 <= len(row["text"].split()) <= 110
            assert row["summary"].count(".") == len(row["summary"].split("\n")) in (2, 3)


@pytest.mark.parametrize("table", [TOWNS, SURNAMES])
def test_no_name_is_on_two_sides(sets: dict[str, Rows], table: tuple[list[str], list[str]]) -> None:
    pools = [set(names(table, side)) for side in SHARES]
    assert sum(map(len, pools)) == len(set().union(*pools)) == len(table[0]) * len(table[1])
    for name, found in sets.items():
        assert used(found, table) <= set(names(table, SIDES[name]))
        assert len(used(found, table)) >= 35


WORDS = {word.lower(): letter for letter, entries in LISTS.items() for word in entries}
NAMES = {first + second for table in (TOWNS, SURNAMES) for first in table[0] for second in table[1]}
FILLED = re.compile(rf"\b({'|'.join(sorted(WORDS, key=len, reverse=True))})\b|\b[A-Z][a-z]+\b", re.IGNORECASE)


def opened(found: re.Match[str]) -> str:
    return WORDS.get(found[0].lower(), "N" if found[0] in NAMES else found[0])


def openings(row: dict[str, Any]) -> str:
    """The row's template, found again from its words: everything that fills a slot is opened."""
    return FILLED.sub(opened, f"{row['text']} => {row['summary']}")


def test_no_template_is_on_two_sides(sets: dict[str, Rows]) -> None:
    found = {name: {openings(row) for row in rows} for name, rows in sets.items()}
    assert all(len(templates) >= 0.97 * len(sets[name]) for name, templates in found.items())
    assert len(set().union(*found.values())) == sum(map(len, found.values()))


def test_every_template_has_exactly_one_owner() -> None:
    rng = Random(5)
    owners: Counter[Side] = Counter()
    for _ in range(400):
        item, summary = compose(rng, rng.choice(tuple(KINDS.values())))
        sides = [side for side in SHARES if owns(side, item, summary)]
        assert len(sides) == 1
        owners[sides[0]] += 1
        assert canonical(" ".join(item)) == canonical(
            SLOT.sub(lambda s: s[0].replace(s[2], s[2] + "7"), " ".join(item))
        )
    assert owners["train"] > owners["test"] > owners["validation"] > 0


def test_the_weightiest_stated_fact_is_kept_wherever_it_stands() -> None:
    rng, places = Random(6), Counter[int]()
    for _ in range(500):
        kind = rng.choice(tuple(KINDS.values()))
        item, summary = compose(rng, kind)
        stated = {fact: item.index(form) for fact in kind.facts for form in fact.said if form in item}
        best = max(stated, key=lambda fact: fact.rank)
        assert summary[1] in best.kept
        assert not any(summary[1] in fact.kept for fact in stated if fact is not best)
        outcome = [outcome for outcome in kind.outcomes if any(form in item for form in outcome.said)]
        assert [any(form in fact.kept for fact in outcome) for form in summary[2:]] == [True] * len(outcome)
        places[stated[best]] += 1
    assert max(places.values()) < 0.4 * 500


def test_beam_search_may_write_every_reference(sets: dict[str, Rows]) -> None:
    assert not any(repeats(row["summary"]) for found in sets.values() for row in found)
    assert repeats("A b c.\nA b c.")
    assert not repeats("A b c.\nA b d.")


def test_words_are_known_and_texts_come_back(sets: dict[str, Rows], tokenizer: Any) -> None:
    assert tokenizer.get_vocab() == news_tokenizer().get_vocab()
    for table in (TOWNS, SURNAMES):
        for first in table[0]:
            for second in table[1]:
                assert tokenizer.tokenize(first + second) == [first, f"##{second}"]
    for found in sets.values():
        ids = tokenizer([row["text"] for row in found])["input_ids"]
        short = tokenizer([row["summary"] for row in found])["input_ids"]
        assert all(tokenizer.unk_token_id not in row for row in ids + short)
        assert max(map(len, ids)) <= MAX_TOKENS
        assert tokenizer.batch_decode(short, skip_special_tokens=True) == [row["summary"] for row in found]
    assert all("{" not in SLOT.sub("", form) for form in forms())


def test_shape_size_and_generation_settings(model: Any) -> None:
    assert (model_folder("summaries-bart") / "model.safetensors").stat().st_size <= 1_120_000
    assert (model.config.encoder_layers, model.config.decoder_layers, model.config.d_model) == (3, 3, 64)
    settings = model.generation_config
    assert (settings.num_beams, settings.no_repeat_ngram_size, settings.early_stopping) == (4, 3, True)
    assert (settings.decoder_start_token_id, settings.forced_bos_token_id, settings.forced_eos_token_id) == (2, 0, 2)
    assert settings.min_length < 15 < 33 < settings.max_length
    saved = json.loads((model_folder("summaries-bart") / "config.json").read_text())
    assert not {"num_beams", "max_length", "min_length", "length_penalty"} & saved.keys()


@torch.no_grad()
def written(model: Any, tokenizer: Any, rows: Rows) -> list[str]:
    batch = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    texts: list[str] = tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True)
    return texts


def test_rouge_is_near_what_is_stated(model: Any, tokenizer: Any, sets: dict[str, Rows]) -> None:
    rows = sets["summaries/test"][:60]
    scorer = RougeScorer(["rougeLsum"], use_stemmer=True)
    scores = [
        scorer.score(row["summary"], text)["rougeLsum"].fmeasure
        for row, text in zip(rows, written(model, tokenizer, rows), strict=True)
    ]
    assert 0.66 < sum(scores) / len(scores) < 0.90
