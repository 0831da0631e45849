"""Constraints against brute force over the values of an interval: met by all of them, by none, or open."""

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics.constraints import Constraint, Operator, State, combined, contradiction, state

OPERATORS: tuple[Operator, ...] = ("<=", ">=", "<", ">")
# Small whole numbers, so that bounds and ends of intervals coincide often; halves lie between them.
SMALL = st.integers(-4, 4)
GRID = [x / 2 for x in range(-20, 21)]


def constraint(
    operator: Operator = "<=", bound: float = 20.0, metric: str = "latency_ms", scope: str = ""
) -> Constraint:
    return Constraint(metric, scope, operator, bound)


BOUNDS = st.builds(constraint, st.sampled_from(OPERATORS), SMALL.map(float), st.sampled_from(("a", "b")))


@given(BOUNDS, SMALL, st.integers(0, 4))
def test_an_interval_says_what_all_its_values_say(bound: Constraint, low: int, width: int) -> None:
    holding = {bound.holds(x) for x in GRID if low <= x <= low + width}
    expected: State = "open" if len(holding) == 2 else "met" if holding == {True} else "not met"
    assert state(bound, low, low + width) == expected


@given(st.lists(BOUNDS, max_size=5))
def test_a_contradiction_is_a_pair_that_no_value_keeps(bounds: list[Constraint]) -> None:
    """And where there is none, each metric has a value that keeps all of its constraints together."""

    def possible(some: list[Constraint]) -> bool:
        return any(all(each.holds(x) for each in some) for x in GRID)

    pairs = [
        (i, j) for (i, a), (j, b) in combinations(enumerate(bounds), 2) if a.metric == b.metric and not possible([a, b])
    ]
    found = contradiction(bounds)
    assert (found in pairs) if pairs else (found is None)
    together = all(possible([each for each in bounds if each.metric == metric]) for metric in ("a", "b"))
    assert (found is None) == together


def test_the_ends_of_an_interval_count_by_the_operator() -> None:
    assert state(constraint("<=", 20), 18, 20) == "met"
    assert state(constraint("<", 20), 18, 20) == "open"
    assert state(constraint("<", 20), 20, 22) == "not met"
    assert state(constraint("<=", 20), 20, 22) == "open"
    assert state(constraint(">=", 20), 20, 20) == "met"
    assert state(constraint(">", 20), 20, 20) == "not met"


def test_without_a_number_it_is_open() -> None:
    for low, high in ((None, None), (math.nan, math.nan), (1.0, math.nan), (None, 1.0), (2.0, 1.0)):
        assert state(constraint(), low, high) == "open"


def test_an_infinite_end_reaches_past_every_bound() -> None:
    assert state(constraint("<=", 20), -math.inf, math.inf) == "open"
    assert state(constraint("<=", 20), 21, math.inf) == "not met"
    assert state(constraint(">=", 20), 21, math.inf) == "met"


def test_scopes_and_metrics_are_apart() -> None:
    same = [constraint("<=", 1, scope="a"), constraint(">=", 2, scope="b"), constraint(">=", 2, "size", "a")]
    assert contradiction(same) is None
    assert contradiction([*same, constraint(">", 1, scope="a")]) == (0, 3)


def test_several_together() -> None:
    assert combined([]) == "met"
    assert combined(["met", "open"]) == "open"
    assert combined(["open", "not met", "met"]) == "not met"


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="compares with"):
        Constraint("size", "", "==", 1.0)  # type: ignore[arg-type]
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            constraint(bound=wrong)
