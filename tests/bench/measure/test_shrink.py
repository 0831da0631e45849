"""Facts of a model: FLOPs counted by hand, the same on every device and in every type; leftovers; zeros."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from bench.measure import shrink
from bench.measure.delivered import Facts
from bench.measure.shrink import Watch, facts_of, leftovers, zero_share
from bench.methods.int8_backends import available_backends
from bench.methods.int8_linear import Int8DynamicLinear
from bench.methods.int8_model import linear_layers, quantise
from bench.methods.packed_model import pack
from bench.methods.packings import Packing
from tests import tiny, tiny_bert

L, D, FFN, LABELS = 64, 16, 32, 3  # tokens of the watched pass; widths of the tiny models
PROJECTIONS = 4 * 2 * L * D * D  # query, key, value and output
ATTENTION = 2 * 2 * L * L * D  # queries by keys, shares by values
FEED_FORWARD = 2 * 2 * L * D * FFN
MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "bert": tiny.bert,
    "distilbert": tiny.distilbert,
    "bart": tiny.bart,
    "writer": tiny.writer,
    "masked": tiny_bert.masked,
    **{kind: lambda kind=kind: tiny.causal(kind) for kind in tiny.CAUSAL},  # type: ignore[misc]
}


def int8(model: PreTrainedModel, activations: str = "token") -> PreTrainedModel:
    quantise(model, list(linear_layers(model)), activations)
    return model


def products(facts: Facts) -> dict[str, int]:
    """Type -> calls of operators that multiply."""
    found: dict[str, int] = {}
    assert facts.operators is not None
    for operator, count in facts.operators.items():
        name, _, kind = operator.partition(" ")
        if "embedding" not in name:
            found[kind] = found.get(kind, 0) + count
    return found


def test_flops_of_an_encoder_by_hand() -> None:
    facts = facts_of(tiny.bert(layers=3))
    head = 2 * D * D + 2 * D * LABELS  # pooler and classifier read one token
    assert facts.flops == 3 * (PROJECTIONS + ATTENTION + FEED_FORWARD) + head
    assert facts.shape == "batch 1 x 64 tokens"
    assert facts.operators == {
        "aten._scaled_dot_product_flash_attention_for_cpu float32": 3,
        "aten.addmm float32": 3 * 6 + 2,
        "aten.embedding float32": 3,
    }


def test_flops_of_an_encoder_decoder_by_hand() -> None:
    """The decoder reads as many tokens, and each of its layers attends twice; the head reads the last token alone."""
    head = 2 * D * D + 2 * D * LABELS
    expected = 2 * (PROJECTIONS + ATTENTION + FEED_FORWARD) + 4 * (2 * PROJECTIONS + 2 * ATTENTION + FEED_FORWARD)
    assert facts_of(tiny.bart(encoder_layers=2, decoder_layers=4)).flops == expected + head


def test_flops_of_a_decoder_with_shared_keys_by_hand() -> None:
    """Two heads share one key and one value of half the width; three feed-forward products; a head for every token."""
    layer = 2 * L * D * (D + D // 2 + D // 2 + D) + ATTENTION + 3 * 2 * L * D * FFN
    assert facts_of(tiny.causal("llama", layers=4)).flops == 4 * layer + 2 * L * D * 16


def test_a_model_with_fewer_positions_is_watched_at_what_it_has() -> None:
    model = tiny.causal("gpt2", max_position_embeddings=32)
    facts = facts_of(model)
    assert facts.shape == "batch 1 x 32 tokens"
    assert facts.unknown is None


@pytest.mark.parametrize("name", MODELS)
def test_a_large_model_is_counted_without_computing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device, where attention falls apart into products; a BART classifier has to be run all the same."""
    small = facts_of(MODELS[name]())
    monkeypatch.setattr(shrink, "LARGE", 0)
    large = facts_of(MODELS[name]())
    assert large.flops == small.flops
    assert large.flops
    assert set(products(large)) == {"float32"}
    on_meta = any("bmm" in operator for operator in large.operators or {})
    assert on_meta == (name != "bart")


