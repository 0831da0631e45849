"""A Linear layer whose weight is packed (`bench.methods.packings`) and whose activations stay as they come.

How it runs. On a CPU in bfloat16: torch's kernels for packed weights, int8 and int4, which read a quarter or an eighth
of the bytes of float32. In any other type, and fp8: the weight is unpacked at each call, so that memory is saved and
time is spent. On CUDA: int4 by tinygemm in bfloat16, as torchao's tile-packed layout; int8 and fp8 unpacked into the
activations' type; fp8 with activations of a token each by torch._scaled_mm, on chips that have it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.errors import BadInput
from bench.methods.packings import MID, Packing, fp8_rows, int4_values

PackedActivations = Literal["float", "token"]

FP8_CHIP = (8, 9)  # compute capability from which NVIDIA's chips multiply fp8
FP8_MULTIPLE = 16  # of both sizes of a weight, for torch._scaled_mm
TILES, TILE_ROWS, TILE_COLUMNS = 8, 8, 1024  # tinygemm's layout: inner tiles, and what sizes are filled up to
CPU_ROWS = 16  # what the CPU's int4 kernel wants outputs filled up to
# torch's int8 kernel for CPUs reads 16 bytes at a time from addresses that it takes for multiples of 16: inputs of
# another multiple, or a tensor that begins elsewhere, as those of a file do, end the process.
ALIGNED = 16


class PackedLinear(nn.Module):
    """y = x W^T + b: [..., in_features] -> [..., out_features] in x's dtype; no gradient.

    Buffers, all plain tensors: those of `Packing.pack` and `bias`, in the type that it had. What a kernel wants laid
    out in its own way is laid out once by `arrange`, or at the first forward, and never copied or saved.
    """

    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: Tensor | None,
        packing: Packing,
        activations: PackedActivations = "float",
    ) -> None:
        """Zero weights, for `from_linear` or `load_state_dict` to fill; of `bias` shape, type and values are taken."""
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.packing = packing
        self.activations = activations
        for name, tensor in packing.empty(out_features, in_features).items():
            self.register_buffer(name, tensor)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self._arranged: tuple[Tensor, ...] | None = None

    @classmethod
    def from_linear(cls, linear: nn.Linear, packing: Packing, activations: PackedActivations = "float") -> PackedLinear:
        """The layer with its weight packed, on the same device. Raises ValueError as `Packing.pack` does."""
        with torch.device("meta"):
            made = cls(linear.in_features, linear.out_features, None, packing, activations)
        for name, tensor in packing.pack(linear.weight).items():
            setattr(made, name, tensor)
        made.bias = None if linear.bias is None else linear.bias.detach().clone()
        return made.train(linear.training)

    @property
    def packed(self) -> dict[str, Tensor]:
        """The buffers that stand for the weight."""
        return {name: tensor for name, tensor in self.named_buffers(recurse=False) if name != "bias"}

    @property
    def weight(self) -> Tensor:
        """Its bytes as int8, for models that look at a layer's type before they call it, as T5 does."""
        return self.packed[self.packing.weight].view(torch.int8)

    def forward(self, x: Tensor) -> Tensor:
        """x floating [..., in]. Raises BadInput where activations are to be fp8 and the chip cannot multiply it."""
        rows = x.reshape(-1, self.in_features)
        if rows.shape[0] == 0:
            return x.new_empty((*x.shape[:-1], self.out_features))
        y = self._product(rows)
        if self.bias is not None:
            y = y + self.bias.to(y.dtype)
        return y.reshape(*x.shape[:-1], self.out_features)

    def _product(self, x: Tensor) -> Tensor:
        """x [rows, in] -> x W^T [rows, out] in x's dtype."""
        packed, scale = self.packed[self.packing.weight], self.packed["weight_scale"]
        if self.activations == "token":
            require_fp8(x.device)
            return fp8_product(x, packed, scale)
        if self.packing.format == "int4":
            return self._int4(x)
        on_kernel = self.packing.format == "int8" and x.dtype == torch.bfloat16 and x.device.type == "cpu"
        if on_kernel and self.in_features % ALIGNED == 0 and not torch.compiler.is_compiling():
            return torch._weight_int8pack_mm(_aligned(x.contiguous()), self.arrange()[0], scale.bfloat16())
        return functional.linear(x, packed.to(x.dtype)) * scale.to(x.dtype)

    def _int4(self, x: Tensor) -> Tensor:
        on_cpu = x.device.type == "cpu"
        if on_cpu and x.dtype != torch.bfloat16:
            return functional.linear(x, self.packing.unpack(self.packed).to(x.dtype))
        packed, scales = self.arrange()
        group = self.packing.group
        assert group is not None
        if on_cpu:
            y: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x.contiguous(), packed, group, scales)
            return y[:, : self.out_features]
        filled = functional.pad(x.bfloat16(), (0, -self.in_features % TILE_COLUMNS))
        y = torch.ops.aten._weight_int4pack_mm(filled, packed, group, scales)
        return y[:, : self.out_features].to(x.dtype)

    def arrange(self) -> tuple[Tensor, ...]:
        """What the kernels of this device want: an int4 weight and its scales, an int8 weight, nothing for fp8."""
        if self._arranged is None:
            if self.packing.format == "int4":
                self._arranged = self._tiles()
            else:
                self._arranged = (_aligned(self.weight),) if self.packing.format == "int8" else ()
        return self._arranged

    def _tiles(self) -> tuple[Tensor, Tensor]:
        tensors, group = self.packed, self.packing.group
        assert group is not None
        values, scale, zero = int4_values(tensors["weight_int4"]), tensors["weight_scale"], tensors["weight_zero"]
        wide = -self.in_features % TILE_COLUMNS if values.is_cuda else 0
        high = -self.out_features % (TILE_ROWS if values.is_cuda else CPU_ROWS)
        values = functional.pad(values, (0, wide, 0, high), value=MID)
        scale, zero = (functional.pad(t, (0, wide // group, 0, high)) for t in (scale, zero))
        if values.is_cuda:
            pairs = (values[:, ::2] << 4 | values[:, 1::2]).contiguous()
            packed = torch.ops.aten._convert_weight_to_int4pack(pairs, TILES)
        else:
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values.int(), 1)
        return packed, torch.stack((scale, zero), dim=-1).transpose(0, 1).contiguous()

    def _apply(self, fn: Any, recurse: bool = True) -> PackedLinear:
        """Move, but keep types: a scale rounded to half precision, or fp8 made long again, is another model."""
        before = self.packed
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._arranged = None
        for name, tensor in self.packed.items():
            if tensor.dtype != before[name].dtype:
                setattr(self, name, before[name].to(tensor.device))
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._arranged = None
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """For copy and pickle: everything but what was laid out."""
        return {**self.__dict__, "_arranged": None}

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, {self.packing}"


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor, or a copy where it begins at an address that the int8 kernel cannot read."""
    return tensor.clone() if tensor.data_ptr() % ALIGNED else tensor


def fp8_product(x: Tensor, packed: Tensor, scale: Tensor) -> Tensor:
    """x [rows, in] as fp8 with a scale a row, times an fp8 weight [out, in] with scales [out]; in x's dtype."""
    short, own = fp8_rows(x)
    y = torch._scaled_mm(
        short, packed.t(), scale_a=own[:, None], scale_b=scale[None, :], out_dtype=torch.bfloat16, use_fast_accum=True
    )
    return y.to(x.dtype)


def require_fp8(device: torch.device) -> None:
    """Raise BadInput unless the device multiplies fp8."""
    found = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    if found is None or found < FP8_CHIP:
        seen = "the CPU" if found is None else f"a GPU of compute capability {found[0]}.{found[1]}"
        raise BadInput(
            f"fp8.activations is token, which needs a GPU of compute capability {FP8_CHIP[0]}.{FP8_CHIP[1]} or more "
            f"(Ada, Hopper), but the model is on {seen}: run it there, or set activations to float."
        )
