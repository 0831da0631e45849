"""The ways of making a compact model as recipes of a sweep: checked, carried out, saved, and read in a fresh process.

Turc et al. 2019 compare pre-training and fine-tuning (PF), distillation into random weights (KD), pre-trained
distillation (PD) and a truncated teacher; Sanh et al. 2019 distil twice, once on text and once on the task.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bench.architecture import describe
from bench.errors import BadInput
from bench.models import Loaded, load, save
from bench.recipe import OWN_BASE, Recipe, Workplace
from bench.sweep import Sweep, load_sweep
from tests import tiny, tiny_bert
from tests.answering import applied

RANDOM = {"student": {"layers": 1, "hidden": 8, "heads": 2, "ffn": 16, "init": "random"}}
SHIPPED = {"student": {"weights": "compact"}}
QUICK = {"batch": 16, "max_steps": 2}
PRETRAIN = {"pretrain": {"data": "text", "shortest": 4, **QUICK}}
FINETUNE = {"finetune": {"data": "train", **QUICK}}
SOFT = {"distill": {"data": "train", "gold": False, **QUICK}}
RECIPES: dict[str, list[Any]] = {
    "PF": [RANDOM, PRETRAIN, FINETUNE],
    "PF, shipped": [SHIPPED, FINETUNE],
    "KD": [RANDOM, SOFT],
    "PD": [RANDOM, PRETRAIN, SOFT],
    "PD, shipped": [SHIPPED, SOFT],
    "truncated, fine-tuned": [{"student": {"layers": 2, "init": "first"}}, FINETUNE],
    "truncated, distilled": [{"student": {"layers": 2, "init": "first"}}, {"distill": {"data": "train", **QUICK}}],
    "DistilBERT": [
        {"student": {"weights": "language", "layers": 2, "architecture": "distilbert", "head": "own"}},
        {"distill": {"data": "text", "teacher": "language", "shortest": 4, **QUICK}},
        {"distill": {"data": "train", "alpha": 0.7, **QUICK}},
    ],
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("sweep")
    tiny_bert.saved(tiny_bert.classifier(), root / "fine-tuned")
    tiny_bert.saved(tiny_bert.pretraining(layers=2, width=12), root / "compact")
    tiny_bert.saved(tiny_bert.masked(), root / "language")
    tiny.data_file(root / "train.jsonl", 48, seed=1)
    pair = {"source": "train.jsonl", "text": "premise", "pair": "hypothesis"}
    values = {
        "name": "compact",
        "bases": {"bert": {"model": "fine-tuned"}},
        "teachers": {"compact": {"model": "compact"}, "language": {"model": "language"}},
        "data": {"train": pair, "text": {"source": "train.jsonl", "text": "premise", "label": None}},
        "tasks": {"pairs": {"kind": "classification", "data": "train", "max_length": 32}},
        "holdout": 0,  # the task is on what is trained on
        "recipes": list(RECIPES.values()),
        "latency": {"length": [16]},
    }
    (root / "sweep.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_sweep(str(root / "sweep.yaml"))


def carried_out(sweep: Sweep, recipe: Recipe, root: Path) -> tuple[Path, Loaded]:
    """Every step as a job does it: load the parent, apply, save. What is saved is what the plan said it would be."""
    folder = Path(recipe.base.folder)
    teachers = {OWN_BASE: folder, **{name: Path(r.base.folder) for name, r in sweep.teachers.items()}}
    loaded = load(folder)
    for number, stage in enumerate(recipe.stages, start=1):
        loaded = applied(stage.step, load(folder), Workplace(stage.seed, sweep.data(), teachers=teachers))
        folder = root / str(number)
        save(loaded, folder)
        planned = recipe.prefix(number).check()
        if not planned.classifies:  # the config of a language model lists labels that mean nothing
            planned = planned.changed(labels=describe(folder).labels)
        assert describe(folder) == planned
    return folder, loaded


def logits(loaded: Loaded) -> list[list[float]]:
    texts = ["the red cat runs", "the blue dog runs big", "the"]
    with torch.no_grad():
        batch = loaded.tokenizer(texts, ["the cat red", "the", "dog"], padding=True, return_tensors="pt")
        found: list[list[float]] = loaded.model(**batch).logits.tolist()
    return found


READER = """
import json, sys, torch
from pathlib import Path
from bench.models import load
from tests.bench.methods.test_student_recipes import logits
torch.set_num_threads(1)
print(json.dumps([logits(load(Path(folder))) for folder in sys.argv[1:]]))
"""


def test_every_recipe_as_a_sweep(sweep: Sweep, tmp_path: Path) -> None:
    """Carried out, each gives a classifier with the base's labels, which a fresh process reads to the last bit."""
    recipes = sweep.recipes[1:]
    assert len(recipes) == len(RECIPES)
    assert len({r.variant_name for r in recipes}) == len(recipes)
    found = {}
    for name, recipe in zip(RECIPES, recipes, strict=True):
        found[name] = carried_out(sweep, recipe, tmp_path / name)
    for _, loaded in found.values():
        assert loaded.model.config.id2label == tiny.LABELS
    assert type(found["DistilBERT"][1].model).__name__ == "DistilBertForSequenceClassification"
    assert found["PD, shipped"][1].model.config.hidden_size == 12
    expected = [logits(loaded) for _, loaded in found.values()]
    assert len({json.dumps(rows) for rows in expected}) == len(expected)
    done = subprocess.run(
        [sys.executable, "-c", READER, *(str(folder) for folder, _ in found.values())],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == expected


def test_identity_follows_the_weights(sweep: Sweep, tmp_path: Path) -> None:
    """What a student is made from is known by its bytes: the same name for other weights is another recipe."""
    shipped = sweep.recipes[list(RECIPES).index("PF, shipped") + 1]
    other = tiny_bert.saved(tiny_bert.pretraining(layers=2, width=12, seed=9), tmp_path / "compact")
    file = sweep.file.model_copy(
        update={
            "teachers": {
                **sweep.file.teachers,
                "compact": sweep.file.teachers["compact"].model_copy(update={"model": str(other)}),
            }
        }
    )
    from bench.sweep import resolve

    again = resolve(file).recipes[list(RECIPES).index("PF, shipped") + 1]
    assert again.recipe_id != shipped.recipe_id
    assert again.variant_name == shipped.variant_name == "bert: student compact, fine-tuned"


def test_a_teacher_that_does_not_fit_is_refused_in_the_plan(sweep: Sweep) -> None:
    from bench.sweep import resolve

    wrong = [[{"student": {"layers": 2}}, {"distill": {"data": "train", "teacher": "language"}}]]
    with pytest.raises(
        BadInput, match=r"Step 2 \(distill\) of 'bert': distill has a BertForSequenceClassification learn"
    ):
        resolve(sweep.file.model_copy(update={"recipes": wrong}))
