"""torch.compile as a step: the same weights, run as code that is generated for this machine when first called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.architecture import Architecture
from bench.recipe import Promise, Step, Workplace

if TYPE_CHECKING:
    from bench.models import Loaded


class Compile(Step):
    """Compile the model whenever it is loaded. The artefact is its parent's files with another `paredown.json`.

    It ends a recipe. Compiling takes from tens of seconds to minutes, again in every process, at the first call of each
    shape that needs code of its own: first calls are kept apart from latency. A CPU needs a C++ compiler, a GPU Triton.
    """

    name: ClassVar[str] = "compile"
    version: ClassVar[int] = 1
    follows: ClassVar[tuple[str, ...]] = ("int8_dynamic", "weight_only", "fp8", "sparse_2_4")

    mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] = Field(
        default="default", description="of torch.compile; the others are meant for GPUs"
    )
    dynamic: bool = Field(
        default=True, description="one code for all shapes; or one for each, and none beyond the eighth"
    )

    def check(self, architecture: Architecture) -> Architecture:
        return architecture.changed(sealed=self.name)

    def label(self, architecture: Architecture) -> str:
        del architecture
        notes = ("" if self.mode == "default" else self.mode, "" if self.dynamic else "fixed shapes")
        said = ", ".join(note for note in notes if note)
        return f"compiled{f' ({said})' if said else ''}"

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del architecture, teachers
        return Promise(same=("parameters", "weights", "bytes", "layers", "flops"), plain=True)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        del work
        model.compiled = {"mode": self.mode, "dynamic": self.dynamic}
        return model
