"""The losses of distillation against values worked out by hand, and their limits."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity, kl_div

from bench.methods.distill_losses import (
    IGNORED,
    cosine_distance,
    divergence,
    hard_cross_entropy,
    hidden_error,
    soft_cross_entropy,
    squared_error,
    supervised_map,
)

MASK = torch.tensor([[1, 1, 0], [1, 0, 0]])


def logits(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def probabilities(*rows: tuple[float, ...]) -> torch.Tensor:
    """Logits whose softmax is `rows`."""
    return logits(*rows).log()


def test_zero_where_student_is_teacher() -> None:
    """Exactly, not nearly: whatever is left would pull a perfect student away."""
    torch.manual_seed(0)
    z, h = torch.randn(7, 11) * 5, torch.randn(7, 16) * 3
    for temperature in (0.5, 1.0, 2.0, 10.0):
        assert divergence(z, z.clone(), temperature).item() == 0.0
    assert squared_error(z, z.clone()).item() == 0.0
    assert cosine_distance(h, h.clone()).item() == 0.0
    states = [torch.randn(2, 3, 8) for _ in range(3)]
    for normalised in (False, True):
        assert hidden_error(states, [s.clone() for s in states], MASK, normalised=normalised).item() == 0.0


def test_divergence_by_hand_at_temperature_one() -> None:
    """P = (1/2, 1/2), Q = (1/4, 3/4): KL(P||Q) = ln 2/2 + ln(2/3)/2."""
    teacher, student = probabilities((0.5, 0.5)), probabilities((0.25, 0.75))
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert divergence(student, teacher, 1.0).item() == pytest.approx(expected, rel=1e-12)


def test_divergence_takes_the_teacher_as_target() -> None:
    """KL(Q||P) = ln(1/2)/4 + 3 ln(3/2)/4 is another number, and the wrong one."""
    teacher, student = probabilities((0.5, 0.5)), probabilities((0.25, 0.75))
    reverse = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert divergence(teacher, student, 1.0).item() == pytest.approx(reverse, rel=1e-12)
    assert divergence(student, teacher, 1.0).item() != pytest.approx(reverse, rel=0.05)


def test_divergence_at_temperature_two_by_hand() -> None:
    """Logits (2 ln 3, 0) over T = 2 give (3/4, 1/4); logits 0 give halves; times T^2 = 4."""
    teacher, student = logits((2 * math.log(3), 0.0)), logits((0.0, 0.0))
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert divergence(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-12)


def test_divergence_sums_rows_as_torch_does() -> None:
    torch.manual_seed(1)
    student, teacher = torch.randn(9, 5), torch.randn(9, 5)
    torchs = kl_div((student / 3).log_softmax(-1), (teacher / 3).softmax(-1), reduction="sum") * 9
    assert divergence(student, teacher, 3.0).item() == pytest.approx(torchs.item(), rel=1e-5)
    halves = divergence(student[:4], teacher[:4], 3.0) + divergence(student[4:], teacher[4:], 3.0)
    assert halves.item() == pytest.approx(torchs.item(), rel=1e-5)


def test_divergence_without_limit_of_temperature() -> None:
    """With e = (t - s)/T small, KL = Var(e)/2 + O(e^3): T^2 KL -> sum of squared centred differences / 2V."""
    torch.manual_seed(2)
    student, teacher = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    difference = teacher - student
    centred = difference - difference.mean(dim=-1, keepdim=True)
    limit = (centred.square().sum() / (2 * 6)).item()
    errors = [abs(divergence(student, teacher, t).item() / limit - 1) for t in (10.0, 100.0, 1000.0)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]  # the rest vanishes as 1/T
    assert errors[2] < 1e-3


def test_gradient_does_not_shrink_with_temperature() -> None:
    """T^2 keeps the gradient's size: at most a small factor between T = 5 and T = 50; without it, a hundred."""
    sizes = []
    for temperature in (5.0, 50.0):
        student = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
        torch.autograd.backward(divergence(student, logits((1.0, 0.0, -1.0, 0.5)), temperature))
        assert student.grad is not None
        sizes.append(student.grad.norm().item())
    assert sizes[1] == pytest.approx(sizes[0], rel=0.2)


