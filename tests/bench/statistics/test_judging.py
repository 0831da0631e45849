"""Verdicts, shares, comparisons and the knee against their definitions in loops: ties, duplicates, missing numbers."""

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bench.statistics.frontier import against, knee, nondominated, shares, verdicts
from bench.statistics.objectives import Evidence, Objective
from bench.statistics.simultaneous import half_widths

FloatArray = NDArray[np.float64]
Better = Literal["lower", "higher"]
MISSING = st.sampled_from([math.nan, math.inf, -math.inf])
WORLDS = 25


@st.composite
def measured(draw: st.DrawFn) -> tuple[Evidence, ...]:
    """One to three objectives over one to eight variants in small integers.

    Some objectives are exact, some noisy by integers or hardly at all, with few examples, bounded or not; some variants
    have no number, or none in one draw; some are copies of others in every respect.
    """
    size = draw(st.integers(1, 8))
    copies = draw(arrays(np.intp, size, elements=st.integers(0, size - 1))) if draw(st.booleans()) else np.arange(size)
    found = []
    for number in range(draw(st.integers(1, 3))):
        better: Better = draw(st.sampled_from(["lower", "higher"]))
        matters = draw(st.sampled_from([0.0, 0.5, 1.0]))
        estimates = draw(arrays(np.float64, size, elements=st.integers(0, 3).map(float)))[copies]
        if draw(st.integers(0, 3)) == 0:
            estimates[draw(st.integers(0, size - 1))] = draw(MISSING)
        objective = Objective(f"o{number}", better, matters)
        noise = draw(st.sampled_from([None, 0.0, 0.01, 0.01, 1.0]))
        if noise is None:
            found.append(Evidence(objective, estimates))
            continue
        errors = draw(arrays(np.float64, (WORLDS, size), elements=st.integers(-2, 2).map(float)))[:, copies]
        if draw(st.integers(0, 3)) == 0:
            errors[draw(st.integers(0, WORLDS - 1)), draw(st.integers(0, size - 1))] = math.nan
        n, span = draw(st.sampled_from([(None, 0.0), (12, 0.0), (400, 1.0)]))
        found.append(Evidence(objective, estimates, estimates + noise * errors, n, span))
    return tuple(found)


def complete(evidence: tuple[Evidence, ...]) -> list[int]:
    return [
        i
        for i in range(evidence[0].estimates.size)
        if all(np.isfinite(e.estimates[i]) and (e.draws is None or np.isfinite(e.draws[:, i]).all()) for e in evidence)
    ]


def gain(each: Evidence, a: int, b: int) -> float:
    """How much better a is than b."""
    sign = 1.0 if each.objective.better == "higher" else -1.0
    return float(sign * (each.estimates[a] - each.estimates[b]))


def dominates(evidence: tuple[Evidence, ...], widths: list[FloatArray], a: int, b: int) -> bool:
    better = [gain(each, a, b) > width[a, b] for each, width in zip(evidence, widths, strict=True)]
    no_worse = [
        gain(each, a, b) >= 0 if each.draws is None else shown for each, shown in zip(evidence, better, strict=True)
    ]
    return all(no_worse) and any(better)


def safe(evidence: tuple[Evidence, ...], widths: list[FloatArray], a: int, b: int) -> bool:
    """Whether it is shown that b does not dominate a."""
    better = any(gain(each, a, b) > width[a, b] for each, width in zip(evidence, widths, strict=True))
    return better or all(each.draws is None and gain(each, a, b) == 0 for each in evidence)


@settings(max_examples=150, deadline=None)
@given(measured())
def test_verdicts_follow_their_definition(evidence: tuple[Evidence, ...]) -> None:
    rows = complete(evidence)
    widths = half_widths(evidence, 0.9)
    found = verdicts(evidence, 0.9, widths)
    beaten = {i for i in rows if any(dominates(evidence, widths, j, i) for j in rows)}
    for i, verdict in enumerate(found):
        if i not in rows:
            assert (verdict.state, verdict.share, verdict.dominated_by) == ("not evaluated", 0.0, None)
            assert all((each.objective.name in verdict.reason) != each.present[i] for each in evidence)
        elif i in beaten:
            assert verdict.state == "dominated"
            by = verdict.dominated_by
            assert by is not None
            assert dominates(evidence, widths, by, i)
            assert by not in beaten or all(j in beaten for j in rows if dominates(evidence, widths, j, i))
        else:
            certain = all(safe(evidence, widths, i, j) for j in rows if j != i)
            assert verdict.state == ("certain" if certain else "contested")


