"""One small matrix in each packing, by hand, and the same numbers as torchao's."""

import pytest
import torch
from torch import Tensor

from bench.methods.packings import MID, Format, Packing, fp8_rows, int4_packed, int4_values
from tests.bench.methods.torchao_numbers import GROUP, recorded


def grouped(first: list[float], group: int = 32) -> Tensor:
    """A row of one group: these numbers, and the first of them again and again."""
    return torch.tensor([[*first, *[first[0]] * (group - len(first))]])


def test_int8_by_hand() -> None:
    weight = torch.tensor([[1.0, -127.5, 0.5, 63.75], [0.0, 0.0, 0.0, 0.0]])
    packed = Packing("int8").pack(weight)
    assert packed["weight_int8"].tolist() == [[1, -128, 0, 64], [0, 0, 0, 0]]  # 0.5 is a tie, and ties go to even
    assert packed["weight_scale"].tolist() == [1.0, 1.0]
    assert Packing("int8").unpack(packed).tolist() == [[1.0, -128.0, 0.0, 64.0], [0.0] * 4]


def test_int4_by_hand() -> None:
    """From -0.5 to 1.375 is 15 steps of 0.125; zero point -0.5 + 8 * 0.125."""
    weight = grouped([-0.5, 1.375, 0.0, 0.3, -0.44])
    packed = Packing("int4", 32).pack(weight)
    assert packed["weight_scale"].tolist() == [[0.125]]
    assert packed["weight_zero"].tolist() == [[0.5]]
    assert int4_values(packed["weight_int4"])[0, :6].tolist() == [0, 15, 4, 6, 0, 0]
    assert packed["weight_int4"].dtype == torch.uint8
    assert packed["weight_int4"][0, :3].tolist() == [0 << 4 | 15, 4 << 4 | 6, 0]
    assert Packing("int4", 32).unpack(packed)[0, :6].tolist() == [-0.5, 1.375, 0.0, 0.25, -0.5, -0.5]


def test_fp8_by_hand() -> None:
    """e4m3: 448 is the largest number; between 1 and 2 it has steps of an eighth."""
    weight = torch.tensor([[448.0, 1.2, -2.2, 0.0], [0.0, 0.0, 0.0, 0.0]])
    packed = Packing("fp8").pack(weight)
    assert packed["weight_scale"].tolist() == [1.0, 1.0]
    assert packed["weight_fp8"].dtype == torch.float8_e4m3fn
    assert packed["weight_fp8"].float().tolist() == [[448.0, 1.25, -2.25, 0.0], [0.0] * 4]
    halved, scale = fp8_rows(weight / 2)
    assert scale.tolist() == [0.5, 1.0]
    assert torch.equal(halved.float(), packed["weight_fp8"].float())


def test_int4_round_trip() -> None:
    values = torch.arange(16, dtype=torch.uint8).repeat(2).view(2, 16)
    assert torch.equal(int4_values(int4_packed(values)), values)
    assert int4_packed(values).numel() == values.numel() // 2


@pytest.mark.parametrize("packing", [Packing("int8"), Packing("int4", 32), Packing("int4", 64), Packing("fp8")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_errors_are_bounded(packing: Packing, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight = torch.randn(24, 64).to(dtype)
    found = packing.unpack(packing.pack(weight))
    error = (found - weight.float()).abs()
    peak = weight.float().abs().amax(dim=1, keepdim=True)
    if packing.format == "int8":
        assert bool((error <= 0.5001 * peak / 127.5 + 1e-6).all())
    elif packing.format == "fp8":
        assert bool((error <= weight.float().abs() / 16 + peak / 448 / 512).all())  # three bits of mantissa
    else:
        assert packing.group is not None
        rows = weight.float().reshape(24, -1, packing.group)
        # Half a step, and what rounding scale and zero point to bfloat16 adds at the ends of the range.
        step = (rows.amax(2) - rows.amin(2)) / 15
        allowed = (0.5 * step + 8 * step * 2**-8 + 2 * rows.abs().amax(2) * 2**-8)[..., None]
        assert bool((error.reshape(24, -1, packing.group) <= allowed).all())
    assert {name: (t.shape, t.dtype) for name, t in packing.pack(weight).items()} == {
        name: (t.shape, t.dtype) for name, t in packing.empty(24, 64).items()
    }


@pytest.mark.parametrize("packing", [Packing("int8"), Packing("int4", 32), Packing("fp8")])
def test_what_cannot_be_packed(packing: Packing) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        packing.pack(torch.full((2, 32), float("inf")))
    assert packing.fits(32)


def test_rows_that_are_no_multiple_of_the_group() -> None:
    assert not Packing("int4", 64).fits(96)
    with pytest.raises(ValueError, match="rows of 96 numbers cannot be cut into groups of 64"):
        Packing("int4", 64).pack(torch.ones(2, 96))
    constant = Packing("int4", 32).pack(torch.full((1, 32), 0.75))
    assert Packing("int4", 32).unpack(constant).eq(0.75).all()


@pytest.mark.parametrize("format", ["int8", "int4", "fp8"])
def test_numbers_are_those_of_torchao(format: Format) -> None:
    """Scales exactly where they are float32; integers but for ties, which torchao's reciprocals round differently."""
    theirs = recorded()
    weight, values, scale = (theirs[name] for name in ("weight", f"{format}.values", f"{format}.scale"))
    rows, groups = len(weight), scale.numel() // len(weight)
    if format == "int4":
        weight = weight.bfloat16()
        packed = Packing("int4", GROUP).pack(weight)
        ours = int4_values(packed["weight_int4"]).int()
        assert bool(((packed["weight_scale"].float() / scale.view(rows, groups).float() - 1).abs() <= 2**-7).all())
        # torchao computes in bfloat16 throughout: it is off by a step in places, and never nearer on the whole.
        assert (ours - values.int()).abs().max() <= 1
        again = (values.view(rows, groups, GROUP).float() - MID) * scale.view(rows, groups, 1).float()
        again = (again + theirs["int4.zero"].view(rows, groups, 1).float()).view(weight.shape)
        errors = [(w - weight.float()).square().mean() for w in (Packing("int4", GROUP).unpack(packed), again)]
        assert errors[0] <= errors[1]
        return
    packed = Packing(format).pack(weight)
    assert torch.equal(packed["weight_scale"], scale)
    if format == "int8":
        assert (packed["weight_int8"].int() - values.int()).abs().max() <= 1
        assert (packed["weight_int8"] != values).float().mean() < 0.001
    else:
        assert torch.equal(packed["weight_fp8"].view(torch.uint8), values)