def test_soft_cross_entropy_is_divergence_plus_entropy() -> None:
    teacher, student = probabilities((0.5, 0.5), (0.9, 0.1)), probabilities((0.25, 0.75), (0.6, 0.4))
    by_hand = -(0.5 * math.log(0.25) + 0.5 * math.log(0.75)) - (0.9 * math.log(0.6) + 0.1 * math.log(0.4))
    assert soft_cross_entropy(student, teacher).item() == pytest.approx(by_hand, rel=1e-12)
    entropy = math.log(2) - (0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert divergence(student, teacher, 1.0).item() + entropy == pytest.approx(by_hand, rel=1e-12)


def test_hard_cross_entropy_skips_ignored_rows() -> None:
    student = probabilities((0.25, 0.75), (0.5, 0.5), (0.9, 0.1))
    found = hard_cross_entropy(student, torch.tensor([1, IGNORED, 0]))
    assert found.item() == pytest.approx(-math.log(0.75) - math.log(0.9), rel=1e-12)


def test_cosine_distance_by_hand() -> None:
    """Right angle 1, opposite 2, same direction at any length 0, 60 degrees 1/2."""
    student = logits((1.0, 0.0), (1.0, 0.0), (3.0, 4.0), (1.0, 0.0))
    teacher = logits((0.0, 2.0), (-5.0, 0.0), (6.0, 8.0), (0.5, math.sqrt(0.75)))
    for row, expected in enumerate((1.0, 2.0, 0.0, 0.5)):
        assert cosine_distance(student[row : row + 1], teacher[row : row + 1]).item() == pytest.approx(expected)
    torch.manual_seed(3)
    a, b = torch.randn(6, 9), torch.randn(6, 9)
    assert cosine_distance(a, b).item() == pytest.approx((1 - cosine_similarity(a, b)).sum().item(), rel=1e-5)


def test_squared_error_by_hand() -> None:
    assert squared_error(logits((1.0, 2.0), (0.0, 0.0)), logits((0.0, 4.0), (3.0, 0.0))).item() == 1 + 4 + 9


def test_hidden_error_by_hand() -> None:
    """Three valid tokens of width 2 in two layers; what stands under padding does not count."""
    student = torch.zeros(2, 3, 2)
    teacher = torch.full((2, 3, 2), 100.0)
    teacher[0, 0] = torch.tensor([1.0, 3.0])  # (1 + 9)/2 = 5
    teacher[0, 1] = torch.tensor([2.0, 0.0])  # 2
    teacher[1, 0] = torch.tensor([0.0, 0.0])  # 0
    layers = hidden_error([student, student], [teacher, teacher], MASK, normalised=False)
    assert layers.item() == pytest.approx(2 * (5 + 2 + 0))


def test_hidden_error_normalised_sees_direction_only() -> None:
    """(1, 3) and (10, 30) normalise to (-1, 1); (3, 1) to (1, -1), squared distance 8, over width 2."""
    mask = torch.ones(1, 1)
    state = torch.tensor([[[1.0, 3.0]]])
    assert hidden_error([state], [state * 10], mask, normalised=True).item() == pytest.approx(0, abs=1e-4)
    assert hidden_error([state], [state.flip(-1)], mask, normalised=True).item() == pytest.approx(4, rel=1e-4)


@pytest.mark.parametrize(
    ("keep", "layers"), [(1, (11,)), (2, (5, 11)), (3, (3, 7, 11)), (6, (1, 3, 5, 8, 10, 11)), (12, tuple(range(12)))]
)
def test_supervised_layers_as_published(keep: int, layers: tuple[int, ...]) -> None:
    assert supervised_map(12, keep) == layers


def test_supervised_layers_elsewhere_end_with_the_last() -> None:
    for depth in range(1, 17):
        for keep in range(1, depth + 1):
            found = supervised_map(depth, keep)
            assert len(found) == keep
            assert found[-1] == depth - 1
            assert list(found) == sorted(set(found))
    assert supervised_map(4, 2) == (1, 3)
