"""The training loop: AdamW as computed by hand, both schedules, and weights that stay good where it diverges."""

import itertools
import math

import pytest
import torch
from torch import nn

from bench.errors import BadInput
from bench.methods.training import Optimisation, factor_of, train


class Point(nn.Module):
    """One number to train."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor([value], dtype=torch.float64))


def square(model: Point, target: torch.Tensor) -> torch.Tensor:
    return ((model.x - target) ** 2).sum()


def test_first_update_is_adamw_by_hand() -> None:
    """Bias-corrected first step of Adam is lr * g / |g|; AdamW shrinks the weight by lr * decay first."""
    point = Point(1.0)
    losses = train(point, [torch.tensor(0.0)], square, Optimisation(1, 0.1, weight_decay=0.5, clip=1e9))
    assert losses == [1.0]
    assert point.x.item() == pytest.approx(1.0 * (1 - 0.1 * 0.5) - 0.1 * 2 / (2 + 1e-8), abs=1e-12)
    assert not point.training


def test_accumulated_batches_are_one_update_on_their_mean() -> None:
    """Loss (x-0)^2 and (x-4)^2 at 1: mean 5, gradient (2 - 6) / 2 = -2, so x rises."""
    how = Optimisation(1, 0.1, weight_decay=0.0, accumulate=2)
    point = Point(1.0)
    assert train(point, [torch.tensor(0.0), torch.tensor(4.0)], square, how) == [5.0]
    assert point.x.item() == pytest.approx(1.1, abs=1e-7)


def test_named_parameters_alone_are_trained() -> None:
    model = nn.ModuleList([Point(1.0), Point(1.0)])

    def both(pair: nn.ModuleList, target: torch.Tensor) -> torch.Tensor:
        first, second = pair
        assert isinstance(first, Point)
        assert isinstance(second, Point)
        return square(first, target) + square(second, target)

    train(model, itertools.repeat(torch.tensor(0.0)), both, Optimisation(3, 0.1), parameters=model[1].parameters())
    first, second = (p.item() for p in model.parameters())
    assert first == 1.0
    assert second < 0.8


def test_schedules_by_hand() -> None:
    linear = factor_of(Optimisation(10, 1.0, warmup=4))
    assert [linear(s) for s in (0, 1, 4, 7, 10)] == [0, 0.25, 1, 0.5, 0]
    cosine = factor_of(Optimisation(10, 1.0, warmup=4, decay="cosine"))
    expected = [0, 0.25, 1, 0.5, 0.5 * (1 + math.cos(math.pi * 5 / 6)), 0]
    assert [cosine(s) for s in (0, 1, 4, 7, 9, 10)] == pytest.approx(expected, abs=1e-15)


def test_a_loss_that_is_not_finite_ends_it_with_the_last_good_weights() -> None:
    """The loss of batch 3 is NaN: the weights for which it was last finite are those before the second update."""
    after_one = Point(1.0)
    train(after_one, [torch.tensor(0.0)], square, Optimisation(1, 0.1))
    point = Point(1.0)
    how = Optimisation(5, 0.1, decay="linear")
    seen: list[float] = []

    def watched(model: Point, target: torch.Tensor) -> torch.Tensor:
        seen.append(model.x.item())
        return square(model, target)

    targets = [torch.tensor(t) for t in (0.0, 0.0, float("nan"), 0.0, 0.0)]
    with pytest.raises(BadInput, match=r"diverged at step 3 of 5 \(loss nan\): lower learning_rate"):
        train(point, targets, watched, how)
    assert point.x.item() == seen[1] == after_one.x.item()
    assert not point.training


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    """sqrt at 0 has a finite value and an infinite slope."""

    def root(model: Point, target: torch.Tensor) -> torch.Tensor:
        return torch.sqrt(model.x - target).sum()

    point = Point(1.0)
    with pytest.raises(BadInput, match=r"diverged at step 1 of 2 \(loss 0, gradient norm inf\)"):
        train(point, [torch.tensor(1.0)] * 2, root, Optimisation(2, 0.1))
    assert point.x.item() == 1.0


def test_weights_that_overflow_at_the_last_update_are_taken_back() -> None:
    point = Point(1e300)
    with pytest.raises(BadInput, match="then the weights"):
        train(point, [torch.tensor(0.0)], lambda m, t: (m.x * 1e-300 - t).sum(), Optimisation(1, 1e300))
    assert point.x.item() == 1e300
