"""Every mode of int8, read again by another process: logits and generated tokens bit for bit."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.methods.int8_dynamic import Int8Dynamic
from bench.methods.int8_linear import Int8DynamicLinear
from bench.models import Loaded, load, save
from bench.recipe import Workplace
from tests import tiny
from tests.fresh import Digests

pytestmark = pytest.mark.xdist_group("elsewhere")

MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "all": ("float32", {}),
    "tensor": ("float32", {"activations": "tensor"}),
    "kept": ("float32", {"keep_fp32": ["*.fc1", "model.decoder.layers.3.*"]}),
    "head": ("float32", {"lm_head": "int8"}),
    "embeddings": ("float32", {"embeddings": True}),
    "both": ("float32", {"embeddings": True, "lm_head": "int8"}),
    "both, tensor": ("float32", {"embeddings": True, "lm_head": "int8", "activations": "tensor"}),
    "both, kept, bfloat16": ("bfloat16", {"embeddings": True, "lm_head": "int8", "keep_fp32": ["*.fc2"]}),
}


def outputs_digest(loaded: Loaded) -> str:
    """SHA-256 of the logits of a padded batch and of what beam search writes for it."""
    for module in loaded.model.modules():
        if isinstance(module, Int8DynamicLinear):
            module.use_backend("reference")  # the same on every machine and in every process
    ids = torch.tensor([[0, 5, 6, 7, 9, 2], [0, 9, 12, 2, 1, 1]])
    asked: dict[str, Any] = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    with torch.inference_mode():
        logits = loaded.model(**asked, decoder_input_ids=ids[:, :4]).logits.float()
        generate: Any = loaded.model.generate
        written = generate(**asked, max_length=12)
    assert bool(logits.isfinite().all())
    assert loaded.model.generation_config.num_beams == 3
    return hashlib.sha256(logits.numpy().tobytes() + written.numpy().tobytes()).hexdigest()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Folder and digest in memory of each mode."""
    root = tmp_path_factory.mktemp("modes")
    found = {}
    for number, (name, (dtype, settings)) in enumerate(MODES.items()):
        if not (root / dtype).exists():
            model = tiny.writer().to(getattr(torch, dtype))
            model.generation_config.num_beams = 3
            tiny.saved(model, root / dtype)
        made = Int8Dynamic.model_validate(settings).apply(load(root / dtype), Workplace(0, {}))
        save(made, root / f"mode{number}")
        made.model.generation_config.num_beams = 3
        found[name] = (root / f"mode{number}", outputs_digest(made))
    return found


@pytest.fixture(scope="module")
def read_again(built: dict[str, tuple[Path, str]], elsewhere: Digests) -> dict[str, str]:
    return elsewhere("tests.bench.methods.test_int8_reload:outputs_digest", [folder for folder, _ in built.values()])


@pytest.mark.parametrize("name", MODES)
def test_bit_identical_in_another_process(
    name: str, built: dict[str, tuple[Path, str]], read_again: dict[str, str]
) -> None:
    folder, digest = built[name]
    assert read_again[str(folder)] == digest


def test_modes_are_different_models(built: dict[str, tuple[Path, str]]) -> None:
    """Were all digests the same, the test above would prove nothing."""
    assert len({digest for _, digest in built.values()}) == len(MODES)
