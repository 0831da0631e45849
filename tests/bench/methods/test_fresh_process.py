"""What a method made is what another process loads: every logit bit for bit, for each method and for chains of them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.data import DataSpec, Example
from bench.methods.int8_linear import Int8DynamicLinear
from bench.models import Loaded, load, save
from bench.recipe import Step, Workplace, step_class
from tests.fresh import Digests

pytestmark = pytest.mark.xdist_group("elsewhere")

Settings = dict[str, Any]
Stage = tuple[str, Settings]

COPY: Stage = ("layer_copy", {"decoder": 2})
TUNE: Stage = ("finetune", {"data": "train", "learning_rate": 1e-3, "max_steps": 2})
INT8: Stage = ("int8_dynamic", {})
TENSOR: Stage = ("int8_dynamic", {"activations": "tensor"})
CHAINS: dict[str, tuple[str, list[Stage]]] = {
    "base": ("bart", []),
    "copy": ("bart", [COPY]),
    "copy bert": ("bert", [("layer_copy", {"encoder": 2})]),
    "copy distilbert": ("distilbert", [("layer_copy", {"encoder": 1})]),
    "finetune": ("bart", [TUNE]),
    "new head": (
        "bert",
        [("finetune", {"data": "train", "max_steps": 1, "new_head": ["neutral", "entailment", "contradiction"]})],
    ),
    "bf16": ("bart", [("cast", {"dtype": "bfloat16"})]),
    "fp16": ("bert", [("cast", {"dtype": "float16"})]),
    "int8": ("bart", [INT8]),
    "int8 bert": ("bert", [INT8]),
    "int8 tensor": ("bart", [TENSOR]),
    "int8 partly": ("bart", [("int8_dynamic", {"keep_fp32": ["*.fc1", "classification_head.*"]})]),
    "copy, finetune, int8": ("bart", [COPY, TUNE, INT8]),
    "bf16, int8": ("bart", [("cast", {"dtype": "bfloat16"}), INT8]),
    "fp16, int8 tensor": ("bert", [("cast", {"dtype": "float16"}), TENSOR]),
}
TEXTS = [("the red cat runs", "the cat red"), ("the blue dog runs big small", "the dog not blue"), ("the", "bird")]


def logits_digest(loaded: Loaded) -> str:
    """SHA-256 of the logits of padded batch and single rows, with the backend that computes the same everywhere.

    Weights mapped from a file lie where its header ends, and on some processors (AMD with AVX-512) the last bits of a
    product depend on that. So they are moved to where torch puts its own first.
    """
    torch.set_num_threads(1)  # as in the other process: two add up in another order
    for parameter in loaded.model.parameters():
        parameter.data = parameter.data.clone()
    for module in loaded.model.modules():
        if isinstance(module, Int8DynamicLinear):
            module.use_backend("reference")
    sha = hashlib.sha256(str(next(loaded.model.parameters()).dtype).encode())
    premises, hypotheses = [list(side) for side in zip(*TEXTS, strict=True)]
    batches = [loaded.tokenizer(premises, hypotheses, padding=True, return_tensors="pt")]
    batches += [loaded.tokenizer(*pair, return_tensors="pt") for pair in TEXTS]
    with torch.inference_mode():
        for batch in batches:
            logits = loaded.model(**batch).logits.float()
            assert bool(logits.isfinite().all())
            sha.update(logits.numpy().tobytes())
    return sha.hexdigest()


def steps_of(chain: Sequence[Stage]) -> list[Step]:
    return [step_class(name).model_validate(settings) for name, settings in chain]


@pytest.fixture(scope="module")
def built(
    models: dict[str, Path], data: dict[str, DataSpec], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, str]]:
    """Each chain carried out step by step, saved and loaded in between as jobs do: folder and digest in memory."""
    root = tmp_path_factory.mktemp("chains")
    found = {}
    for name, (kind, chain) in CHAINS.items():
        folder = models[kind]
        loaded = load(folder)
        for number, step in enumerate(steps_of(chain)):
            loaded = step.apply(load(folder), Workplace(0, data))
            folder = root / f"{name}-{number}"
            save(loaded, folder)
        found[name] = (folder, logits_digest(loaded))
    return found


@pytest.fixture(scope="module")
def read_again(built: dict[str, tuple[Path, str]], elsewhere: Digests) -> dict[str, str]:
    return elsewhere("tests.bench.methods.test_fresh_process:logits_digest", [folder for folder, _ in built.values()])


@pytest.mark.parametrize("name", CHAINS)
def test_bit_identical_in_another_process(
    name: str, built: dict[str, tuple[Path, str]], read_again: dict[str, str]
) -> None:
    folder, digest = built[name]
    assert read_again[str(folder)] == digest


def test_the_digest_tells_models_apart(built: dict[str, tuple[Path, str]]) -> None:
    """Were every digest the same, the test above would prove nothing."""
    digests = [digest for _, digest in built.values()]
    assert len(set(digests)) == len(digests)


def test_no_artefact_needs_a_pickle_or_remembers_where_it_was(
    built: dict[str, tuple[Path, str]], models: dict[str, Path]
) -> None:
    for folder, _ in built.values():
        assert not [p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pkl", ".py")]
        for path in folder.glob("*.json"):
            text = path.read_text(encoding="utf-8")
            assert str(models["bart"].parent) not in text
            assert str(folder.parent) not in text


def test_examples_reach_the_same_predictions(built: dict[str, tuple[Path, str]], examples: list[Example]) -> None:
    """The chain as evaluated: a saved and loaded model predicts what the model in memory predicted."""
    from bench.tasks.classification import Classification

    folder, _ = built["copy, finetune, int8"]
    first = Classification().outcomes(load(folder), examples[:64])
    second = Classification().outcomes(load(folder), examples[:64])
    assert first.prediction == second.prediction
    assert first.confidence.tolist() == second.confidence.tolist()
