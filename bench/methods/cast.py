"""Casting: every weight in a shorter floating-point format. The baseline that any quantisation has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.recipe import Counted, Promise, Step, Workplace

if TYPE_CHECKING:
    from bench.models import Loaded

SHORT = {"bfloat16": "bf16", "float16": "fp16"}


class Cast(Step):
    """Store and compute in bfloat16 or float16."""

    name: ClassVar[str] = "cast"
    version: ClassVar[int] = 1
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

        model.model = model.model.to(getattr(torch, self.dtype))
        model.model.config.dtype = self.dtype
        return model
