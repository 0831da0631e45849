"""The frontier: dominance, verdicts, comparisons, knee."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bench.statistics.attainment import attainment_band
from bench.statistics.frontier import (
    Comparison,
    Evidence,
    Objective,
    against,
    knee,
    nondominated,
    shares,
    verdicts,
)
from bench.statistics.ranks import rank_intervals, tie_groups
from bench.statistics.simultaneous import half_widths

FloatArray = NDArray[np.float64]
QUALITY, LATENCY, SIZE = Objective("quality", "higher"), Objective("latency", "lower"), Objective("size", "lower")
# Small integers tie often; a few cells are no numbers at all.
CELLS = st.one_of(st.integers(0, 3).map(float), st.sampled_from([math.nan, math.inf, -math.inf]))
TABLES = st.tuples(st.integers(1, 14), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.one_of(st.integers(0, 3).map(float), CELLS))
)


def beats(a: FloatArray, b: FloatArray) -> bool:
    return bool((a <= b).all() and (a < b).any())


def by_brute_force(costs: FloatArray) -> list[bool]:
    finite = [row for row in costs if np.isfinite(row).all()]
    return [bool(np.isfinite(row).all()) and not any(beats(other, row) for other in finite) for row in costs]


def noisy(objective: Objective, estimates: list[float], deviation: float, seed: int = 0) -> Evidence:
    centre = np.array(estimates)
    return Evidence(
        objective, centre, centre + deviation * np.random.default_rng(seed).standard_normal((500, centre.size))
    )


def exact(objective: Objective, values: list[float]) -> Evidence:
    return Evidence(objective, np.array(values))


def states(*evidence: Evidence) -> list[str]:
    return [verdict.state for verdict in verdicts(evidence)]


@settings(max_examples=250, deadline=None)
@given(TABLES)
def test_nondominated_agrees_with_brute_force(costs: FloatArray) -> None:
    assert nondominated(costs).tolist() == by_brute_force(costs)


def test_nondominated_at_its_edges() -> None:
    assert nondominated([[1, 1], [1, 1], [2, 1]]).tolist() == [True, True, False]
    assert nondominated(np.array([[math.nan, 0], [1, 1]])).tolist() == [False, True]
    assert nondominated(np.array([[-math.inf, -math.inf], [1, 1]])).tolist() == [False, True]
    assert nondominated(np.empty((0, 2))).tolist() == []
    for bad in ([1.0, 2.0], np.empty((2, 0))):
        with pytest.raises(ValueError, match="table"):
            nondominated(bad)


@settings(max_examples=200, deadline=None)
@given(TABLES)
def test_exact_objectives_leave_nothing_contested(costs: FloatArray) -> None:
    evidence = [exact(Objective(f"o{k}", "lower"), list(column)) for k, column in enumerate(costs.T)]
    on, got = by_brute_force(costs), verdicts(evidence)
    for row, (front, verdict) in enumerate(zip(on, got, strict=True)):
        if not np.isfinite(costs[row]).all():
            assert verdict.state == "not evaluated"
        else:
            assert verdict.state == ("certain" if front else "dominated")
        assert verdict.share == float(front)
        if verdict.dominated_by is not None:
            assert beats(costs[verdict.dominated_by], costs[row])
            assert on[verdict.dominated_by]


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (6, 2), elements=st.integers(0, 4).map(float)), st.integers(0, 5))
def test_noisy_verdicts_follow_their_definition(costs: FloatArray, seed: int) -> None:
    """Noise of 0.01 on one objective: levels apart are told apart, equal levels never are."""
    latency, size = noisy(LATENCY, list(costs[:, 0]), 0.01, seed), exact(SIZE, list(costs[:, 1]))
    for i, verdict in enumerate(verdicts((latency, size))):
        others = [costs[j] for j in range(6) if j != i]
        if any(other[0] < costs[i, 0] and other[1] <= costs[i, 1] for other in others):
            assert verdict.state == "dominated"
        elif all((costs[i] < other).any() for other in others):
            assert verdict.state == "certain"
        else:
            assert verdict.state == "contested"


def test_a_trade_off_is_certain_and_the_beaten_is_named() -> None:
    evidence = (noisy(QUALITY, [0.9, 0.8, 0.7], 0.01), noisy(LATENCY, [1.0, 0.5, 0.6], 0.01), exact(SIZE, [9, 5, 5]))
    first, second, third = verdicts(evidence)
    assert (first.state, second.state) == ("certain", "certain")
    assert (third.state, third.dominated_by) == ("dominated", 1)
    assert "better beyond the interval on quality, latency and equal on size" in third.reason
    assert (first.share, third.share) == (1.0, 0.0)


def test_directions_are_honoured() -> None:
    up, down = noisy(QUALITY, [0.9, 0.5], 0.01), noisy(LATENCY, [0.9, 0.5], 0.01)
    assert states(up) == ["certain", "dominated"]
    assert states(down) == ["dominated", "certain"]


def test_an_equal_size_does_not_shield() -> None:
    assert states(noisy(QUALITY, [0.9, 0.5], 0.01), exact(SIZE, [5, 5])) == ["certain", "dominated"]
    assert states(noisy(QUALITY, [0.9, 0.5], 0.01), exact(SIZE, [5, 4])) == ["certain", "certain"]


def test_a_noisy_tie_stays_contested_whatever_the_exact_objective_says() -> None:
    smaller_wins = (noisy(QUALITY, [0.9, 0.9], 0.01), exact(SIZE, [4, 5]))
    assert states(*smaller_wins) == ["certain", "contested"]
    assert states(noisy(QUALITY, [0.9, 0.9], 0.01), exact(SIZE, [5, 5])) == ["contested", "contested"]


def test_identical_outcomes_are_never_better() -> None:
    draws = np.repeat(np.random.default_rng(1).normal(0.9, 0.01, (500, 1)), 2, axis=1)
    shifted = Evidence(QUALITY, np.array([0.9, 0.9 + 1e-15]), draws)
    assert states(shifted) == ["contested", "contested"]
    constant = Evidence(QUALITY, np.array([0.9, 0.8]), np.tile([0.9, 0.8], (500, 1)))
    assert states(constant) == ["contested", "contested"]


def test_one_flip_is_not_a_difference() -> None:
    """The bootstrap sees one or no flip in most worlds; five examples gained of 1,000 are still no proof, 30 are."""
    rng = np.random.default_rng(2)
    for gained, expected in ((1, "contested"), (5, "contested"), (30, "dominated")):
        scores = np.ones((2, 1000))
        scores[0, :gained] = 0
        picks = rng.integers(1000, size=(500, 1000))
        evidence = Evidence(QUALITY, scores.mean(axis=1), scores[:, picks].mean(axis=2).T, n=1000, span=1.0)
        assert states(evidence)[0] == expected


def test_missing_numbers_beat_nobody_and_say_why() -> None:
    latency = noisy(LATENCY, [1.0, math.nan, 2.0], 0.01)
    got = verdicts((latency, exact(SIZE, [5, 1, math.inf])))
    assert [verdict.state for verdict in got] == ["certain", "not evaluated", "not evaluated"]
    assert got[1].reason == "no finite number for latency"
    assert got[2].reason == "no finite number for size"
    assert shares((latency, exact(SIZE, [5, 1, math.inf]))).tolist() == [1.0, 0.0, 0.0]
    assert states(exact(SIZE, [math.nan, math.nan])) == ["not evaluated", "not evaluated"]
    assert states(exact(SIZE, [])) == []


def test_a_variant_alone_is_certain() -> None:
    assert states(noisy(LATENCY, [1.0], 0.1)) == ["certain"]
    assert verdicts((noisy(LATENCY, [1.0, math.nan], 0.1),))[0].reason == "the only variant with every number"


def test_shares_count_worlds() -> None:
    estimates = np.array([0.0, 0.0, 1.0])
    draws = np.array([[0, 1, 2], [1, 0, 2], [0, 0, 2], [3, 1, 0]], dtype=float)
    assert shares((Evidence(LATENCY, estimates, draws),)).tolist() == [0.5, 0.5, 0.25]
    # A size on which all are equal changes nothing; a smaller one puts the third on the frontier of every world.
    assert shares((Evidence(LATENCY, estimates, draws), exact(SIZE, [1, 1, 1]))).tolist() == [0.5, 0.5, 0.25]
    assert shares((Evidence(LATENCY, estimates, draws), exact(SIZE, [1, 1, 0]))).tolist() == [0.5, 0.5, 1.0]


def against_one(evidence: tuple[Evidence, ...], a: int, b: int) -> list[Comparison]:
    return [column[a] for column in against(evidence, b, half_widths(evidence, 0.95))]


@pytest.mark.parametrize(
    ("a", "b", "relation"),
    [(0.90, 0.80, "better"), (0.80, 0.90, "worse"), (0.90, 0.901, "equivalent"), (0.90, 0.88, "not known yet")],
)
def test_pairs_against_a_difference_that_matters(a: float, b: float, relation: str) -> None:
    objective = Objective("quality", "higher", matters=0.02)
    (got,) = against_one((noisy(objective, [0.5, a, b], 0.004),), 1, 2)
    assert got.relation == relation
    assert got.low < a - b < got.high
    mirrored = Objective("error", "lower", matters=0.02)
    (turned,) = against_one((noisy(mirrored, [0.5, 1 - a, 1 - b], 0.004),), 1, 2)
    assert turned.relation == relation


def test_pairs_on_exact_missing_and_unknown_numbers() -> None:
    evidence = (
        exact(SIZE, [5, 5, 4]),
        Evidence(LATENCY, np.array([1.0, 1.0, math.nan]), np.ones((500, 3))),
        noisy(QUALITY, [0.9, 0.9, 0.5], 0.01),
    )
    size, latency, quality = against_one(evidence, 0, 1)
    assert (size.relation, size.low, size.high) == ("equivalent", 0.0, 0.0)
    assert (latency.relation, latency.low, latency.high) == ("not known yet", -math.inf, math.inf)
    # With no difference that matters, none is too small: equal can never be shown.
    assert quality.relation == "not known yet"
    size, latency, quality = against_one(evidence, 0, 2)
    assert (size.relation, latency.relation, quality.relation) == ("worse", "not known yet", "better")
    assert math.isnan(latency.difference)
    with pytest.raises(IndexError, match="0 to 2"):
        against_one(evidence, 0, 3)


def test_an_exact_difference_of_just_what_matters_matters() -> None:
    (got,) = against_one((exact(Objective("size", "lower", matters=1.0), [4, 5]),), 0, 1)
    assert got.relation == "better"
    (got,) = against_one((exact(Objective("size", "lower", matters=1.5), [4, 5]),), 0, 1)
    assert got.relation == "equivalent"


def test_knee() -> None:
    assert knee([[0, 10], [1, 2], [5, 1], [10, 0], [9, 9]]) == 1
    assert knee([[0, 10], [1000, 2], [5000, 1], [10000, 0]]) == 1
    assert knee([[0, 2], [1, 1], [2, 0]]) is None
    assert knee([[0, 2], [2, 0]]) is None
    assert knee(np.array([[0, 2, 7], [0.1, 0.1, 7], [2, 0, 7]])) == 1
    assert knee(np.array([[0, 3, 3], [3, 0, 3], [3, 3, 0], [1, 1, 1], [math.nan, 0, 0]])) == 3
    assert knee([[1], [2], [3]]) is None


def test_verdicts_are_deterministic_and_do_not_touch_their_input() -> None:
    evidence = (noisy(QUALITY, [0.9, 0.89, 0.7], 0.02), noisy(LATENCY, [1.0, 0.9, 0.6], 0.05, 1))
    before = [(each.estimates.copy(), np.array(each.draws)) for each in evidence]
    assert verdicts(evidence) == verdicts(evidence)
    for each, (estimates, draws) in zip(evidence, before, strict=True):
        assert (each.estimates == estimates).all()
        assert each.draws is not None
        assert (each.draws == draws).all()


@pytest.mark.parametrize(("size", "seconds"), [(50, 3.0), (300, 15.0), (2000, 30.0)])
def test_speed(size: int, seconds: float) -> None:
    """With room for a machine that is slow and busy: `tests.performance.bench_frontier` measures."""
    rng = np.random.default_rng(3)
    values = [list(rng.random(size)) for _ in range(3)]
    halves = (noisy(QUALITY, values[0], 0.1), noisy(LATENCY, values[1], 0.1, 1), exact(SIZE, values[2]))
    evidence = tuple(
        Evidence(each.objective, each.estimates, None if each.draws is None else np.tile(each.draws, (2, 1)))
        for each in halves
    )
    start = time.process_time()
    widths = half_widths(evidence, 0.95)
    verdicts(evidence, widths=widths)
    for each, width in zip(evidence, widths, strict=True):
        rank_intervals(each, width=width)
        tie_groups(each, width=width)
    attainment_band(evidence[0], evidence[1])
    assert time.process_time() - start < seconds


def test_speed_of_many_points() -> None:
    costs = np.random.default_rng(4).random((100_000, 3))
    start = time.process_time()
    nondominated(costs)
    assert time.process_time() - start < 0.5
