"""Losses between a student and its teacher, as sums over rows, so that any split of a batch adds up to the same mean.

Sanh et al. 2019 (arXiv:1910.01108): softened cross-entropy, cosine of hidden states, squared error of logits.
Shleifer & Rush 2020 (arXiv:2010.13002): squared error of matched hidden states. Hinton et al. 2015: the factor T^2.
Every loss is exactly zero where the student equals the teacher. The teacher is always the target distribution.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, layer_norm, normalize

IGNORED = -100  # label of a position that no loss counts

# Student depth -> the teacher layers (of 12) whose outputs its layers imitate, Shleifer & Rush.
SUPERVISED: dict[int, tuple[int, ...]] = {1: (11,), 2: (5, 11), 3: (3, 7, 11), 6: (1, 3, 5, 8, 10, 11)}


def supervised_map(depth: int, keep: int) -> tuple[int, ...]:
    """Which teacher layer's output each of `keep` student layers imitates, 0-based: the last one of its share.

    The published map for 12 teacher layers; otherwise layer i of k answers for the teacher's layers up to (i+1)/k.
    """
    if depth == 12 and keep in SUPERVISED:
        return SUPERVISED[keep]
    return tuple(round((i + 1) * depth / keep) - 1 for i in range(keep))


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher/T) || softmax(student/T)), summed over rows; logits [rows, classes]."""
    expected = (teacher / temperature).log_softmax(dim=-1)
    found = (student / temperature).log_softmax(dim=-1)
    return temperature**2 * (expected.exp() * (expected - found)).sum()


def soft_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """-sum over classes of P_teacher log P_student, summed over rows (Turc et al. 2019, arXiv:1908.08962)."""
    return -(teacher.softmax(dim=-1) * student.log_softmax(dim=-1)).sum()


def hard_cross_entropy(student: Tensor, labels: Tensor) -> Tensor:
    """-log P_student(label), summed over the rows whose label is not IGNORED; logits [rows, classes]."""
    return cross_entropy(student, labels, ignore_index=IGNORED, reduction="sum")


def squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared differences of logits, summed over rows and classes."""
    return (student - teacher).square().sum()


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos(student, teacher), summed over rows; states [rows, width].

    Computed as half the squared distance of the unit vectors, which is the same and exactly zero for equal states.
    """
    return (normalize(student, dim=-1) - normalize(teacher, dim=-1)).square().sum() / 2


def hidden_error(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor, *, normalised: bool) -> Tensor:
    """Squared differences of matched states, divided by their width, summed over valid tokens and over layers.

    Args:
        student: one tensor [batch, tokens, width] for each matched layer.
        teacher: the states to imitate, same shapes.
        mask: [batch, tokens], 1 for a valid token.
        normalised: layer-normalise both sides first, so that only the direction of the centred states counts.
    """
    total = torch.zeros((), dtype=torch.float32)
    for mine, theirs in zip(student, teacher, strict=True):
        valid = mask.bool()
        a, b = mine[valid].float(), theirs[valid].float()
        if normalised:
            a, b = layer_norm(a, a.shape[-1:]), layer_norm(b, b.shape[-1:])
        total = total + (a - b).square().sum() / a.shape[-1]
    return total
