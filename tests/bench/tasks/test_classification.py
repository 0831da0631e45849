"""Classification outcomes equal a plain loop over examples, whatever the batches, slices and label numbers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.artefacts import Artefacts
from bench.data import DataSpec, Example
from bench.execute import evaluate
from bench.job import EvaluateJob
from bench.methods.int8_dynamic import Int8Dynamic
from bench.methods.int8_linear import Int8DynamicLinear
from bench.models import Loaded, load
from bench.recipe import Workplace
from bench.record import Examples
from bench.sweep_file import TaskSection
from bench.tasks.classification import Classification
from bench.tasks.spec import bind_task
from bench.tasks.windows import windows_of
from tests import tiny

TASK = Classification(max_length=32, batch_tokens=256)


def head_of(loaded: Loaded) -> nn.Linear:
    names = dict(loaded.model.named_modules())
    head = names.get("classifier") or names["classification_head.out_proj"]
    assert isinstance(head, nn.Linear)
    return head


def names_of(loaded: Loaded) -> dict[int, str]:
    return {int(number): str(name) for number, name in (loaded.model.config.id2label or {}).items()}


def sharpened(loaded: Loaded) -> Loaded:
    """Random weights answer everything alike; a larger, centred head makes predictions that differ clearly."""
    head = head_of(loaded)
    rows = tiny.rows(40, seed=5)
    texts = [[row[side] for row in rows] for side in ("premise", "hypothesis")]
    with torch.no_grad():
        head.weight.mul_(40)
        logits = loaded.model(**loaded.tokenizer(*texts, padding=True, return_tensors="pt")).logits
        head.bias.sub_(logits.mean(dim=0))
    return loaded


def one_by_one(loaded: Loaded, examples: list[Example]) -> tuple[list[str], list[float]]:
    """The reference: one example at a time, nothing padded, no batches."""
    names, sure = [], []
    with torch.inference_mode():
        for example in examples:
            ids = loaded.tokenizer(example.text, example.pair, truncation=True, max_length=32, return_tensors="pt")
            probabilities = loaded.model(**ids).logits[0].float().softmax(-1)
            names.append(names_of(loaded)[int(probabilities.argmax())].lower())
            sure.append(float(probabilities.max()))
    return names, sure


@pytest.mark.parametrize("kind", ["bart", "bert", "distilbert"])
def test_equals_a_plain_loop(kind: str, models: dict[str, Path], examples: list[Example]) -> None:
    loaded = sharpened(load(models[kind]))
    window = examples[:200]
    found = TASK.outcomes(loaded, window)
    names, sure = one_by_one(loaded, window)
    assert len(set(names)) > 1
    assert list(found.prediction) == names
    assert np.abs(found.confidence - sure).max() < 1e-4
    assert found.index.tolist() == [e.index for e in window]
    assert list(found.label) == [e.label for e in window]
    assert found.score.tolist() == [float(n == e.label) for n, e in zip(names, window, strict=True)]


def test_batches_do_not_change_a_float_model(models: dict[str, Path], examples: list[Example]) -> None:
    loaded = sharpened(load(models["bart"]))
    budgets = [
        TASK.model_copy(update={"batch_tokens": tokens}).outcomes(loaded, examples[:100]) for tokens in (8, 4096)
    ]
    assert budgets[0].prediction == budgets[1].prediction
    assert np.abs(budgets[0].confidence - budgets[1].confidence).max() < 1e-4


def test_labels_are_mapped_by_name(models: dict[str, Path], examples: list[Example], tmp_path: Path) -> None:
    """The same classifier with its outputs in another order is as good as before."""
    plain = sharpened(load(models["bert"]))
    before = TASK.outcomes(plain, examples[:200])
    order = [2, 0, 1]
    permuted = sharpened(load(models["bert"]))
    with torch.no_grad():
        head_of(permuted).weight.copy_(head_of(plain).weight[order])
        head_of(permuted).bias.copy_(head_of(plain).bias[order])
    old = names_of(plain)
    permuted.model.config.id2label = {new: old[number].upper() for new, number in enumerate(order)}
    after = TASK.outcomes(permuted, examples[:200])
    assert after.prediction == before.prediction
    assert after.score.tolist() == before.score.tolist()
    assert 0 < before.score.mean() < 1


def test_single_texts(models: dict[str, Path], examples: list[Example]) -> None:
    loaded = sharpened(load(models["bart"]))
    single = [Example(e.index, e.text, None, e.label) for e in examples[:50]]
    found = TASK.outcomes(loaded, single)
    assert list(found.prediction) == one_by_one(loaded, single)[0]
    with_pair = TASK.outcomes(loaded, examples[:50])
    assert found.confidence.tolist() != with_pair.confidence.tolist()


def test_long_inputs_are_cut(models: dict[str, Path]) -> None:
    loaded = load(models["bart"])
    long = [Example(0, "red " * 200, "blue " * 200, "neutral"), Example(1, "red", "blue", "neutral")]
    assert TASK.outcomes(loaded, long).index.tolist() == [0, 1]


def test_logits_that_are_no_numbers_are_an_error(models: dict[str, Path], examples: list[Example]) -> None:
    loaded = load(models["bert"])
    with torch.no_grad():
        head_of(loaded).bias[1] = float("nan")
    with pytest.raises(ArithmeticError, match="not finite"):
        TASK.outcomes(loaded, examples[:20])


@pytest.fixture(scope="module", params=["float", "token", "tensor"])
def store(
    request: pytest.FixtureRequest, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Artefacts:
    """An artefact of each kind, named "x"."""
    from bench.models import save

    root = tmp_path_factory.mktemp(request.param)
    loaded = sharpened(load(models["bert"]))
    if request.param != "float":
        loaded = Int8Dynamic(activations=request.param).apply(loaded, Workplace(0, {}))
    save(loaded, root / "x")
    return Artefacts(root)


def evaluated(store: Artefacts, data: dict[str, DataSpec], first: int, last: int) -> Examples:
    task = bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": 32, "batch_tokens": 512}), data)
    assert task.windows == 2
    job = EvaluateJob(artefact_id="x", name="x", task=task, first=first, last=last, versions={})
    done = evaluate(job, store, 1)
    assert done.examples is not None
    assert done.examples.artefact_id == "x"
    assert done.examples.task == task.fingerprint
    return done.examples


def test_slices_say_what_the_full_run_says(
    store: Artefacts, data: dict[str, DataSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly, also for int8 with one scale a tensor: a slice is whole windows, so every example keeps its mates."""
    monkeypatch.setattr(Int8DynamicLinear, "backend", "reference")
    full = evaluated(store, data, 0, 2)
    parts = [evaluated(store, data, 0, 1), evaluated(store, data, 1, 2)]
    assert [len(p.index) for p in parts] == [512, 188]
    assert full.index.tolist() == [i for p in parts for i in p.index.tolist()]
    assert full.prediction == parts[0].prediction + parts[1].prediction
    assert full.confidence.tolist() == [c for p in parts for c in p.confidence.tolist()]
    again = evaluated(store, data, 0, 2)
    assert full.confidence.tolist() == again.confidence.tolist()


