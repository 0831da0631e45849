"""2:4 sparsity: exactly two of four stay, and the right two; nothing else changes; what it says of itself."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from bench.architecture import architecture_of, describe
from bench.artefacts import weight_bytes
from bench.data import DataSpec, Example
from bench.errors import BadInput
from bench.measure.delivered import delivered
from bench.measure.latency import backend_of
from bench.measure.shrink import facts_of
from bench.methods.cast import Cast
from bench.methods.input_norms import input_norms
from bench.methods.sparse_2_4 import Sparse24
from bench.methods.sparse_layout import is_sparse_2_4, thin_out, two_of_four, use_sparse_kernels
from bench.models import load, save
from bench.recipe import Workplace
from tests import tiny
from tests.answering import applied, asked_by

WORK = Workplace(0, {})


def test_pattern_by_hand() -> None:
    linear = nn.Linear(8, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0, -3, 2, 0.5, -9, 8, 7, -8], [0, 0, 0, 1, 2, 2, 2, 2]])
    thin_out(linear)
    # Equal magnitudes: the earlier ones stay.
    assert linear.weight.tolist() == [[0, -3, 2, 0, -9, 8, 0, 0], [0, 0, 0, 1, 2, 2, 0, 0]]
    linear.weight.data = torch.tensor([[1.0, -3, 2, 0.5], [4, 3, 2, 1]])
    thin_out(linear, norms=torch.tensor([10.0, 1, 0, 4]))
    assert linear.weight.tolist() == [[1, -3, 0, 0], [4, 0, 0, 1]]  # scores 10 3 0 2, and 40 3 0 4


def test_two_of_every_four() -> None:
    torch.manual_seed(0)
    score = torch.rand(5, 24)
    kept = two_of_four(score).view(5, 6, 4)
    assert kept.sum(-1).eq(2).all()
    rows = score.view(5, 6, 4)
    assert bool((rows.masked_fill(~kept, 9).amin(-1) >= rows.masked_fill(kept, -1).amax(-1)).all())
    assert not is_sparse_2_4(score)
    assert is_sparse_2_4(score * two_of_four(score))
    assert not is_sparse_2_4(torch.zeros(3, 6))


@pytest.mark.parametrize("kind", ["bert", "bart", "distilbert"])
def test_every_linear_layer(kind: str, models: dict[str, Path], tmp_path: Path) -> None:
    plain = load(models[kind])
    before = {name: tensor.clone() for name, tensor in plain.model.state_dict().items()}
    facts = facts_of(plain.model)
    made = Sparse24().apply(plain, WORK)
    save(made, tmp_path / "x")
    again = load(tmp_path / "x")
    linears = {f"{name}.weight" for name, m in again.model.named_modules() if type(m) is nn.Linear}
    for name, tensor in again.model.state_dict().items():
        if name in linears:
            kept = tensor != 0
            assert kept.view(len(tensor), -1, 4).sum(-1).eq(2).all(), name
            assert torch.equal(tensor, before[name] * kept)
            smaller = (before[name].abs() * ~kept).view(len(tensor), -1, 4).amax(-1)
            assert bool((before[name].abs().masked_fill(~kept, 9).view(len(tensor), -1, 4).amin(-1) >= smaller).all())
        else:
            assert torch.equal(tensor, before[name]), name
    after = facts_of(again.model)
    assert after.zeros > facts.zeros + 0.3  # embeddings stay dense
    assert (
        delivered("sparse_2_4", Sparse24().promise(describe(tmp_path / "x"), {}), facts, after)["verdict"]
        == "delivered"
    )
    assert abs(weight_bytes(tmp_path / "x") - weight_bytes(models[kind])) < 200  # no smaller: the zeros are stored
    assert again.loader == "sparse_2_4"
    assert set(made.evidence["sparse_2_4"]["sparse"]) == {name.removesuffix(".weight") for name in linears}
    assert made.evidence["sparse_2_4"]["stored"] == "dense, with zeros"
    assert use_sparse_kernels(again.model) == 0  # on a CPU all stays dense
    assert backend_of(again) == "dense kernels: no 2:4 ones here for any weight"


def test_a_cast_may_follow(models: dict[str, Path], tmp_path: Path) -> None:
    save(Sparse24(keep=("classifier",)).apply(load(models["bert"]), WORK), tmp_path / "sparse")
    save(Cast().apply(load(tmp_path / "sparse"), WORK), tmp_path / "short")
    short = load(tmp_path / "short")
    assert short.loader == "sparse_2_4"
    assert short.model.dtype == torch.bfloat16
    linears = {name: m for name, m in short.model.named_modules() if type(m) is nn.Linear}
    assert [name for name, m in linears.items() if not is_sparse_2_4(m.weight)] == ["classifier"]
    assert describe(tmp_path / "short").sealed == "sparse_2_4"


def test_norms_by_hand(models: dict[str, Path]) -> None:
    """The classifier of a BERT sees one vector a sample; its input norms are those of the pooled states."""
    loaded = load(models["bert"])
    layers = {n: m for n, m in loaded.model.named_modules() if type(m) is nn.Linear}
    rows = [Example(0, "red cat", "blue dog", ""), Example(1, "the bird runs", "not big", "")]
    found = input_norms(loaded, layers, rows, 32)
    assert found.keys() == layers.keys()
    pooled = []
    with torch.inference_mode():
        for row in rows:
            ids = loaded.tokenizer(row.text, row.pair, return_tensors="pt")
            pooled.append(loaded.model.base_model(**ids).pooler_output[0])
    assert torch.allclose(found["classifier"], torch.stack(pooled).norm(dim=0), rtol=1e-5)
    assert all(not m._forward_pre_hooks for m in layers.values())


def test_wanda(models: dict[str, Path], data: dict[str, DataSpec]) -> None:
    work = Workplace(0, {"train": data["train"]})
    step = Sparse24(score="wanda", data="train", samples=8)
    made = applied(step, load(models["bert"]), work)
    assert asked_by(step) == asked_by(Sparse24(score="wanda", data="train", samples=8, keep=("classifier",)))
    plain, twin = load(models["bert"]), Sparse24().apply(load(models["bert"]), WORK)
    name = "bert.encoder.layer.1.output.dense"
    norms = input_norms(plain, {name: plain.model.get_submodule(name)}, data["train"].examples()[:8], 512)[name]  # type: ignore[dict-item]
    expected = plain.model.get_parameter(f"{name}.weight").detach()
    expected = expected * two_of_four(expected.abs() * norms)
    assert torch.equal(made.model.get_parameter(f"{name}.weight"), expected)
    assert not torch.equal(expected, twin.model.get_parameter(f"{name}.weight"))
    assert step.data_names() == ("train",)
    assert step.label(architecture_of(tiny.bert(1).config.to_dict())) == "2:4 sparse (Wanda)"


def test_bad_requests(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="needs data, a calibration data set, where score is wanda"):
        Sparse24(score="wanda")
    with pytest.raises(ValidationError, match="and only there"):
        Sparse24(data="train")
    with pytest.raises(BadInput, match="sparse_2_4 keeps 'x' in float, but no Linear layer has that name"):
        Sparse24(keep=("x",)).apply(load(models["bert"]), WORK)
    bert = load(models["bert"])
    with pytest.raises(BadInput, match=r"sparse_2_4\.data has no row with text"):
        input_norms(bert, {}, [], 8)
    odd = tiny.saved(tiny.bert(1, width=6), tmp_path / "odd")
    with pytest.raises(BadInput, match="a multiple of 4"):
        Sparse24(keep=("*output.dense", "*intermediate.dense")).apply(load(odd), WORK)