@settings(max_examples=60, deadline=None)
@given(measured())
def test_without_widths_only_complete_variants_count(evidence: tuple[Evidence, ...]) -> None:
    rows = np.array(complete(evidence), dtype=np.intp)
    found = verdicts(evidence, 0.9)
    kept = tuple(each.only(rows) for each in evidence)
    alone = verdicts(kept, 0.9, half_widths(kept, 0.9)) if rows.size else []
    assert [(v.state, v.share, v.reason) for i, v in enumerate(found) if i in rows] == [
        (v.state, v.share, v.reason) for v in alone
    ]


@settings(max_examples=100, deadline=None)
@given(measured())
def test_shares_count_the_draws_in_which_nobody_is_better(evidence: tuple[Evidence, ...]) -> None:
    rows = complete(evidence)
    expected = np.zeros(evidence[0].estimates.size)
    for world in range(WORLDS):
        points = {
            i: [(-1.0 if e.objective.better == "higher" else 1.0) * _drawn(e, world)[i] for e in evidence] for i in rows
        }
        for i in rows:
            expected[i] += not any(
                all(p <= q for p, q in zip(points[j], points[i], strict=True)) and points[j] != points[i] for j in rows
            )
    assert shares(evidence) == pytest.approx(expected / WORLDS)


def _drawn(each: Evidence, world: int) -> FloatArray:
    return each.estimates if each.draws is None else each.draws[world]


@settings(max_examples=120, deadline=None)
@given(measured(), st.data())
def test_comparisons_follow_their_definition(evidence: tuple[Evidence, ...], data: st.DataObject) -> None:
    a, b = (data.draw(st.integers(0, evidence[0].estimates.size - 1)) for _ in range(2))
    widths = half_widths(evidence, 0.9)
    compared = against(evidence, b, widths)
    for each, width, column in zip(evidence, widths, compared, strict=True):
        found = column[a]
        assert found.objective == each.objective.name
        if not each.present[[a, b]].all():
            assert found.relation == "not known yet"
            assert (found.low, found.high) == (-math.inf, math.inf)
            continue
        reach, matters = float(width[a, b]) if a != b else 0.0, each.objective.matters
        low, high = gain(each, a, b) - reach, gain(each, a, b) + reach
        assert found.high - found.low == pytest.approx(high - low, nan_ok=True)
        better, worse = low >= matters and low > 0, high <= -matters and high < 0
        same = (-matters < low and high < matters) or low == high == 0
        told = {"better": better, "worse": worse, "equivalent": same, "not known yet": not (better or worse or same)}
        assert [name for name, holds in told.items() if holds] == [found.relation]


@settings(max_examples=120, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(0, 8), st.integers(1, 3)),
        elements=st.one_of(st.integers(0, 6).map(float), st.integers(0, 6).map(float), MISSING),
    )
)
def test_the_knee_is_the_lowest_sum_below_the_plane(costs: FloatArray) -> None:
    on = [i for i in range(costs.shape[0]) if nondominated(costs)[i]]
    front = [tuple(costs[i]) for i in on]
    ends = [(min(column), max(column)) for column in zip(*front, strict=True)]
    moving = [k for k, (low, high) in enumerate(ends) if high > low]
    sums = [sum((point[k] - ends[k][0]) / (ends[k][1] - ends[k][0]) for k in moving) for point in front]
    bent = costs.shape[1] > 1 and len(set(front)) >= 3 and min(sums) < len(moving) - 1 - 1e-9
    found = knee(costs)
    if not bent:
        assert found is None
    else:
        assert found in on
        assert sums[on.index(found)] == pytest.approx(min(sums))


def test_one_variant_and_all_equal() -> None:
    axes = [Objective("quality", "higher"), Objective("size", "lower")]
    rng = np.random.default_rng(0)
    for size in (1, 5):
        same = np.repeat(rng.standard_normal((WORLDS, 1)), size, axis=1)
        evidence = (Evidence(axes[0], np.full(size, 0.5), same, 30, 1.0), Evidence(axes[1], np.ones(size)))
        assert {v.state for v in verdicts(evidence, 0.9)} == {"certain" if size == 1 else "contested"}
        assert shares(evidence).tolist() == [1.0] * size
        assert knee(np.ones((size, 2))) is None
        relations = [column[0].relation for column in against(evidence, size - 1, half_widths(evidence, 0.9))]
        assert relations == ["equivalent" if size == 1 else "not known yet", "equivalent"]
