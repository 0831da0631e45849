"""The lines that load a model give what was measured: with transformers alone wherever that is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.models import load, save
from bench.recipe import Workplace, step_class
from bench.store.loading import auto_class, loading_of
from tests import tiny
from tests.bench.methods.test_formats_reload import made
from tests.lines import LOAD, run_lines

pytestmark = pytest.mark.xdist_group("elsewhere")

VERSIONS = {"torch": "2.13.0", "transformers": "5.23.0", "duckdb": "2.0"}
ALONE = ("bench", "cluster", "leaderboard")  # is hidden where transformers alone is to do
Stage = tuple[str, dict[str, Any]]
PLAIN: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "bert": ("bert", ()),
    "shallow bart": ("bart", (("layer_copy", {"decoder": 1, "encoder": 1}),)),
    "bart fp16": ("bart", (("cast", {"dtype": "float16"}),)),
    "writer bf16": ("writer", (("cast", {"dtype": "bfloat16"}),)),
    "gpt2 bf16": ("gpt2", (("cast", {"dtype": "bfloat16"}),)),
    "pruned llama": ("llama", (("depth_prune", {"drop": [1]}),)),
    "t5 fp16": ("t5", (("cast", {"dtype": "float16"}),)),
}
OURS: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "bert int8": ("bert", (("int8_dynamic", {}),)),
    "bart int8, parts in float": ("bart", (("int8_dynamic", {"keep_fp32": ["model.decoder*"]}),)),
    "writer int4": ("writer", (("weight_only", {"bits": 4, "group": 32}),)),
    "llama bf16 fp8": ("llama", (("cast", {"dtype": "bfloat16"}), ("fp8", {}))),
    "bert 2:4": ("bert", (("sparse_2_4", {}),)),
}


def built(kind: str, stages: tuple[Stage, ...], folder: Path) -> Path:
    """The folder of a tiny model after these steps, each saved and loaded again as jobs do."""
    found = tiny.saved(made(kind), folder / "0")
    for number, (step, settings) in enumerate(stages, start=1):
        loaded = step_class(step).model_validate(settings).apply(load(found), Workplace(0, {}))
        found = folder / str(number)
        save(loaded, found)
    if not stages:
        loaded = load(found)
        save(loaded, folder / "1")
        found = folder / "1"
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("loading")
    return {
        name: built(kind, stages, root / name.replace(":", "-")) for name, (kind, stages) in {**PLAIN, **OURS}.items()
    }


def test_the_lines_give_the_same_outputs(folders: dict[str, Path], tmp_path: Path) -> None:
    """Bit for bit, also where the folder is named by its path."""
    ours = {name: loading_of(folders[name], VERSIONS) for name in OURS}
    artefacts = [(folder, LOAD) for folder in folders.values()]
    with_us = run_lines([*artefacts, *((folders[name], loading.lines()) for name, loading in ours.items())])
    measured = dict(zip(folders, with_us[: len(artefacts)], strict=True))
    assert dict(zip(OURS, with_us[len(artefacts) :], strict=True)) == {name: measured[name] for name in OURS}
    plain = {name: loading_of(folder, VERSIONS) for name, folder in folders.items() if name in PLAIN}
    assert all(loading.plain and loading.library == "transformers" for loading in plain.values())
    assert all(loading.needs == ("torch 2.13.0", "transformers 5.23.0") for loading in plain.values())
    alone = run_lines([(tmp_path, plain[name].lines(str(folders[name]))) for name in PLAIN], hidden=ALONE)
    assert dict(zip(PLAIN, alone, strict=True)) == {name: measured[name] for name in PLAIN}
    for loading in ours.values():
        assert not loading.plain
        assert loading.reason
        assert loading.needs[0].startswith("paredown ")
    assert not any(training for *_, training in measured.values())


def test_what_is_compiled_says_what_it_needs(tmp_path: Path) -> None:
    folder = tiny.saved(tiny.bert(1), tmp_path / "model")
    marker = {"format": 1, "loader": "transformers", "compiled": {"mode": "default", "dynamic": True}, "settings": {}}
    (folder / "paredown.json").write_text(json.dumps(marker), encoding="utf-8")
    loading = loading_of(folder, VERSIONS)
    assert "not compiled" in loading.reason
    assert loading.needs[-1].startswith("a C++ compiler")
    assert "from bench.models import load" in loading.lines()


def test_auto_classes_are_there() -> None:
    import transformers

    from bench.store.loading import AUTO

    assert all(hasattr(transformers, name) for name in AUTO.values())
    assert auto_class("MarianMTModel") == "MarianMTModel"
    assert auto_class(None) == "AutoModel"
