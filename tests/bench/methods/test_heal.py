"""Healing: adapters are folded into the weights they were made for, the rest stays, and it makes the model better."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers import PreTrainedModel

from bench.architecture import describe
from bench.data import DataSpec
from bench.errors import BadInput
from bench.methods.adapters import Adapters, adapted, healed, targets_of
from bench.methods.depth_prune import DepthPrune
from bench.methods.finetune import Finetune
from bench.methods.heal import Heal
from bench.methods.objectives import cross_entropy, objective
from bench.models import Loaded, load, save
from bench.recipe import Workplace
from tests import tiny

QUICK: dict[str, Any] = {"data": "texts", "rank": 2, "steps": 3, "batch": 8, "learning_rate": 1e-2, "max_length": 32}
MAKERS: dict[str, Callable[[], PreTrainedModel]] = {
    **{kind: partial(tiny.causal, kind) for kind in tiny.CAUSAL},
    "bert": tiny.bert,
    "distilbert": tiny.distilbert,
    "bart": tiny.bart,
    "writer": tiny.writer,
}
# Feed-forward matrices of a layer, and layers, by kind.
FEED_FORWARD = {"llama": 12, "mistral": 12, "qwen2": 12, "qwen3": 12, "gpt2": 8, "bert": 6, "distilbert": 6}
FEED_FORWARD |= {"bart": 12, "writer": 12}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSpec]:
    """The same rows as text alone, as texts with something to write, and as pairs with classes."""
    path = str(tiny.data_file(tmp_path_factory.mktemp("heal") / "rows.jsonl", 64, seed=1))
    return {
        "texts": DataSpec(source=path, text="premise", label=None),
        "references": DataSpec(source=path, text="premise", label="hypothesis"),
        "classes": DataSpec(source=path, text="premise", pair="hypothesis"),
    }


def data_of(kind: str) -> str:
    return "references" if kind == "writer" else "classes" if kind in ("bert", "distilbert", "bart") else "texts"


def applied(model: PreTrainedModel, specs: dict[str, DataSpec], seed: int = 0, **settings: object) -> Loaded:
    step = Heal.model_validate({**QUICK, **settings})
    return step.apply(Loaded(model, tiny.tokenizer(), Path()), Workplace(seed, specs))


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def loss_of(loaded: Loaded, spec: DataSpec) -> float:
    inputs = objective(loaded, spec.examples(), "x", max_length=32)
    with torch.no_grad():
        return cross_entropy(loaded.model, inputs.batch(range(64))).item()


@pytest.mark.parametrize("kind", MAKERS)
def test_feed_forward_weights_alone_change(kind: str, data: dict[str, DataSpec], tmp_path: Path) -> None:
    """What is saved is a plain model of the same names, and computes in memory what it computes when loaded."""
    model = MAKERS[kind]()
    before = state_of(model)
    names = targets_of(model, None)
    assert len(names) == FEED_FORWARD[kind]
    made = applied(model, data, data=data_of(kind))
    assert type(made.model) is type(MAKERS[kind]())
    after = state_of(made.model)
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{name}.weight" for name in names}
    assert all(p.requires_grad for p in made.model.parameters())
    assert not made.model.training
    made.source = tiny.saved(model, tmp_path / "source")
    save(made, tmp_path / "healed")
    assert sorted(p.name for p in (tmp_path / "healed").glob("adapter*")) == []
    again = load(tmp_path / "healed").model.state_dict()
    assert all(torch.equal(after[name], again[name]) for name in after)


@pytest.mark.parametrize(("kind", "stack"), [("gpt2", None), ("writer", "decoder")])
def test_it_heals_what_pruning_broke(kind: str, stack: str | None, data: dict[str, DataSpec]) -> None:
    """A trained model without its first layers has lost much; adapters win most of it back."""
    name = data_of(kind)
    model = Loaded(MAKERS[kind](), tiny.tokenizer(), Path())
    work = Workplace(0, data)
    Finetune(data=name, learning_rate=1e-2, batch=16, epochs=99, max_steps=80, max_length=32).apply(model, work)
    trained = loss_of(model, data[name])
    DepthPrune.model_validate({"drop": [0, 1], "stack": stack}).apply(model, work)
    pruned = loss_of(model, data[name])
    assert pruned > trained + 0.1
    made = applied(model.model, data, data=name, steps=40, rank=8, batch=16)
    assert loss_of(made, data[name]) < trained + 0.4 * (pruned - trained)
    found = made.evidence["heal"]
    assert found == json.loads(json.dumps(found, allow_nan=False))
    assert found["losses"][-1][0] == 40
    assert found["losses"][0][1] == pytest.approx(pruned, abs=0.3)


def test_folding_gives_what_the_adapters_gave() -> None:
    """W + (alpha / rank) B A, by hand, and so the same outputs."""
    model = tiny.causal()
    name = "model.layers.1.mlp.up_proj"
    weight = model.get_parameter(f"{name}.weight").detach().clone()
    ids = torch.tensor([[0, 5, 6, 7, 2]])
    kept: dict[str, torch.Tensor] = {}

    def fill(wrapped: nn.Module, _accelerator: object) -> None:
        torch.manual_seed(3)
        for key, parameter in wrapped.named_parameters():
            if "lora_" in key:
                nn.init.normal_(parameter)
        layer = wrapped.get_submodule(f"base_model.model.{name}")
        for side in ("A", "B"):
            kept[side] = layer.get_parameter(f"lora_{side}.default.weight").detach().clone()
        with torch.no_grad():
            kept["logits"] = wrapped.train(False)(input_ids=ids).logits

    made = healed(model, Adapters(rank=3, alpha=6.0, dropout=0.5, targets=(name,)), fill)
    assert kept["A"].shape == (3, 16)
    expected = weight + 6.0 / 3 * kept["B"] @ kept["A"]
    assert torch.allclose(made.get_parameter(f"{name}.weight"), expected, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(made(input_ids=ids).logits, kept["logits"], atol=1e-5)


def test_adapters_of_mistral_as_published() -> None:
    """24 layers of Mistral-7B at rank 4: 24 * 3 * 4 * (4096 + 14336) weights are trained."""
    from accelerate import init_empty_weights  # type: ignore[import-untyped]
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(num_hidden_layers=24, num_key_value_heads=8, intermediate_size=14336)
    with init_empty_weights():
        wrapped = adapted(MistralForCausalLM(config), Adapters(4, 4, 0.05))
    assert sum(p.numel() for p in wrapped.parameters() if p.requires_grad) == 24 * 3 * 4 * (4096 + 14336) == 5_308_416
    assert sum(p.numel() for p in wrapped.parameters()) == 5_496_836_096 + 5_308_416


def test_head_and_last_layers(data: dict[str, DataSpec]) -> None:
    model = tiny.causal()
    before = state_of(model)
    made = applied(model, data, adapters=False, train="lm_head_and_last", last=2)
    after = state_of(made.model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {n for n in before if n.startswith(("lm_head.", "model.layers.2.", "model.layers.3."))}
    assert all(p.requires_grad for p in made.model.parameters())
    trained = sum(before[name].numel() for name in changed)
    assert made.evidence["heal"]["trained"] == trained
    everything = applied(tiny.causal(), data, adapters=False)
    assert all(not torch.equal(v, before[k]) for k, v in state_of(everything.model).items())


def test_head_and_last_layers_of_two_stacks(data: dict[str, DataSpec]) -> None:
    model = tiny.bart()
    before = state_of(model)
    after = state_of(applied(model, data, data="classes", adapters=False, train="lm_head_and_last", last=1).model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= {n for n in before if n.startswith(("classification_head.", "model.decoder.layers.3."))}
    assert {"classification_head.dense.weight", "model.decoder.layers.3.fc1.weight"} <= changed


def test_a_seed_decides_every_byte(data: dict[str, DataSpec]) -> None:
    torch.manual_seed(123)
    first = state_of(applied(tiny.causal(), data, seed=5).model)
    torch.manual_seed(321)
    again = state_of(applied(tiny.causal(), data, seed=5).model)
    other = state_of(applied(tiny.causal(), data, seed=6).model)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_parts_of_a_batch_are_the_batch(data: dict[str, DataSpec]) -> None:
    """Rows of unequal lengths in three parts: the mean is over tokens, as without parts. No dropout in a Llama."""
    whole, parts = (
        applied(tiny.causal(), data, adapters=False, batch=8, accumulation=n, learning_rate=1e-3) for n in (1, 3)
    )
    for (_, a), (_, b) in zip(whole.evidence["heal"]["losses"], parts.evidence["heal"]["losses"], strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    more = applied(tiny.causal(), data, adapters=False, batch=60, accumulation=5, steps=2)  # the epoch ends on 4 rows
    one = applied(tiny.causal(), data, adapters=False, batch=60, steps=2)
    assert [x for _, x in more.evidence["heal"]["losses"]] == pytest.approx(
        [x for _, x in one.evidence["heal"]["losses"]], rel=1e-4
    )


def test_divergence_leaves_finite_weights_and_no_adapters(data: dict[str, DataSpec]) -> None:
    model = tiny.causal()
    with pytest.raises(BadInput, match=r"diverged at step \d+ of 20 \(loss .*lower learning_rate"):
        applied(model, data, learning_rate=1e30, clip=1e30, warmup=0.0, steps=20)
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    assert not [name for name, _ in model.named_modules() if "lora" in name]


def test_bfloat16_models_keep_their_precision(data: dict[str, DataSpec]) -> None:
    made = applied(tiny.causal().bfloat16(), data)
    assert {p.dtype for p in made.model.parameters()} == {torch.bfloat16}


def test_targets_by_pattern() -> None:
    model = tiny.causal()
    assert targets_of(model, ["*.q_proj", "*.3.mlp.*"]) == [
        *(f"model.layers.{i}.self_attn.q_proj" for i in range(4)),
        *(f"model.layers.3.mlp.{n}_proj" for n in ("gate", "up", "down")),
    ]
    with pytest.raises(BadInput, match=r"targets has 'nothing', which names no Linear layer of LlamaForCausalLM"):
        targets_of(model, ["*.q_proj", "nothing"])
    with pytest.raises(BadInput, match=r"does not know what Sequential calls .* such as '\*.0'"):
        targets_of(nn.Sequential(nn.Linear(2, 2)), None)


def test_qlora_says_what_it_lacks(data: dict[str, DataSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match="needs a CUDA GPU, and this worker has none"):
        applied(tiny.causal(), data, qlora=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("bench.methods.adapters.find_spec", lambda _: None)
    with pytest.raises(BadInput, match="needs bitsandbytes, which is not installed"):
        applied(tiny.causal(), data, qlora=True)


def test_what_does_not_fit(models: dict[str, Path]) -> None:
    bert = describe(models["bert"])
    assert Heal(data="x").check(bert) == bert
    assert Heal(data="x").check(bert.changed(dtype="bfloat16")).dtype == "bfloat16"
    wrong: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({}, {"int8": True}, "heal trains float32 or bfloat16 weights, and these are int8"),
        ({"adapters": False}, {"dtype": "bfloat16"}, "heal trains float32 weights, and these are bfloat16"),
        ({}, {"class_name": "BertModel"}, "BertModel is neither: give it a head"),
        ({"adapters": False, "train": "lm_head_and_last", "last": 4}, {}, "heal.last is 4, but the model has 3 layers"),
    ]
    for settings, changes, message in wrong:
        with pytest.raises(BadInput, match=message):
            Heal.model_validate({"data": "x", **settings}).check(bert.changed(**changes))
    for settings, message in (
        ({"qlora": True, "adapters": False}, "leave adapters true"),
        ({"train": "lm_head_and_last"}, "set adapters to false"),
        ({"accumulation": 17}, "splits a batch of 16 rows"),
    ):
        with pytest.raises(ValidationError, match=message):
            Heal.model_validate({"data": "x", **settings})


def test_labels(models: dict[str, Path]) -> None:
    bert = describe(models["bert"])
    assert Heal(data="x").label(bert) == "healed (LoRA rank 64)"
    assert Heal(data="x", qlora=True, rank=4).label(bert) == "healed (QLoRA rank 4)"
    assert Heal(data="x", adapters=False).label(bert) == "healed (all weights)"
    assert Heal(data="x", adapters=False, train="lm_head_and_last").label(bert) == "healed (head and last 3 layers)"
