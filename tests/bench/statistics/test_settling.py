"""What is open and what would close it: against the verdicts, by brute force, and by playing it out."""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.frontier import verdicts
from bench.statistics.looks import left_to_spend
from bench.statistics.objectives import Evidence, FloatArray, Objective
from bench.statistics.resample import SHIFT_FREEDOM
from bench.statistics.settling import (
    MOST_LEASES,
    Decision,
    best_rounds,
    decisions,
    group_to_measure,
    open_pairs,
)
from bench.statistics.simultaneous import half_widths, normal_quantile, student
from tests.bench.statistics.opened import Pair, listed, opened

LATENCY, SIZE, SCORE = Objective("latency", "lower"), Objective("size", "lower"), Objective("score", "higher")


def evidence(costs: list[float], deviation: float, objective: Objective = LATENCY, seed: int = 0) -> Evidence:
    estimates = np.array(costs)
    noise = deviation * np.random.default_rng(seed).standard_normal((400, estimates.size))
    return Evidence(objective, estimates, estimates + noise)


def found(*every: Evidence, measured: tuple[bool, ...], leases: int = 2) -> list[Pair]:
    counts = [leases] * every[0].estimates.size
    return listed(open_pairs(every, half_widths(every, 0.95), measured, counts, leases))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6), st.integers(0, 99))
def test_contested_are_those_with_an_open_pair(points: list[tuple[int, int]], seed: int) -> None:
    every = (
        evidence([float(a) for a, _ in points], 0.3, seed=seed),
        Evidence(SIZE, np.array([float(b) for _, b in points])),
    )
    of = {pair.of for pair in found(*every, measured=(True, False))}
    assert of == {i for i, verdict in enumerate(verdicts(every)) if verdict.state == "contested"}


def by_hand(
    every: tuple[Evidence, ...], widths: list[FloatArray], measured: tuple[bool, ...], leases: list[float]
) -> Iterator[Pair]:
    """Pair by pair and lease by lease."""
    states = [verdict.state for verdict in verdicts(every, 0.95, widths)]
    count = len(leases)
    critical = normal_quantile(count * (count - 1) // 2 * sum(each.draws is not None for each in every), 0.95)
    for i, j in product(range(count), range(count)):
        gaps = [float(each.costs[i] - each.costs[j]) for each in every]
        reach = [float(width[i, j]) for width in widths]
        ties = all(each.draws is None for each in every) and not any(gaps)
        if i == j or states[i] != "contested" or ties or any(g < -w for g, w in zip(gaps, reach, strict=True)):
            continue
        needed = [
            first_below(abs(gap), width, leases[i], leases[j], critical) if more and gap else None
            for gap, width, more in zip(gaps, reach, measured, strict=True)
        ]
        better = [n for n, gap in zip(needed, gaps, strict=True) if n and gap < 0]
        shown = [gap >= 0 if e.draws is None else gap > w for gap, w, e in zip(gaps, reach, every, strict=True)]
        left = [n if gap > 0 else None for n, gap, done in zip(needed, gaps, shown, strict=True) if not done]
        beaten = [n for n in left if n]
        yield Pair(i, j, min(better, default=None), max(beaten) if beaten and len(beaten) == len(left) else None)


def first_below(gap: float, width: float, first: float, second: float, critical: float) -> int | None:
    if not np.isfinite(width):
        return None

    def reach(more: int) -> float:
        fewer = np.asarray(min(first, second) + more)
        quantile = student(critical, SHIFT_FREEDOM + fewer - 1, left_to_spend(fewer / 2))
        return float(quantile) * math.sqrt(1 / (first + more) + 1 / (second + more))

    deviation = width / reach(0)
    for more in range(MOST_LEASES + 1):
        if deviation * reach(more) < gap:
            return max(1, more)
    return MOST_LEASES if deviation * reach(MOST_LEASES) < gap + deviation else None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=5),
    st.lists(st.sampled_from([2.0, 3.0, 4.0, 9.0]), min_size=5, max_size=5),
    st.sampled_from([0.002, 0.01, 0.05]),
    st.integers(0, 99),
)
def test_pairs_are_those_found_one_by_one(
    points: list[tuple[int, int, int]], leases: list[float], noise: float, seed: int
) -> None:
    every = (
        evidence([1 + a / 50 for a, _, _ in points], noise, seed=seed),
        Evidence(SIZE, np.array([float(b) for _, b, _ in points])),
        evidence([0.8 + c / 50 for _, _, c in points], 0.01, SCORE, seed=seed + 1),
    )
    counts = [np.inf, *leases[1 : len(points)]]
    measured = (True, False, False)
    for some in (every, every[:2], every[:1]):
        widths = half_widths(some, 0.95)
        pairs = open_pairs(some, widths, measured[: len(some)], counts, 2)
        assert listed(pairs) == list(by_hand(some, widths, measured[: len(some)], counts))
        closing = [min(filter(None, (p.better, p.beaten)), default=0) for p in listed(pairs)]
        assert pairs.leases.tolist() == closing
        for variant in range(len(points)):
            assert listed(pairs.of_variant(variant)) == [p for p in listed(pairs) if p.of == variant]


