"""Inputs of an exact shape: no padding, every special token where the tokenizer puts it."""

from pathlib import Path

import pytest

from bench.data import Example
from bench.errors import BadInput
from bench.measure.inputs import inputs_of_shape
from bench.models import load, load_tokenizer

SHAPES = [(1, 8), (3, 8), (1, 64), (5, 17), (2, 63)]


@pytest.mark.parametrize(("batch", "length"), SHAPES)
@pytest.mark.parametrize("paired", [True, False])
def test_exact_shapes(batch: int, length: int, paired: bool, models: dict[str, Path], examples: list[Example]) -> None:
    tokenizer = load_tokenizer(models["bart"])
    rows = examples if paired else [Example(e.index, e.text, None, e.label) for e in examples]
    found = inputs_of_shape(tokenizer, rows, batch, length)
    assert {tuple(tensor.shape) for tensor in found.values()} == {(batch, length)}
    assert bool(found["attention_mask"].all())
    ids = found["input_ids"]
    assert not bool((ids == tokenizer.pad_token_id).any())
    eos = (ids == tokenizer.eos_token_id).sum(dim=1).tolist()
    assert (
        eos == [3 if paired else 1] * batch
    )  # <s> a </s></s> b </s>: BART pools at the last, and wants as many in each row
    assert (ids[:, 0] == tokenizer.bos_token_id).all()
    assert (ids[:, -1] == tokenizer.eos_token_id).all()
    if batch > 1 and length > 8:
        assert len({tuple(row) for row in ids.tolist()}) > 1  # rows are made of different texts


def test_models_take_them(models: dict[str, Path], examples: list[Example]) -> None:
    for kind, folder in models.items():
        loaded = load(folder)
        logits = loaded.model(**inputs_of_shape(loaded.tokenizer, examples, 2, 64)).logits
        assert logits.shape == ((2, 64, loaded.model.config.vocab_size) if kind == "writer" else (2, 3))


def test_the_same_inputs_every_time(models: dict[str, Path], examples: list[Example]) -> None:
    tokenizer = load_tokenizer(models["bart"])
    first, second = (inputs_of_shape(tokenizer, examples, 3, 20) for _ in range(2))
    assert all(bool((first[k] == second[k]).all()) for k in first)


def test_texts_that_cannot_fill_the_shape(models: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(models["bart"])
    with pytest.raises(BadInput, match="gives 2 tokens where 16 are asked for"):
        inputs_of_shape(tokenizer, [Example(0, "", None, "x")], 1, 16)
