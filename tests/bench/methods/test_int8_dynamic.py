"""Dynamic int8 on whole models: which layers, which stay, how many bytes, computed by hand."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bench.architecture import describe
from bench.errors import BadInput
from bench.methods.cast import Cast
from bench.methods.int8_dynamic import Int8Dynamic, choose, kept_as
from bench.methods.int8_linear import Int8DynamicLinear
from bench.models import Loaded, load, parameter_count, save, unique_state
from bench.recipe import Workplace

WORK = Workplace(0, {})


def quantised(folder: Path, **settings: object) -> Loaded:
    return Int8Dynamic.model_validate(settings).apply(load(folder), WORK)


def int8_names(loaded: Loaded) -> set[str]:
    return {name for name, module in loaded.model.named_modules() if isinstance(module, Int8DynamicLinear)}


def float_names(loaded: Loaded) -> set[str]:
    return {name for name, module in loaded.model.named_modules() if type(module) is nn.Linear}


def test_every_linear_layer_becomes_int8(models: dict[str, Path]) -> None:
    """6 a BART encoder layer (q, k, v, out, fc1, fc2), 10 a decoder layer (cross attention too), 2 in the head."""
    found = quantised(models["bart"])
    assert len(int8_names(found)) == 2 * 6 + 4 * 10 + 2
    assert float_names(found) == set()
    bert = quantised(models["bert"])
    assert len(int8_names(bert)) == 3 * 6 + 1 + 1  # the pooler and the classifier


def test_kept_layers_stay_as_they_were(models: dict[str, Path]) -> None:
    before = load(models["bart"]).model
    found = quantised(models["bart"], keep_fp32=["*.fc1", "model.decoder.layers.3.*", "classification_head.out_proj"])
    kept = float_names(found)
    assert kept == {
        name
        for name, module in before.named_modules()
        if type(module) is nn.Linear
        and (
            name.endswith(".fc1")
            or name.startswith("model.decoder.layers.3.")
            or name == "classification_head.out_proj"
        )
    }
    assert len(kept) == 2 + 3 + 10 + 1
    for name in kept:
        assert torch.equal(before.get_parameter(f"{name}.weight"), found.model.get_parameter(f"{name}.weight"))


def test_unknown_pattern_is_named(models: dict[str, Path]) -> None:
    with pytest.raises(BadInput, match=r"keeps 'decoder\.fc9' in float, but no Linear layer has that name"):
        quantised(models["bart"], keep_fp32=["*.fc1", "decoder.fc9"])
    with pytest.raises(BadInput, match="finds no Linear layer to quantise"):
        quantised(models["bart"], keep_fp32=["*"])


def test_a_layer_tied_to_an_embedding_stays() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(7, 4)
            self.middle = nn.Linear(4, 4)
            self.lm_head = nn.Linear(4, 7, bias=False)
            self.lm_head.weight = self.embed.weight

    assert list(choose(Tied(), ())) == ["middle"]


def test_bytes_by_hand(models: dict[str, Path], tmp_path: Path) -> None:
    """A layer [out, in] in float32 takes 4 bytes a weight and bias; in int8 1 a weight, 4 a scale and 4 a bias."""
    plain = load(models["bart"])
    save(plain, tmp_path / "plain")
    made = quantised(models["bart"])
    save(made, tmp_path / "int8")
    saved_bytes = 0
    for linear in plain.model.modules():
        if type(linear) is nn.Linear:
            saved_bytes += 3 * linear.in_features * linear.out_features - 4 * linear.out_features

    def tensors(folder: str) -> int:
        return sum(t.numel() * t.element_size() for t in unique_state(load(tmp_path / folder).model).values())

    before = tensors("plain")
    assert before == 4 * parameter_count(plain.model)
    assert before - tensors("int8") == saved_bytes > 0
    for name in ("plain", "int8"):
        written = (tmp_path / name / "model.safetensors").read_bytes()
        header = int.from_bytes(written[:8], "little")  # names and shapes; the rest are tensors, each once
        assert len(written) == 8 + header + tensors(name)


def test_settings_travel_with_the_artefact(models: dict[str, Path], tmp_path: Path) -> None:
    made = quantised(models["bert"], activations="tensor", keep_fp32=["classifier"])
    save(made, tmp_path / "x")
    again = load(tmp_path / "x")
    assert again.loader == "int8_dynamic"
    assert {again.model.get_submodule(n).activations for n in int8_names(again)} == {"tensor"}
    assert int8_names(again) == int8_names(made)
    assert float_names(again) == {"classifier"}
    assert describe(tmp_path / "x").int8


def test_order_of_steps(models: dict[str, Path]) -> None:
    bart = describe(models["bart"])
    after = Int8Dynamic().check(bart)
    assert after.int8
    with pytest.raises(BadInput, match="stands twice"):
        Int8Dynamic().check(after)
    with pytest.raises(BadInput, match="cast cannot follow int8_dynamic"):
        Cast().check(after)
    assert Int8Dynamic().check(Cast().check(bart)).dtype == "bfloat16"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_cast_halves_the_bytes(dtype: str, models: dict[str, Path], tmp_path: Path) -> None:
    plain = load(models["bart"])
    count = parameter_count(plain.model)
    before = {k: v.clone() for k, v in plain.model.state_dict().items()}
    save(Cast.model_validate({"dtype": dtype}).apply(plain, WORK), tmp_path / "x")
    again = load(tmp_path / "x")
    short = getattr(torch, dtype)
    assert sum(t.numel() * t.element_size() for t in unique_state(again.model).values()) == 2 * count
    assert all(torch.equal(v.to(short), again.model.state_dict()[k]) for k, v in before.items())
    assert describe(tmp_path / "x").dtype == dtype


def test_a_label_counts_modules_only_where_names_are_exact() -> None:
    """How many modules a pattern matches is not known without the model: 13 patterns of bart_cnn_int8 match 40."""
    assert kept_as(()) == ""
    assert kept_as(("a.fc1",)) == "1 kept in float"
    assert kept_as(("a.fc1", "a.fc2")) == "2 kept in float"
    assert kept_as(("a.fc[12]",)) == "1 pattern kept in float"
    assert kept_as(("a.fc?", "lm_head")) == "2 patterns kept in float"
    assert kept_as(("a.*", "b.*"), "dense") == "2 patterns kept dense"