@pytest.mark.parametrize("activations", ["token", "tensor"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", ["bert", "bart", "llama"])
def test_int8_products_count_and_show(
    name: str, large: bool, activations: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = facts_of(MODELS[name]())
    monkeypatch.setattr(shrink, "LARGE", 0 if large else 10**9)
    facts = facts_of(int8(MODELS[name](), activations))
    assert facts.flops == expected.flops
    assert products(facts)["int8"] > 10
    assert facts.weights == expected.parameters < facts.parameters  # scales apart
    assert set(facts.types) == {"float32", "int8"}
    assert facts.bytes < expected.bytes / 2


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("packing", "kind"), [(Packing("int8"), "int8"), (Packing("int4", 32), "int4")])
def test_packed_products_count_and_show(
    packing: Packing, kind: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass with real kernels, or one row through each size of module: the same operators as often."""
    model = tiny.bert(width=32).to(torch.bfloat16)  # type: ignore[arg-type]
    expected = facts_of(model)
    pack(model, packing, ["classifier"], step="weight_only")  # whose three outputs int4 would fill up
    monkeypatch.setattr(shrink, "LARGE", 0 if large else 10**9)
    facts = facts_of(model)
    assert facts.flops == expected.flops
    assert products(facts)[kind] == 3 * 6 + 1
    assert facts.bytes < 0.8 * expected.bytes
    assert not any("forward" in vars(module) for module in model.modules())
    with torch.no_grad():
        assert model(input_ids=torch.ones(1, 5, dtype=torch.int64)).logits.isfinite().all()


@pytest.mark.parametrize("activations", ["token", "tensor"])
def test_every_int8_backend_counts_alike(activations: str) -> None:
    layer = Int8DynamicLinear.from_linear(nn.Linear(32, 24), activations)
    for backend in available_backends(layer.activations, "cpu"):
        layer.use_backend(backend)
        with torch.no_grad(), Watch() as watch:
            layer(torch.randn(2, 5, 32))
        assert watch.flops == 2 * 10 * 32 * 24, backend
        (operator,) = watch.operators  # packing is none
        assert operator.endswith(" float32" if backend == "reference" else " int8"), backend


def test_torchs_own_counter_agrees_where_it_can_see() -> None:
    """On the meta device it sees attention; on the CPU only the rest, and of int8 nothing."""
    model = tiny.bert()
    state = {n: t.to("meta") for n, t in (*model.named_parameters(), *model.named_buffers())}
    inputs = {"input_ids": torch.zeros(1, L, dtype=torch.int64, device="meta")}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.func.functional_call(model, state, args=(), kwargs=inputs)
    assert counter.get_total_flops() == facts_of(model).flops
    quantised = int8(model)
    flops = facts_of(quantised).flops  # and what is packed is packed
    assert flops
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        quantised(input_ids=torch.zeros(1, L, dtype=torch.int64))
    assert counter.get_total_flops() < flops


def test_types_are_named() -> None:
    facts = facts_of(tiny.bert().to(torch.bfloat16))  # type: ignore[arg-type]
    assert set(products(facts)) == {"bfloat16"}
    assert facts.types == {"bfloat16": facts.parameters}
    assert facts.bytes == 2 * facts.parameters


def test_looking_changes_nothing() -> None:
    model = int8(tiny.bart())
    before = copy.deepcopy(model.state_dict())
    places = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    draw = torch.get_rng_state()
    first = facts_of(model)
    assert torch.equal(draw, torch.get_rng_state())
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {name: tensor.data_ptr() for name, tensor in after.items()} == places
    assert not model.training
    assert facts_of(model) == first


def test_what_is_shared_counts_once() -> None:
    model = tiny.writer()
    names = {id(p): p.numel() for p in model.parameters()}  # the output layer is the embedding
    buffers = model.state_dict()["final_logits_bias"].numel()
    assert facts_of(model).parameters == sum(names.values()) + buffers
    assert facts_of(model).bytes == 4 * facts_of(model).parameters


def test_a_model_that_cannot_be_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("needs pixels")

    model = tiny.bert()
    monkeypatch.setattr(model, "forward", broken)
    facts = facts_of(model)
    assert facts.flops is None
    assert facts.operators is None
    assert facts.unknown == "a forward pass of batch 1 x 64 tokens failed: needs pixels"
    assert facts.layers == 3


def test_masks_adapters_and_parametrizations_are_seen() -> None:
    class Halved(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 2

    model: Any = tiny.bert(layers=1)
    assert leftovers(model) == ()
    layer = model.bert.encoder.layer[0]
    layer.register_buffer("causal_mask", torch.ones(4, 4))  # of nothing that stands beside it
    assert leftovers(model) == ()
    for linear in (layer.output.dense, layer.intermediate.dense):
        prune.l1_unstructured(linear, "weight", amount=0.5)  # type: ignore[no-untyped-call]
    parametrize.register_parametrization(model.classifier, "weight", Halved())
    assert leftovers(model) == (
        "2 pruning masks (bert.encoder.layer.0.intermediate.dense.weight_mask)",
        "1 parametrization (classifier.weight)",
    )
    plain = tiny.bert(layers=1)
    adapted: Any = get_peft_model(plain, LoraConfig(target_modules=["query"], r=2))
    (found,) = leftovers(adapted.base_model.model)
    assert "adapter" in found
    adapted.merge_and_unload()
    assert leftovers(plain) == ()


def test_zeros_are_counted_exactly_or_of_an_even_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.ones(40, 100)
    weight[:10] = 0
    table = torch.zeros(5, 5, dtype=torch.uint8)  # a zero there is the smallest value of its row
    assert zero_share([weight, torch.zeros(7), table]) == 0.25
    assert zero_share([]) == 0
    half = torch.ones(1000, 100)
    half.view(-1, 4)[:, :2] = 0  # two of every four
    monkeypatch.setattr(shrink, "LOOKED_AT", 25_000)
    assert zero_share([half]) == pytest.approx(0.5, abs=1e-3)
