"""Racing: levels by simulation, ties run on, order does not matter, a known population keeps its frontier."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.racing import Exact, Raced, Repeated, Scored, Stop, Timed, race_level, race_looks, stops
from bench.statistics.repeats import Shift, error
from bench.statistics.resample import SHIFT

LEVEL = 0.05


def test_looks_double_and_are_six_at_most() -> None:
    assert race_looks(1) == (1,)
    assert race_looks(4) == (1, 2, 4)
    assert race_looks(20) == (1, 2, 4, 8, 16, 20)
    for windows in range(1, 400):
        looks = race_looks(windows)
        assert len(looks) <= 6
        assert looks[-1] == windows
        assert all(later <= 2 * sooner for sooner, later in pairwise(looks))


def test_the_level_is_split_over_looks_and_ordered_pairs() -> None:
    assert race_level(0.05, 5, [10]) == pytest.approx(0.05 / 450)
    assert race_level(0.05, 5, [10, 3]) == pytest.approx(0.05 / (5 * 96))
    for alpha, looks, variants in ((0.0, 1, [2]), (1.0, 1, [2]), (0.05, 0, [2]), (0.05, 1, [1, 1])):
        with pytest.raises(ValueError, match=r"level lies|race has"):
            race_level(alpha, looks, variants)


def test_the_sign_test_is_the_binomial_one() -> None:
    scores = np.array([[1, 1, 1, 1, 0.0], [0, 0, 0, 1, 1]])
    p = Scored(scores, 1.0, binary=True).p_values()
    assert p[0, 1] == pytest.approx(stats.binomtest(3, 4, alternative="greater").pvalue)
    assert p[1, 0] == pytest.approx(stats.binomtest(1, 4, alternative="greater").pvalue)
    assert p[0, 0] == 1.0


def test_binary_scores_keep_their_level() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random((2000, 1, 200)) < 0.6
    alike = (hard ^ (rng.random((2000, 2, 200)) < 0.2)).astype(float)
    wrong = sum(Scored(scores, 1.0, binary=True).better(LEVEL)[0, 1] for scores in alike)
    assert wrong <= stats.binom.ppf(0.999, 2000, LEVEL)
    assert wrong >= 20  # exact, but not so careful that it could never alarm


@pytest.mark.parametrize("shape", ["skewed", "rare", "smooth"])
def test_bounded_scores_keep_their_level_at_every_look_together(shape: str) -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(600):
        if shape == "skewed":  # equal means; one is mostly a little better and rarely much worse
            lost = rng.random(400) < 0.05
            scores = np.stack([np.where(lost, 0.0, 0.5 + 0.5 / 19), np.full(400, 0.5)])
        elif shape == "rare":
            scores = (rng.random((2, 400)) < 0.01).astype(float)
        else:
            scores = rng.beta(4, 2, size=(2, 400))
        looks = [Scored(scores[:, :n], 1.0, binary=False).better(LEVEL)[0, 1] for n in (50, 100, 200, 400)]
        wrong += any(looks)
    assert wrong <= stats.binom.ppf(0.999, 600, LEVEL)


def test_bounded_scores_find_a_difference() -> None:
    rng = np.random.default_rng(2)
    base = rng.beta(4, 2, size=1000)
    scores = np.stack([base, np.clip(base - 0.03 + 0.05 * rng.standard_normal(1000), 0, 1)])
    better = Scored(scores, 1.0, binary=False).better(1e-4)
    assert better[0, 1]
    assert not better[1, 0]
    hundred = Scored(100 * scores, 100.0, binary=False)
    assert np.array_equal(hundred.better(1e-4), better)


def lease(ratios: list[float], rng: np.random.Generator, rounds: int = 60, noise: float = 0.05) -> np.ndarray:
    """Ratios to the base [rounds, models]; the first model is the base."""
    moved = noise * rng.standard_normal((rounds, len(ratios)))
    moved[:, 0] = 0.0
    table: np.ndarray = np.array(ratios) * np.exp(moved)
    return table


def test_timed_variants_are_compared_in_every_lease_that_they_share() -> None:
    rng = np.random.default_rng(3)
    ratios = [1.0, 0.6, 0.8, 0.801]
    both = [((0, 1, 2, 3), lease(ratios, rng)) for _ in range(2)]
    better = Timed(both, 4).better(1e-5)
    assert better[1, 2]
    assert better[1, 0]
    assert not better[2, 3]  # far within what a lease may shift
    assert not better.diagonal().any()
    disagree = [both[0], ((0, 1, 2, 3), lease([1.0, 0.9, 0.8, 0.8], rng))]
    assert not Timed(disagree, 4).better(1e-5)[1, 2]


def test_timed_variants_of_different_leases_meet_through_the_base() -> None:
    rng = np.random.default_rng(4)
    apart = [((0, 1), lease([1.0, 0.6], rng)), ((0, 2), lease([1.0, 0.9], rng))]
    better = Timed(apart, 4).better(1e-5)
    assert better[1, 2]
    assert not better[2, 1]
    assert not better[:, 3].any()  # never timed
    assert not better[3].any()


@pytest.mark.parametrize("together", [True, False])
def test_a_shift_that_lasts_a_lease_is_no_difference(together: bool) -> None:
    """Models as fast as each other, many quiet rounds: all that differs is what each lease does to each, and the base.

    One that a race believes to be slower is lost though it may be the faster one.
    """
    rng = np.random.default_rng(5)
    wrong, level = 0, 0.01
    for _ in range(500):
        shifts = SHIFT / np.sqrt(2) * rng.standard_normal((2, 3))
        ratios = 0.8 * np.exp(shifts[:, 1:] - shifts[:, :1])
        tables = [lease([1.0, *mine], rng, rounds=160, noise=0.01) for mine in ratios]
        both = [((0, 1, 2), tables[0])]
        apart = [((0, 1), tables[0][:, :2]), ((0, 2), tables[1][:, [0, 2]])]
        wrong += Timed(both if together else apart, 3).better(level)[1, 2]
    assert wrong <= stats.binom.ppf(0.999, 500, level)


def test_who_is_beaten_and_by_whom() -> None:
    size = Exact(np.array([3.0, 2.0, 2.0, 1.0]))
    scores = np.zeros((4, 300))
    scores[0, :290] = 1
    scores[1, :280] = 1
    scores[2, :100] = 1
    scores[3, :20] = 1
    quality = Scored(scores, 1.0, binary=True)
    assert stops([size, quality], 1e-6) == [Stop(2, 1)]
    assert stops([size, quality], 1e-6, frozenset({2})) == []
    assert [s.variant for s in stops([quality], 1e-6)] == [2, 3]
    with pytest.raises(ValueError, match="noisy"):
        stops([size], 1e-6)


def test_ties_run_on() -> None:
    scores = np.tile(np.random.default_rng(6).random(500) < 0.8, (3, 1)).astype(float)
    same: list[Raced] = [Exact(np.ones(3)), Scored(scores, 1.0, binary=True)]
    assert stops(same, 0.05) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_stops_follow_their_definition(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 3, size).astype(float)
    scores = (rng.random((size, 40)) < rng.random((size, 1))).astype(float)
    found = {s.variant: s.by for s in stops([Exact(costs), Scored(scores, 1.0, binary=True)], 0.01)}
    for i in range(size):
        beaten = []
        for j in range(size):
            wins, losses = int(((scores[j] - scores[i]) > 0).sum()), int(((scores[j] - scores[i]) < 0).sum())
            shown = wins > 0 and stats.binomtest(wins, wins + losses, alternative="greater").pvalue <= 0.01
            beaten += [j] if shown and costs[j] <= costs[i] else []
        assert (i in found) == bool(beaten)
        assert i not in found or found[i] in beaten


def test_repetitions_show_a_difference_beyond_what_measurements_differ_by() -> None:
    estimates = np.array([100.0, 103.0, 110.0])
    shared = error(estimates, estimates - 0.1, estimates + 0.1, [3, 3, 3], Shift(0.01, 0.0, 8))
    assert Repeated(estimates, shared).better(1e-3).tolist() == [[False, False, True]] * 2 + [[False] * 3]
    assert Repeated(estimates, shared).better(0.1).tolist()[0] == [False, True, True]
    apart = error(estimates, estimates - 8, estimates + 8, [3, 3, 3], Shift(0.01, 0.0, 8))
    assert not Repeated(estimates, apart).better(1e-3).any()
