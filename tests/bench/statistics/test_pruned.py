"""Pruned verdicts against those of all pairs, on random sweeps of every shape."""

import math

import numpy as np
import pytest

from bench.statistics import pruned, standings
from bench.statistics.frontier import against, verdicts
from bench.statistics.objectives import Evidence, Objective
from bench.statistics.pruned import count_pairs, ends, prune, spread
from bench.statistics.simultaneous import half_widths
from bench.statistics.standings import stand_among_many

DRAWS = 60


def sweep(seed: int) -> tuple[Evidence, ...]:
    """Two or three objectives over 3 to 60 variants: noise of many sizes, shared or not, ties, missing numbers."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(3, 60))
    shared = rng.standard_normal((DRAWS, 1)) * rng.choice([0.0, 0.5])
    found = []
    for number in range(int(rng.integers(2, 4))):
        estimates = np.round(rng.normal(size=size) + rng.choice([0, 3]) * (np.arange(size) % 5 == 0), 1)
        if rng.random() < 0.4:
            estimates[rng.integers(size)] = rng.choice([np.nan, np.inf])
        objective = Objective(f"o{number}", "lower" if rng.random() < 0.5 else "higher", float(rng.choice([0, 0.2])))
        if number and rng.random() < 0.5:
            found.append(Evidence(objective, estimates))
            continue
        scale = rng.choice([0.001, 0.02, 0.1]) * rng.uniform(0.5, 2, size)
        draws = estimates + shared + scale * rng.standard_normal((DRAWS, size))
        kind = int(rng.integers(3))
        n, span, freedom = ((None, 0.0, None), (400, 1.0, None), (None, 0.0, rng.choice([30.0, 30.0], size)))[kind]
        extended = None
        if kind == 2 and rng.random() < 0.5:
            extended = np.where(np.arange(size) > 0, rng.choice([1.0, 1.5, 8.0]), np.inf)
        found.append(Evidence(objective, estimates, draws, n, span, freedom, extended))
    return tuple(found)


@pytest.mark.parametrize("seed", range(150))
def test_pruned_verdicts_are_those_of_all_pairs(seed: int) -> None:
    every = sweep(seed)
    pairs = count_pairs([each.present for each in every], [each.draws is not None for each in every])
    widths = half_widths(every, 0.95, max(1, pairs))
    whole = verdicts(every, 0.95, widths)
    told, places = stand_among_many(every, 0, 0.95)
    assert [each.state for each in told] == [each.state for each in whole]
    assert [each.share for each in told] == pytest.approx([each.share for each in whole])
    for row, each in enumerate(told):
        assert (each.dominated_by is not None) == (each.state == "dominated")
        if each.dominated_by is not None:
            assert _beats(every, widths, each.dominated_by, row)
        if each.state == "not evaluated":
            assert each.reason == whole[row].reason
    complete = np.logical_and.reduce([each.present for each in every])
    if complete[0]:  # the reference has every number: comparisons with it are the same as among all pairs
        for column, beside in zip(places, against(every, 0, widths), strict=True):
            for standing, other in zip(column[1:], beside[1:], strict=True):
                assert standing.against is not None
                assert standing.against.relation == other.relation
                np.testing.assert_allclose([standing.against.low, standing.against.high], [other.low, other.high])


def _beats(every: tuple[Evidence, ...], widths: list[np.ndarray], a: int, b: int) -> bool:
    gaps = [(e.costs[a] - e.costs[b], 0.0 if e.draws is None else w[a, b]) for e, w in zip(every, widths, strict=True)]
    holds = all(gap <= 0 if not width else gap < -width for gap, width in gaps)
    return holds and any(gap < -width for gap, width in gaps)


@pytest.mark.parametrize("seed", range(20))
def test_ranks_hold_those_of_paired_intervals(seed: int) -> None:
    every = sweep(seed)
    pairs = count_pairs([each.present for each in every], [each.draws is not None for each in every])
    widths = half_widths(every, 0.95, max(1, pairs))
    _, places = stand_among_many(every, None, 0.95)
    for each, width, column in zip(every, widths, places, strict=True):
        with np.errstate(invalid="ignore"):
            better = each.costs[:, None] - each.costs[None, :] < -width
        count = int(each.present.sum())
        for row, standing in enumerate(column):
            if not each.present[row]:
                assert standing.rank is None
                continue
            assert standing.rank is not None
            assert 1 <= standing.rank[0] <= 1 + better[:, row].sum()
            assert count - better[row].sum() <= standing.rank[1] <= count


def test_most_of_a_large_cloud_is_pruned_and_all_of_a_front_is_left() -> None:
    rng = np.random.default_rng(1)
    size = 20_000
    truth = rng.uniform(1, 2, (2, size))
    pairs = 2 * math.comb(size, 2)
    between = []
    for name, values in zip("ab", truth, strict=True):
        each = Evidence(Objective(name, "lower"), values, values + 0.001 * rng.standard_normal((50, size)))
        between.append(ends(each, spread(each, 0), pairs, 0.95))
    kept = prune(between)
    assert 10 < kept.candidates.size < 1000
    assert (kept.by[kept.candidates] == -1).all()
    assert (np.delete(kept.by, kept.candidates) >= 0).all()


def test_beyond_the_limit_the_rest_stay_contested(monkeypatch: pytest.MonkeyPatch) -> None:
    every = sweep(4)
    whole = [each.state for each in stand_among_many(every, 0)[0]]
    monkeypatch.setattr(pruned, "MOST_CANDIDATES", 3)
    told = stand_among_many(every, 0)[0]
    assert sum("were compared in pairs" in each.reason for each in told)
    for full, each in zip(whole, told, strict=True):
        assert each.state in (full, "contested")


def test_a_large_sweep_is_pruned_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "MOST_CANDIDATES", 2)
    every = sweep(9)
    assert [v.state for v in standings.stand(every, 0)[0]] == [v.state for v in stand_among_many(every, 0)[0]]


def test_nobody_with_every_number_is_no_error() -> None:
    nothing = np.full(4, np.nan)
    every = (Evidence(Objective("a", "lower"), nothing), Evidence(Objective("b", "lower"), np.arange(4.0)))
    assert {each.state for each in stand_among_many(every, 0)[0]} == {"not evaluated"}
