"""Weights in one byte or half a byte: three packings of a matrix, as plain tensors that any machine can read. Pure.

They are those of torchao, whose own files are not used: its tensors of four bits are laid out for the machine that made
them, and its safetensors files differ from one saving to the next, which would name equal models differently.

- int8: symmetric, one scale a row of the weight (torchao's Int8WeightOnlyConfig).
- int4: asymmetric in groups along a row, w ~ (q - 8) * scale + zero with q from 0 to 15 and a zero point that is a
  number of the weight's own kind, as tinygemm has it (torchao's Int4WeightOnlyConfig). Scales and zero points are
  bfloat16; they are rounded first and the integers chosen for the rounded ones.
- fp8: float8_e4m3fn with one scale a row (torchao's Float8WeightOnlyConfig).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.methods.int8_linear import quantise_weight

Format = Literal["int8", "int4", "fp8"]

FP8_MAX = 448.0  # the largest number of float8_e4m3fn
MID = 8  # of the 16 values of four bits: where tinygemm's zero point stands
SMALLEST = 2.0**-126  # of a scale, so that it can be divided by


@dataclass(frozen=True, slots=True)
class Packing:
    """A format, with the columns that share a scale where it has groups."""

    format: Format
    group: int | None = None  # of int4

    @property
    def weight(self) -> str:
        """The name of the packed tensor in a saved model."""
        return f"weight_{self.format}"

    def fits(self, inputs: int) -> bool:
        """Whether rows of this length can be packed."""
        return self.group is None or inputs % self.group == 0

    def pack(self, weight: Tensor) -> dict[str, Tensor]:
        """The tensors of a weight [out, in], floating. Raises ValueError for NaN, infinity and rows that do not fit.

        int8: `weight_int8` int8 [out, in]; int4: `weight_int4` uint8 [out, in / 2], of two columns the first in the
        upper half; fp8: `weight_fp8` float8_e4m3fn [out, in]. `weight_scale` float32 [out], with groups bfloat16
        [out, in / group], and then also `weight_zero`.
        """
        if self.format == "int8":
            quantised, scale = quantise_weight(weight)
            return {self.weight: quantised, "weight_scale": scale}
        values = weight.detach().float()
        if not bool(values.isfinite().all()):
            raise ValueError("the weight holds NaN or infinity and cannot be quantised.")
        if self.format == "fp8":
            return dict(zip((self.weight, "weight_scale"), fp8_rows(values), strict=True))
        if self.group is None or not self.fits(values.shape[1]):
            raise ValueError(f"rows of {values.shape[1]} numbers cannot be cut into groups of {self.group}.")
        return dict(zip((self.weight, "weight_scale", "weight_zero"), _int4_groups(values, self.group), strict=True))

    def unpack(self, tensors: dict[str, Tensor]) -> Tensor:
        """The weight [out, in] that the tensors stand for, float32."""
        packed, scale = tensors[self.weight], tensors["weight_scale"].float()
        if self.format != "int4":
            return packed.float() * scale[:, None]
        zero = tensors["weight_zero"].float()
        grouped = int4_values(packed).reshape(*scale.shape, -1).float()
        return ((grouped - MID) * scale[..., None] + zero[..., None]).flatten(1)

    def empty(self, outputs: int, inputs: int) -> dict[str, Tensor]:
        """Tensors of the right shapes and types, to be filled."""
        if self.format == "int4":
            assert self.group is not None
            numbers = {name: torch.zeros(outputs, inputs // self.group, dtype=torch.bfloat16) for name in SIDE}
            return {self.weight: torch.zeros(outputs, inputs // 2, dtype=torch.uint8), **numbers}
        kind = torch.int8 if self.format == "int8" else torch.float8_e4m3fn
        return {self.weight: torch.zeros(outputs, inputs, dtype=kind), "weight_scale": torch.ones(outputs)}


SIDE = ("weight_scale", "weight_zero")


def fp8_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """values [rows, columns] floating -> float8_e4m3fn and scales float32 [rows], max|x| / 448; 1 for zeros."""
    values = values.float()
    scale = values.abs().amax(dim=1) / FP8_MAX
    scale = torch.where(scale < SMALLEST, torch.ones_like(scale), scale)
    return (values / scale[:, None]).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn), scale


def _int4_groups(values: Tensor, group: int) -> tuple[Tensor, Tensor, Tensor]:
    """Packed integers, scales and zero points of float32 values [out, in]."""
    grouped = values.reshape(len(values), -1, group)
    low, high = grouped.amin(dim=2), grouped.amax(dim=2)
    scale = ((high - low) / 15).clamp(min=SMALLEST).bfloat16()
    zero = (low + scale.float() * MID).bfloat16()
    lowest = zero.float() - scale.float() * MID
    whole = ((grouped - lowest[..., None]) / scale.float()[..., None]).round_().clamp_(0, 15)
    return int4_packed(whole.flatten(1).to(torch.uint8)), scale, zero


def int4_packed(values: Tensor) -> Tensor:
    """Whole numbers from 0 to 15, uint8 [rows, columns] -> uint8 [rows, columns / 2], the first of two above."""
    return values[:, ::2] << 4 | values[:, 1::2]


def int4_values(packed: Tensor) -> Tensor:
    """Inverse of `int4_packed`."""
    return torch.stack((packed >> 4, packed & 15), dim=-1).flatten(1)
