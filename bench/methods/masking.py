"""Masked-language-model inputs: which tokens are hidden, and what stands in their place.

Positions are drawn without replacement, either all alike or rare words more often (probability of a token in proportion
to count^-0.7, Sanh et al. 2019); 80% become the mask token, 10% stay, 10% become another token (Devlin et al. 2018).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.methods.distill_losses import IGNORED

MASKED, KEPT = 0.8, 0.1  # the rest is replaced


def token_counts(sequences: Iterable[Sequence[int]], vocabulary: int) -> Tensor:
    """How often each token stands in the training data, [vocabulary]."""
    counts = np.zeros(vocabulary, dtype=np.int64)
    for ids in sequences:
        np.add.at(counts, np.asarray(ids, dtype=np.int64), 1)
    return torch.from_numpy(counts).double()


def rare_weights(counts: Tensor, special: Iterable[int], power: float = 0.7) -> Tensor:
    """Relative probability of being hidden by token: count^-power, zero for special tokens.

    A token that the data lack counts as seen once; it can only be met as a replacement.
    """
    weights = counts.clamp(min=1).pow(-power)
    weights[list(special)] = 0.0
    return weights


def even_weights(vocabulary: int, special: Iterable[int]) -> Tensor:
    """Every token alike, special tokens never."""
    return rare_weights(torch.ones(vocabulary, dtype=torch.float64), special)


@dataclass(frozen=True)
class Masker:
    """Hides tokens of a batch: ceil(share * maskable tokens) of them in the whole batch, not in each row."""

    weights: Tensor  # [vocabulary]
    mask_id: int
    share: float = 0.15

    def __call__(self, ids: Tensor, attention: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Masked ids and labels, both [batch, tokens]; the label is IGNORED where nothing is to be predicted."""
        weights = (self.weights[ids] * attention).flatten()
        maskable = int((weights > 0).sum())
        labels = torch.full_like(ids, IGNORED).flatten()
        masked = ids.clone().flatten()
        if maskable:
            chosen = torch.multinomial(weights, math.ceil(self.share * maskable), generator=generator)
            labels[chosen] = masked[chosen]
            fate = torch.rand(len(chosen), generator=generator)
            words = (self.weights > 0).nonzero().flatten()
            drawn = words[torch.randint(len(words), (len(chosen),), generator=generator)]
            replaced = torch.where(fate < MASKED, torch.full_like(drawn, self.mask_id), drawn)
            masked[chosen] = torch.where((fate >= MASKED) & (fate < MASKED + KEPT), masked[chosen], replaced)
        return masked.view_as(ids), labels.view_as(ids)
