"""The ending that is most likely, by hand, with and without a correction for its length."""

import math
from pathlib import Path

import pytest

from bench.architecture import describe
from bench.data import Example
from bench.errors import BadInput
from bench.models import load
from bench.tasks.multiple_choice import MultipleChoice

TASK = MultipleChoice(max_length=32)


def example(text: str, label: str, *choices: str, index: int = 0) -> Example:
    return Example(index, text, None, label, "s", choices)


def test_likelihoods_by_hand(decoders: dict[str, Path]) -> None:
    """After "the": cat is 1/4; "red blue green" is 1/2 * 1/2 * 3/4 = 3/16, but with a larger mean for each token."""
    model = load(decoders["bigrams"])
    asked = [example("the", "1", "cat", "red blue green")]
    summed = TASK.model_copy(update={"normalise": "none"}).outcomes(model, asked)
    assert summed.prediction == ("cat",)
    assert summed.label == ("red blue green",)
    assert summed.score.tolist() == [0]
    assert summed.confidence == pytest.approx([0.25 / (0.25 + 3 / 16)], abs=1e-4)
    assert summed.columns["log_likelihood"] == pytest.approx([math.log(3 / 16)], abs=1e-4)
    mean = TASK.outcomes(model, asked)
    assert mean.prediction == ("red blue green",)
    assert mean.score.tolist() == [1]
    assert mean.columns["log_likelihood"] == pytest.approx([math.log(3 / 16) / 3], abs=1e-4)
    by_bytes = TASK.model_copy(update={"normalise": "bytes"}).outcomes(model, asked)
    assert by_bytes.columns["log_likelihood"] == pytest.approx([math.log(3 / 16) / 14], abs=1e-4)
    assert by_bytes.slice == ("s",)


def test_answers_by_number_letter_and_text(decoders: dict[str, Path]) -> None:
    model = load(decoders["bigrams"])
    for answer, label in (("number", "1"), ("letter", "B"), ("text", "red")):
        found = TASK.model_copy(update={"answer": answer}).outcomes(model, [example("the", label, "cat", "red")])
        assert found.score.tolist() == [1]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_batches_do_not_matter(kind: str, decoders: dict[str, Path]) -> None:
    model = load(decoders[kind])
    asked = [
        example("the red cat", "0", "runs", "sleeps not big", "dog", index=0),
        example("big", "1", "bird", "cat runs the small dog", index=1),
        example("the small green bird", "0", "red", "blue", index=2),
    ]
    together = TASK.outcomes(model, asked)
    for i, one in enumerate(asked):
        alone = TASK.model_copy(update={"batch_tokens": 8}).outcomes(model, [one])
        assert alone.columns["log_likelihood"] == pytest.approx([together.columns["log_likelihood"][i]], abs=1e-5)
        assert alone.prediction == (together.prediction[i],)


def test_a_text_that_is_too_long_loses_its_beginning(decoders: dict[str, Path]) -> None:
    model = load(decoders["bigrams"])
    task = TASK.model_copy(update={"max_length": 4, "normalise": "none"})
    cut = task.outcomes(model, [example("the " * 20 + "red", "0", "blue green", "cat runs")])
    assert cut.columns["log_likelihood"] == pytest.approx([math.log(0.5 * 0.75)], abs=1e-4)
    with pytest.raises(BadInput, match="no tokens of its own"):
        task.outcomes(model, [example("the", "0", "red blue green cat dog", "cat")])


def test_what_cannot_be_done_is_refused(decoders: dict[str, Path]) -> None:
    with pytest.raises(BadInput, match="is BartForConditionalGeneration"):
        TASK.check(describe(decoders["bart"]), "b", frozenset())
    TASK.check(describe(decoders["mistral"]), "b", frozenset())
    for wrong, words in (
        (example("the", "0", "cat"), "has 1 endings"),
        (example("the", "0"), "has 0 endings"),
        (example("the", "0", "cat", " "), "empty ending"),
        (example(" ", "0", "cat", "red"), "empty text"),
        (example("the", "2", "cat", "red"), "the label '2', but with answer set to number"),
    ):
        with pytest.raises(BadInput, match=words):
            TASK.check_examples([wrong])
    with pytest.raises(BadInput, match="exactly one of cat, cat"):
        MultipleChoice(answer="text").check_examples([example("the", "cat", "cat", "cat")])
