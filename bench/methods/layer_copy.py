"""Layer copying: a shallower student made of some of the teacher's layers (Shleifer & Rush 2020, arXiv:2010.13002)."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.recipe import Promise, Step, Workplace

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bench.models import Loaded

# Teacher depth -> kept layers -> which (0-based), as published with the distilled BART, Pegasus and Marian students.
PUBLISHED: dict[int, dict[int, tuple[int, ...]]] = {
    6: {4: (0, 1, 3, 5)},
    12: {
        2: (0, 6),
        3: (0, 6, 11),
        4: (0, 4, 8, 11),
        6: (0, 2, 4, 7, 9, 11),
        9: (0, 1, 2, 4, 5, 7, 9, 10, 11),
    },
    16: {8: (0, 2, 4, 6, 8, 10, 12, 15)},
}


def layer_map(depth: int, keep: int) -> tuple[int, ...]:
    """Which of `depth` teacher layers a student of `keep` layers copies, 0-based and ascending.

    The published maps where there is one; otherwise the first and the last layer and the rest spread evenly between.
    Raises BadInput unless 1 <= keep <= depth.
    """
    if not 1 <= keep <= depth:
        raise BadInput(f"layer_copy asks for {keep} of {depth} layers: choose a number from 1 to {depth}.")
    if keep in PUBLISHED.get(depth, {}):
        return PUBLISHED[depth][keep]
    if keep == 1:
        return (0,)
    return tuple(round(i * (depth - 1) / (keep - 1)) for i in range(keep))


class LayerCopy(Step):
    """Keep some encoder or decoder layers; everything else is copied unchanged."""

    name: ClassVar[str] = "layer_copy"
    version: ClassVar[int] = 2

    encoder: int | None = Field(default=None, gt=0, description="encoder layers to keep")
    decoder: int | None = Field(default=None, gt=0, description="decoder layers to keep")

    @model_validator(mode="after")
    def _something(self) -> LayerCopy:
        if self.encoder is None and self.decoder is None:
            raise ValueError("layer_copy needs encoder or decoder, the number of layers to keep")
        return self

    def check(self, architecture: Architecture) -> Architecture:
        if architecture.int8:
            raise BadInput("layer_copy cannot follow int8_dynamic: put it before.")
        changes: dict[str, Any] = {}
        for stack, keep in (("encoder", self.encoder), ("decoder", self.decoder)):
            depth = getattr(architecture, f"{stack}_layers")
            if keep is None:
                continue
            if depth is None:
                raise BadInput(
                    f"layer_copy asks for {stack} layers, but a {architecture.model_type} model has no {stack}."
                )
            layer_map(depth, keep)
            changes[f"{stack}_layers"] = keep
        return architecture.changed(**changes)

    def label(self, architecture: Architecture) -> str:
        parts = [
            f"{stack} {getattr(architecture, f'{stack}_layers')} to {keep}"
            for stack, keep in (("encoder", self.encoder), ("decoder", self.decoder))
            if keep is not None
        ]
        return ", ".join(parts)

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del teachers
        if self.check(architecture) == architecture:  # all layers are kept
            return Promise(same=("layers", "parameters", "bytes", "flops"), plain=True)
        return Promise(fewer=("layers", "parameters", "bytes", "flops"), plain=True)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        del work
        from bench.architecture import architecture_of

        found = architecture_of(model.model.config.to_dict())
        keep = {
            stack: layer_map(getattr(found, f"{stack}_layers"), wanted)
            for stack, wanted in (("encoder", self.encoder), ("decoder", self.decoder))
            if wanted is not None
        }
        model.model = with_layers(model.model, keep)
        return model


def with_layers(teacher: PreTrainedModel, keep: dict[str, tuple[int, ...]]) -> PreTrainedModel:
    """A new model of the teacher's tensors, with layers keep[stack] alone, renumbered; in eval mode.

    It is built from a config rather than by taking layers out: a layer knows its number in the cache of generation.
    """
    from accelerate import init_empty_weights  # type: ignore[import-untyped]

    from bench.architecture import architecture_of

    two_stacks = architecture_of(teacher.config.to_dict()).decoder_layers is not None
    config = copy.deepcopy(teacher.config)
    for stack, layers in keep.items():
        shorten_config(config, stack, layers, decoder_too=two_stacks)
    with init_empty_weights(include_buffers=False):  # random weights would cost time and memory for nothing
        student: PreTrainedModel = type(teacher)(config)
    student.load_state_dict(mapped_state(teacher.state_dict(), keep, decoder_too=two_stacks), assign=True)
    student.tie_weights()
    student.train(False)
    if student.can_generate():
        student.generation_config = teacher.generation_config  # how it writes is no matter of its depth
    return student


def shorten_config(config: Any, stack: str, layers: tuple[int, ...], *, decoder_too: bool) -> None:
    """Set the number of layers of one stack, and cut lists that hold one entry a layer."""
    names = [f"{stack}_layers"] if decoder_too else ["num_hidden_layers"]
    depth = getattr(config, names[0])
    for name in names:
        setattr(config, name, len(layers))
    if not decoder_too:
        for key, value in list(config.to_dict().items()):
            if isinstance(value, list) and len(value) == depth and key.endswith("_types"):
                setattr(config, key, [value[i] for i in layers])
        if getattr(config, "max_window_layers", None) is not None:  # the first so many attend to everything
            config.max_window_layers = sum(i < config.max_window_layers for i in layers)


def mapped_state(state: dict[str, Any], keep: dict[str, tuple[int, ...]], *, decoder_too: bool) -> dict[str, Any]:
    """The student's state dict: layer j of a stack is the teacher's layer keep[stack][j], bit for bit."""
    result: dict[str, Any] = {}
    for name, tensor in state.items():
        match = re.match(r"^(.*?)\b(layers?|h)\.(\d+)\.(.*)$", name)
        stack = None
        if match:
            stack = ("decoder" if "decoder." in match[1] else "encoder") if decoder_too else "encoder"
        if match is None or stack not in keep:
            result[name] = tensor
            continue
        old = int(match[3])
        if old in keep[stack]:
            result[f"{match[1]}{match[2]}.{keep[stack].index(old)}.{match[4]}"] = tensor
    return result
