"""How large the inputs of Linear layers are on calibration data: one norm for each column of their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.errors import BadInput
from bench.methods.encoding import encoded

if TYPE_CHECKING:
    from bench.data import Example
    from bench.models import Loaded


def input_norms(
    loaded: Loaded, layers: Mapping[str, nn.Linear], examples: Sequence[Example], max_length: int
) -> dict[str, Tensor]:
    """The l2 norm over all tokens of each feature that enters each layer, float32 [in] by name.

    One sample at a time, so that no padding is counted. An encoder-decoder that writes text is given the references.
    Raises BadInput where no sample has a token.
    """
    sums = {name: torch.zeros(layer.in_features, dtype=torch.float64) for name, layer in layers.items()}
    handles = [layer.register_forward_pre_hook(_adder(sums[name])) for name, layer in layers.items()]
    try:
        with torch.inference_mode():
            ran = sum(_run(loaded, example, max_length) for example in examples)
    finally:
        for handle in handles:
            handle.remove()
    if not ran:
        raise BadInput("sparse_2_4.data has no row with text: give calibration data that have some.")
    return {name: total.sqrt().float() for name, total in sums.items()}


def _adder(total: Tensor) -> Any:
    def add(_layer: nn.Module, args: tuple[Any, ...]) -> None:
        total.add_(args[0].detach().double().square().flatten(0, -2).sum(dim=0).cpu())

    return add


def _run(loaded: Loaded, example: Example, max_length: int) -> bool:
    """One forward pass; False for a sample without a token."""
    rows = encoded(loaded, [example.text], None if example.pair is None else [example.pair], max_length)
    if not rows[0]["input_ids"]:
        return False
    inputs = {key: torch.tensor([values]).to(loaded.model.device) for key, values in rows[0].items()}
    shift: Any = getattr(loaded.model, "prepare_decoder_input_ids_from_labels", None)
    if shift is not None and example.label and loaded.model.can_generate():
        said = encoded(loaded, [example.label], None, max_length, target=True)[0]["input_ids"]
        inputs["decoder_input_ids"] = shift(labels=torch.tensor([said]).to(loaded.model.device))
    loaded.model(**inputs)
    return True
