"""Casting: every weight in a shorter floating-point format. The baseline that any quantisation has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.recipe import Counted, Promise, Step, Workplace

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from bench.models import Loaded

SHORT = {"bfloat16": "bf16", "float16": "fp16"}


class Cast(Step):
    """Store and compute in bfloat16 or float16.

    Everything that is saved is cast, but for what transformers keeps in float32 for a model's sake (T5's `wo` in
    float16). Tables that a model computes for itself, such as rotary frequencies, stay as they are when it is loaded.
    """

    name: ClassVar[str] = "cast"
    version: ClassVar[int] = 2
    follows: ClassVar[tuple[str, ...]] = ("sparse_2_4",)  # a zero stays a zero

    dtype: Literal["bfloat16", "float16"] = "bfloat16"

    def check(self, architecture: Architecture) -> Architecture:
        if architecture.int8:
            raise BadInput("cast cannot follow int8_dynamic: put it before, or leave it out.")
        return architecture.changed(dtype=self.dtype)

    def label(self, architecture: Architecture) -> str:
        del architecture
        return SHORT[self.dtype]

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del teachers
        shape: tuple[Counted, ...] = ("parameters", "layers", "flops")
        if architecture.dtype in SHORT:  # already as short
            return Promise(same=("bytes", *shape), computes_in=self.dtype, plain=True)
        return Promise(fewer=("bytes",), same=shape, computes_in=self.dtype, plain=True)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        del work
        import torch

        shorten(model.model, getattr(torch, self.dtype))
        model.model.config.dtype = self.dtype
        return model


def shorten(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Cast in place what transformers would load in that type; the model is then what it is once saved and loaded."""
    import torch

    long = set(model._keep_in_fp32_modules_strict or ())
    if dtype == torch.float16:
        long |= set(model._keep_in_fp32_modules or ())
    computed = [
        (module, name, buffer)
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name in module._non_persistent_buffers_set
    ]
    kept = {
        name: parameter.detach().float()
        for name, parameter in model.named_parameters()
        if any(f".{part}." in f".{name}." for part in long)
    }
    model.to(dtype)  # type: ignore[arg-type]
    for module, name, buffer in computed:
        setattr(module, name, buffer)
    for name, tensor in kept.items():
        model.get_parameter(name).data = tensor