def test_int8_by_token_does_not_depend_on_batch_mates(models: dict[str, Path], examples: list[Example]) -> None:
    """One scale a token: batch-mates and padding change float rounding only. One scale a tensor: they change logits."""
    changes = {}
    for activations in ("token", "tensor"):
        loaded = Int8Dynamic(activations=activations).apply(sharpened(load(models["bert"])), Workplace(0, {}))
        for module in loaded.model.modules():
            if isinstance(module, Int8DynamicLinear):
                module.use_backend("reference")
        together = TASK.outcomes(loaded, examples[:60])
        alone = np.concatenate([TASK.outcomes(loaded, [e]).confidence for e in examples[:60]])
        changes[activations] = float(np.median(np.abs(together.confidence - alone)))
    assert changes["token"] < 1e-6
    assert changes["tensor"] > 20 * changes["token"]


def test_windows_hold_what_the_file_holds(examples: list[Example]) -> None:
    assert sorted(e.index for w in windows_of(examples) for e in w) == [e.index for e in examples]


def test_id2label_as_saved_is_used(models: dict[str, Path], examples: list[Example], tmp_path: Path) -> None:
    """Renaming two labels in config.json renames the predictions, for it is the config that says what they mean."""
    folder = Path(shutil.copytree(models["bert"], tmp_path / "x"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    swap = {"contradiction": "entailment", "entailment": "contradiction", "neutral": "neutral"}
    config["id2label"] = {k: swap[v] for k, v in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    before, after = (TASK.outcomes(sharpened(load(f)), examples[:80]).prediction for f in (models["bert"], folder))
    assert [swap[p] for p in before] == list(after)
