"""Weights in eight-bit floating point (float8_e4m3fn), with one scale a row; activations too on chips that multiply it.

The numbers of torchao's Float8WeightOnlyConfig and, with `activations: token`, of its
Float8DynamicActivationFloat8WeightConfig with a scale a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.architecture import Architecture
from bench.methods.int8_dynamic import kept_as
from bench.recipe import Promise, Step, Workplace

if TYPE_CHECKING:
    from bench.models import Loaded


class Fp8(Step):
    """Pack every Linear layer but those kept and those tied to an embedding.

    With `activations: float` the weights are unpacked at every call: any machine can run it, and none gains time. With
    `token` a GPU of compute capability 8.9 or more is needed to run the variant, though not to build it; layers whose
    sizes are no multiples of 16 stay in float.
    """

    name: ClassVar[str] = "fp8"
    version: ClassVar[int] = 1

    activations: Literal["float", "token"] = Field(
        default="float", description="as they come, or fp8 with one scale a token (Ada and Hopper GPUs)"
    )
    keep: tuple[str, ...] = Field(default=(), description="names of modules to keep in float; * matches any text")

    def check(self, architecture: Architecture) -> Architecture:
        return architecture.changed(sealed=self.name)

    def label(self, architecture: Architecture) -> str:
        del architecture
        kept = f" ({kept_as(self.keep)})" if self.keep else ""
        return f"fp8{' weights' if self.activations == 'float' else ''}{kept}"

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del architecture, teachers
        return Promise(fewer=("bytes",), same=("weights", "layers", "flops"), plain=True)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        del work
        from bench.methods.packed_model import pack
        from bench.methods.packings import Packing

        model.evidence[self.name] = pack(model.model, Packing("fp8"), self.keep, self.activations, step=self.name)
        model.loader, model.loader_settings = self.name, {"format": "fp8", "activations": self.activations}
        return model
