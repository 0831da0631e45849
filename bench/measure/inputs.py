"""Model inputs of an exact shape, made of a task's own texts: every token is a real one, nothing is padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.data import Example
from bench.errors import BadInput

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


def inputs_of_shape(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], batch: int, length: int
) -> dict[str, torch.Tensor]:
    """Inputs [batch, length]. Texts are joined until they are long enough, then cut, special tokens kept.

    Raises BadInput where the tokenizer cannot give `length` tokens.
    """
    import torch

    rows: list[dict[str, list[int]]] = []
    position = 0
    for _ in range(batch):
        text: list[str] = []
        pair: list[str] = []
        ids: dict[str, list[int]] = {}
        # Every text adds at least one token, so `length` texts are enough.
        for _ in range(length + 1):
            example = examples[position % len(examples)]
            position += 1
            text.append(example.text)
            if example.pair is not None:
                pair.append(example.pair)
            found = tokenizer(" ".join(text), " ".join(pair) if pair else None, truncation=True, max_length=length)
            ids = {key: list(value) for key, value in found.items()}
            if len(ids["input_ids"]) == length:
                break
        else:
            raise BadInput(
                f"The tokenizer gives {len(ids['input_ids'])} tokens where {length} are asked for: choose another."
            )
        rows.append(ids)
    return {key: torch.tensor([row[key] for row in rows]) for key in rows[0]}
