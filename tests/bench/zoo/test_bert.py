"""The shipped BERT family loads offline, fits its budget and reaches what the README states."""

from itertools import islice
from typing import Any

import pytest
import torch
from transformers import BertForMaskedLM, BertForSequenceClassification

from bench.models import load, load_tokenizer
from bench.zoo import MODELS, model_folder, write
from bench.zoo.bert_shape import SIZES, bert_tokenizer, vocabulary
from bench.zoo.train_bert import Row, check, encode

FLOOR = 0.70  # of the classifier on the first 300 test rows
MOST_BYTES = 12_000_000  # of all shipped weights


@pytest.fixture(scope="module")
def unseen() -> list[Row]:
    return encode("text/validation", 256)


def test_all_weights_fit_the_budget() -> None:
    files = [file for folder in MODELS.values() for file in folder.iterdir()]
    assert sum(f.stat().st_size for f in files if f.suffix == ".safetensors") <= MOST_BYTES
    assert not [f for f in files if f.suffix in (".bin", ".pt")]


@pytest.mark.parametrize("name", SIZES)
def test_shapes_are_those_of_the_script(name: str) -> None:
    model: Any = load(model_folder(name)).model
    size, config = SIZES[name], model.config
    assert isinstance(model, BertForMaskedLM)
    found = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size)
    assert found == (size.layers, size.hidden, size.heads, 2 * size.hidden)


def test_the_tokenizer_is_the_one_its_word_lists_give() -> None:
    texts = ["Basol sings.", "At the millhouse, Razin never praised Tolem."]
    for name in (*SIZES, "bert-facts"):
        assert load_tokenizer(model_folder(name))(texts)["input_ids"] == bert_tokenizer()(texts)["input_ids"]


def test_more_layers_and_width_guess_masked_words_better(unseen: list[Row]) -> None:
    rows = [row for row in unseen if len(row[0]) <= 32][:128]
    loss = {name: check(load(model_folder(name)).model, rows, classifier=False) for name in ("bert-tiny", "bert-small")}
    assert loss["bert-small"] < loss["bert-tiny"] < 6  # a guess among all words: ln(979) = 6.9


def test_the_classifier_reaches_what_it_should() -> None:
    loaded = load(model_folder("bert-facts"))
    assert isinstance(loaded.model, BertForSequenceClassification)
    assert loaded.model.config.id2label == {0: "contradiction", 1: "neutral", 2: "entailment"}
    assert check(loaded.model, encode("facts/test", 300), classifier=True) >= FLOOR


def test_a_student_of_half_the_layers_has_about_forty_percent_fewer_parameters() -> None:
    def parameters(layers: int) -> int:
        from bench.zoo.bert_shape import config_of

        with torch.device("meta"):
            return sum(p.numel() for p in BertForMaskedLM(config_of(SIZES["bert"], layers)).parameters())

    assert 0.38 <= 1 - parameters(6) / parameters(12) <= 0.45
    assert len(vocabulary()) == 979


def test_rows_of_facts_have_what_a_sweep_reads() -> None:
    for row in islice(write("facts/test"), 3):
        assert {"premise", "hypothesis", "label"} <= row.keys()
