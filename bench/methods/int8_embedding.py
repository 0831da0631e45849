"""An embedding with uint8 rows: what neural-compressor makes of nn.Embedding.

Scheme (torch.ao's float_qparams): asymmetric, one float scale and one float zero point a row, from the row's smallest
and largest value: scale = (max - min) / 255, zero point = -min / scale, q = round(x / scale + zero point).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_SCALE = 1e-30  # a row whose values are this near to each other is constant: 1 / scale must stay finite


def is_word_embedding(module: nn.Module) -> bool:
    """Whether neural-compressor's rule takes the module: nn.Embedding itself, not its subclasses (learned positions).

    Word embeddings that BART and its kin multiply with a constant were nn.Embedding when that rule was written, and are
    a class ...ScaledWordEmbedding now.
    """
    scaled = isinstance(module, nn.Embedding) and type(module).__name__.endswith("ScaledWordEmbedding")
    return type(module) is nn.Embedding or (scaled and hasattr(module, "embed_scale"))


def quantise_rows(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """weight [rows, width], floating -> uint8 [rows, width], scale and zero point float32 [rows].

    weight ~ (uint8 - zero point) * scale, within half a scale; a row of equal values has scale 1 and is exact. Raises
    ValueError for weights that are not finite.
    """
    values = weight.detach().float()
    low, high = values.amin(dim=1), values.amax(dim=1)
    scale = (high - low) / 255
    if not bool(scale.isfinite().all()):
        raise ValueError("the embedding holds NaN or infinity and cannot be quantised.")
    scale = torch.where(scale > SMALLEST_SCALE, scale, torch.ones_like(scale))
    zero_point = -low / scale
    # (x - min) / scale rather than x / scale + zero point, which rounds twice where min is far from zero.
    quantised = ((values - low[:, None]) / scale[:, None]).round_().clamp_(0, 255).to(torch.uint8)
    return quantised, scale, zero_point


class Int8Embedding(nn.Module):
    """Look-up in a uint8 table: ids [...] -> [..., embedding_dim], times `embed_scale`, in the type of the original.

    Buffers, all plain tensors: `weight_uint8` uint8 [num_embeddings, embedding_dim], `weight_scale` and `weight_zero`
    float32 [num_embeddings]. They keep their types under `.half()` and the like; the output follows them.
    """

    weight_uint8: Tensor
    weight_scale: Tensor
    weight_zero: Tensor
    like: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        embed_scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Zeros, for `from_embedding` or `load_state_dict` to fill; `dtype` is that of the output."""
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.embed_scale = embed_scale
        self.register_buffer("weight_uint8", torch.zeros(num_embeddings, embedding_dim, dtype=torch.uint8))
        self.register_buffer("weight_scale", torch.ones(num_embeddings, dtype=torch.float32))
        self.register_buffer("weight_zero", torch.zeros(num_embeddings, dtype=torch.float32))
        # Empty: moves with the module and says which type the output has.
        self.register_buffer("like", torch.empty(0, dtype=dtype, device="cpu"), persistent=False)

    @classmethod
    def shaped_as(cls, embedding: nn.Embedding, dtype: torch.dtype) -> Int8Embedding:
        """A table of zeros in the place of `embedding`."""
        scale = float(getattr(embedding, "embed_scale", 1.0))
        return cls(embedding.num_embeddings, embedding.embedding_dim, embedding.padding_idx, scale, dtype)

    @classmethod
    def from_embedding(cls, embedding: nn.Embedding) -> Int8Embedding:
        """The embedding with its rows quantised. Raises ValueError as `quantise_rows` does."""
        with torch.device("meta"):
            made = cls.shaped_as(embedding, embedding.weight.dtype)
        made.weight_uint8, made.weight_scale, made.weight_zero = quantise_rows(embedding.weight)
        made.like = made.like.to(embedding.weight.device)
        return made.train(embedding.training)

    def share(self, other: Int8Embedding) -> None:
        """Hold the very tensors of another table of the same shape."""
        self.weight_uint8, self.weight_scale, self.weight_zero = (
            other.weight_uint8,
            other.weight_scale,
            other.weight_zero,
        )

    def forward(self, ids: Tensor) -> Tensor:
        """ids integer [...] -> [..., embedding_dim]."""
        rows = self.weight_uint8[ids].to(torch.float32)
        rows.sub_(self.weight_zero[ids][..., None]).mul_(self.weight_scale[ids][..., None])
        return rows.to(self.like.dtype) * self.embed_scale

    def _apply(self, fn: Any, recurse: bool = True) -> Int8Embedding:
        """Move, but keep float32: scales rounded to half precision would be another model."""
        scale, zero = self.weight_scale, self.weight_zero
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.weight_scale.dtype != torch.float32:
            self.weight_scale = scale.to(self.weight_scale.device)
            self.weight_zero = zero.to(self.weight_zero.device)
        return self

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, embed_scale={self.embed_scale}"
