"""What models are trained on: targets by hand, and the losses that transformers itself computes."""

from pathlib import Path

import pytest
import torch
from transformers import BartConfig, BartModel, PreTrainedModel

from bench.data import Example
from bench.errors import BadInput
from bench.methods.objectives import IGNORED, References, Texts, cross_entropy, objective
from bench.models import Loaded
from tests import tiny

TEXTS = ["the red cat runs", "dog", "the big bird"]
IDS = {word: i for i, word in enumerate([*tiny.SPECIAL, *tiny.WORDS])}


def loaded(model: PreTrainedModel) -> Loaded:
    return Loaded(model, tiny.tokenizer(), Path())


def examples(*texts: str, label: str = "") -> list[Example]:
    return [Example(i, text, None, label) for i, text in enumerate(texts)]


def ids(text: str) -> list[int]:
    return [IDS[word] for word in f"<s> {text} </s>".split()]


def test_text_is_its_own_target_shifted_by_one() -> None:
    found = objective(loaded(tiny.causal()), examples(*TEXTS), "texts", max_length=16)
    assert found.lengths == [6, 3, 5]
    inputs, target = found.batch([0, 1])
    assert inputs["input_ids"][1].tolist()[:3] == ids("dog")
    assert inputs["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert target.tolist() == [[*ids(TEXTS[0])[1:], IGNORED], [*ids("dog")[1:], *[IGNORED] * 4]]


def test_loss_of_text_is_what_transformers_computes_and_ignores_padding() -> None:
    """Mean over the 5 and 2 predicted tokens of both rows, not the mean of two means."""
    model = tiny.causal(initializer_range=0.3)
    found = objective(loaded(model), examples(*TEXTS), "texts", max_length=16)
    with torch.no_grad():
        single = [model(input_ids=(x := torch.tensor([ids(t)])), labels=x).loss.item() for t in TEXTS[:2]]
        assert cross_entropy(model, found.batch([0])).item() == pytest.approx(single[0], rel=1e-6)
        both = cross_entropy(model, found.batch([0, 1])).item()
    assert both == pytest.approx((5 * single[0] + 2 * single[1]) / 7, rel=1e-6)


def test_texts_are_ended_and_cut() -> None:
    model = loaded(tiny.causal())
    model.tokenizer._tokenizer.post_processor = None  # as Llama's, which ends nothing
    found = objective(model, examples(*TEXTS), "texts", max_length=4)
    assert isinstance(found, Texts)
    assert [row["input_ids"] for row in found.rows] == [ids(TEXTS[0])[1:5], [IDS["dog"], 2], ids(TEXTS[2])[1:]]
    packed = objective(model, examples(*TEXTS), "texts", max_length=4, pack=True)
    assert isinstance(packed, Texts)
    stream = [*ids(TEXTS[0])[1:], *ids("dog")[1:], *ids(TEXTS[2])[1:]]
    assert [row["input_ids"] for row in packed.rows] == [stream[:4], stream[4:8], stream[8:]]
    long = objective(model, examples("red " * 500), "texts", max_length=400, pack=True)
    assert sum(long.lengths) == 501
    assert max(long.lengths) == 64  # positions of the model


def test_references_are_what_the_decoder_should_write() -> None:
    """Loss as transformers computes it from labels; the decoder begins with its start token."""
    model = tiny.writer()
    rows = [Example(0, TEXTS[0], None, "red cat"), Example(1, TEXTS[2], None, "bird")]
    found = objective(loaded(model), rows, "news", max_length=16, max_target=8)
    assert isinstance(found, References)
    inputs, target = found.batch([0, 1])
    assert target.tolist() == [ids("red cat"), [*ids("bird"), IGNORED]]
    assert inputs["decoder_input_ids"].tolist() == [[2, *ids("red cat")[:3]], [2, *ids("bird")]]
    with torch.no_grad():
        expected = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=target).loss
        assert cross_entropy(model, (inputs, target)).item() == pytest.approx(expected.item(), rel=1e-6)
    short = objective(loaded(model), rows, "news", max_length=3, max_target=3)
    assert isinstance(short, References)
    assert (short.lengths, [len(t["input_ids"]) for t in short.targets]) == ([3, 3], [3, 3])


def test_classes_by_name() -> None:
    found = objective(loaded(tiny.bert()), examples(*TEXTS, label="Entailment"), "pairs", max_length=16)
    inputs, target = found.batch([1, 2])
    assert target.tolist() == [2, 2]
    assert "token_type_ids" not in inputs or inputs["token_type_ids"].shape == inputs["input_ids"].shape


def test_what_cannot_be_trained_on() -> None:
    with pytest.raises(BadInput, match="'texts' has pairs: leave pair out"):
        objective(loaded(tiny.causal()), [Example(0, "red", "cat", "")], "texts", max_length=16)
    with pytest.raises(BadInput, match="trained on references, and 'news' lacks some"):
        objective(loaded(tiny.writer()), examples(*TEXTS), "news", max_length=16)
    with pytest.raises(BadInput, match="'pairs' has the label 'maybe'"):
        objective(loaded(tiny.bert()), examples("red", label="maybe"), "pairs", max_length=16)
    silent = loaded(tiny.causal())
    silent.tokenizer._tokenizer.post_processor = None
    silent.tokenizer.eos_token = None
    with pytest.raises(BadInput, match="No text of 'texts' has two tokens"):
        objective(silent, examples("red", "cat"), "texts", max_length=16)
    with pytest.raises(BadInput, match="BartModel is neither a classifier nor does it write"):
        objective(
            loaded(BartModel(BartConfig.from_dict(tiny.bart().config.to_dict()))),
            examples("red"),
            "texts",
            max_length=16,
        )