def test_a_gap_that_leases_can_show_is_priced_and_a_tie_is_not() -> None:
    sizes = Evidence(SIZE, np.array([3.0, 2.0, 1.0]))
    pairs = {(p.of, p.other): p for p in found(evidence([1.0, 1.05, 1.2], 0.03), sizes, measured=(True, False))}
    assert pairs[0, 1].beaten is None
    assert 1 <= int(pairs[0, 1].better or 0) < MOST_LEASES
    tied = {(p.of, p.other): p for p in found(evidence([1.0, 1.0, 1.2], 0.03), sizes, measured=(True, False))}
    assert (tied[0, 1].better, tied[0, 1].beaten) == (None, None)
    scores = evidence([0.8, 0.81], 0.02, SCORE)
    for pair in found(scores, Evidence(SIZE, np.array([1.0, 1.0])), measured=(False, False)):
        assert (pair.better, pair.beaten) == (None, None)


def test_a_small_gap_of_few_leases_is_not_given_up_and_one_of_many_is() -> None:
    sizes = Evidence(SIZE, np.array([3.0, 2.0]))
    few, many = (
        next(p for p in found(evidence([1.0, 1.002], 0.02), sizes, measured=(True, False), leases=n) if p.of == 0)
        for n in (2, 40)
    )
    assert few.better == MOST_LEASES
    assert many.better is None


def test_what_is_slower_is_shown_beaten_only_where_everything_else_is_shown() -> None:
    slower = evidence([1.0, 1.05], 0.03)
    smaller = Evidence(SIZE, np.array([1.0, 2.0]))
    (pair,) = [p for p in found(slower, smaller, measured=(True, False)) if p.of == 1]
    assert pair.other == 0
    assert pair.beaten is not None
    assert pair.better is None
    tie = evidence([0.8, 0.8], 0.02, SCORE)
    (pair,) = [p for p in found(slower, tie, measured=(True, False)) if p.of == 1]
    assert (pair.better, pair.beaten) == (None, None)


def test_two_measured_objectives_are_shown_together() -> None:
    """As latency and energy: the same leases show both, so that either being open keeps the other from nothing."""
    slower, hungrier = evidence([1.0, 1.05], 0.03), evidence([1.0, 1.08], 0.03, Objective("energy", "lower"), seed=1)
    better = evidence([0.9, 0.6], 0.02, SCORE, seed=2)
    (pair,) = [p for p in found(better, slower, hungrier, measured=(False, True, True)) if p.of == 1]
    each = [
        p.beaten
        for other in (slower, hungrier)
        for p in found(better, other, measured=(False, True))
        if p.of == 1 and p.beaten is not None
    ]
    assert len(each) == 2
    assert pair.beaten is not None
    assert pair.beaten >= max(each)  # of three objectives at once intervals are a little wider
    tied = evidence([1.0, 1.0], 0.03, Objective("energy", "lower"), seed=1)
    (pair,) = [p for p in found(better, slower, tied, measured=(False, True, True)) if p.of == 1]
    assert pair.beaten is None


def test_more_leases_already_taken_ask_for_more() -> None:
    sizes = Evidence(SIZE, np.array([3.0, 2.0]))
    few, many = (
        next(p.better for p in found(evidence([1.0, 1.03], 0.02), sizes, measured=(True, False), leases=n) if p.of == 0)
        for n in (2, 16)
    )
    assert few is not None
    assert many is not None
    assert many > few


