"""Weights alone in int8 or int4, activations as they are: fewer bytes to read for every token that is written.

The numbers of torchao's Int8WeightOnlyConfig and Int4WeightOnlyConfig; how they are kept and run is in
`bench.methods.packings` and `bench.methods.packed_linear`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from bench.architecture import Architecture
from bench.methods.int8_dynamic import kept_as
from bench.recipe import Counted, Promise, Step, Workplace

if TYPE_CHECKING:
    from bench.models import Loaded

GROUP = 128


class WeightOnly(Step):
    """Pack every Linear layer but those kept and those tied to an embedding.

    Put `cast: bfloat16` before it where speed matters: the kernels of packed weights work in bfloat16. In float32 the
    weights are unpacked at every call on a CPU, which saves memory and costs time. int4 leaves layers in float whose
    inputs are no multiple of the group, and names them in the build's evidence.
    """

    name: ClassVar[str] = "weight_only"
    version: ClassVar[int] = 1

    bits: Literal[8, 4] = Field(default=8, description="of a weight")
    group: Literal[32, 64, 128, 256] | None = Field(
        default=None, description=f"columns that share a scale, for 4 bits; {GROUP} where it is not set"
    )
    keep: tuple[str, ...] = Field(default=(), description="names of modules to keep in float; * matches any text")

    @model_validator(mode="after")
    def _consistent(self) -> WeightOnly:
        if self.bits == 8 and self.group is not None:
            raise ValueError("weight_only.group is for 4 bits: 8 bits have one scale a row, so leave group out")
        return self

    def check(self, architecture: Architecture) -> Architecture:
        return architecture.changed(sealed=self.name)

    def label(self, architecture: Architecture) -> str:
        del architecture
        kept = f", {kept_as(self.keep)}" if self.keep else ""
        return f"int{self.bits} weights" + (f" (groups of {self.group or GROUP}{kept})" if self.bits == 4 else kept)

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del architecture, teachers
        same: tuple[Counted, ...] = ("weights", "layers")
        if self.bits == 8:  # kernels of int4 fill outputs up to their tiles
            same = (*same, "flops")
        return Promise(fewer=("bytes",), same=same, plain=True)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        del work
        from bench.methods.packed_model import pack
        from bench.methods.packings import Packing

        packing = Packing("int8") if self.bits == 8 else Packing("int4", self.group or GROUP)
        model.evidence[self.name] = pack(model.model, packing, self.keep, step=self.name)
        model.loader, model.loader_settings = self.name, {"format": packing.format, "group": packing.group}
        return model
