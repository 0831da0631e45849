"""The 2:4 pattern of a weight: choosing it, recognising it, and running it where a GPU has kernels for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KERNEL_TYPES = (torch.float16, torch.bfloat16)


def two_of_four(score: Tensor) -> Tensor:
    """True for the two largest of every four neighbours along a row; the earlier ones where they are equal.

    score [rows, columns], columns a multiple of 4 -> bool of the same shape.
    """
    order = score.reshape(*score.shape[:-1], -1, 4).argsort(dim=-1, descending=True, stable=True)
    mask = torch.zeros(order.shape, dtype=torch.bool, device=score.device)
    return mask.scatter_(-1, order[..., :2], True).flatten(-2)


def thin_out(linear: nn.Linear, norms: Tensor | None = None) -> None:
    """Zero two of every four weights, in place: the smallest, or with `norms` [in] the smallest |W| x norm."""
    weight = linear.weight.detach()
    score = weight.abs().float() if norms is None else weight.abs().float() * norms.to(weight.device)
    weight.masked_fill_(~two_of_four(score), 0)


def is_sparse_2_4(weight: Tensor) -> bool:
    """Whether of every four neighbours along a row two or more are zero."""
    if weight.dim() != 2 or weight.shape[1] % 4:
        return False
    return bool((weight.reshape(len(weight), -1, 4).count_nonzero(dim=2) <= 2).all())


def use_sparse_kernels(model: nn.Module) -> int:
    """Turn each 2:4 weight into torch's semi-structured tensor, on a GPU in a type that it takes; says how many.

    A weight whose shape the kernels do not take stays dense, and so does all on a CPU.
    """
    from torch.sparse import to_sparse_semi_structured

    turned = 0
    for module in model.modules():
        if type(module) is not nn.Linear or not module.weight.is_cuda or module.weight.dtype not in KERNEL_TYPES:
            continue
        if not is_sparse_2_4(module.weight):
            continue
        try:
            sparse = to_sparse_semi_structured(module.weight.detach())
        except (RuntimeError, ValueError):
            continue
        module.weight = nn.Parameter(sparse, requires_grad=False)
        turned += 1
    return turned
