"""Paired comparisons: exact tests, score intervals, flips, agreement."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bench.statistics.intervals import wilson
from bench.statistics.paired import agreement, difference, flips, holm, mcnemar_exact

FloatArray = NDArray[np.float64]


def outcomes(wins: int, losses: int, n: int) -> tuple[FloatArray, FloatArray]:
    """0/1 outcomes of two variants that differ on wins + losses of n examples."""
    a, b = np.ones(n), np.ones(n)
    b[:wins] = 0
    a[wins : wins + losses] = 0
    return a, b


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (6, 0), (7, 1), (5, 5), (12, 30)])
def test_mcnemar_is_the_binomial_test_of_the_discordant(wins: int, losses: int) -> None:
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert mcnemar_exact(*outcomes(wins, losses, 100)) == pytest.approx(expected)


def test_flips_are_told_apart_and_counted_from_the_base() -> None:
    base, variant = [1, 1, 0, 0, 1], [1, 0, 1, 1, 0]
    assert flips(base, variant) == (2, 2)
    assert flips([False, True], [True, True]) == (1, 0)
    with pytest.raises(ValueError, match="0 or 1"):
        flips([0.5, 1], [0, 1])
    with pytest.raises(ValueError, match="equally long"):
        flips([0, 1], [0, 1, 1])


def test_no_discordant_example_leaves_room_for_some() -> None:
    none = difference(*outcomes(0, 0, 100))
    z = stats.norm.isf(0.025)
    assert none.low == pytest.approx(-none.high)
    assert none.high == pytest.approx(z**2 / (100 + z**2))


@pytest.mark.parametrize(("wins", "losses", "n"), [(50, 0, 50), (0, 50, 50), (1, 0, 1), (0, 0, 1), (1, 0, 30)])
def test_difference_at_the_ends_stays_on_the_scale(wins: int, losses: int, n: int) -> None:
    got = difference(*outcomes(wins, losses, n))
    assert -1 <= got.low <= got.estimate <= got.high <= 1
    assert got.high - got.low > 0


@settings(max_examples=80, deadline=None)
@given(wins=st.integers(0, 30), losses=st.integers(0, 30), rest=st.integers(1, 60))
def test_difference_of_0_1_agrees_with_the_score_test_of_no_difference(wins: int, losses: int, rest: int) -> None:
    got = difference(*outcomes(wins, losses, wins + losses + rest))
    mirrored = difference(*outcomes(losses, wins, wins + losses + rest))
    assert (mirrored.low, mirrored.high) == pytest.approx((-got.high, -got.low), abs=1e-9)
    # At no difference Tango's statistic is McNemar's.
    score = abs(wins - losses) / math.sqrt(wins + losses) if wins + losses else 0.0
    assert got.contains(0.0) == (score <= stats.norm.isf(0.025))


@pytest.mark.parametrize(("up", "down"), [(0.02, 0.02), (0.01, 0.002), (0.1, 0.04), (0.3, 0.1)])
def test_difference_of_0_1_covers(up: float, down: float) -> None:
    n = 200
    draws = np.random.default_rng(1).multinomial(n, [up, down, 1 - up - down], size=1500)
    kinds, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
    hits = [difference(*outcomes(int(w), int(v), n)).contains(up - down) for w, v in kinds]
    assert 0.935 <= np.average(hits, weights=counts) <= 0.99


def test_difference_of_scores_is_the_paired_t() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random(30), rng.random(30)
    known = stats.ttest_rel(a, b).confidence_interval(0.9)
    got = difference(a, b, 0.9)
    assert (got.low, got.high) == pytest.approx((known.low, known.high))
    with pytest.raises(ValueError, match="at least 2"):
        difference([0.3], [0.2])


def test_a_span_keeps_equal_scores_from_looking_equal_for_ever() -> None:
    scores = np.linspace(0.1, 0.9, 50)
    assert difference(scores, scores).half_width == 0.0
    assert difference(scores, scores, span=1.0).high == pytest.approx(stats.t.isf(0.025, 49) * math.sqrt(2) / 50)
    assert difference(scores, scores, span=100.0).high > 1
    with pytest.raises(ValueError, match="negative"):
        difference(scores, scores, span=-1.0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]).size == 0
    for bad in ([0.1, math.nan], [-0.1], [1.1]):
        with pytest.raises(ValueError, match=r"finite|0\.\.1"):
            holm(bad)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20).map(lambda k: k / 20), min_size=1, max_size=8))
def test_holm_rejects_what_stepping_down_rejects(raw: list[float]) -> None:
    adjusted = holm(raw)
    for alpha in (0.05, 0.21, 0.5):
        rejected = set()
        for step, index in enumerate(sorted(range(len(raw)), key=lambda i: raw[i])):
            if raw[index] * (len(raw) - step) > alpha:
                break
            rejected.add(index)
        assert rejected == {i for i, value in enumerate(adjusted) if value <= alpha}


def test_agreement_counts_equal_labels() -> None:
    assert agreement([1, 2, 3, 4], [1, 2, 0, 4]) == wilson(3, 4)
    assert agreement(["yes", "no"], ["yes", "maybe"]).estimate == 0.5
    with pytest.raises(ValueError, match="finite"):
        agreement([1.0, math.nan], [1.0, math.nan])
    with pytest.raises(ValueError, match="one kind"):
        agreement([1, 2], ["1", "2"])
    with pytest.raises(ValueError, match="equally long"):
        agreement([1, 2], [1])


def test_scores_that_happen_to_be_0_or_1_are_no_outcomes_unless_said() -> None:
    a, b = [0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]
    assert difference(a, b).method == "Tango score"
    assert difference(a, b, binary=False).method == "paired t"
