"""No two variants of a sweep read alike."""

from pathlib import Path
from typing import Any

import pytest

from bench.naming import names_of
from bench.sweep import load_sweep
from tests import tiny


def names(folder: Path, recipes: list[Any], **changes: object) -> list[str]:
    sweep = load_sweep(str(tiny.sweep_file(folder, recipes=recipes, **changes)))
    return list(names_of(sweep.recipes).values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("naming")


def test_names_that_differ_anyway_stay_short(folder: Path) -> None:
    assert names(folder, [["int8_dynamic"], [{"layer_copy": {"decoder": 2}}]]) == [
        "tiny: base",
        "tiny: int8",
        "tiny: decoder 4 to 2",
    ]


def test_equal_names_say_what_differs_and_only_that(folder: Path) -> None:
    tune = {"data": "train", "learning_rate": [1e-3, 1e-4], "freeze": [[], ["encoder"]]}
    assert sorted(names(folder, [[{"finetune": tune}]])[1:], reverse=True) == [
        "tiny: fine-tuned (learning_rate 0.001, freeze none)",
        "tiny: fine-tuned (learning_rate 0.001, freeze encoder)",
        "tiny: fine-tuned (learning_rate 0.0001, freeze none)",
        "tiny: fine-tuned (learning_rate 0.0001, freeze encoder)",
    ]


def test_seeds_tell_apart_what_depends_on_them(folder: Path) -> None:
    found = names(folder, [["int8_dynamic"], [{"finetune": {"data": "train"}}]], seeds=[3, 5])
    assert found[1:] == ["tiny: int8", "tiny: fine-tuned (seed 3)", "tiny: fine-tuned (seed 5)"]


def test_a_setting_that_only_one_has_is_named_there(folder: Path) -> None:
    tune = {"finetune": {"data": "train", "max_steps": [None, 7]}}
    assert names(folder, [[tune]])[1:] == ["tiny: fine-tuned", "tiny: fine-tuned (max_steps 7)"]
