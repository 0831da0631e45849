"""Int8DynamicLinear: the scheme by hand, agreement of backends, independence of rows, nothing packed ever saved."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from bench.methods import int8_backends
from bench.methods.int8_linear import Int8DynamicLinear, quantise_weight

# Those that this processor computes right: with AVX2 alone some saturate.
TOKEN, TENSOR = (
    tuple(name for name in int8_backends.available_backends(kind, "cpu") if int8_backends.is_correct(name, kind, "cpu"))
    for kind in get_args(int8_backends.Activations)
)
SHAPES = [(1, 64, 48), (5, 33, 17), (37, 7, 3), (32, 1000, 129), (3, 1, 1)]


def layer(inputs: int, outputs: int, activations: str = "token", bias: bool = True, seed: int = 0) -> Int8DynamicLinear:
    torch.manual_seed(seed)
    return Int8DynamicLinear.from_linear(nn.Linear(inputs, outputs, bias=bias), activations)


def test_quantise_weight_by_hand() -> None:
    weight = torch.tensor([[2.55, -2.55, 0.02, 0.03, 0.05], [0.0, 0.0, 0.0, 0.0, 0.0], [1.0, -0.5, 0.25, 0.0, 0.0]])
    q, scale = quantise_weight(weight)
    assert torch.allclose(scale, torch.tensor([0.02, 1.0, 1 / 127.5]))
    # 2.55 / 0.02 = 127.5 rounds to 128 and is clamped; 0.03 / 0.02 = 1.5 -> 2; 0.05 / 0.02 = 2.5 -> 2 or 3 by rounding.
    assert q[0, :4].tolist() == [127, -128, 1, 2]
    assert q[1].tolist() == [0, 0, 0, 0, 0]
    assert q[2].tolist() == [127, -64, 32, 0, 0]  # 127.5, -63.75, 31.875
    assert q.dtype == torch.int8
    assert scale.dtype == torch.float32


def test_quantise_weight_refuses() -> None:
    with pytest.raises(ValueError, match="two dimensions"):
        quantise_weight(torch.ones(3))
    with pytest.raises(ValueError, match="NaN"):
        quantise_weight(torch.tensor([[1.0, float("nan")]]))


def test_tokens_by_hand() -> None:
    x = torch.tensor([[127.0, -63.5, 0.5, 1.5], [0.0, 0.0, 0.0, 0.0], [-2.54, 1.28, 0.0, 0.02]])
    q, scale = int8_backends.quantise_tokens(x)
    assert torch.allclose(scale[:, 0], torch.tensor([1.0, 0.0, 0.02]), atol=1e-30)
    assert q.tolist() == [[127, -64, 0, 2], [0, 0, 0, 0], [-127, 64, 0, 1]]
    made = Int8DynamicLinear(4, 1, activations="token")
    made.weight_int8.copy_(torch.tensor([[1, 2, 3, 4]]))
    made.weight_scale.fill_(0.5)
    assert made.bias is not None
    made.bias.fill_(1.0)
    assert made(x)[:2, 0].tolist() == [0.5 * (127 - 128 + 0 + 8) + 1.0, 1.0]


def test_tensor_by_hand() -> None:
    x = torch.tensor([[-1.0, 0.0, 1.54]])  # scale 2.54 / 127 = 0.02, zero point 50: 7 bits
    found = int8_backends.tensor_range(x)
    assert found is not None
    assert list(found) == pytest.approx([0.02, 50])
    assert int8_backends.quantise_tensor(x, *found).tolist() == [[0, 50, 127]]
    assert int8_backends.tensor_range(torch.tensor([[3e38, -3e38]])) is None  # its range is no float32
    widened = int8_backends.tensor_range(torch.tensor([[1.0, 2.54]]))  # to hold 0
    assert widened is not None
    assert list(widened) == pytest.approx([0.02, 0])


@pytest.mark.parametrize(("rows", "inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_token_backends_are_bit_identical(rows: int, inputs: int, outputs: int, bias: bool) -> None:
    made = layer(inputs, outputs, bias=bias)
    x = torch.randn(rows, inputs) * 3
    results = {}
    for name in TOKEN:
        made.use_backend(name)
        results[name] = made(x)
    for name, result in results.items():
        assert torch.equal(result, results["reference"]), name


def test_token_integer_backends_agree_beyond_the_exact_range_of_float32() -> None:
    made = layer(3000, 8)
    made.weight_int8.fill_(127)
    x = torch.rand(4, 3000) + 1
    results = {}
    for name in TOKEN:
        made.use_backend(name)
        results[name] = made(x)
    exact = results["int_mm"]
    # The reference sums in float32, and halves are added in it.
    assert all(torch.equal(r, exact) for name, r in results.items() if name not in ("halves", "reference"))
    assert all(torch.allclose(r, exact, rtol=1e-5) for r in results.values())


@pytest.mark.parametrize(("rows", "inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_tensor_backends_agree(rows: int, inputs: int, outputs: int, bias: bool) -> None:
    made = layer(inputs, outputs, "tensor", bias=bias)
    x = torch.randn(rows, inputs) * 3
    made.use_backend("reference")
    expected = made(x)
    for name in TENSOR:
        made.use_backend(name)
        assert (made(x) - expected).abs().max() <= 2e-6 * expected.abs().max(), name


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_tensor_equals_torch_ao() -> None:
    if "fused" not in TENSOR:
        pytest.skip("torch.ao's operator is not built in")
    torch.manual_seed(0)
    linear = nn.Linear(96, 40)
    made = Int8DynamicLinear.from_linear(linear, "tensor")
    theirs = torch.ao.nn.quantized.dynamic.Linear(96, 40)  # type: ignore[no-untyped-call]
    q = torch._make_per_channel_quantized_tensor(
        made.weight_int8, made.weight_scale.double(), torch.zeros(40, dtype=torch.int64), 0
    )
    theirs.set_weight_bias(q, linear.bias.detach())
    x = torch.randn(6, 7, 96)
    assert torch.allclose(made(x), theirs(x), atol=2e-6)


@pytest.mark.parametrize("name", TOKEN)
@pytest.mark.parametrize("inputs", [64, 51, 1024])
def test_a_row_does_not_depend_on_its_batch(name: str, inputs: int) -> None:
    made = layer(inputs, 70)
    made.use_backend(name)
    row = torch.randn(1, inputs)
    alone = made(row)
    for rows in (1, 8, 33):
        for place in {0, rows // 2, rows - 1}:
            batch = torch.randn(rows, inputs) * 1e4
            batch[place] = row
            if rows > 1:
                batch[(place + 1) % rows] = float("nan")
            if name == "reference" and inputs > 1000:
                assert torch.allclose(made(batch)[place], alone[0], rtol=1e-5, atol=1e-6)
            else:
                assert torch.equal(made(batch)[place], alone[0])


@pytest.mark.parametrize(("activations", "name"), [("token", n) for n in TOKEN] + [("tensor", n) for n in TENSOR])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_comes_out_as_nan(activations: str, name: str, bad: float) -> None:
    made = layer(40, 24, activations)
    made.use_backend(name)
    x = torch.randn(3, 40)
    x[1, 5] = bad
    y = made(x)
    assert y[1].isnan().all()
    if activations == "token":
        assert y[[0, 2]].isfinite().all()
    else:
        assert y.isnan().all()


@pytest.mark.parametrize("activations", ["token", "tensor"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_shapes_and_types(activations: str, dtype: torch.dtype) -> None:
    made = layer(20, 12, activations)
    x = torch.randn(4, 3, 20).to(dtype)
    y = made(x)
    assert made.bias is not None
    assert y.shape == (4, 3, 12)
    assert y.dtype == dtype
    assert torch.equal(y, made(x.float()).to(dtype))
    assert torch.equal(made(x.transpose(0, 1)), y.transpose(0, 1))
    assert torch.equal(made(x[0, 0]), made(x[0, :1])[0])
    assert made(x[:0]).shape == (0, 3, 12)
    assert made(torch.zeros(2, 20, dtype=dtype)).equal(made.bias.to(dtype).expand(2, 12))
    assert torch.isfinite(made(torch.full((1, 20), 1e-38))).all()


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a floating tensor"):
        layer(4, 2)(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="expected a floating tensor"):
        layer(4, 2)(torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="activations='row' is unknown"):
        Int8DynamicLinear(2, 2, activations="row")
    with pytest.raises(ValueError, match="'cuda_magic' is not available"):
        layer(4, 2).use_backend("cuda_magic")


def test_error_of_int8_is_small() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(256, 64)
    x = torch.randn(50, 256)
    exact = linear(x).detach()
    for activations in ("token", "tensor"):
        error = Int8DynamicLinear.from_linear(linear, activations)(x) - exact
        assert error.norm() / exact.norm() < (0.015 if activations == "token" else 0.05)


def test_state_is_plain_and_nothing_packed_travels() -> None:
    made = layer(32, 16)
    x = torch.randn(4, 32)
    expected = made(x)
    state = made.state_dict()
    assert {k: (v.dtype, tuple(v.shape)) for k, v in state.items()} == {
        "weight_int8": (torch.int8, (16, 32)),
        "weight_scale": (torch.float32, (16,)),
        "bias": (torch.float32, (16,)),
    }
    assert not any(v.is_quantized or v.is_mkldnn for v in state.values())
    assert set(layer(4, 2, bias=False).state_dict()) == {"weight_int8", "weight_scale"}
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), copy.copy(made)):
        assert twin._run is None
        assert torch.equal(twin(x), expected)
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    assert set(torch.load(file, weights_only=True)) == set(state)


@pytest.mark.parametrize("name", TOKEN)
@pytest.mark.parametrize("assign", [True, False])
def test_packed_weights_are_never_stale(name: str, assign: bool) -> None:
    made, other = layer(32, 16, seed=1), layer(32, 16, seed=2)
    made.use_backend(name)
    other.use_backend(name)
    x = torch.randn(4, 32)
    made(x)
    made.load_state_dict({k: v.clone() for k, v in other.state_dict().items()}, assign=assign)
    assert torch.equal(made(x), other(x))
    made.weight_int8.neg_()
    other.weight_int8 = -other.weight_int8
    assert torch.equal(made(x), other(x))
    made.weight_scale.mul_(2)
    other.weight_scale = other.weight_scale * 2
    assert torch.equal(made(x), other(x))


def test_moves_keep_float32_scales() -> None:
    made = layer(32, 16)
    before = {k: v.clone() for k, v in made.state_dict().items()}
    made.to(torch.bfloat16).half()
    after = made.state_dict()
    assert all(torch.equal(after[k], v) and after[k].dtype == v.dtype for k, v in before.items())
    assert made.to("meta").weight_scale.is_meta


def test_meta_construction_and_inference_mode() -> None:
    source = layer(8, 4)
    with torch.device("meta"):
        made = Int8DynamicLinear(8, 4)
    made.load_state_dict(source.state_dict(), assign=True)
    with torch.inference_mode():
        inner = layer(8, 4)
        x = torch.randn(2, 8)
        assert torch.equal(made(x), source(x))
        assert inner(x).shape == (2, 4)
    assert not made(torch.randn(2, 8, requires_grad=True)).requires_grad


def test_backend_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = layer(64, 48)
    assert made.backend == layer(64, 48).backend
    assert made.backend in TOKEN[:-1]
    assert int8_backends.available_backends("token", "mps") == ("reference",)
    assert int8_backends.available_backends("tensor", "cuda") == ("int_mm", "reference")
    monkeypatch.setattr(int8_backends, "onednn_is_sound", lambda: False)
    assert "onednn" not in int8_backends.available_backends("token", "cpu")


def test_halves_reach_the_ends_of_what_16_bits_hold() -> None:
    """All activations at an end, all weights at an end: what saturates on a CPU with AVX2 alone."""
    made = layer(64, 4)
    made.weight_int8[:2], made.weight_int8[2:] = 127, -128
    made.use_backend("halves")
    for value in (1.0, -1.0):
        found = made(torch.full((1, 64), value))
        made.use_backend("reference")
        assert torch.equal(found, made(torch.full((1, 64), value)))
        made.use_backend("halves")


@pytest.mark.parametrize("saturates", [True, False])
def test_halves_are_for_where_whole_ones_saturate(monkeypatch: pytest.MonkeyPatch, saturates: bool) -> None:
    monkeypatch.setattr(int8_backends, "is_correct", lambda name, *_: name == "halves" or not saturates)
    timed: list[str] = []

    def times(runs: dict[str, int8_backends.Run], x: Tensor) -> dict[str, float]:
        timed.extend(runs)
        return dict.fromkeys(runs, 1.0)

    monkeypatch.setattr(int8_backends, "_best_times", times)
    int8_backends._choose.cache_clear()
    chosen = int8_backends.choose_backend("token", "cpu", 16, 16)
    int8_backends._choose.cache_clear()
    assert (chosen == "halves") is saturates
    assert "halves" not in timed


def test_a_wrong_or_missing_backend_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    true_build = int8_backends.BACKENDS["token"]["reference"]

    def saturating(weight: Tensor, scale: Tensor, bias: Tensor | None) -> int8_backends.Run:
        return true_build(weight.clamp(-120, 120), scale, bias)

    def missing(weight: Tensor, scale: Tensor, bias: Tensor | None) -> int8_backends.Run:
        raise RuntimeError("no such operator")

    monkeypatch.setitem(
        int8_backends.BACKENDS,
        "token",
        {"onednn": saturating, "fbgemm": missing, "int_mm": saturating, "reference": true_build},
    )
    int8_backends._choose.cache_clear()
    assert int8_backends.choose_backend("token", "cpu", 16, 16) == "reference"
    int8_backends._choose.cache_clear()


def test_import_is_light_and_silent() -> None:
    code = """
import sys, warnings
import torch
warnings.simplefilter("error")
from bench.methods import int8_backends, int8_linear
int8_backends.onednn_is_sound = lambda: False  # its probe takes seconds
for activations in ("token", "tensor"):
    int8_linear.Int8DynamicLinear.from_linear(torch.nn.Linear(64, 32), activations)(torch.randn(3, 64))
assert "torchao" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
