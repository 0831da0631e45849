"""Ranks, ties and comparisons beside verdicts: one event, so that none of them contradicts another."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.frontier import against, verdicts
from bench.statistics.objectives import Evidence, Objective
from bench.statistics.simultaneous import half_widths
from bench.statistics.standings import nothing_between, stand

WORLDS = 40


@st.composite
def measured(draw: st.DrawFn) -> tuple[Evidence, ...]:
    """A noisy and an exact objective over two to six variants, in small integers; some lack a number."""
    size = draw(st.integers(2, 6))
    numbers = st.lists(st.sampled_from([0.0, 1.0, 2.0, math.nan]), min_size=size, max_size=size)
    noisy, exact = np.array(draw(numbers)), np.array(draw(numbers))
    noise = np.random.default_rng(draw(st.integers(0, 9))).normal(0, draw(st.sampled_from([0.05, 1.0])), (WORLDS, size))
    matters = draw(st.sampled_from([0.0, 0.5]))
    return (
        Evidence(Objective("quality", "higher", matters), noisy, noisy + noise, 100),
        Evidence(Objective("size", "lower"), exact),
    )


@settings(deadline=None)
@given(measured(), st.integers(0, 1))
def test_nothing_contradicts_anything_else(evidence: tuple[Evidence, ...], reference: int) -> None:
    found, standings = stand(evidence, reference)
    assert found == verdicts(evidence, widths=half_widths(evidence, 0.95))
    for each, column in zip(evidence, standings, strict=True):
        itself = column[reference]
        assert itself.against is None
        for i, standing in enumerate(column):
            assert (standing.rank is None) == (standing.tie == "") == (not each.present[i])
            other = standing.against
            if other is None or standing.rank is None or itself.rank is None:
                continue
            shared = set(standing.tie.split(",")) & set(itself.tie.split(","))
            if other.relation == "better":
                assert not shared
                assert standing.rank[0] < itself.rank[1]
            if shared:
                assert other.low <= 0 <= other.high
            if found[i].dominated_by == reference:  # exact objectives may be equal, whatever difference matters
                assert other.difference * (1 if each.objective.better == "higher" else -1) <= 0


@settings(deadline=None)
@given(measured())
def test_against_one_of_all_is_told_from_wider_intervals_than_of_a_pair_alone(evidence: tuple[Evidence, ...]) -> None:
    compared = against(evidence, 0, half_widths(evidence, 0.95))
    for i in range(1, evidence[0].estimates.size):
        pair = tuple(each.only(np.array([0, i])) for each in evidence)
        for column, beside in zip(compared, against(pair, 0, half_widths(pair, 0.95)), strict=True):
            together, alone = column[i], beside[1]
            assert together.objective == alone.objective
            if math.isfinite(alone.difference):
                assert together.difference == alone.difference
                assert together.low <= alone.low + 1e-12
                assert together.high >= alone.high - 1e-12
            else:
                assert (together.relation, together.low, together.high) == ("not known yet", -math.inf, math.inf)


def test_no_such_variant() -> None:
    evidence = (Evidence(Objective("size", "lower"), np.array([1.0, 2.0])),)
    with pytest.raises(IndexError, match="0 to 1, got 2"):
        stand(evidence, 2)
    assert stand(evidence, None)[1][0][0].against is None


def test_an_objective_that_separates_nothing() -> None:
    def objective(*values: float) -> Evidence:
        return Evidence(Objective("size", "lower"), np.array(values))

    assert nothing_between(objective(3.0, 3.0, math.nan)) == "is the same"
    assert nothing_between(objective(math.nan, math.inf)) == "has no number"
    assert nothing_between(objective(3.0, 4.0)) is None
    assert nothing_between(objective(3.0, math.nan)) is None  # one number so far: others may come


def test_the_luckiest_of_many_equals_are_judged_as_some_of_many() -> None:
    """Whoever picks by the scores that are judged: with widths among the picked ones, sweeps are wrong by the dozen."""
    rng = np.random.default_rng(11)
    sweeps, size, picked, n = 60, 60, 1, 400
    wrong = {"among all": 0, "among the picked": 0}
    for _ in range(sweeps):
        base = rng.random(n) < 0.8
        flips = rng.random((size - 1, n))
        scores = np.vstack([base, np.where(base, flips > 0.05, flips < 0.2)]).astype(float)  # 80% right, all of them
        draws = scores @ rng.multinomial(n, np.full(n, 1 / n), 300).T / n
        every = Evidence(Objective("quality", "higher"), scores.mean(axis=1), draws.T, n, 1.0)
        rows = np.r_[0, 1 + np.argsort(-scores[1:].mean(axis=1))[:picked]]
        (widths,) = half_widths((every,), 0.95)
        for how, known in (("among all", [widths[np.ix_(rows, rows)]]), ("among the picked", None)):
            found, _ = stand([every.only(rows)], 0, widths=known)
            wrong[how] += any(verdict.state != "contested" for verdict in found)
    assert wrong["among all"] <= 6  # of 60, of which 5% are 3
    assert wrong["among the picked"] > 15
