"""Depth pruning, healing and fine-tuned writers: what another process loads is bit for bit what was made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedModel

from bench.data import DataSpec
from bench.models import load, save
from bench.recipe import Workplace
from tests import tiny
from tests.answering import applied
from tests.bench.methods.test_fresh_process import Stage, logits_digest, steps_of
from tests.fresh import Digests

pytestmark = pytest.mark.xdist_group("elsewhere")

PRUNE: Stage = ("depth_prune", {"layers": 2, "data": "text", "samples": 32})
HEAL: Stage = ("heal", {"data": "text", "rank": 2, "steps": 2, "batch": 8})
LAST: dict[str, Any] = {"data": "text", "adapters": False, "train": "lm_head_and_last", "last": 1, "steps": 2}
TUNE: Stage = ("finetune", {"data": "text", "max_steps": 2})
CHAINS: dict[str, tuple[str, list[Stage]]] = {
    **{f"pruned {kind}": (kind, [PRUNE]) for kind in tiny.CAUSAL},
    "pruned bert": ("bert", [("depth_prune", {"layers": 1, "data": "pairs", "position": "first"})]),
    "pruned bart": ("bart", [("depth_prune", {"layers": 2, "data": "pairs", "stack": "decoder"})]),
    "ShortGPT": ("llama", [("depth_prune", {**PRUNE[1], "strategy": "shortgpt", "final_norm": True})]),
    "pruned in bfloat16": ("qwen2", [("cast", {"dtype": "bfloat16"}), PRUNE]),
    "pruned, healed": ("llama", [PRUNE, HEAL]),
    "pruned, healed in bfloat16": ("mistral", [("cast", {"dtype": "bfloat16"}), PRUNE, HEAL]),
    "pruned, head and last healed": ("gpt2", [PRUNE, ("heal", LAST)]),
    "healed bert": ("bert", [("heal", {**HEAL[1], "data": "pairs"})]),
    "tuned": ("qwen3", [TUNE]),
    "tuned writer": ("writer", [("finetune", {"data": "news", "max_steps": 2, "freeze": ["encoder", "embeddings"]})]),
    "pruned, healed, int8": ("qwen3", [PRUNE, HEAL, ("int8_dynamic", {})]),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Each chain carried out step by step, saved and loaded in between as jobs do: folder and digest in memory."""
    root = tmp_path_factory.mktemp("chains")
    path = str(tiny.data_file(root / "rows.jsonl", 48, seed=1))
    data = {
        "text": DataSpec(source=path, text="premise", label=None),
        "news": DataSpec(source=path, text="premise", label="hypothesis"),
        "pairs": DataSpec(source=path, text="premise", pair="hypothesis"),
    }
    made: dict[str, Callable[[], PreTrainedModel]] = {"bert": tiny.bert, "bart": tiny.bart, "writer": tiny.writer}
    models = {kind: tiny.saved(make(), root / kind) for kind, make in made.items()}
    models |= {kind: tiny.saved(tiny.causal(kind, seed=n), root / kind) for n, kind in enumerate(tiny.CAUSAL)}
    found = {}
    for name, (kind, chain) in CHAINS.items():
        folder = models[kind]
        for number, step in enumerate(steps_of(chain)):
            loaded = applied(step, load(folder), Workplace(0, data))
            folder = root / f"{name}-{number}"
            save(loaded, folder)
        found[name] = (folder, logits_digest(loaded))
    return found


def test_bit_identical_in_another_process(built: dict[str, tuple[Path, str]], elsewhere: Digests) -> None:
    digests = elsewhere(
        "tests.bench.methods.test_fresh_process:logits_digest", [folder for folder, _ in built.values()]
    )
    assert {name: digests[str(folder)] for name, (folder, _) in built.items()} == {
        name: digest for name, (_, digest) in built.items()
    }
    assert len(set(digests.values())) == len(digests)


def test_no_artefact_remembers_where_it_was(built: dict[str, tuple[Path, str]]) -> None:
    for folder, _ in built.values():
        assert not [p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pkl", ".py")]
        for path in (*folder.glob("*.json"), *folder.glob("*.yaml")):
            assert str(folder.parent) not in path.read_text(encoding="utf-8")
