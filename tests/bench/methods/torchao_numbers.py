"""What torchao 0.18.0 makes of a small matrix, recorded, for where it is installed transformers imports it everywhere.

`pip install torchao==0.18.0`, then `python -m tests.bench.methods.torchao_numbers` records it anew.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

FILE = Path(__file__).with_name("torchao_numbers.safetensors")
ROWS, COLUMNS, GROUP = 24, 128, 32


def recorded() -> dict[str, Tensor]:
    """The matrix, and by packing its integers (of fp8 the bits), scales and zero points."""
    return load_file(FILE)


def made_by_torchao() -> dict[str, Tensor]:
    """The same from torchao itself."""
    quantization: Any = import_module("torchao.quantization")  # by name, for it is not there where types are checked
    primitives: Any = import_module("torchao.quantization.quant_primitives")
    torch.manual_seed(0)
    weight = torch.randn(ROWS, COLUMNS)
    found = {"weight": weight}
    for name, kind in (("int8", quantization.Int8Tensor), ("fp8", quantization.Float8Tensor)):
        made = kind.from_hp(weight, granularity=quantization.PerRow())
        found[f"{name}.values"] = made.qdata if name == "int8" else made.qdata.view(torch.uint8)
        found[f"{name}.scale"] = made.scale.flatten()
    half, block = weight.bfloat16(), (1, GROUP)
    kinds = {"scale_dtype": torch.bfloat16, "zero_point_dtype": torch.bfloat16}
    scale, zero = primitives._choose_qparams_affine_tinygemm(
        half, primitives.MappingType.ASYMMETRIC, block, torch.int32, 0, 15, **kinds
    )
    values = primitives._quantize_affine_tinygemm(half, block, scale, zero, torch.int32, 0, 15)
    found |= {"int4.values": values.to(torch.int8), "int4.scale": scale, "int4.zero": zero}
    return {name: tensor.contiguous() for name, tensor in found.items()}


if __name__ == "__main__":
    save_file(made_by_torchao(), FILE)