@pytest.mark.parametrize("gap", [0.015, 0.02, 0.03])
def test_the_leases_that_are_asked_for_are_enough_if_nothing_else_changes(gap: float) -> None:
    """The interval after so many leases, made of deviations that shrink as more leases make them."""
    sizes = Evidence(SIZE, np.array([3.0, 2.0]))
    off = np.random.default_rng(1).standard_normal((4000, 2))

    def shown(leases: int) -> tuple[bool, int | None]:
        costs = np.array([1.0, 1.0 + gap])
        draws = costs + 0.013 / np.sqrt(leases) * (off - off.mean(axis=0))
        every = (
            Evidence(LATENCY, costs, draws, freedom=np.full(2, 4.0 + leases - 1), extended=np.full(2, leases / 2)),
            sizes,
        )
        widths = half_widths(every, 0.95)
        found = listed(open_pairs(every, widths, (True, False), [leases, leases], 2))
        left = [p.better for p in found if p.of == 0]
        return not left, left[0] if left else None

    done, more = shown(2)
    assert not done
    assert more is not None
    assert shown(2 + more)[0]
    assert not shown(2 + more // 2)[0]


@pytest.mark.parametrize("gap", [0.012, 0.016])
def test_the_base_gets_no_nearer_with_leases_and_is_priced_so(gap: float) -> None:
    """Beside the base only the model's own leases narrow, so a model of few leases beside a base of many needs few."""
    sizes = Evidence(SIZE, np.array([3.0, 2.0]))
    off = np.random.default_rng(2).standard_normal(4000)

    def shown(leases: int) -> tuple[bool, int | None]:
        costs = np.array([1.0, 1.0 - gap])
        own = 0.01 / np.sqrt(leases) * (off - off.mean())
        draws = costs + np.column_stack([np.zeros_like(own), own])
        counted = np.array([np.inf, 4.0 + leases - 1]), np.array([np.inf, leases / 2])
        every = Evidence(LATENCY, costs, draws, freedom=counted[0], extended=counted[1]), sizes
        found = listed(open_pairs(every, half_widths(every, 0.95), (True, False), [np.inf, leases], 2))
        left = [p.beaten for p in found if p.of == 0]
        return not left, left[0] if left else None

    done, more = shown(2)
    assert not done
    assert more is not None
    assert shown(2 + more)[0]
    assert not shown(1 + more)[0]


@pytest.mark.filterwarnings("error")
def test_the_base_beside_its_own_bytes_needs_no_lease() -> None:
    """Neither ratio errs, and a tie on the other score stays one."""
    draws = np.column_stack([np.ones(400), np.ones(400)])
    quality = np.random.default_rng(4).normal(0.8, 0.01, (400, 2))
    counted = np.array([np.inf, np.inf])
    every = (
        Evidence(LATENCY, np.ones(2), draws, freedom=counted, extended=counted),
        Evidence(Objective("accuracy", "higher"), np.array([0.8, 0.8]), quality, n=1000, span=1.0),
    )
    found = listed(open_pairs(every, half_widths(every, 0.95), (True, False), [np.inf, np.inf], 2))
    assert all(p.better is None and p.beaten is None for p in found)


def test_one_pair_that_stays_open_leaves_nothing_to_buy_for_the_others() -> None:
    pairs = ((1, 2, 3, None), (1, 4, None, None), (5, 2, 4, None), (5, 4, 6, None))
    assert decisions(opened(*pairs), 6) == [Decision(5, frozenset({2, 4, 5}), 6)]
    assert decisions(opened(*pairs[:2]), 6) == []
    assert decisions(opened(), 6) == []


def test_a_variant_is_decided_by_one_that_beats_it_or_by_all_that_it_beats() -> None:
    pairs = opened((1, 0, 9, None), (1, 2, 9, None), (1, 3, None, 4))
    assert decisions(pairs, 6, frozenset({0})) == [Decision(1, frozenset({1, 3}), 4)]
    pairs = opened(*((1, other, 2 + other, None) for other in range(2, 9)))
    (decision,) = decisions(pairs, 3)  # the hardest first, as many as fit
    assert decision == Decision(1, frozenset({1, 7, 8}), 10)


def test_a_group_decides_the_most_for_its_time() -> None:
    alone, beside, dear = (
        Decision(1, frozenset({1, 2}), 4),
        Decision(3, frozenset({1, 3}), 5),
        Decision(4, frozenset({4, 5}), 40),
    )
    assert group_to_measure([alone, beside, dear], 6) == ([1, 2, 3], 5, 2)  # 2 of 20 against 1 of 12 and 3 of 240
    assert group_to_measure([alone, beside, dear], 2) == ([1, 2], 4, 1)
    assert group_to_measure([], 6) == ([], 0, 0)


def test_without_a_number_nothing_is_open() -> None:
    sizes = Evidence(SIZE, np.array([3.0, 2.0]))
    assert found(evidence([1.0, float("nan")], 0.03), sizes, measured=(True, False)) == []


@pytest.mark.parametrize("sign", [1, -1])
def test_directions_are_honoured(sign: int) -> None:
    objective = LATENCY if sign > 0 else Objective("speed", "higher")
    sizes = Evidence(SIZE, np.array([3.0, 2.0]))
    (pair,) = found(evidence([sign * 1.0, sign * 1.05], 0.03, objective), sizes, measured=(True, False))
    assert pair.of == 0
    assert pair.better is not None


def test_a_lease_has_the_rounds_that_narrow_most_for_a_budget() -> None:
    """By brute force: the variance of the mean of as many leases as a budget buys."""
    looks = (20, 40, 80, 160, 320, 640)
    for between, within, fixed in ((1.7e-4, 4e-3, 10.0), (1.7e-4, 0.25, 10.0), (1e-6, 0.04, 60.0), (1.7e-4, 0.04, 0.0)):
        variances = [(between + within / r) / (1e5 / (fixed + r * 0.1)) for r in looks]
        assert best_rounds(looks, between, within, fixed, 0.1) == looks[int(np.argmin(variances))]
    assert best_rounds(looks, 1.7e-4, 0.04, 0.0, 0.1) == 20  # where a lease costs nothing but rounds
    assert best_rounds(looks, 0.0, 0.04, 10.0, 0.1) == 640  # where nothing lasts a lease
    with pytest.raises(ValueError, match="look"):
        best_rounds((), 1.0, 1.0, 1.0, 1.0)
