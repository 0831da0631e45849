"""Planned looks: the plan, the level at each, and when to stop."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.statistics.looks import look_level, next_look, planned_looks


def test_the_plan_doubles_and_ends_at_the_cap() -> None:
    assert planned_looks() == (40, 80, 160, 320)
    assert planned_looks(1, 32) == (1, 2, 4, 8, 16, 32)
    assert planned_looks(40, 100) == (40, 80, 100)
    assert planned_looks(40, 10) == (10,)
    with pytest.raises(ValueError, match="1 round"):
        planned_looks(0, 10)


def test_the_level_is_split_over_the_looks() -> None:
    assert look_level(0.95, 4) == pytest.approx(0.9875)
    assert look_level(0.9, 1) == pytest.approx(0.9)
    with pytest.raises(ValueError, match="at least one look"):
        look_level(0.95, 0)


@pytest.mark.parametrize(
    ("done", "half_width", "expected"),
    [
        (0, None, 40),
        (40, 0.02, None),
        (40, 0.0201, 80),
        (80, math.nan, 160),
        (80, None, 160),
        (80, math.inf, 160),
        (160, 0.5, 320),
        (320, 0.5, None),
        (400, 0.5, None),
        # A crash between two looks: the width of 55 rounds was never planned.
        (55, 0.001, 80),
    ],
)
def test_next_look(done: int, half_width: float | None, expected: int | None) -> None:
    assert next_look(done, half_width) == expected


def test_a_cap_below_the_first_look_is_the_look() -> None:
    assert next_look(0, None, cap=10) == 10
    assert next_look(10, 1.0, cap=10) is None


@pytest.mark.parametrize(("done", "half_width", "target"), [(-1, 0.1, 0.02), (40, -0.1, 0.02), (40, 0.1, 0.0)])
def test_looks_refuse_what_cannot_be(done: int, half_width: float, target: float) -> None:
    with pytest.raises(ValueError, match="got"):
        next_look(done, half_width, target)


def test_stopping_by_width_keeps_the_level_over_all_looks() -> None:
    """The worst rule stops at the look that misses, if there is one; unsplit, it would miss more than one in ten."""
    rng = np.random.default_rng(8)
    sums = np.cumsum(rng.standard_normal((4000, 320)), axis=1)
    looks = np.array(planned_looks())
    z = np.abs(sums[:, looks - 1]) / np.sqrt(looks)
    assert (z > stats.norm.isf((1 - look_level(0.95, looks.size)) / 2)).any(axis=1).mean() <= 0.05
    assert (z > stats.norm.isf(0.025)).any(axis=1).mean() > 0.10
