"""Objectives and evidence: what is refused, and which way is up."""

import math

import numpy as np
import pytest

from bench.statistics.objectives import Evidence, Objective, Piece, count_variants, put_together
from bench.statistics.simultaneous import half_widths

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


def test_evidence_is_put_together_from_what_is_known_of_each_variant() -> None:
    draws = np.array([0.8, 0.9])
    base = Piece(1.0, noisy=False, draws=None, evidence=None, span=0.0, extended=None)
    timed = Piece(0.85, noisy=True, draws=draws, evidence=9, span=0.0, extended=2.0)
    found = put_together(QUALITY, [base, timed, None])
    assert found.present.tolist() == [True, True, False]
    assert found.draws is not None
    assert found.draws[:, :2].tolist() == [[1.0, 0.8], [1.0, 0.9]]
    assert found.freedom is not None
    assert found.freedom.tolist() == [math.inf, 8, math.inf]
    assert found.extended is not None
    assert found.extended.tolist() == [math.inf, 2.0, math.inf]
    scored = timed._replace(span=1.0, extended=None)
    assert put_together(QUALITY, [scored, scored._replace(evidence=7)]).n == 7


def test_noisy_numbers_without_resamples_do_not_pass_for_exact() -> None:
    exact = Piece(3.0, noisy=False, draws=None, evidence=None, span=0.0, extended=None)
    found = put_together(QUALITY, [exact, None])
    assert (found.draws, found.present.tolist()) == (None, [True, False])
    assert not put_together(QUALITY, [exact, exact._replace(noisy=True)]).present.any()


def test_resamples_that_never_differ_say_nothing_though_they_were_stored_in_single_precision() -> None:
    seconds = [1.2345, 1.2341, 1.2349]
    stored = [np.full(400, s).astype(np.float32).astype(np.float64) for s in seconds]
    pieces = [Piece(s, False, draws, 2, 0.0, None) for s, draws in zip(seconds, stored, strict=True)]
    (width,) = half_widths((put_together(Objective("load time", "lower"), pieces),), 0.95)
    assert np.isinf(width[~np.eye(3, dtype=bool)]).all()


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
