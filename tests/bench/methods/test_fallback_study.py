"""The fallback search on a tiny BART, in process: trials, errors of outputs by hand, from questions to the artefact."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.data import DataSpec
from bench.errors import BadInput
from bench.methods.fallback_study import normalised, output_errors, study
from bench.methods.int8_dynamic import Int8Dynamic
from bench.methods.int8_linear import Int8DynamicLinear
from bench.models import Loaded, load, save
from bench.recipe import Question, Workplace
from bench.record import Examples
from bench.sweep_file import TaskSection
from bench.tasks.spec import TaskSpec, bind_task
from tests import answering
from tests.answering import asked_by
from tests.bench.conftest import PAIR


@pytest.fixture(scope="module")
def work(data: dict[str, DataSpec]) -> Workplace:
    source = data["test"].source
    parts = {
        "tune": DataSpec(source=source, limit=60, **PAIR),
        "held": DataSpec(source=source, offset=60, limit=80, **PAIR),
    }
    pinned = {name: spec.model_copy(update={"pinned": spec.data_id}) for name, spec in parts.items()}
    task = bind_task(
        "pairs", TaskSection.model_validate({"kind": "classification", "data": "tune", "max_length": 32}), pinned
    )
    return Workplace(0, pinned, tasks={"pairs": task})


def fallback(**changes: object) -> Int8Dynamic:
    settings = {"task": "pairs", "data": "tune", "holdout": "held", **changes}
    return Int8Dynamic.model_validate({"fallback": settings})


def answered(step: Int8Dynamic, folder: Path, work: Workplace) -> dict[str, dict[str, Any]]:
    """Every question of the step, answered from the saved model as a worker answers it."""
    return dict(answering.answered(step, load(folder), work).answers)


def built(step: Int8Dynamic, folder: Path, work: Workplace) -> Loaded:
    found = Workplace(0, work.data, tasks=work.tasks, answers=answered(step, folder, work))
    return step.apply(load(folder), found)


def test_error_of_outputs_by_hand(models: dict[str, Path], work: Workplace) -> None:
    """One call of one layer: both outputs to [0, 1], then the mean squared difference."""
    seen: list[torch.Tensor] = []
    loaded = load(models["bart"])
    name = "classification_head.dense"
    layer = loaded.model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    small = work.tasks["pairs"].on(work.data["tune"].model_copy(update={"limit": 5, "pinned": None}))
    handle = layer.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().clone()))
    ((found, error),) = output_errors(loaded, {name: layer}, "token", small)
    handle.remove()
    assert found == name
    ((given),) = seen
    with torch.inference_mode():
        exact, short = layer(given).double(), Int8DynamicLinear.from_linear(layer)(given).double()
    exact, short = ((t - t.min()) / (t.max() - t.min()) for t in (exact, short))
    assert error == pytest.approx(float(((exact - short) ** 2).mean()), rel=1e-9)
    assert error > 0
    assert not layer._forward_hooks


def test_normalised() -> None:
    assert normalised(torch.tensor([[1.0, 3.0], [2.0, 1.0]])).tolist() == [[0.0, 1.0], [0.5, 0.0]]
    assert normalised(torch.full((3,), 7.0)).tolist() == [0.0, 0.0, 0.0]


def test_a_trial_is_the_variant_it_speaks_of(models: dict[str, Path], work: Workplace) -> None:
    """Its score is that of the model built with the same modules in float, saved and loaded again."""
    from bench.execute import outcomes

    kept = ["model.decoder.layers.1.fc1", "model.encoder.layers.0.self_attn.q_proj"]
    scheme = {"activations": "token", "keep_fp32": ["*.fc2"], "embeddings": True, "lm_head": "float"}
    question = Question("int8 trial", {**scheme, "metric": None, "kept": kept}, ("tune",), ("pairs",))
    answer = study(load(models["bart"]), question, work)
    made = Int8Dynamic.model_validate({**scheme, "keep_fp32": ["*.fc2", *kept]}).apply(load(models["bart"]), work)
    direct = outcomes(made, work.tasks["pairs"])
    assert answer["metric"] == "accuracy"
    assert answer["examples"] == direct.score.tolist()
    assert answer["score"] == direct.score.mean()
    assert len(answer["modules"]) == 2 * 5 + 4 * 9 + 2
    assert set(kept) <= set(answer["modules"])


def test_from_questions_to_the_artefact(models: dict[str, Path], work: Workplace, tmp_path: Path) -> None:
    """A target that only the last trial can meet: its modules are in float after loading, all others int8."""
    step = fallback(relative=False, tolerance=1e-9, order="mse", calibration_samples=8)
    folder = models["bart"]
    answers = answered(step, folder, work)
    # Decide the scores ourselves, so that the search must go somewhere: the questions stay those of the model.
    modules: list[str] = next(a["modules"] for a in answers.values() if "modules" in a)
    told: dict[str, dict[str, Any]] = {}
    while asked := asked_by(step, told):
        for question in asked:
            answer = answers.get(question.key) or step.study(load(folder), question, work)
            if "score" in answer:
                size = len(question.settings.get("kept", modules))
                answer = {**answer, "score": 0.5 - (0.1 if size < 3 else 0)}
            told[question.key] = answer
    made = step.apply(load(folder), Workplace(0, work.data, tasks=work.tasks, answers=told))
    evidence = made.evidence["fallback"]
    kept = evidence["kept"]
    assert len(kept) == 3
    assert kept == [name for name, _ in evidence["ranking"]][:3]
    errors = [error for _, error in evidence["ranking"]]
    assert errors == sorted(errors, reverse=True)
    assert json.loads(json.dumps(evidence)) == evidence
    save(made, tmp_path / "x")
    again = load(tmp_path / "x").model
    assert {n for n, m in again.named_modules() if type(m) is nn.Linear} == set(kept)
    assert {n for n, m in again.named_modules() if isinstance(m, Int8DynamicLinear)} == set(modules) - set(kept)


def test_whole_search_without_help(models: dict[str, Path], work: Workplace) -> None:
    made = built(fallback(tolerance=0.2, search="greedy", max_trials=3), models["bart"], work)
    evidence = made.evidence["fallback"]
    assert evidence["goal"] in ("met", "met, not shown on the holdout", "missed")
    assert evidence["n"] == 60
    assert evidence["holdout_test"]["n"] == 80
    assert evidence["holdout_test"]["method"] == "Tango score"
    assert evidence["trials"][0]["kept"] == []


def test_rows_in_both_are_refused(models: dict[str, Path], work: Workplace) -> None:
    shifted = work.data["held"].model_copy(update={"offset": 50, "pinned": None})
    both = Workplace(0, {**work.data, "held": shifted}, tasks=work.tasks)
    question = Question("float score", {"metric": None}, ("held", "tune"), ("pairs",))
    with pytest.raises(BadInput, match="'held' shares 10 rows with 'tune'"):
        study(load(models["bart"]), question, both)


def test_metrics_and_data_that_do_not_fit(models: dict[str, Path], work: Workplace) -> None:
    with pytest.raises(BadInput, match="no metric of the task 'pairs' called 'rouge1'"):
        study(load(models["bart"]), Question("float score", {"metric": "rouge1"}, ("tune",), ("pairs",)), work)
    moved = Workplace(0, {"tune": work.data["tune"].model_copy(update={"limit": 61})}, tasks=work.tasks)
    error = Question(
        "int8 error",
        {"activations": "token", "keep_fp32": [], "lm_head": "float", "samples": 4},
        ("tune",),
        ("pairs",),
    )
    with pytest.raises(BadInput, match="is not what it was"):
        study(load(models["bart"]), error, moved)


def test_scores_that_are_not_finite(models: dict[str, Path], work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant without a score is an answer; a float model without one is refused."""
    from bench.methods import fallback_study

    def broken(loaded: Loaded, task: TaskSpec) -> Examples:
        score = np.array([1.0, math.nan])
        return Examples("", "", np.arange(2), ("a", "b"), ("a", "b"), score, score)

    monkeypatch.setattr(fallback_study, "outcomes", broken)
    scheme = {"activations": "token", "keep_fp32": [], "embeddings": False, "lm_head": "float"}
    trial = Question("int8 trial", {**scheme, "metric": None, "kept": []}, ("tune",), ("pairs",))
    answer = study(load(models["bart"]), trial, work)
    assert (answer["score"], answer["n"], answer["examples"]) == (None, 2, [])
    with pytest.raises(BadInput, match="accuracy on 'tune' is not finite, so there is no target"):
        study(load(models["bart"]), Question("float score", {"metric": None}, ("tune",), ("pairs",)), work)
