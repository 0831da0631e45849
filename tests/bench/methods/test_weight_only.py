"""int8 and int4 weights as a step, and fp8: which layers, how many bytes, what is refused, what comes after."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from bench.architecture import describe
from bench.artefacts import weight_bytes
from bench.errors import BadInput
from bench.measure.delivered import delivered
from bench.measure.shrink import facts_of
from bench.methods.cast import Cast
from bench.methods.fp8 import Fp8
from bench.methods.int8_dynamic import Int8Dynamic
from bench.methods.packed_linear import PackedLinear
from bench.methods.weight_only import WeightOnly
from bench.models import Loaded, load, parameter_count, save, unique_state
from bench.recipe import Base, Recipe, Stage, Step, Workplace, step_class
from tests import tiny

WORK = Workplace(0, {})
IDS = torch.tensor([[0, 5, 6, 7, 2], [0, 9, 2, 1, 1]])
STEPS: dict[str, Step] = {
    "int8": WeightOnly(),
    "int4": WeightOnly(bits=4, group=32),
    "fp8": Fp8(),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wide")
    made = {
        "bert": tiny.bert(1, width=32),
        "bart": tiny.bart(1, 1, width=32),
        "llama": tiny.causal("llama", layers=1, width=32),
        "tied": tiny.causal("llama", layers=1, width=32, tie_word_embeddings=True),
    }
    return {name: tiny.saved(model, folder / name) for name, model in made.items()}


def packed_names(loaded: Loaded) -> set[str]:
    return {name for name, m in loaded.model.named_modules() if isinstance(m, PackedLinear)}


def logits(loaded: Loaded) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = loaded.model(input_ids=IDS, attention_mask=(IDS != 1).long()).logits
    return found.float()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["bert", "bart", "llama", "tied"])
@pytest.mark.parametrize("name", STEPS)
def test_saved_and_loaded(name: str, kind: str, dtype: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """The same logits to the bit, the bytes that the format says, and near the model that it came from."""
    source = load(folders[kind])
    if dtype == "bfloat16":
        Cast().apply(source, WORK)
    exact, before = logits(source), facts_of(source.model)
    plain = {n: (m.out_features, m.in_features) for n, m in source.model.named_modules() if type(m) is nn.Linear}
    numbers, size = parameter_count(source.model), sum(t.nbytes for t in unique_state(source.model).values())
    made = STEPS[name].apply(source, WORK)
    save(made, tmp_path / "x")
    again = load(tmp_path / "x")
    chosen = packed_names(again)
    assert chosen == packed_names(made) == set(plain) - ({"lm_head"} if kind == "tied" else set())
    assert torch.equal(logits(again), logits(made))
    assert 0 < (logits(again) - exact).abs().max() < 0.5 * exact.abs().max()

    item = 2 if dtype == "bfloat16" else 4
    cells = sum(o * i for n, (o, i) in plain.items() if n in chosen)
    rows = sum(o for n, (o, _) in plain.items() if n in chosen)
    packed = {"int8": cells + 4 * rows, "fp8": cells + 4 * rows, "int4": cells // 2 + 4 * cells // 32}[name]
    wanted = size - item * cells + packed
    assert sum(t.nbytes for t in unique_state(again.model).values()) == wanted
    written = (tmp_path / "x" / "model.safetensors").read_bytes()
    assert len(written) - 8 - int.from_bytes(written[:8], "little") == wanted
    assert weight_bytes(tmp_path / "x") == len(written)
    scales = {"int8": rows, "fp8": rows, "int4": 2 * cells // 32}[name]
    assert parameter_count(again.model) == numbers + scales
    architecture = describe(tmp_path / "x")
    assert (architecture.sealed, architecture.dtype) == ("fp8" if name == "fp8" else "weight_only", dtype)
    kept = delivered(name, STEPS[name].promise(architecture, {}), before, facts_of(again.model))
    assert kept["verdict"] == "delivered", kept["reason"]


def test_layers_that_do_not_fit_are_named(folders: dict[str, Path]) -> None:
    """Of width 32, the second feed-forward layer alone takes groups of 64."""
    made = WeightOnly(bits=4, group=64).apply(load(folders["bert"]), WORK)
    assert packed_names(made) == {"bert.encoder.layer.0.output.dense"}
    assert made.evidence["weight_only"]["packed"] == ["bert.encoder.layer.0.output.dense"]
    assert "classifier" in made.evidence["weight_only"]["unfit"]
    with pytest.raises(BadInput, match=r"weight_only needs inputs in multiples of 128, but .* \(3, 32\)"):
        WeightOnly(bits=4).apply(load(folders["bert"]), WORK)
    token = Fp8(activations="token").apply(load(folders["bert"]), WORK)
    assert token.evidence["fp8"]["unfit"] == ["classifier"]  # three outputs


def test_kept_layers(folders: dict[str, Path]) -> None:
    made = WeightOnly(keep=("classifier", "*.attention.*")).apply(load(folders["bert"]), WORK)
    assert packed_names(made) == {
        "bert.pooler.dense",
        *(f"bert.encoder.layer.0.{n}.dense" for n in ("intermediate", "output")),
    }
    with pytest.raises(BadInput, match="weight_only keeps 'head' in float, but no Linear layer has that name"):
        WeightOnly(keep=("head",)).apply(load(folders["bert"]), WORK)
    with pytest.raises(BadInput, match="fp8 finds no Linear layer to quantise"):
        Fp8(keep=("*",)).apply(load(folders["bert"]), WORK)


def test_weights_that_are_not_finite(folders: dict[str, Path]) -> None:
    loaded = load(folders["bert"])
    with torch.no_grad():
        loaded.model.get_parameter("classifier.weight")[0, 0] = float("nan")
    with pytest.raises(BadInput, match="cannot be applied to classifier: the weight holds NaN"):
        WeightOnly().apply(loaded, WORK)


def recipe(folder: Path, *steps: tuple[str, dict[str, Any]]) -> Recipe:
    base = Base("tiny", str(folder), str(folder), "x", describe(folder))
    return Recipe(base, tuple(Stage(step_class(n).model_validate(s), 0) for n, s in steps), {})


@pytest.mark.parametrize("last", ["weight_only", "fp8", "sparse_2_4", "compile", "int8_dynamic"])
def test_what_may_come_after(last: str, folders: dict[str, Path]) -> None:
    allowed = {"sparse_2_4": {"cast", "compile"}, "compile": set[str]()}.get(last, {"compile"})
    others: dict[str, dict[str, Any]] = {
        "cast": {},
        "compile": {},
        "weight_only": {},
        "fp8": {},
        "sparse_2_4": {},
        "int8_dynamic": {},
        "layer_copy": {"encoder": 1},
        "finetune": {"data": "x"},
    }
    for name, settings in others.items():
        tried = recipe(folders["bert"], (last, {}), (name, settings))
        if name in allowed:
            assert tried.check().sealed in (last, "compile")
            continue
        with pytest.raises(BadInput, match=rf"Step 2 \({name}\) of 'tiny': {name} cannot follow {last}: put it before"):
            tried.check()
    tried = recipe(folders["bert"], ("sparse_2_4", {}), ("cast", {}), ("compile", {}))
    assert tried.variant_name == "tiny: 2:4 sparse, bf16, compiled"


def test_a_packed_folder_is_known_as_one(folders: dict[str, Path], tmp_path: Path) -> None:
    save(WeightOnly(bits=4, group=32).apply(load(folders["bert"]), WORK), tmp_path / "x")
    with pytest.raises(BadInput, match="cast cannot follow weight_only"):
        recipe(tmp_path / "x", ("cast", {})).check()
    marker = tmp_path / "x" / "paredown.json"
    marker.write_text(marker.read_text().replace('"weight_only"', '"weights_only"'))
    with pytest.raises(BadInput, match=r"no loader called 'weights_only'\. Did you mean 'weight_only'"):
        load(tmp_path / "x")


def test_settings() -> None:
    with pytest.raises(ValidationError, match="8 bits have one scale a row, so leave group out"):
        WeightOnly(group=32)
    with pytest.raises(ValidationError):
        WeightOnly.model_validate({"bits": 4, "group": 48})
    bert = describe_tiny()
    assert WeightOnly().label(bert) == "int8 weights"
    assert WeightOnly(bits=4, keep=("a",)).label(bert) == "int4 weights (groups of 128, 1 kept in float)"
    assert WeightOnly(keep=("a.*",)).label(bert) == "int8 weights, 1 pattern kept in float"
    assert Fp8().label(bert) == "fp8 weights"
    assert Fp8(activations="token").label(bert) == "fp8"
    assert Fp8(keep=("a.*", "b")).label(bert) == "fp8 weights (2 patterns kept in float)"
    assert Int8Dynamic().check(Cast().check(bert)).sealed == "int8_dynamic"


def describe_tiny() -> Any:
    from bench.architecture import architecture_of

    return architecture_of(tiny.bert(1).config.to_dict())
