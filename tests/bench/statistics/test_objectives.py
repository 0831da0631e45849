"""Objectives and evidence: what is refused, and which way is up."""

import math

import numpy as np
import pytest

from bench.statistics.objectives import Evidence, Objective, count_variants

QUALITY = Objective("quality", "higher")


def test_directions_turn_estimates_and_draws_alike() -> None:
    draws = np.array([[1.0, 2.0], [3.0, 4.0]])
    up = Evidence(QUALITY, np.array([2.0, 3.0]), draws)
    down = Evidence(Objective("latency", "lower"), np.array([2.0, 3.0]), draws)
    assert up.costs.tolist() == [-2.0, -3.0]
    assert down.costs.tolist() == [2.0, 3.0]
    assert up.cost_draws is not None
    assert (up.cost_draws == -draws).all()
    assert down.cost_draws is draws


def test_a_number_missing_in_one_draw_is_missing() -> None:
    draws = np.ones((3, 4))
    draws[1, 2] = math.nan
    evidence = Evidence(QUALITY, np.array([1.0, math.inf, 1.0, 1.0]), draws)
    assert evidence.present.tolist() == [True, False, False, True]


def test_bad_objectives_and_evidence_are_refused() -> None:
    with pytest.raises(ValueError, match="lower or higher"):
        Objective("x", "up")  # type: ignore[arg-type]
    for matters in (-1.0, math.nan):
        with pytest.raises(ValueError, match="matters"):
            Objective("x", "lower", matters)
    with pytest.raises(ValueError, match="one row"):
        Evidence(QUALITY, np.ones((2, 2)))
    with pytest.raises(ValueError, match="shape"):
        Evidence(QUALITY, np.ones(2), np.ones((10, 3)))
    with pytest.raises(ValueError, match="at least 2"):
        Evidence(QUALITY, np.ones(2), n=1)
    with pytest.raises(ValueError, match="comes with n"):
        Evidence(QUALITY, np.ones(2), np.ones((10, 2)), span=1.0)


def test_evidence_that_does_not_fit_together_is_refused() -> None:
    one = Evidence(QUALITY, np.ones(3), np.ones((10, 3)))
    size = Objective("size", "lower")
    assert count_variants((one, Evidence(size, np.ones(3)))) == 3
    with pytest.raises(ValueError, match="at least one objective"):
        count_variants(())
    with pytest.raises(ValueError, match="same variants"):
        count_variants((one, Evidence(size, np.ones(4))))
    with pytest.raises(ValueError, match="equally often"):
        count_variants((one, Evidence(size, np.ones(3), np.ones((9, 3)))))
    with pytest.raises(ValueError, match="must differ"):
        count_variants((one, one))
