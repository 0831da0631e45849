"""Outputs named by the user, and orders of labels that the data contradict."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from bench.architecture import describe
from bench.data import Example
from bench.errors import BadInput
from bench.models import load
from bench.statistics.paired import mcnemar_exact
from bench.tasks import classification
from bench.tasks.classification import Classification
from bench.tasks.labels import better_order, check_names, named_like, probabilities

NAMES = ("contradiction", "neutral", "entailment")


def answers(
    right_share: float, order: tuple[int, ...], count: int = 500, seed: int = 0
) -> tuple[list[str], np.ndarray]:
    """Labels, and outputs of a classifier whose output `order[i]` is for label i; its mistakes are evenly spread."""
    rng = np.random.default_rng(seed)
    label = rng.integers(len(order), size=count)
    said = np.where(rng.random(count) < right_share, label, rng.integers(len(order), size=count))
    return [NAMES[i] for i in label], np.array(order)[said]


def by_hand(output: np.ndarray, label: list[str]) -> tuple[tuple[str, ...], float]:
    """The best of all orders, and the p-value of its comparison with the given one."""
    right = {
        order: np.array([order[o] == name for o, name in zip(output, label, strict=True)], dtype=float)
        for order in itertools.permutations(NAMES)
    }
    best = max(right, key=lambda order: right[order].sum())
    return best, mcnemar_exact(right[NAMES], right[best])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_order_is_found(order: tuple[int, int, int]) -> None:
    label, output = answers(0.6, order)
    best, p = by_hand(output, label)
    expected = tuple(NAMES[order.index(i)] for i in range(3))
    assert best == expected
    assert better_order(output, label, NAMES) == (None if order == (0, 1, 2) else expected)
    assert p == 1 if order == (0, 1, 2) else p < 1e-10


def test_a_small_lead_is_no_proof() -> None:
    """12 right as named and 14 the other way round, of 60: p = 0.85."""
    label = ["neutral"] * 30 + ["contradiction"] * 30
    output = np.array([1] * 12 + [0] * 18 + [1] * 18 + [0] * 12)
    output[:5] = output[30:35] = 2
    assert by_hand(output, label)[1] > 0.01
    assert better_order(output, label, NAMES) is None


def test_a_model_that_gives_one_answer_is_bad_and_not_mixed_up() -> None:
    """It is right more often if its one answer is called by the most frequent label; that is no better a model."""
    label = ["neutral"] * 300 + ["entailment"] * 100 + ["contradiction"] * 100
    assert better_order(np.full(500, 2), label, NAMES) is None


def test_guessing_is_hardly_ever_faulted() -> None:
    drawn = [answers(0.0, (0, 1, 2), seed=seed) for seed in range(200)]
    faults = sum(better_order(output, label, NAMES) is not None for label, output in drawn)
    assert faults <= 8  # one in a hundred is allowed; above 8 of 200 has a chance below 0.001


def test_only_the_first_500_count_and_other_labels_are_left_out() -> None:
    label, output = answers(0.9, (0, 1, 2), 500)
    wrong, confused = answers(0.9, (2, 1, 0), 4000)
    assert better_order(np.concatenate([output, confused]), label + wrong, NAMES) is None
    assert better_order(np.array([0, 1]), ["unheard", "of"], NAMES) is None


def test_names_of_outputs(models: dict[str, Path]) -> None:
    bert = describe(models["bert"])
    assert check_names(bert, "b", ()) == NAMES
    assert check_names(bert, "b", ("A", "B", "c")) == ("a", "b", "c")
    with pytest.raises(BadInput, match="label_names has 2 names but the model 'b' has 3 outputs"):
        check_names(bert, "b", ("a", "b"))
    nameless = describe(models["bert"]).changed(labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    with pytest.raises(BadInput, match="or label_names on the task"):
        check_names(nameless, "b", ())
    assert check_names(nameless, "b", NAMES) == NAMES
    for wrong in (("a", "A", "b"), ("a", " ", "b")):
        with pytest.raises(ValueError, match="name each output once"):
            Classification(label_names=wrong)


def test_a_wrong_order_is_refused_and_the_better_one_named(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A classifier that is right on about three of five examples, whose outputs have no names."""
    label, output = answers(0.4, (0, 1, 2), 512)
    monkeypatch.setattr(classification, "classify", lambda *_, **__: 5 * np.eye(3)[output])
    window = [Example(i, "red", "blue", name) for i, name in enumerate(label)]
    model, nameless = load(models["bert"]), {i: f"LABEL_{i}" for i in range(3)}
    architecture = describe(models["bert"]).changed(labels=tuple(nameless.values()))
    model.model.config.id2label = nameless
    with pytest.raises(BadInput, match="cannot be checked"):
        Classification(max_length=32).check(architecture, "b", frozenset(NAMES))
    task = Classification(max_length=32, label_names=NAMES)
    task.check(architecture, "b", frozenset(NAMES))
    assert task.outcomes(model, window).score.mean() == pytest.approx(0.6, abs=0.05)
    for order in list(itertools.permutations(NAMES))[1:]:
        with pytest.raises(BadInput, match=r"to 500 examples .* mean contradiction, neutral, entailment: set label"):
            Classification(max_length=32, label_names=order).outcomes(model, window)
    # Names in the config are believed, unless the check is asked for.
    model.model.config.id2label = dict(enumerate(["neutral", "entailment", "contradiction"]))
    assert Classification(max_length=32).outcomes(model, window).score.mean() < 0.3
    with pytest.raises(BadInput, match="clearly more often"):
        Classification(max_length=32, check_order=True).outcomes(model, window)


def test_small_things() -> None:
    assert named_like(("Entailment", "not_entailment", "entailed"), "entail") == [0, 2]
    assert probabilities(np.log([[1.0, 3.0], [2.0, 2.0]])) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))
    assert probabilities(np.array([[1000.0, 0.0]])).tolist() == [[1, 0]]


def test_parts_of_the_data_come_along(models: dict[str, Path], examples: list[Example]) -> None:
    parts = [
        Example(e.index, e.text, e.pair, e.label, slice=("fiction", "travel")[i % 2]) for i, e in enumerate(examples)
    ]
    found = Classification(max_length=32).outcomes(load(models["bert"]), parts[:6])
    assert found.slice == ("fiction", "travel") * 3
