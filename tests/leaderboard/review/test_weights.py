"""What weights choose: exact thresholds against a search of every weight, and shares against known ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leaderboard.review.weights import RHO, FloatArray, Segment, resampled, scaled, scores, segments, weighted_anyhow

LOSSES = arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 4)),
    elements=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])),
)


def along(weights: FloatArray, of: int, t: float) -> FloatArray:
    """All weights where one of them is t."""
    rest = np.delete(weights, of)
    shares = rest / rest.sum() if rest.sum() > 0 else np.full(rest.size, 1 / max(1, rest.size))
    return np.insert((1 - t) * shares, of, t)


@settings(max_examples=200, deadline=None)
@given(LOSSES, st.data())
@example(np.array([[0.0, 1.0], [1.0, 0.0], [0.4, 0.4]]), None)
@example(np.array([[0.5, 0.5], [0.5, 0.5]]), None)
def test_segments_are_what_a_search_of_every_weight_finds(losses: FloatArray, data: st.DataObject | None) -> None:
    size = losses.shape[1]
    one = st.one_of(st.just(0.0), st.floats(0.001, 1))
    weights = np.array(data.draw(st.lists(one, min_size=size, max_size=size)) if data else [0.5] * size)
    for of in range(size):
        found = segments(losses, weights, of)
        assert found[0].low == 0
        assert found[-1].high == 1
        assert all(a.high == b.low and a.choice != b.choice for a, b in pairwise(found))
        for t in np.concatenate([np.linspace(0, 1, 41), [(s.low + s.high) / 2 for s in found]]).tolist():
            every = scores(losses, along(weights, of, t))
            mine = [s.choice for s in found if s.low <= t <= s.high]
            assert every[mine].min() <= every.min() + 1e-9


def test_the_threshold_of_two_is_where_their_scores_cross() -> None:
    found = segments(np.array([[0.0, 1.0], [1.0, 0.0], [0.25, 0.5]]), np.array([0.5, 0.5]), 0)
    assert [s.choice for s in found] == [1, 2, 0]
    # (1 - t) 0.5 + 0.75 RHO = t + RHO below, and t 0.25 + 0.75 RHO = (1 - t) + RHO above.
    assert found[0].high == pytest.approx((0.5 - 0.25 * RHO) / 1.5)
    assert found[1].high == pytest.approx((1 + 0.25 * RHO) / 1.25)


def test_a_hollow_of_the_frontier_has_weights_and_what_is_beaten_has_none() -> None:
    """The middle point lies above the straight line of the ends: a weighted sum never chooses it."""
    losses = np.array([[0.0, 1.0], [0.6, 0.6], [1.0, 0.0], [0.7, 0.7]])
    sums = np.array([losses @ [t, 1 - t] for t in np.linspace(0, 1, 101)])
    assert 1 not in sums.argmin(axis=1)
    assert [s.choice for s in segments(losses, np.array([0.5, 0.5]), 0)] == [2, 1, 0]
    assert weighted_anyhow(losses)[3] == 0


def test_one_candidate_and_none() -> None:
    assert segments(np.array([[0.0, 0.0]]), np.array([1.0, 0.0]), 1) == (Segment(0.0, 1.0, 0),)
    with pytest.raises(ValueError, match="no candidate"):
        segments(np.empty((0, 2)), np.array([0.5, 0.5]), 0)


def test_shares_of_all_weightings_are_those_of_even_weights() -> None:
    """With two objectives an even Dirichlet weight is uniform: the share is the length of the segment."""
    losses = np.array([[0.0, 1.0], [0.3, 0.35], [1.0, 0.0]])
    found = weighted_anyhow(losses)
    lengths = {s.choice: s.high - s.low for s in segments(losses, np.array([0.5, 0.5]), 0)}
    assert found.sum() == pytest.approx(1)
    for choice, length in lengths.items():
        assert found[choice] == pytest.approx(length, abs=0.03)  # 4 standard errors of 4,000


def test_shares_of_resamples_are_how_often_one_is_first() -> None:
    """Two variants whose difference is normal: the first is first as often as the normal says."""
    rng = np.random.default_rng(5)
    draws = np.array([0.0, 0.1]) + 0.1 * rng.standard_normal((20_000, 2))
    exact = np.array([[1.0, 1.0]])
    found = resampled([draws, exact], np.array([0.5, 0.5]), np.array([0.0, 1.0]), np.array([0.1, 1.0]))
    assert found.sum() == pytest.approx(1)
    assert found[0] == pytest.approx(0.7602, abs=0.012)  # P(N(0.1, 0.02) > 0)


def test_objectives_on_which_all_agree_choose_nothing() -> None:
    costs = np.array([[1.0, 5.0], [2.0, 5.0]])
    losses = scaled(costs, costs.min(axis=0), costs.max(axis=0))
    assert losses.tolist() == [[0, 0], [1, 0]]
    assert [s.choice for s in segments(losses, np.array([0.5, 0.5]), 1)] == [0]


@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_resamples_of_what_all_agree_on_choose_nothing_in_any_unit(unit: float) -> None:
    rng = np.random.default_rng(3)
    costs = [np.array([[0.0, 1.0]]), unit * (5 + rng.normal(0, 1, (400, 2)))]
    found = resampled(costs, np.array([0.5, 0.5]), np.array([0.0, 5 * unit]), np.array([1.0, 5 * unit]))
    assert found.tolist() == [1, 0]
