"""Which layers are left and in which type, told from files of tensors written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.store.folder import Folder, open_folder
from bench.store.layers import layer_stacks

Tensors = dict[str, np.ndarray[Any, Any]]


def layer(number: int, seed: int, kind: type = np.float32, stack: str = "model.decoder") -> Tensors:
    rng = np.random.default_rng(seed)
    name = f"{stack}.layers.{number}"
    weight = "weight_int8" if kind is np.int8 else "weight"
    return {
        f"{name}.fc1.{weight}": (100 * rng.standard_normal((4, 4))).astype(kind),
        f"{name}.fc2.weight": rng.standard_normal((4, 4)).astype(np.float32),
        f"{name}.norm.weight": rng.standard_normal(4).astype(np.float32),
        f"{name}.fc1.weight_scale": np.ones((4, 1), dtype=np.float32),
    }


def artefact(folder: Folder, name: str, *layers: Tensors) -> dict[str, Any]:
    path = folder.artefacts / name
    path.mkdir(parents=True)
    save_file({key: value for each in layers for key, value in each.items()}, path / "model.safetensors")
    return {"artefact_id": name, "answer": None}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "store", create=True)


def test_copied_layers_are_recognised_by_their_bytes(folder: Folder) -> None:
    base = artefact(folder, "base", *(layer(i, seed=i) for i in range(5)))
    fewer = artefact(folder, "fewer", *(layer(new, seed=old) for new, old in enumerate((0, 2, 4))))
    int8 = artefact(folder, "int8", *(layer(new, seed=90 + new, kind=np.int8) for new in range(3)))
    (stack,) = layer_stacks(folder, [base, fewer, int8])
    assert (stack.name, stack.depth, stack.dropped) == ("decoder", 5, (1, 3))
    assert [each.origin for each in stack.layers] == [0, 2, 4]
    assert stack.layers[0].types == {"float32": ("fc2",), "int8": ("fc1",)}


def test_what_nothing_tells_is_unknown(folder: Folder) -> None:
    base = artefact(folder, "base", *(layer(i, seed=i) for i in range(4)))
    fresh = artefact(folder, "fresh", *(layer(i, seed=70 + i) for i in range(2)))
    (stack,) = layer_stacks(folder, [base, fresh])
    assert stack.dropped is None
    assert [each.origin for each in stack.layers] == [None, None]


def test_what_a_build_says_comes_first(folder: Folder) -> None:
    base = artefact(folder, "base", *(layer(i, seed=i, stack="model") for i in range(4)))
    pruned = artefact(folder, "pruned", *(layer(i, seed=70 + i, stack="model") for i in range(2)))
    pruned["answer"] = json.dumps({"depth_prune": {"kept": [0, 3], "stack": None}})
    (stack,) = layer_stacks(folder, [base, pruned])
    assert (stack.name, stack.dropped) == ("layers", (1, 2))


def test_artefacts_that_are_gone_have_no_map(folder: Folder) -> None:
    gone = {"artefact_id": "gone", "answer": None}
    assert layer_stacks(folder, [gone, gone]) == ()
    assert layer_stacks(folder, []) == ()
