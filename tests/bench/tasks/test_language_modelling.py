"""Perplexity by hand where every chance is known, and the same whatever the batches and windows."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.architecture import describe
from bench.data import Example
from bench.errors import BadInput
from bench.models import load
from bench.store.quality import point
from bench.tasks.language_modelling import LanguageModelling, Span, spans

TASK = LanguageModelling(max_length=32)
TEXTS = ["the red blue green", "red", "the cat runs cat runs cat", "big dog dog", "the blue cat"]


def examples(*texts: str) -> list[Example]:
    return [Example(i, text, None, "", slice=f"part {i % 2}") for i, text in enumerate(texts)]


def test_every_token_is_scored_once() -> None:
    assert spans(5, 8, 4) == [Span(0, 5, 1)]
    assert spans(11, 6, 3) == [Span(0, 6, 1), Span(3, 9, 6), Span(5, 11, 9)]
    assert spans(1, 6, 3) == []
    for tokens in range(2, 40):
        for length in range(2, 12):
            for stride in range(1, length):
                found = spans(tokens, length, stride)
                scored = [i for s in found for i in range(s.scored, s.end)]
                assert scored == list(range(1, tokens))
                assert all(0 <= s.begin < s.scored < s.end <= s.begin + length for s in found)
                assert all(s.scored - s.begin >= length - stride for s in found[1:])


def test_perplexity_by_hand(decoders: dict[str, Path]) -> None:
    """After <s>: the 1/2, red 1/2, blue 1/2, green 3/4; and the second text is "red" after <s>, 1/4."""
    model = load(decoders["bigrams"])
    found = TASK.outcomes(model, examples("the red blue green", "red"))
    assert found.columns["nll"] == pytest.approx([math.log(2 * 2 * 2 / 0.75), math.log(4)], abs=1e-4)
    assert found.columns["tokens"].tolist() == [4, 1]
    assert found.columns["hits"].tolist() == [4, 0]
    assert found.score == pytest.approx(found.columns["nll"] / [4, 1])
    assert found.slice == ("part 0", "part 1")
    assert point(found, "perplexity") == pytest.approx((8 / 0.75 * 4) ** (1 / 5), rel=1e-4)
    assert point(found, "token_accuracy") == pytest.approx(4 / 5)


def test_without_a_token_before_it_the_first_is_not_scored(decoders: dict[str, Path]) -> None:
    found = TASK.model_copy(update={"bos": False}).outcomes(load(decoders["bigrams"]), examples("the red blue", "red"))
    assert found.columns["tokens"].tolist() == [2, 0]
    assert found.columns["nll"] == pytest.approx([math.log(4), 0], abs=1e-4)


def test_windows_give_what_a_model_without_memory_gives(decoders: dict[str, Path]) -> None:
    """The bigram model looks at one token, so that windows must not change a thing."""
    model = load(decoders["bigrams"])
    text = examples("the " + "cat runs " * 9 + "cat")
    whole = TASK.outcomes(model, text)
    for length, stride in ((4, 2), (7, 1), (7, 6), (20, None)):
        cut = LanguageModelling(max_length=length, stride=stride).outcomes(model, text)
        assert cut.columns["nll"] == pytest.approx(whole.columns["nll"], abs=1e-4)
        assert cut.columns["tokens"].tolist() == [20]


@pytest.mark.parametrize("kind", ["llama", "mistral", "gpt2"])
def test_equals_a_plain_loop_whatever_the_batches(kind: str, decoders: dict[str, Path]) -> None:
    model = load(decoders[kind])
    found = TASK.outcomes(model, examples(*TEXTS))
    for i, text in enumerate(TEXTS):
        ids = model.tokenizer(text, return_tensors="pt")["input_ids"][:, :-1]  # the test's tokenizer adds an end
        with torch.inference_mode():
            chances = model.model(ids).logits[0].double().log_softmax(-1)
        nll = -sum(float(chances[j, int(ids[0, j + 1])]) for j in range(ids.shape[1] - 1))
        assert found.columns["nll"][i] == pytest.approx(nll, abs=1e-5)
    for tokens in (8, 16):
        other = TASK.model_copy(update={"batch_tokens": tokens}).outcomes(model, examples(*TEXTS))
        assert np.abs(other.columns["nll"] - found.columns["nll"]).max() < 1e-5


def test_what_cannot_be_done_is_refused(decoders: dict[str, Path], models: dict[str, Path]) -> None:
    causal = describe(decoders["llama"])
    TASK.check(causal, "b", frozenset({""}))
    with pytest.raises(BadInput, match="is BertForSequenceClassification"):
        TASK.check(describe(models["bert"]), "b", frozenset())
    with pytest.raises(BadInput, match="max_length is 65 but the model 'b' has 64"):
        LanguageModelling(max_length=65).check(causal, "b", frozenset())
    with pytest.raises(BadInput, match="stride is 32"):
        LanguageModelling(max_length=32, stride=32).check(causal, "b", frozenset())
    with pytest.raises(BadInput, match="Row 2 of the data has an empty text"):
        TASK.check_examples(examples("red", " "))


def test_logits_that_are_no_numbers_are_an_error(decoders: dict[str, Path]) -> None:
    model = load(decoders["llama"])
    with torch.no_grad():
        model.model.get_parameter("lm_head.weight")[3, 0] = float("nan")
    with pytest.raises(ArithmeticError, match="not finite"):
        TASK.outcomes(model, examples("red cat"))


def test_a_tokenizer_without_the_token_that_is_asked_for(decoders: dict[str, Path]) -> None:
    model = load(decoders["gpt2"])
    model.tokenizer.bos_token = None
    with pytest.raises(BadInput, match="no beginning-of-text token"):
        TASK.model_copy(update={"bos": True}).outcomes(model, examples("red"))
