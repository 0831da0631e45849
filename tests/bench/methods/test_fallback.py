"""The search for modules to keep in float, driven as a plan drives it: questions in, made-up answers out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.errors import BadInput
from bench.methods.fallback import ERROR, FLOAT, TRIAL, Fallback, search
from bench.methods.fallback_evidence import evidence
from bench.methods.int8_dynamic import Int8Dynamic
from bench.recipe import Question
from bench.sweep import _step
from tests.answering import asked_by

ASKED = {"task": "pairs", "data": "tune", "holdout": "held", "metric": "accuracy"}
Score = Callable[[frozenset[str]], float | None]


def names(count: int) -> list[str]:
    return [f"layer.{i:03d}" for i in range(count)]


class Worker:
    """Answers questions from a table of scores, and remembers what it was asked."""

    def __init__(
        self,
        score: Score,
        modules: Sequence[str],
        errors: Mapping[str, float | None] | None = None,
        base: float = 0.8,
        metric: str = "accuracy",
        spread: float = 0.0,
    ) -> None:
        self.score, self.modules, self.base, self.metric, self.spread = score, list(modules), base, metric, spread
        self.errors = errors or {name: -float(i) for i, name in enumerate(modules)}  # the order of the list
        self.answers: dict[str, dict[str, Any]] = {}
        self.rounds: list[list[Question]] = []

    def answer(self, question: Question) -> dict[str, Any]:
        if question.kind == ERROR:
            return {"errors": [[name, self.errors[name]] for name in self.modules]}
        kept = frozenset(question.settings.get("kept", ()))
        score = self.base if question.kind == FLOAT else self.score(kept)
        found: dict[str, Any] = {"metric": self.metric, "score": score, "n": 100, "examples": []}
        if score is not None:
            noise = np.random.default_rng(len(kept)).choice([-1.0, 1.0], 50) if self.spread else np.zeros(50)
            found["examples"] = (score + self.spread * np.concatenate([noise, -noise])).tolist()
        return {**found, "modules": self.modules} if question.kind == TRIAL else found

    def run(self, step: Int8Dynamic) -> dict[str, Any]:
        """Ask until nothing is left, and give the evidence."""
        while asked := asked_by(step, self.answers):
            assert not {q.key for q in asked} & self.answers.keys()
            self.rounds.append(list(asked))
            self.answers |= {q.key: self.answer(q) for q in asked}
            assert len(self.rounds) < 500
        assert step.fallback is not None
        return evidence(step.fallback, search(step.fallback, step._scheme(), self.answers))

    def trials(self, data: str = "tune") -> list[list[str]]:
        asked = [q for each in self.rounds for q in each if q.kind == TRIAL and q.data == (data,)]
        return [list(q.settings["kept"]) for q in asked]


def step(**changes: object) -> Int8Dynamic:
    return Int8Dynamic.model_validate({"fallback": {**ASKED, "relative": False, "tolerance": 0.01, **changes}})


def rising(needed: int, count: int) -> Score:
    """Loses 0.05, less with each module in float, and is within 0.01 from `needed` on."""
    return lambda kept: 0.8 - (0.05 - 0.04 * min(len(kept) / needed, 1.0)) + 1e-9 * len(kept) / count


def test_met_by_int8_throughout() -> None:
    """Two questions, then the holdout: nothing is ordered that need not be."""
    worker = Worker(lambda kept: 0.795, names(5))
    found = worker.run(step())
    assert [[q.kind for q in each] for each in worker.rounds] == [[FLOAT, TRIAL], [FLOAT, TRIAL]]
    assert worker.rounds[1][0].data == ("held", "tune")
    assert worker.rounds[1][1].data == ("held",)
    assert (found["kept"], found["met"], found["goal"]) == ([], True, "met")
    assert found["target"] == pytest.approx(0.79)


@pytest.mark.parametrize("needed", [1, 2, 37, 96, 97, 150, 191, 192])
def test_bisection_over_the_193_layers_of_bart_large(needed: int) -> None:
    worker = Worker(rising(needed, 193), names(193))
    found = worker.run(step())
    assert found["kept"] == names(193)[:needed]
    assert len(found["trials"]) == len(worker.trials()) <= 1 + 8
    assert found["met"]
    assert found["monotone"]
    assert worker.trials("held") == [names(193)[:needed]]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.lists(st.floats(0, 0.05), min_size=60, max_size=60), st.booleans())
def test_bisection_on_any_table(count: int, losses: list[float], monotone: bool) -> None:
    table = sorted(losses[:count], reverse=True) if monotone else losses[:count]
    worker = Worker(lambda kept: 0.8 - table[len(kept)], names(count))
    found = worker.run(step())
    reaching = [size for size in range(count) if 0.8 - table[size] >= found["target"]]
    assert len(found["trials"]) <= math.ceil(math.log2(count)) + 3
    tried = {len(t["kept"]): t["score"] for t in found["trials"]}
    assert all(score == 0.8 - table[size] for size, score in tried.items())
    if monotone:
        assert found["met"] == bool(reaching)
        assert not reaching or len(found["kept"]) == min(reaching)
    # Whatever the table: the shortest that was seen to reach the target, else the one that lost least.
    seen = [size for size in tried if size in reaching]
    assert found["met"] == bool(seen)
    assert len(found["kept"]) == (min(seen) if seen else min(tried, key=lambda size: (table[size], size)))


def test_order_by_error_largest_first() -> None:
    errors = {"a": 0.1, "b": 0.3, "c": None, "d": 0.2}
    worker = Worker(lambda kept: 0.8 if len(kept) >= 3 else 0.7, list("abcd"), errors)
    found = worker.run(step())
    assert found["ranking"] == [["c", None], ["b", 0.3], ["d", 0.2], ["a", 0.1]]
    assert found["kept"] == ["c", "b", "d"]
    assert [[q.kind for q in each] for each in worker.rounds[:3]] == [[FLOAT, TRIAL], [ERROR], [TRIAL]]
    assert worker.rounds[1][0].settings["samples"] == 128


def test_order_by_sensitivity_asks_all_at_once() -> None:
    single = {"a": 0.70, "b": 0.75, "c": 0.70, "d": 0.72}
    both = frozenset("bd")

    def score(kept: frozenset[str]) -> float:
        return 0.69 if not kept else single[min(kept)] if len(kept) == 1 else 0.8 if kept >= both else 0.76

    worker = Worker(score, list("abcd"))
    found = worker.run(step(order="sensitivity"))
    assert [q.settings["kept"] for q in worker.rounds[1]] == [["a"], ["b"], ["c"], ["d"]]
    assert [name for name, _ in found["ranking"]] == ["b", "d", "c", "a"]  # later modules first where they tie
    assert found["kept"] == ["b", "d"]
    asked = worker.trials()
    assert len({tuple(kept) for kept in asked}) == len(asked)  # the prefix of one had been asked already


def test_random_order_follows_its_seed() -> None:
    def order(seed: int) -> list[str]:
        found = Worker(lambda kept: 0.7, names(12)).run(step(order="random", seed=seed))
        return [name for name, _ in found["ranking"]]

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == names(12)


def test_greedy_keeps_only_what_gains_more_than_its_noise() -> None:
    """a gains nothing, b 0.05, c 0.001 in the mean with a standard error of 0.01 or so, d 0.05 again."""
    worth = {"a": 0.0, "b": 0.05, "c": 0.001, "d": 0.05, "e": 0.05}
    worker = Worker(lambda kept: 0.695 + sum(worth[k] for k in kept), list(worth), spread=0.1)
    found = worker.run(step(search="greedy"))
    assert worker.trials() == [[], ["a"], ["b"], ["b", "c"], ["b", "d"]]
    assert [t["taken"] for t in found["trials"]] == [True, False, True, False, True]
    assert found["kept"] == ["b", "d"]
    assert (found["met"], found["stopped"], found["monotone"]) == (True, "met", None)


def test_greedy_does_not_take_what_reaches_the_target_by_noise() -> None:
    worker = Worker(lambda kept: 0.7895 + 0.001 * len(kept), list("abc"), spread=0.1)
    found = worker.run(step(search="greedy"))
    assert [t["reached"] for t in found["trials"]] == [False, True, True, True]
    assert not any(t["taken"] for t in found["trials"][1:])
    assert (found["kept"], found["goal"]) == ([], "missed")


@pytest.mark.parametrize("kind", ["cumulative", "greedy"])
def test_a_goal_that_nothing_reaches(kind: str) -> None:
    """The best found is built and tested all the same, and everything says that the goal was missed."""
    worker = Worker(lambda kept: 0.6 + 0.001 * len(kept), names(6))
    found = worker.run(step(search=kind))
    assert not found["met"]
    assert found["goal"] == "missed"
    assert found["kept"] == names(6)[:5]  # one stays int8
    assert found["verdict"].startswith("goal missed: accuracy 0.605, target 0.79, with 5 of 6 modules in float")
    assert found["holdout_test"]["accepted"] is False
    assert found["holdout_test"]["score"] == pytest.approx(0.605)
    one = Worker(lambda kept: 0.6, names(1)).run(step(search=kind))
    assert (one["kept"], one["met"]) == ([], False)


def test_trials_run_out() -> None:
    worker = Worker(rising(150, 193), names(193))
    found = worker.run(step(max_trials=3))
    assert [len(kept) for kept in worker.trials()] == [0, 96, 144]
    assert (found["stopped"], found["met"], len(found["kept"])) == ("max_trials", False, 144)
    greedy = Worker(lambda kept: 0.6 + 0.001 * len(kept), names(9))
    found = greedy.run(step(search="greedy", max_trials=4))
    assert (found["stopped"], found["kept"]) == ("max_trials", names(9)[:3])
    assert Worker(lambda kept: 0.6, names(9)).run(step(max_trials=1))["kept"] == []


def test_a_score_that_is_not_finite_is_a_failed_trial() -> None:
    worker = Worker(lambda kept: None if len(kept) < 2 else 0.8, names(4))
    assert worker.run(step())["kept"] == names(4)[:2]
    greedy = Worker(lambda kept: None if "layer.002" not in kept else 0.8, names(4))
    assert greedy.run(step(search="greedy"))["kept"] == ["layer.002"]
    nothing = Worker(lambda kept: None, names(4)).run(step())
    assert (nothing["goal"], nothing["score"]) == ("missed", None)
    assert nothing["holdout_test"]["method"] == "the variant has no score"


def test_lower_is_better_for_perplexity() -> None:
    worker = Worker(lambda kept: 10.5 - 0.1 * len(kept), names(8), base=10.0, metric="rouge1")
    assert worker.run(step(metric="rouge1", relative=True, tolerance=0.02))["kept"] == []
    step_ = step(metric="perplexity", relative=True, tolerance=0.02)

    class Texts(Worker):
        def answer(self, question: Question) -> dict[str, Any]:
            found = super().answer(question)
            if question.kind != ERROR:
                found |= {"examples": [math.log(found["score"]) * 7.0] * 20, "weights": [7.0] * 20}
            return found

    texts = Texts(lambda kept: 10.5 - 0.1 * len(kept), names(8), base=10.0, metric="perplexity")
    found = texts.run(step_)
    assert found["target"] == pytest.approx(10.2)
    assert found["kept"] == names(8)[:3]
    assert found["holdout_test"]["difference"] == pytest.approx(0.2)
    assert found["holdout_test"]["margin"] == pytest.approx(0.2)


def test_relative_to_nothing() -> None:
    """Questions end, and applying the step says why."""
    worker = Worker(lambda kept: 0.0, names(3), base=0.0)
    with pytest.raises(BadInput, match="accuracy on 'tune' is 0, and no tolerance is relative to that"):
        worker.run(step(relative=True))
    assert len(worker.rounds) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tolerance": -0.1}, "'fallback.tolerance' in the step int8_dynamic is -0.1, but: .* greater than 0"),
        ({"tolerance": 0}, "greater than 0"),
        ({"tolerance": float("nan")}, "finite|greater"),
        ({"tolerance": 1.5, "relative": True}, "tolerance is 1.5 of the float score"),
        ({"holdout": "tune"}, "fallback.data and fallback.holdout are both 'tune'"),
        ({"metric": "acuracy"}, "no metric called 'acuracy'"),
        ({"metric": "macro_f1"}, "no mean or ratio over examples"),
        ({"metric": "size"}, "no mean or ratio over examples"),
        ({"order": "hawq"}, "'mse', 'sensitivity' or 'random'"),
        ({"max_trials": 0}, "max_trials"),
        ({"tolerence": 0.1}, "Unknown key 'fallback.tolerence'.*Did you mean 'tolerance'"),
    ],
)
def test_settings_are_refused_in_one_sentence(changes: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        _step(Int8Dynamic, {"fallback": {**ASKED, "relative": False, **changes}})


def test_required_names() -> None:
    for missing in ("task", "data", "holdout"):
        with pytest.raises(ValidationError, match=missing):
            Fallback.model_validate({k: v for k, v in ASKED.items() if k != missing})


def test_labels_and_names() -> None:
    described = Int8Dynamic.model_validate({"fallback": {**ASKED, "metric": "rougeLsum"}})
    nothing: Any = None
    assert described.label(nothing) == "int8 (fallback mse, 1% of rougeLsum)"
    assert step(search="greedy", metric=None).label(nothing) == "int8 (fallback mse greedy, 0.01 pairs)"
    full = Int8Dynamic(keep_fp32=("*.fc1",), embeddings=True, lm_head="int8", activations="tensor")
    assert full.label(nothing) == "int8 per tensor (1 pattern kept in float; uint8 embeddings; int8 head)"
    assert described.data_names() == ("tune", "held")
    assert described.task_names() == ("pairs",)
    assert asked_by(Int8Dynamic()) == ()


def test_identity_of_recipes_without_the_later_settings_stays() -> None:
    plain = Int8Dynamic().request({}, 0)
    assert plain == {
        "step": "int8_dynamic",
        "version": 1,
        "settings": {"activations": "token", "keep_fp32": []},
        "seed": None,
    }
    named = step().request({"tune": "T" * 64, "held": "H" * 64, "task pairs": "P" * 64}, 0)["settings"]
    assert (named["fallback"]["data"], named["fallback"]["holdout"]) == ("T" * 64, "H" * 64)
    assert named["fallback"]["task"] == "P" * 64
    assert "lm_head" not in named
