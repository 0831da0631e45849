"""Zero-shot labels from entailment logits, by hand, and equal to one pair at a time."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.architecture import describe
from bench.data import DataSpec, Example
from bench.errors import BadInput
from bench.models import load
from bench.store.quality import point
from bench.sweep_file import TaskSection
from bench.tasks import zero_shot
from bench.tasks.spec import bind_task
from bench.tasks.zero_shot import ZeroShot

TASK = ZeroShot(max_length=40, labels=("cat", "dog", "bird"), template="the big {}")


def examples(*labels: str) -> list[Example]:
    return [
        Example(i, f"the red {label.split('|')[0] or 'cat'} runs", None, label, "s") for i, label in enumerate(labels)
    ]


def answered(monkeypatch: pytest.MonkeyPatch, logits: list[list[list[float]]]) -> dict[str, Any]:
    """Has the model answer with these logits [texts, candidates, contradiction neutral entailment]."""
    asked: dict[str, Any] = {}

    def classify(_: object, texts: list[str], pairs: list[str], **settings: object) -> Any:
        asked.update(texts=texts, pairs=pairs, **settings)
        return np.array(logits).reshape(-1, 3)

    monkeypatch.setattr(zero_shot, "classify", classify)
    return asked


def test_one_label_by_hand(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Entailment logits log 1, log 2, log 5: the third label, with 5/8; what the others say does not matter."""
    first = [[9.0, 0, math.log(1)], [0, 9.0, math.log(2)], [0, 0, math.log(5)]]
    second = [[0.0, 0, math.log(6)], [0, 0, math.log(3)], [-9, 0, math.log(1)]]
    asked = answered(monkeypatch, [first, second])
    found = TASK.outcomes(load(models["bart"]), examples("bird", "dog"))
    assert found.prediction == ("bird", "cat")
    assert found.confidence == pytest.approx([5 / 8, 6 / 10])
    assert found.score.tolist() == [1, 0]
    assert asked["texts"] == ["the red bird runs"] * 3 + ["the red dog runs"] * 3
    assert asked["pairs"] == ["the big cat", "the big dog", "the big bird"] * 2
    assert asked["cut"] == "only_first"
    assert point(found, "accuracy") == point(found, "micro_f1") == 0.5
    assert point(found, "macro_f1") == pytest.approx(1 / 3)  # bird 1, cat and dog 0


