"""Dynamic int8: weights int8 per output channel, activations quantised as they come. No calibration data.

The scheme of Intel/bart-large-cnn-int8-dynamic without its accuracy-driven fallback: the modules to keep in float are a
list.
"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.recipe import Step, Workplace

if TYPE_CHECKING:
    from torch import nn

    from bench.models import Loaded


class Int8Dynamic(Step):
    """Quantise every Linear layer but those kept."""

    name: ClassVar[str] = "int8_dynamic"
    version: ClassVar[int] = 1

    activations: Literal["token", "tensor"] = Field(
        default="token", description="one scale a token, or one a tensor (depends on batch-mates and padding)"
    )
    keep_fp32: tuple[str, ...] = Field(default=(), description="names of modules to keep in float; * matches any text")

    def check(self, architecture: Architecture) -> Architecture:
        if architecture.int8:
            raise BadInput("int8_dynamic stands twice in one recipe: remove one.")
        return architecture.changed(int8=True)

    def label(self, architecture: Architecture) -> str:
        del architecture
        kept = f" ({len(self.keep_fp32)} kept in float)" if self.keep_fp32 else ""
        return f"int8{' per tensor' if self.activations == 'tensor' else ''}{kept}"

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        del work
        from bench.methods.int8_linear import Int8DynamicLinear

        chosen = choose(model.model, self.keep_fp32)
        for name, linear in chosen.items():
            model.model.set_submodule(name, Int8DynamicLinear.from_linear(linear, self.activations))
        model.loader = "int8_dynamic"
        model.loader_settings = {"activations": self.activations}
        return model


def choose(model: nn.Module, keep: tuple[str, ...]) -> dict[str, nn.Linear]:
    """The Linear layers to quantise, by name, in model order.

    A layer whose weight is tied to an embedding stays in float, where it takes no room of its own.
    Raises BadInput for a pattern that matches nothing and for a model with nothing to quantise.
    """
    from torch import nn

    linears = {name: m for name, m in model.named_modules() if type(m) is nn.Linear}
    for pattern in keep:
        if not any(fnmatch(name, pattern) for name in linears):
            raise BadInput(
                f"int8_dynamic keeps {pattern!r} in float, but no Linear layer has that name: see the model's modules."
            )
    embeddings = {m.weight.data_ptr() for m in model.modules() if isinstance(m, nn.Embedding)}
    chosen = {
        name: linear
        for name, linear in linears.items()
        if linear.weight.data_ptr() not in embeddings and not any(fnmatch(name, p) for p in keep)
    }
    if not chosen:
        raise BadInput("int8_dynamic finds no Linear layer to quantise in this model: remove the step.")
    return chosen
