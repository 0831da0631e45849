"""Every format on encoders, encoder-decoders and decoders, read again by another process: bit for bit."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.architecture import describe
from bench.methods.cast import Cast
from bench.models import Loaded, load, save, unique_state
from bench.recipe import Workplace, step_class
from tests import tiny
from tests.fresh import Digests

pytestmark = pytest.mark.xdist_group("elsewhere")

WORK = Workplace(0, {})
Stage = tuple[str, dict[str, Any]]

BF16: Stage = ("cast", {"dtype": "bfloat16"})
FP16: Stage = ("cast", {"dtype": "float16"})
INT8: Stage = ("weight_only", {})
INT4: Stage = ("weight_only", {"bits": 4, "group": 32})
FP8: Stage = ("fp8", {})
SPARSE: Stage = ("sparse_2_4", {})
CHAINS: dict[str, tuple[str, list[Stage]]] = {
    **{f"{kind} bf16": (kind, [BF16]) for kind in ("bert", "bart", "writer", "llama", "tied", "gpt2", "t5")},
    **{f"{kind} fp16": (kind, [FP16]) for kind in ("bert", "writer", "llama", "t5")},
    **{f"{kind} int8": (kind, [INT8]) for kind in ("bert", "writer", "t5")},
    **{f"{kind} int4": (kind, [INT4]) for kind in ("bert", "writer", "tied", "t5")},
    **{f"{kind} fp8": (kind, [FP8]) for kind in ("bart", "llama")},
    **{f"{kind} 2:4": (kind, [SPARSE]) for kind in ("bert", "writer")},
    "bert bf16 int8": ("bert", [BF16, INT8]),
    "llama bf16 int8": ("llama", [BF16, INT8]),
    "writer bf16 int4": ("writer", [BF16, INT4]),
    "tied bf16 int4": ("tied", [BF16, INT4]),
    "bert fp16 int4": ("bert", [FP16, INT4]),
    "llama bf16 fp8": ("llama", [BF16, FP8]),
    "llama 2:4 bf16": ("llama", [SPARSE, BF16]),
}


def t5() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(vocab_size=16, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, pad_token_id=1)
    config.decoder_start_token_id = 1
    return T5ForConditionalGeneration(config)


def made(kind: str) -> Any:
    if kind in ("llama", "gpt2"):
        return tiny.causal(kind, layers=2, width=32)
    if kind == "tied":
        return tiny.causal("llama", layers=2, width=32, tie_word_embeddings=True)
    if kind == "t5":
        return t5()
    if kind == "bert":
        return tiny.bert(2, width=32)
    return (tiny.bart if kind == "bart" else tiny.writer)(2, 1, width=32)


def digest(loaded: Loaded) -> str:
    """SHA-256 of logits, padding included, and of what greedy search writes."""
    ids = torch.tensor([[0, 5, 6, 7, 9, 2], [0, 9, 12, 7, 5, 2]])
    asked: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    asked["attention_mask"][1, :2] = 0
    model: Any = loaded.model
    with torch.inference_mode():
        extra = {"decoder_input_ids": ids[:, :4]} if model.can_generate() and model.config.is_encoder_decoder else {}
        logits = model(**asked, **extra).logits.float()
        assert bool(logits.isfinite().all())
        sha = hashlib.sha256(logits.numpy().tobytes())
        if model.can_generate():
            sha.update(model.generate(**asked, max_new_tokens=6, do_sample=False).numpy().tobytes())
    return sha.hexdigest()


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("bases")
    kinds = dict.fromkeys(kind for kind, _ in CHAINS.values())
    return {kind: tiny.saved(made(kind), root / kind) for kind in kinds}


@pytest.fixture(scope="module")
def built(bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Folder and digest in memory of each chain, carried out step by step as jobs do."""
    root = tmp_path_factory.mktemp("formats")
    found = {}
    for number, (name, (kind, chain)) in enumerate(CHAINS.items()):
        folder = bases[kind]
        loaded = load(folder)
        for place, (step, settings) in enumerate(chain):
            loaded = step_class(step).model_validate(settings).apply(load(folder), WORK)
            folder = root / f"{number}-{place}"
            save(loaded, folder)
        found[name] = (folder, digest(loaded))
    return found


@pytest.fixture(scope="module")
def read_again(built: dict[str, tuple[Path, str]], elsewhere: Digests) -> dict[str, str]:
    return elsewhere("tests.bench.methods.test_formats_reload:digest", [folder for folder, _ in built.values()])


@pytest.mark.parametrize("name", CHAINS)
def test_bit_identical_in_another_process(
    name: str, built: dict[str, tuple[Path, str]], read_again: dict[str, str]
) -> None:
    folder, expected = built[name]
    assert read_again[str(folder)] == expected


def test_formats_are_different_models(built: dict[str, tuple[Path, str]]) -> None:
    digests = [found for _, found in built.values()]
    assert len(set(digests)) == len(digests)


def test_a_cast_reaches_everything(built: dict[str, tuple[Path, str]], bases: dict[str, Path]) -> None:
    """Layer norms too; what was tied stays tied and is saved once; half the bytes, all of them in the file."""
    for name in (
        "bert bf16",
        "bart bf16",
        "writer bf16",
        "tied bf16",
        "gpt2 bf16",
        "bert fp16",
        "llama fp16",
        "t5 bf16",
    ):
        kind, (_, settings) = CHAINS[name][0], CHAINS[name][1][0]
        short, long = load(built[name][0]), load(bases[kind])
        dtype = getattr(torch, settings["dtype"])
        assert {p.dtype for p in short.model.parameters()} == {dtype}
        norms = [m for m in short.model.modules() if isinstance(m, nn.LayerNorm)]
        assert all(m.weight.dtype == dtype for m in norms)
        sizes = [sum(t.nbytes for t in unique_state(m.model).values()) for m in (short, long)]
        assert 2 * sizes[0] == sizes[1]
        written = (built[name][0] / "model.safetensors").read_bytes()
        assert len(written) - 8 - int.from_bytes(written[:8], "little") == sizes[0]
        assert describe(built[name][0]).dtype == settings["dtype"]
        model: Any = short.model
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        if kind in ("tied", "writer", "gpt2", "t5"):
            assert head.weight is embedding.weight, name


def test_what_a_cast_leaves_long(built: dict[str, tuple[Path, str]], bases: dict[str, Path]) -> None:
    """T5's `wo` overflows in float16, so transformers keeps it; rotary frequencies are computed, not saved."""
    short = load(built["t5 fp16"][0]).model
    types = {name.split(".")[-2]: p.dtype for name, p in short.named_parameters()}
    assert types["wo"] == torch.float32
    assert types["wi"] == types["q"] == types["shared"] == torch.float16
    made = Cast(dtype="float16").apply(load(bases["t5"]), WORK).model
    assert {n: p.dtype for n, p in made.named_parameters()} == {n: p.dtype for n, p in short.named_parameters()}
    llama = Cast().apply(load(bases["llama"]), WORK).model
    assert llama.get_buffer("model.rotary_emb.inv_freq").dtype == torch.float32


def test_casting_twice_is_casting_once(built: dict[str, tuple[Path, str]]) -> None:
    assert digest(Cast().apply(load(built["bert bf16"][0]), WORK)) == built["bert bf16"][1]
