"""Our totals against `evaluate`: the same predictions give the same accuracy and macro F1 to nine digits."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BadInput
from bench.metrics import METRICS, MODULES, evaluate_module, metric
from bench.store.quality import Outcomes, score

pytest.importorskip("evaluate")
NAMES = ("contradiction", "entailment", "neutral", "unused")


def outcomes(labels: list[int], predictions: list[int]) -> Outcomes:
    label, prediction = (np.array([NAMES[i] for i in found]) for found in (labels, predictions))
    return Outcomes(label, prediction, np.full(len(labels), ""), {"score": (label == prediction).astype(np.float64)})


def drawn(seed: int) -> tuple[list[int], list[int]]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=300, p=[0.6, 0.3, 0.1])
    predictions = np.where(rng.random(300) < 0.7, labels, rng.integers(0, 3, 300))
    return labels.tolist(), predictions.tolist()


CASES: dict[str, tuple[list[int], list[int]]] = {
    "drawn": drawn(0),
    "drawn again": drawn(1),
    "all right": ([0, 1, 2, 1], [0, 1, 2, 1]),
    "all wrong": ([0, 1, 2, 1], [1, 2, 0, 0]),
    "one label only": ([1, 1, 1], [1, 1, 1]),
    "a label never predicted": ([0, 1, 2, 2, 1, 0], [0, 1, 1, 1, 1, 0]),
    "a prediction that is no label": ([0, 1, 0, 1, 0], [0, 2, 0, 1, 3]),
    "one example": ([2], [0]),
}


@pytest.mark.parametrize("case", CASES)
def test_totals_agree(case: str) -> None:
    labels, predictions = CASES[case]
    found = score(outcomes(labels, predictions), ("accuracy", "macro_f1"), "task")
    ours = {n.metric: n.interval.estimate for n in found}
    assert ours.keys() == MODULES.keys()
    for name, value in ours.items():
        module = evaluate_module(name)
        theirs = module.compute(predictions=[NAMES[p] for p in predictions], references=[NAMES[x] for x in labels])
        assert theirs is not None
        assert abs(theirs[name] - value) < 1e-9


def test_modules_are_metrics_of_evaluate() -> None:
    import evaluate  # type: ignore[import-untyped]

    for name in MODULES:
        module = evaluate_module(name)
        assert isinstance(module, evaluate.Metric)
        module.add_batch(predictions=["a", "b"], references=["a", "a"])
        module.add_batch(predictions=["a"], references=["a"])
        found = module.compute()
        assert found is not None
        assert found[name] == pytest.approx({"accuracy": 2 / 3, "macro_f1": 0.4}[name])
    with pytest.raises(BadInput, match=r"'acuracy'. Did you mean 'accuracy'"):
        evaluate_module("acuracy")


def test_without_the_extra_the_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["evaluate"] = None
from bench.errors import BadInput
from bench.metrics import evaluate_module
try:
    evaluate_module("accuracy")
except BadInput as error:
    print(error)
"""
    root = str(Path(__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "pip install 'paredown[metrics]'" in done.stdout


def test_every_metric_says_what_it_is() -> None:
    for name, found in METRICS.items():
        assert metric(name) is found
        assert found.name == name
        assert found.unit in {"1", "B", "ms", "s", "1/s", "J", "count", "points", "plain"}
        assert found.meaning.endswith(".")
        assert found.title == found.title.strip() != ""
    with pytest.raises(BadInput, match=r"'acc'. |no metric called 'acc'"):
        metric("acc")
