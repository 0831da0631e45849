"""A frontier as a whole: against arithmetic by hand, and in any unit and direction."""

import numpy as np
import pytest

from bench.statistics.front import Front, front_of
from bench.statistics.objectives import Evidence, Objective


def found(*columns: list[float], better: tuple[str, ...] = ("lower", "lower")) -> Front:
    return front_of(
        [Evidence(Objective(f"o{i}", way), np.array(c)) for i, (c, way) in enumerate(zip(columns, better, strict=True))]  # type: ignore[arg-type]
    )


def test_members_knee_and_volume_by_hand() -> None:
    """Ranges of 10 and 10, so the reference is (11, 11) and the box 11 x 11."""
    front = found([0, 1, 10, 9], [10, 1, 0, 9])
    assert (front.size, front.knee) == (3, 1)
    assert front.hypervolume == pytest.approx((11 * 1 + 10 * 9 + 1 * 1) / 121)


def test_units_and_directions_change_nothing() -> None:
    first = found([0, 1, 10, 9], [10, 1, 0, 9])
    other = found([0, 1000, 10000, 9000], [-10, -1, 0, -9], better=("lower", "higher"))
    assert (other.size, other.knee) == (first.size, first.knee)
    assert other.hypervolume == pytest.approx(first.hypervolume)


def test_what_has_no_number_is_left_out() -> None:
    front = found([float("nan"), 0, 10], [1, 10, 0])
    assert (front.size, front.knee) == (2, None)
    assert front.hypervolume == pytest.approx((11 + 10) / 121)
    assert found([float("nan")], [1.0]) == Front(0, None, None)


def test_an_objective_on_which_all_agree_says_nothing() -> None:
    front = found([5, 5, 5], [1, 2, 3])
    assert (front.size, front.knee) == (1, None)
    assert front.hypervolume == pytest.approx(2.2 / 2.2)
    assert found([5, 5], [1, 1]) == Front(2, None, None)