def test_several_labels_by_hand(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each against its contradiction: chances 3/4, 1/4, 2/3; neutral does not count."""
    row = [[0.0, 99.0, math.log(3)], [math.log(3), 99.0, 0.0], [0.0, -99.0, math.log(2)]]
    answered(monkeypatch, [row, row, row])
    task = TASK.model_copy(update={"multi_label": True})
    found = task.outcomes(load(models["bart"]), examples("cat|bird", "cat", ""))
    assert found.prediction == ("bird|cat",) * 3
    assert found.label == ("bird|cat", "cat", "")
    assert found.score.tolist() == [1, 0, 0]
    assert found.confidence == pytest.approx([0.75 * 0.75 * 2 / 3] * 3)
    assert point(found, "micro_f1") == pytest.approx(2 * (2 + 1 + 0) / (4 + 3 + 2))
    strict = task.model_copy(update={"threshold": 0.7}).outcomes(load(models["bart"]), examples("cat", "dog", ""))
    assert strict.prediction == ("cat",) * 3
    none = task.model_copy(update={"threshold": 0.9}).outcomes(load(models["bart"]), examples("cat", "dog", ""))
    assert none.prediction == ("",) * 3
    assert none.score.tolist() == [0, 0, 1]


@pytest.mark.parametrize("kind", ["bart", "bert"])
@pytest.mark.parametrize("multi", [False, True])
def test_equals_one_pair_at_a_time(kind: str, multi: bool, models: dict[str, Path]) -> None:
    model = load(models[kind])
    with torch.no_grad():
        for name, weight in model.model.named_parameters():
            if "norm" not in name.lower():
                weight.mul_(4)
    task = TASK.model_copy(update={"multi_label": multi})
    texts = ["the red cat runs", "dog", "the small bird sleeps not the red big green bird", "blue " * 60]
    found = task.chances(model, texts)
    for i, text in enumerate(texts):
        logits = []
        for label in task.labels:
            pair = model.tokenizer(
                text, f"the big {label}", truncation="only_first", max_length=40, return_tensors="pt"
            )
            with torch.inference_mode():
                logits.append(model.model(**pair).logits[0].double())
        rows = torch.stack(logits)
        expected = rows[:, [0, 2]].softmax(-1)[:, 1] if multi else rows[:, 2].softmax(-1)
        assert found[i] == pytest.approx(expected.numpy(), abs=1e-5)
    for tokens in (8, 100):
        other = task.model_copy(update={"batch_tokens": tokens}).chances(model, texts)
        assert np.abs(other - found).max() < 1e-5


def test_outputs_are_found_by_name(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(models["bart"])
    row = [[[math.log(4), 0.0, 0.0], [0.0, 0.0, math.log(9)], [0.0, 0.0, 0.0]]]
    answered(monkeypatch, row)
    assert TASK.outcomes(model, examples("cat")).prediction == ("dog",)
    model.model.config.id2label = {0: "ENTAILMENT", 1: "neutral", 2: "contradiction"}
    assert TASK.outcomes(model, examples("cat")).prediction == ("cat",)
    renamed = TASK.model_copy(update={"label_names": ("neutral", "contradiction", "entailment")})
    assert renamed.outcomes(model, examples("cat")).prediction == ("dog",)


def test_labels_of_the_data_are_the_candidates_where_none_are_named() -> None:
    plain = ZeroShot()
    assert plain.settled(examples("dog", "cat", "dog")).labels == ("cat", "dog")
    assert plain.model_copy(update={"multi_label": True}).settled(examples("dog|cat", "", "bird")).labels == (
        "bird",
        "cat",
        "dog",
    )
    assert TASK.settled(examples("dog", "cat")).labels == TASK.labels


def test_a_sweep_settles_the_candidates(tmp_path: Path) -> None:
    """Every window is asked about the labels of all the data."""
    rows = [{"text": "red", "label": "dog"}, {"text": "blue", "label": "cat"}]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = {"d": DataSpec(source=str(tmp_path / "d.jsonl"))}
    spec = bind_task("z", TaskSection.model_validate({"kind": "zero_shot", "data": "d"}), data)
    assert spec.settings["labels"] == ["cat", "dog"]


def test_a_hypothesis_must_leave_room(models: dict[str, Path]) -> None:
    task = ZeroShot(max_length=12, labels=("cat", "the big red dog runs runs"), template="the {} runs")
    with pytest.raises(BadInput, match="longest hypothesis has 8 tokens"):
        task.outcomes(load(models["bart"]), examples("cat"))


def test_what_cannot_be_done_is_refused(models: dict[str, Path], decoders: dict[str, Path]) -> None:
    bart = describe(models["bart"])
    TASK.check(bart, "b", frozenset({"cat"}))
    with pytest.raises(BadInput, match="A zero_shot task needs a sequence classifier"):
        TASK.check(describe(decoders["bart"]), "b", frozenset({"cat"}))
    with pytest.raises(BadInput, match="one output that means entailment"):
        TASK.check(bart.changed(labels=("good", "bad")), "b", frozenset({"cat"}))
    two = bart.changed(labels=("not_entailment", "entailment"))
    TASK.check(two, "b", frozenset({"cat"}))
    with pytest.raises(BadInput, match="means contradiction"):
        TASK.model_copy(update={"multi_label": True}).check(two, "b", frozenset({"cat"}))
    with pytest.raises(BadInput, match="the label 'fish', which is no candidate"):
        TASK.check(bart, "b", frozenset({"cat", "fish"}))
    with pytest.raises(BadInput, match="1 candidate label,"):
        ZeroShot(max_length=40).check(bart, "b", frozenset({"cat"}))
    with pytest.raises(BadInput, match="makes pairs of its own"):
        TASK.check_examples([Example(0, "a", "b", "cat")])
    with pytest.raises(BadInput, match="name them with labels"):
        ZeroShot().outcomes(load(models["bart"]), examples("cat"))
    for wrong in ({"template": "about"}, {"template": "{} or {}"}, {"labels": ("a", "A")}, {"threshold": 1.0}):
        with pytest.raises(ValueError, match=r"exactly once|stands twice|less than 1"):
            ZeroShot.model_validate(wrong)
