"""What is open and what would close it: against the verdicts, by brute force, and by playing it out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.frontier import verdicts
from bench.statistics.objectives import Evidence, Objective
from bench.statistics.settling import MOST_LEASES, OpenPair, group_to_measure, open_pairs
from bench.statistics.simultaneous import half_widths

LATENCY, SIZE, SCORE = Objective("latency", "lower"), Objective("size", "lower"), Objective("score", "higher")


def evidence(costs: list[float], deviation: float, objective: Objective = LATENCY, seed: int = 0) -> Evidence:
    estimates = np.array(costs)
    noise = deviation * np.random.default_rng(seed).standard_normal((400, estimates.size))
    return Evidence(objective, estimates, estimates + noise)


def found(*every: Evidence, measured: tuple[bool, ...], leases: int = 2) -> list[OpenPair]:
    counts = [leases] * every[0].estimates.size
    return open_pairs(every, half_widths(every, 0.95), measured, counts)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6), st.integers(0, 99))
def test_contested_are_those_with_an_open_pair(points: list[tuple[int, int]], seed: int) -> None:
    every = (
        evidence([float(a) for a, _ in points], 0.3, seed=seed),
        Evidence(SIZE, np.array([float(b) for _, b in points])),
    )
    of = {pair.of for pair in found(*every, measured=(True, False))}
    assert of == {i for i, verdict in enumerate(verdicts(every)) if verdict.state == "contested"}


def test_a_gap_that_leases_can_show_is_priced_and_a_tie_is_not() -> None:
    sizes = Evidence(SIZE, np.array([3.0, 2.0, 1.0]))
    pairs = {(p.of, p.other): p for p in found(evidence([1.0, 1.05, 1.2], 0.03), sizes, measured=(True, False))}
    assert pairs[0, 1].shows == "better"
    assert 4 <= int(pairs[0, 1].leases or 0) <= MOST_LEASES
    tied = {(p.of, p.other): p for p in found(evidence([1.0, 1.0, 1.2], 0.03), sizes, measured=(True, False))}
    assert tied[0, 1].leases is None
    scores = evidence([0.8, 0.81], 0.02, SCORE)
    (first, second) = found(scores, Evidence(SIZE, np.array([1.0, 1.0])), measured=(False, False))
    assert (first.leases, second.leases) == (None, None)


def test_what_is_slower_is_shown_beaten_only_where_everything_else_is_shown() -> None:
    slower = evidence([1.0, 1.05], 0.03)
    smaller = Evidence(SIZE, np.array([1.0, 2.0]))
    (pair,) = [p for p in found(slower, smaller, measured=(True, False)) if p.of == 1]
    assert (pair.other, pair.shows) == (0, "beaten")
    tie = evidence([0.8, 0.8], 0.02, SCORE)
    (pair,) = [p for p in found(slower, tie, measured=(True, False)) if p.of == 1]
    assert pair.leases is None


def test_more_leases_already_taken_ask_for_more_in_all() -> None:
    sizes = Evidence(SIZE, np.array([3.0, 2.0]))
    few, many = (
        next(p.leases for p in found(evidence([1.0, 1.03], 0.02), sizes, measured=(True, False), leases=n) if p.of == 0)
        for n in (2, 16)
    )
    assert few is not None
    assert many is not None
    assert many > few


def test_a_group_takes_the_cheapest_pairs_and_never_the_base() -> None:
    pairs = [
        OpenPair(1, 2, "better", 9),
        OpenPair(3, 0, "better", 4),
        OpenPair(4, 5, "better", 5),
        OpenPair(6, 7, "better", None),
    ]
    assert group_to_measure(pairs, 3, frozenset({0})) == [3, 4, 5]
    assert group_to_measure(pairs, 2, frozenset({0})) == [3]
    assert group_to_measure(pairs[-1:], 6) == []


def test_without_a_number_nothing_is_open() -> None:
    sizes = Evidence(SIZE, np.array([3.0, 2.0]))
    assert found(evidence([1.0, float("nan")], 0.03), sizes, measured=(True, False)) == []


@pytest.mark.parametrize("sign", [1, -1])
def test_directions_are_honoured(sign: int) -> None:
    objective = LATENCY if sign > 0 else Objective("speed", "higher")
    sizes = Evidence(SIZE, np.array([3.0, 2.0]))
    (pair,) = found(evidence([sign * 1.0, sign * 1.05], 0.03, objective), sizes, measured=(True, False))
    assert (pair.of, pair.shows) == (0, "better")
