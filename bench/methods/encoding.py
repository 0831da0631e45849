"""Texts as token numbers, padded on the right whatever the tokenizer would do, with a mask that says what is real.

The mask is made from lengths: many causal models have no padding token, or use the end token as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.architecture import architecture_of

if TYPE_CHECKING:
    import torch

    from bench.models import Loaded

Row = dict[str, list[int]]  # input_ids, and what else the tokenizer gives for a token (token_type_ids)


def encoded(
    loaded: Loaded, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int | None, *, target: bool = False
) -> list[Row]:
    """The tokens of each text, cut to max_length or to the positions of the model, whichever is fewer.

    Args:
        loaded: the model and its tokenizer.
        texts: first texts.
        pairs: second texts, None for single ones.
        max_length: most tokens, special ones included; None to cut nothing.
        target: the texts are what a sequence-to-sequence model should write.
    """
    if not texts:
        return []
    positions = architecture_of(loaded.model.config.to_dict()).positions
    limit = {} if max_length is None else {"truncation": True, "max_length": min(max_length, positions or max_length)}
    words = {"text_target": list(texts)} if target else {"text": list(texts), "text_pair": pairs and list(pairs)}
    found = loaded.tokenizer(**words, **limit)
    columns = {key: values for key, values in found.items() if key != "attention_mask"}
    return [{key: list(values[i]) for key, values in columns.items()} for i in range(len(texts))]


def by_length(rows: Sequence[Row], batch: int) -> Iterator[list[int]]:
    """The numbers of the rows in batches, the shortest first, so that little is filled up."""
    order = sorted(range(len(rows)), key=lambda n: (len(rows[n]["input_ids"]), n))
    return (order[start : start + batch] for start in range(0, len(order), batch))


def filler(loaded: Loaded) -> int:
    """A token number to fill up rows with; masked wherever it stands."""
    for found in (loaded.tokenizer.pad_token_id, loaded.tokenizer.eos_token_id):
        if isinstance(found, int):
            return found
    return 0


def padded(rows: Sequence[Mapping[str, Sequence[int]]], fill: int) -> dict[str, torch.Tensor]:
    """Rows as int64 tensors [rows, longest], real tokens first, and an `attention_mask` of ones and zeros."""
    import torch

    longest = max(len(row["input_ids"]) for row in rows)
    columns: dict[str, Any] = {}
    for key in rows[0]:
        blank = fill if key == "input_ids" else 0
        columns[key] = torch.tensor([[*row[key], *[blank] * (longest - len(row[key]))] for row in rows])
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    columns["attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
    return columns
