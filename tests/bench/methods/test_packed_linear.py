"""The packed layer against the weight that it stands for, in every type and on every path a CPU has."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.errors import BadInput
from bench.methods.packed_linear import PackedLinear, fp8_product, require_fp8
from bench.methods.packings import Packing

PACKINGS = [Packing("int8"), Packing("int4", 32), Packing("int4", 64), Packing("fp8")]


def layer(packing: Packing, dtype: torch.dtype = torch.float32, bias: bool = True) -> PackedLinear:
    torch.manual_seed(0)
    return PackedLinear.from_linear(nn.Linear(64, 48, bias=bias).to(dtype), packing)


@pytest.mark.parametrize("rows", [(1,), (2, 3), (40,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("packing", PACKINGS)
def test_it_is_the_unpacked_weight(packing: Packing, dtype: torch.dtype, rows: tuple[int, ...]) -> None:
    made = layer(packing, dtype)
    x = torch.randn(*rows, 64).to(dtype)
    assert made.bias is not None
    expected = functional.linear(x.float(), packing.unpack(made.packed), made.bias.float())
    found = made(x)
    assert found.dtype == dtype
    assert found.shape == (*rows, 48)
    allowed = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}[dtype]
    assert (found.float() - expected).abs().max() <= allowed * expected.abs().max()


@pytest.mark.parametrize("packing", PACKINGS)
def test_types_survive_a_cast_and_a_copy(packing: Packing) -> None:
    made = layer(packing)
    before = {name: (t.dtype, t.clone()) for name, t in made.packed.items()}
    made(torch.randn(2, 64))
    short = copy.deepcopy(made).to(torch.bfloat16)
    for name, tensor in short.packed.items():
        assert tensor.dtype == before[name][0]
        assert torch.equal(tensor.view(torch.uint8), before[name][1].view(torch.uint8))
    assert short.bias is not None
    assert short.bias.dtype == torch.bfloat16
    assert short(torch.randn(2, 64).bfloat16()).dtype == torch.bfloat16
    assert made.weight.dtype == torch.int8  # a model that asks must not cast its activations


def test_what_is_laid_out_follows_the_weights() -> None:
    made, other = layer(Packing("int4", 32), torch.bfloat16), layer(Packing("int4", 32), torch.bfloat16, bias=True)
    x = torch.randn(3, 64).bfloat16()
    first = made(x)
    state = {name: t.flip(0) if name == "weight_int4" else t for name, t in other.state_dict().items()}
    made.load_state_dict(state)
    assert not torch.equal(made(x), first)
    assert set(made.state_dict()) == {"weight_int4", "weight_scale", "weight_zero", "bias"}
    assert "_arranged" in vars(made)
    assert copy.deepcopy(made)._arranged is None


@pytest.mark.parametrize("packing", [Packing("int8"), Packing("int4", 32)])
@pytest.mark.parametrize(("outputs", "inputs"), [(3, 32), (17, 96), (5, 160)])
def test_sizes_and_addresses_that_kernels_dislike(packing: Packing, outputs: int, inputs: int) -> None:
    """A file's tensors begin anywhere, and a slice of activations does too: a kernel that assumes otherwise crashes."""
    torch.manual_seed(0)
    made = PackedLinear.from_linear(nn.Linear(inputs, outputs).bfloat16(), packing)
    store = torch.zeros(made.weight.numel() + 1, dtype=torch.int8)
    odd = store[1:].view(made.weight.dtype).view_as(made.weight).copy_(made.weight)
    setattr(made, packing.weight, odd.view(made.packed[packing.weight].dtype))
    x = torch.randn(3 * inputs + 1).bfloat16()[1:].view(3, inputs)
    assert x.data_ptr() % 16
    assert made.packed[packing.weight].data_ptr() % 16
    assert made.bias is not None
    expected = functional.linear(x.float(), packing.unpack(made.packed), made.bias.float())
    assert (made(x).float() - expected).abs().max() <= 2e-2 * expected.abs().max()


def test_int8_inputs_that_no_kernel_takes() -> None:
    torch.manual_seed(0)
    made = PackedLinear.from_linear(nn.Linear(20, 8).bfloat16(), Packing("int8"))
    x = torch.randn(3, 20).bfloat16()
    assert made.bias is not None
    expected = functional.linear(x.float(), made.packing.unpack(made.packed), made.bias.float())
    assert (made(x).float() - expected).abs().max() <= 2e-2 * expected.abs().max()


def test_no_rows_and_no_bias() -> None:
    made = layer(Packing("int8"), bias=False)
    assert made.bias is None
    assert made(torch.empty(0, 64)).shape == (0, 48)
    assert made(torch.zeros(1, 64)).eq(0).all()


def test_fp8_activations_need_their_chip() -> None:
    torch.manual_seed(0)
    made = PackedLinear.from_linear(nn.Linear(64, 48), Packing("fp8"), "token")
    with pytest.raises(BadInput, match=r"compute capability 8\.9 or more .* but the model is on the CPU: run it there"):
        made(torch.randn(2, 64))
    with pytest.raises(BadInput, match="needs a GPU"):
        require_fp8(torch.device("cpu"))


def test_fp8_product() -> None:
    """What the GPU will do, where torch has a reference for the CPU: within the two roundings of its inputs."""
    torch.manual_seed(0)
    x, weight = torch.randn(5, 64), torch.randn(48, 64)
    packed = Packing("fp8").pack(weight)
    found = fp8_product(x, packed["weight_fp8"], packed["weight_scale"])
    exact = x @ weight.t()
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().max() < 0.1 * exact.abs().max()
    assert fp8_product(torch.zeros(1, 64), packed["weight_fp8"], packed["weight_scale"]).eq(0).all()
