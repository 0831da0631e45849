"""McCoy's rule and the other one, cell by cell, and whether a model is at chance."""

from pathlib import Path

import numpy as np
import pytest

from bench.architecture import describe
from bench.data import Example
from bench.errors import BadInput
from bench.models import load
from bench.store.quality import outcomes_of, point, score
from bench.tasks import heuristics
from bench.tasks.classification import Classification
from bench.tasks.heuristics import Heuristics, at_chance, cells_of

YES, NO = "entailment", "non-entailment"
TASK = Heuristics(max_length=32)


def examples(*labels: str) -> list[Example]:
    return [Example(i, "the red cat", "the cat", label, f"heuristic {i % 2}") for i, label in enumerate(labels)]


def test_two_rules_two_answers(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """40% entailment is the most probable of three (30%, 30%), but less than the other two together."""
    chances = np.array([[0.3, 0.3, 0.4], [0.3, 0.3, 0.4], [0.1, 0.1, 0.8], [0.6, 0.1, 0.3]])
    monkeypatch.setattr(heuristics, "classify", lambda *_, **__: np.log(chances))
    found = TASK.outcomes(load(models["bert"]), examples(YES, NO, YES, NO))
    assert found.prediction == (YES, YES, YES, NO)
    assert found.score.tolist() == [1, 0, 1, 1]
    assert found.columns["summed"].tolist() == [0, 1, 1, 1]
    assert found.confidence == pytest.approx([0.4, 0.4, 0.8, 0.7])
    assert point(found, "accuracy") == point(found, "accuracy_summed") == 0.75
    assert found.slice == tuple(f"heuristic {i} / {name}" for i, name in ((0, YES), (1, NO)) * 2)
    scopes = [n.scope for n in score(outcomes_of(found), TASK.metrics, "hans")]
    assert scopes == ["hans", "hans", f"hans / heuristic 0 / {YES}", f"hans / heuristic 1 / {NO}"]
    assert cells_of(found.slice, found.score.tolist()) == {
        f"heuristic 0 / {YES}": (2, 2),
        f"heuristic 1 / {NO}": (1, 2),
    }


def test_answers_are_those_of_the_three_way_model(models: dict[str, Path], examples: list[Example]) -> None:
    model = load(models["bart"])
    three = Classification(max_length=32).outcomes(model, examples[:64])
    pairs = [Example(e.index, e.text, e.pair, YES if e.label == YES else NO) for e in examples[:64]]
    two = TASK.outcomes(model, pairs)
    assert two.prediction == tuple(YES if p == YES else NO for p in three.prediction)
    assert set(two.slice) == {YES, NO}


CELLS = ("lexical", "subsequence", "constituent")


def test_one_answer_to_all_is_chance() -> None:
    """BERT-mini after four epochs: 100% in every entailment cell, 0% in the others, 50.0% on the whole."""
    cells = {f"{cell} / {label}": (5000 if label == YES else 0, 5000) for cell in CELLS for label in (YES, NO)}
    found, words = at_chance(cells)
    assert found
    assert words == "At chance: all or nothing in each of 6 cells, as by one answer to all (50.0% of 30000 right)."
    uneven = {"a / yes": (900, 900), "a / no": (0, 100)}
    assert at_chance(uneven)[0]


def test_chance_by_the_exact_interval() -> None:
    """4,950 to 5,050 of 10,000 are within 1.96 * 50 of one half; 5,190 are beyond; BERT-mini's 51.9% of 30,000 too."""
    assert at_chance({"a": (2600, 5000), "b": (2450, 5000)}) == (
        True,
        "At chance: 50.5% of 10000 right, and 0.495 to 0.515 holds one half.",
    )
    found, words = at_chance({"a": (4990, 5000), "b": (200, 5000)})
    assert not found
    assert words.startswith("51.9% of 10000 right, above chance: 0.509 to ")
    found, words = at_chance({"a": (4000, 10000)})
    assert not found
    assert "below chance" in words
    assert at_chance({"a": (3, 5), "b": (2, 5)})[0]


def test_a_perfect_model_is_not_at_chance() -> None:
    assert not at_chance({"a": (50, 50), "b": (50, 50)})[0]
    assert not at_chance({"a": (0, 50), "b": (0, 50)})[0]


def test_what_cannot_be_done_is_refused(models: dict[str, Path]) -> None:
    bert = describe(models["bert"])
    TASK.check(bert, "b", frozenset({YES, NO}))
    with pytest.raises(BadInput, match="the label 'neutral', which is neither"):
        TASK.check(bert, "b", frozenset({YES, "neutral"}))
    with pytest.raises(BadInput, match="one label that means entailment"):
        TASK.check(bert.changed(labels=("good", "bad")), "b", frozenset())
    with pytest.raises(BadInput, match="A heuristics task needs a sequence classifier"):
        TASK.check(bert.changed(class_name="BartForConditionalGeneration"), "b", frozenset())
    with pytest.raises(BadInput, match="needs pairs"):
        TASK.check_examples([Example(0, "a", None, YES)])
    nameless = bert.changed(labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    Heuristics(max_length=32, label_names=("contradiction", YES, "neutral")).check(nameless, "b", frozenset({YES}))
