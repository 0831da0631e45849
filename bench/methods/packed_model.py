"""A model with its Linear layers packed, and the same put together again from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.errors import BadInput
from bench.methods.int8_dynamic import chosen_names
from bench.methods.int8_model import linear_layers, tied_linears
from bench.methods.packed_linear import FP8_MULTIPLE, PackedActivations, PackedLinear
from bench.methods.packings import Format, Packing


def pack(
    model: PreTrainedModel,
    packing: Packing,
    keep: Sequence[str],
    activations: PackedActivations = "float",
    *,
    step: str,
) -> dict[str, Any]:
    """Pack every Linear layer but those kept, in place; says what was done.

    A layer that shares its weight with an embedding stays as it is, and so does one whose shape the format does not
    take. Raises BadInput for a pattern that names nothing, where nothing is left to pack, and for NaN.

    Returns {"packed": names, "unfit": names of layers whose shape does not fit}.
    """
    layers = linear_layers(model)
    chosen = chosen_names(tuple(layers), tied_linears(model), keep, step=step)
    unfit = [name for name in chosen if not _fits(layers[name], packing, activations)]
    names = [name for name in chosen if name not in unfit]
    if not names:
        shapes = sorted({(m.out_features, m.in_features) for m in (layers[n] for n in unfit)})
        wanted = f"multiples of {FP8_MULTIPLE}" if packing.group is None else f"inputs in multiples of {packing.group}"
        raise BadInput(
            f"{step} needs {wanted}, but the Linear layers of this model have (outputs, inputs) "
            f"{', '.join(map(str, shapes[:3]))}: choose another group or another format."
        )
    for name in names:
        try:
            made = PackedLinear.from_linear(layers[name], packing, activations)
        except ValueError as error:
            raise BadInput(f"{step} cannot be applied to {name}: {error} Mend the model before this step.") from error
        model.set_submodule(name, made)
    return {"packed": names, "unfit": unfit}


def _fits(linear: nn.Linear, packing: Packing, activations: str) -> bool:
    if activations == "token" and (linear.in_features % FP8_MULTIPLE or linear.out_features % FP8_MULTIPLE):
        return False
    return packing.fits(linear.in_features)


def restored(
    model: PreTrainedModel,
    state: Mapping[str, Tensor],
    format: Format,
    group: int | None = None,
    activations: PackedActivations = "float",
) -> PreTrainedModel:
    """Fill a model without weights (on the meta device) with the state of a packed one.

    Raises ValueError where the state has packed weights for what is no Linear layer.
    """
    packing = Packing(format, group)
    model.tie_weights()
    layers = linear_layers(model)
    for name in [key.removesuffix(f".{packing.weight}") for key in state if key.endswith(f".{packing.weight}")]:
        if name not in layers:
            raise ValueError(f"{format} weights for {name!r}, which is no Linear layer")
        linear = layers[name]
        with torch.device("meta"):
            made = PackedLinear(linear.in_features, linear.out_features, linear.bias, packing, activations)
        model.set_submodule(name, made)
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    return model


def arrange(model: nn.Module) -> None:
    """Lay out what kernels will want laid out, before anything is timed or compiled."""
    first = next(model.parameters())
    if first.device.type == "cpu" and first.dtype != torch.bfloat16:
        return  # no such kernel will run
    for module in model.modules():
        if isinstance(module, PackedLinear):
            module.arrange()
