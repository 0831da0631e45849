"""Metrics that are no means over examples, over seeds and examples: against the bootstrap, and how they cover."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bench.metrics import metric
from bench.statistics.seeds import compare_recipes, over_seeds
from bench.store import recipes
from bench.store.quality import Outcomes, pseudo_scores, score
from bench.store.recipes import Recipe, _scored

FloatArray = NDArray[np.float64]
SEEDS, EXAMPLES = 5, 300
SPREAD = 0.03  # of seeds: of accuracies, or of logs of perplexities
BASE, OTHER = 0.82, 0.78


def labelled(right: NDArray[np.bool_], rng: np.random.Generator) -> Outcomes:
    """Three labels in turn, and predictions right where they should be and else one of the other two."""
    label = np.arange(right.size) % 3
    prediction = np.where(right, label, (label + rng.integers(1, 3, right.size)) % 3)
    return Outcomes(label.astype(str), prediction.astype(str), np.full(right.size, ""), {"score": right.astype(float)})


def written(logs: FloatArray, tokens: FloatArray) -> Outcomes:
    """Texts of so many tokens, with a mean loss each."""
    none = np.full(tokens.size, "")
    return Outcomes(none, none, none, {"score": -logs, "nll": logs * tokens, "tokens": tokens})


def classified(means: FloatArray, rng: np.random.Generator) -> list[Outcomes]:
    """Of each model, mostly wrong on the same examples; its macro F1 is its accuracy, for labels are alike."""
    hardness = np.sqrt(0.7) * rng.standard_normal(EXAMPLES)
    own = np.sqrt(0.3) * rng.standard_normal((means.size, EXAMPLES))
    return [labelled(hardness + o < stats.norm.ppf(mean), rng) for o, mean in zip(own, means, strict=True)]


def modelled(means: FloatArray, rng: np.random.Generator) -> list[Outcomes]:
    """Of each model, with losses that belong to the text mostly."""
    tokens = rng.integers(20, 400, EXAMPLES).astype(float)
    text = 0.5 * rng.standard_normal(EXAMPLES)
    return [written(mean + text + 0.2 * rng.standard_normal(EXAMPLES), tokens) for mean in means]


MODELS: dict[str, Callable[[FloatArray, np.random.Generator], list[Outcomes]]] = {
    "macro_f1": classified,
    "perplexity": modelled,
}


@pytest.mark.parametrize("name", MODELS)
def test_their_mean_is_the_metric_and_their_spread_its_error(name: str) -> None:
    rng = np.random.default_rng(0)
    (outcomes,) = MODELS[name](np.array([0.8]), rng)
    (number,) = score(outcomes, (name,), "task")
    pseudo = pseudo_scores(outcomes, metric(name))
    logged = name == "perplexity"
    assert pseudo.mean() == pytest.approx(np.log(number.interval.estimate) if logged else number.interval.estimate)
    assert number.draws is not None
    drawn = np.log(number.draws) if logged else number.draws
    assert pseudo.std() / np.sqrt(EXAMPLES) == pytest.approx(drawn.std(), rel=0.08)


def test_a_ratio_of_sums_comes_on_logs_and_a_mean_as_it_is() -> None:
    rng = np.random.default_rng(1)
    named, hits = rng.integers(1, 9, 400).astype(float), rng.integers(0, 3, 400).astype(float)
    none = np.full(400, "")
    columns = {"score": hits, "hits": hits, "tokens": named}
    outcomes = Outcomes(none, none, none, columns)
    wanted = metric("accuracy")
    assert (pseudo_scores(outcomes, wanted) == hits).all()
    ratio = wanted._replace(name="made up", source=("ratio", "hits", "tokens"))
    pseudo = pseudo_scores(outcomes, ratio)
    assert pseudo.mean() == pytest.approx(np.log(hits.sum() / named.sum()))
    nothing = Outcomes(none, none, none, {**columns, "hits": np.zeros(400)})
    assert not np.isfinite(pseudo_scores(nothing, ratio)).any()


def test_a_label_that_is_never_right_and_one_that_never_occurs() -> None:
    """The derivative by hand: of six examples, labels a, b and c, of which c is only ever predicted."""
    label, prediction = np.array(list("aaabbb")), np.array(list("aacbba"))
    outcomes = Outcomes(label, prediction, np.full(6, ""), {"score": (label == prediction).astype(float)})
    pseudo = pseudo_scores(outcomes, metric("macro_f1"))

    def f1(weights: FloatArray) -> float:
        found = []
        for name in "abc":
            hits = weights[(label == name) & (prediction == name)].sum()
            found.append(2 * hits / (weights[label == name].sum() + weights[prediction == name].sum()))
        return float(np.mean(found))

    even = np.full(6, 1 / 6)
    assert pseudo.mean() == pytest.approx(f1(even))
    for i in range(6):
        step = 1e-6 * (np.eye(6)[i] - even)
        assert pseudo[i] - pseudo.mean() == pytest.approx((f1(even + step) - f1(even)) / 1e-6, abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_intervals_over_seeds_and_examples_cover(name: str) -> None:
    """Beside the base, and of two recipes with seeds of their own: the truth is of all seeds and all examples."""
    rng, wanted = np.random.default_rng(2), metric(name)
    held = np.zeros(2)
    runs = 400
    for _ in range(runs):
        seeds = np.repeat([BASE, OTHER], SEEDS) + SPREAD * rng.standard_normal(2 * SEEDS)
        table = np.stack([pseudo_scores(o, wanted) for o in MODELS[name](np.append(0.8, seeds), rng)])
        base, first, second = table[0], table[1 : 1 + SEEDS], table[1 + SEEDS :]
        interval = over_seeds(first - base)
        held[0] += interval.low <= BASE - 0.8 <= interval.high
        apart = compare_recipes(dict(enumerate(first)), dict(enumerate(second, start=SEEDS)))
        held[1] += apart.low <= BASE - OTHER <= apart.high
    assert (held / runs >= 0.92).all()
    assert (held / runs < 1.0).all()  # an interval that always covers would tell nothing apart


@pytest.mark.parametrize(("name", "key"), [("perplexity", "perplexity_ratio"), ("macro_f1", "macro_f1_difference")])
def test_recipes_get_rows_of_them(name: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    means = np.append(0.8, np.repeat([BASE, OTHER], 3) + 0.001 * rng.standard_normal(6))
    given = dict(zip(("base", "a0", "a1", "a2", "b0", "b1", "b2"), MODELS[name](means, rng), strict=True))
    monkeypatch.setattr(recipes, "evaluations", lambda *_: {})
    monkeypatch.setattr(recipes, "outcomes_of", lambda _c, _k, artefact_id, _t, _cache: given[artefact_id])
    found = [
        Recipe("bart", group, group, tuple((seed, f"{group}{seed}") for seed in range(3)), 3) for group in ("a", "b")
    ]
    sweep: dict[str, Any] = {"sweep_id": "s", "tasks": [{"name": "t", "metrics": [name]}]}
    rows = list(_scored(duckdb.connect(), sweep, "base", found, {}))
    assert [(row.metric, row.recipe_group, row.other, row.seeds) for row in rows] == [
        (key, "a", "", 3),
        (key, "b", "", 3),
        (key, "a", "b", 3),
    ]
    first = rows[0]
    assert first.estimate is not None
    assert first.low is not None
    assert first.high is not None
    estimates = [float(score(each, (name,), "t")[0].interval.estimate) for each in given.values()]
    if key.endswith("_ratio"):
        assert first.estimate == pytest.approx(np.exp(np.mean(np.log(estimates[1:4])) - np.log(estimates[0])))
    else:
        assert first.estimate == pytest.approx(np.mean(estimates[1:4]) - estimates[0])
    assert first.low < first.estimate < first.high
    assert first.variance_examples is not None
    assert first.variance_examples > 0
    given["a1"] = written(np.full(EXAMPLES, np.nan), np.ones(EXAMPLES)) if key.endswith("_ratio") else given["a1"]
    left = list(_scored(duckdb.connect(), sweep, "base", found, {}))
    assert len(left) == (1 if key.endswith("_ratio") else 3)  # a seed without a value leaves its recipe without one
