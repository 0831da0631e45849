"""Ranks and tie groups: against their definitions, ties and missing numbers included."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bench.statistics.objectives import Evidence, Objective
from bench.statistics.ranks import rank_intervals, tie_groups, tie_letters
from bench.statistics.simultaneous import half_widths

FloatArray = NDArray[np.float64]
QUALITY, SIZE = Objective("quality", "higher"), Objective("size", "lower")
NUMBERS = st.one_of(st.integers(0, 4).map(float), st.sampled_from([math.nan, math.inf, -math.inf]))


def noisy(estimates: list[float], deviations: float | FloatArray, seed: int = 0) -> Evidence:
    centre = np.array(estimates)
    with np.errstate(invalid="ignore"):
        draws = centre + deviations * np.random.default_rng(seed).standard_normal((300, centre.size))
    return Evidence(QUALITY, centre, draws)


@st.composite
def judged(draw: st.DrawFn) -> tuple[Evidence, FloatArray]:
    """Small integers that often tie, some not finite, and any symmetric half widths: 0, 1, 2 or infinite."""
    size = draw(st.integers(1, 9))
    estimates = draw(arrays(np.float64, size, elements=NUMBERS))
    upper = np.triu(
        draw(arrays(np.float64, (size, size), elements=st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0, math.inf]))), 1
    )
    width = np.where(np.tri(size, dtype=bool), upper.T, upper)
    np.fill_diagonal(width, 0.0)
    absent = ~np.isfinite(estimates)
    width[absent] = width[:, absent] = math.inf
    return Evidence(draw(st.sampled_from([QUALITY, SIZE])), estimates), width


def told_better(evidence: Evidence, width: FloatArray, a: int, b: int) -> bool:
    costs = evidence.costs
    return bool(np.isfinite(costs[[a, b]]).all() and costs[b] - costs[a] > width[a, b])


@settings(max_examples=200, deadline=None)
@given(judged())
def test_ranks_count_those_shown_better_and_worse(case: tuple[Evidence, FloatArray]) -> None:
    evidence, width = case
    present = [i for i in range(evidence.estimates.size) if math.isfinite(evidence.estimates[i])]
    for i, found in enumerate(rank_intervals(evidence, width=width)):
        if i not in present:
            assert found is None
            continue
        better = sum(told_better(evidence, width, j, i) for j in present)
        worse = sum(told_better(evidence, width, i, j) for j in present)
        assert found == (1 + better, len(present) - worse)


@settings(max_examples=200, deadline=None)
@given(judged())
def test_groups_are_the_longest_runs_without_a_pair_told_apart(case: tuple[Evidence, FloatArray]) -> None:
    evidence, width = case
    costs = evidence.costs
    order = sorted((i for i in range(costs.size) if math.isfinite(costs[i])), key=lambda i: (costs[i], i))

    def alike(run: list[int]) -> bool:
        return not any(told_better(evidence, width, *p) or told_better(evidence, width, *p[::-1]) for p in pairs(run))

    def pairs(run: list[int]) -> list[tuple[int, int]]:
        return list(combinations(run, 2))

    runs = [order[a:b] for a in range(len(order)) for b in range(a + 1, len(order) + 1) if alike(order[a:b])]
    longest = [tuple(run) for run in runs if not any(set(run) < set(other) for other in runs)]
    groups = tie_groups(evidence, width=width)
    assert groups == longest
    letters = tie_letters(groups, costs.size)
    assert [bool(label) for label in letters] == [i in order for i in range(costs.size)]
    for a, b in pairs(order):
        assert bool(set(letters[a]) & set(letters[b])) == any({a, b} <= set(group) for group in groups)


def test_ranks_hold_ties_together() -> None:
    assert rank_intervals(noisy([0.9, 0.9, 0.5, math.nan, 0.7], 0.01)) == [(1, 2), (1, 2), (4, 4), None, (3, 3)]
    assert rank_intervals(Evidence(SIZE, np.array([3.0, 1, 1]))) == [(3, 3), (1, 2), (1, 2)]
    assert rank_intervals(Evidence(SIZE, np.array([math.nan]))) == [None]
    assert rank_intervals(noisy([math.nan, 0.5], 0.1)) == [None, (1, 1)]
    assert rank_intervals(noisy([0.5, 0.5, 0.5], 0.0)) == [(1, 3)] * 3


def test_groups_of_plain_cases() -> None:
    chain = noisy([0.90, 0.88, 0.86, 0.5], 0.008)
    assert tie_groups(chain) == [(0, 1), (1, 2), (3,)]
    assert tie_letters(tie_groups(chain), 4) == ["a", "ab", "b", "c"]
    assert tie_groups(Evidence(SIZE, np.array([3.0, 1, math.nan, 1]))) == [(1, 3), (0,)]
    assert tie_groups(noisy([math.nan, math.nan], 0.1)) == []
    assert tie_letters([], 2) == ["", ""]
    assert tie_groups(noisy([0.5, 0.5, 0.5], 0.0)) == [(0, 1, 2)]


def test_a_pair_not_told_apart_may_share_no_group() -> None:
    """The last is measured poorly: not told from the first, while the second, between them, is."""
    evidence = noisy([0.9, 0.6, 0.5], np.array([0.01, 0.01, 0.3]))
    (width,) = half_widths((evidence,), 0.95)
    assert width[0, 2] > 0.4
    assert tie_groups(evidence) == [(0,), (1, 2)]


def test_letters_go_on_after_z() -> None:
    letters = tie_letters([(i, i + 1) for i in range(30)], 31)
    assert (letters[0], letters[1], letters[26], letters[28]) == ("a", "a,b", "z,aa", "ab,ac")


@pytest.mark.parametrize("seed", range(4))
def test_true_ranks_are_covered_and_a_wider_event_gives_wider_ranks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.arange(12.0)
    estimates = truth + 0.4 * rng.standard_normal(12)
    evidence = Evidence(SIZE, estimates, estimates + 0.4 * rng.standard_normal((500, 12)))
    alone = rank_intervals(evidence)
    other = Evidence(Objective("other", "lower"), estimates, estimates + rng.standard_normal((500, 12)))
    together = rank_intervals(evidence, width=half_widths((evidence, other), 0.95)[0])
    for place, (narrow, wide) in enumerate(zip(alone, together, strict=True), start=1):
        assert narrow is not None
        assert wide is not None
        assert wide[0] <= narrow[0] <= place <= narrow[1] <= wide[1]
    assert any(high - low < 6 for low, high in (found for found in alone if found))
