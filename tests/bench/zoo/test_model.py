"""The shipped classifier loads offline, frames pairs as BART wants them and reaches what its README states."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bench.zoo import model_folder
from bench.zoo.framing import MAX_TOKENS, entailment_tokenizer
from tests.bench.zoo.conftest import Rows

FLOORS = {"entailment/matched": 0.60, "entailment/mismatched": 0.59, "entailment/hard": 0.50}  # on the first 300 rows


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(model_folder("entailment-bart"), local_files_only=True)


@pytest.fixture(scope="module")
def model() -> Any:
    folder = model_folder("entailment-bart")
    return AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()


def test_weights_fit_the_budget() -> None:
    folder = model_folder("entailment-bart")
    assert (folder / "model.safetensors").stat().st_size <= 3_000_000
    assert not list(folder.glob("*.bin")) + list(folder.glob("*.pt"))


def test_shape_and_labels(model: Any) -> None:
    config = model.config
    assert (config.encoder_layers, config.decoder_layers) == (4, 12)
    assert config.id2label == {0: "contradiction", 1: "neutral", 2: "entailment"}
    assert config.max_position_embeddings == MAX_TOKENS


def test_pairs_are_framed_with_three_ends(tokenizer: Any, sets: dict[str, Rows]) -> None:
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("Basol sings.", "Basol never sings.")["input_ids"])
    assert " ".join(tokens) == "<s> Basol sings . </s> </s> Basol never sings . </s>"
    for name, rows in sets.items():
        batch = tokenizer([r["premise"] for r in rows[:500]], [r["hypothesis"] for r in rows[:500]])["input_ids"]
        assert {ids.count(2) for ids in batch} == {3}, name
        assert max(map(len, batch)) <= 64
        assert all(3 not in ids for ids in batch), f"{name} has words that the tokenizer does not know"


def test_the_tokenizer_is_the_one_its_word_lists_give(tokenizer: Any) -> None:
    assert tokenizer.get_vocab() == entailment_tokenizer().get_vocab()
    assert tokenizer.padding_side == "right"


@torch.no_grad()
def right(model: Any, tokenizer: Any, rows: Rows) -> float:
    """Share of rows with the right label, in padded batches of 50."""
    torch.set_num_threads(1)
    count = 0
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        pairs = [r["premise"] for r in part], [r["hypothesis"] for r in part]
        guesses = model(**tokenizer(*pairs, padding=True, return_tensors="pt")).logits.argmax(1).tolist()
        count += sum(model.config.id2label[g] == r["label"] for g, r in zip(guesses, part, strict=True))
    return count / len(rows)


@pytest.mark.parametrize("name", FLOORS)
def test_accuracy_is_near_what_is_stated(model: Any, tokenizer: Any, sets: dict[str, Rows], name: str) -> None:
    assert right(model, tokenizer, sets[name][:300]) >= FLOORS[name]


@torch.no_grad()
def test_padding_changes_no_answer(model: Any, tokenizer: Any, matched: Rows) -> None:
    row = matched[0]
    alone = model(**tokenizer(row["premise"], row["hypothesis"], return_tensors="pt")).logits
    padded = tokenizer(row["premise"], row["hypothesis"], padding="max_length", max_length=80, return_tensors="pt")
    torch.testing.assert_close(model(**padded).logits, alone, atol=1e-4, rtol=1e-4)


def test_one_decoder_layer_is_not_enough(model: Any, tokenizer: Any, matched: Rows) -> None:
    full = right(model, tokenizer, matched[:300])
    layers = model.model.decoder.layers
    model.model.decoder.layers = layers[:1]
    try:
        assert right(model, tokenizer, matched[:300]) <= full - 0.20
    finally:
        model.model.decoder.layers = layers
