"""Leases bought one after another, with a look after each: how often a tie is called a difference."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bench.statistics.looks import left_to_spend
from bench.statistics.objectives import Evidence, Objective, extension
from bench.statistics.resample import SHIFT, SHIFT_FREEDOM, lease_draws
from bench.statistics.simultaneous import half_widths

FloatArray = NDArray[np.float64]
LATENCY = Objective("latency", "lower")
MOST = 64
BLOCKS = 20  # independent ones of a lease of 40 rounds whose noise lasts into the next


def p_values(shift: float, rounds: float, count: int, rng: np.random.Generator) -> FloatArray:
    """[count, MOST]: of a model as fast as its base, the two-sided p of each look, after 1, 2, ... leases.

    `shift` is what lasts a lease and `rounds` what a lease's median deviates by otherwise. The deviation and its
    freedom are those of `lease_draws` (see the first test), which would take hours for as many.
    """
    logs = np.hypot(shift, rounds) * rng.standard_normal((count, MOST))
    leases = np.arange(1, MOST + 1)
    means = np.cumsum(logs, axis=1) / leases
    squares = np.maximum(np.cumsum(logs**2, axis=1) - leases * means**2, 0)
    spread, freedom = moderated(squares, leases, rounds)
    return np.asarray(2 * stats.t.sf(np.abs(means) / spread, freedom))


def moderated(squares: FloatArray, leases: NDArray[np.int64], rounds: float) -> tuple[FloatArray, FloatArray]:
    """Deviation and freedom of the mean over leases, of their sum of squares."""
    between = SHIFT_FREEDOM + leases - 1
    together = (SHIFT_FREEDOM * SHIFT**2 + squares) / between
    outer = (SHIFT_FREEDOM * np.maximum(SHIFT**2, together) / between + squares / between) / leases
    inner = rounds**2 / leases
    freedom = (inner + outer) ** 2 / (inner**2 / ((BLOCKS - 1) * leases) + outer**2 / between)
    return np.sqrt(inner + outer), freedom


def told_apart(p: FloatArray, declared: int, left: FloatArray) -> float:
    """The share of ties that any look after the declared leases calls a difference."""
    return float((p[:, declared - 1 :] < 0.05 * left[declared - 1 :]).any(axis=1).mean())


def test_the_deviations_simulated_are_those_of_leases() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 5):
        logs = 0.02 * rng.standard_normal(count)
        tables = [np.exp(each + 1e-7 * rng.standard_normal((40, 1))) for each in logs]
        draws, freedom = lease_draws(tables, 4000, rng)
        squares = np.array([((logs - logs.mean()) ** 2).sum()])
        spread, expected = moderated(squares, np.array([count]), 0.0)
        assert np.log(draws).std() == pytest.approx(float(spread[0]), rel=0.05)
        assert freedom[0] == pytest.approx(float(expected[0]), rel=1e-3)


@pytest.mark.parametrize("declared", [1, 2, 3])
@pytest.mark.parametrize("rounds", [0.0, 0.006, 0.013, 0.03])
def test_a_tie_stays_a_tie_over_all_looks(declared: int, rounds: float) -> None:
    """However far it goes, from the leases that a sweep declares to 64, with a look after each: the promise is 5%."""
    rng = np.random.default_rng([declared, round(1e4 * rounds)])
    p, leases = p_values(SHIFT, rounds, 4000, rng), np.arange(1, MOST + 1)
    wrong = told_apart(p, declared, left_to_spend(leases / declared))
    assert wrong <= stats.binom.ppf(0.99, 4000, 0.05) / 4000
    assert wrong > told_apart(p[:, :declared], declared, np.ones(MOST)) / 2  # the first look spends most
    assert told_apart(p, declared, np.ones(MOST)) > 0.09  # the same level at each look


def test_what_is_left_falls_once_more_was_measured_than_planned() -> None:
    times = np.array([0.5, 1.0, 1.5, 2.0, 8.0, 32.0, math.inf])
    left = left_to_spend(times)
    assert left[:2].tolist() == [1.0, 1.0]
    assert (np.diff(left[1:]) < 0).all()
    assert left[-1] == 0.0
    for wrong in ([0.0], [-1.0], [math.nan]):
        with pytest.raises(ValueError, match="positive factor"):
            left_to_spend(wrong)


def test_more_leases_narrow_even_so() -> None:
    """A lease more never widens what the ones before have narrowed, whether leases differ or only their rounds do."""
    for declared in (1, 2, 3):
        leases = np.arange(declared, MOST + 1)
        for freedom in (SHIFT_FREEDOM + leases - 1, (BLOCKS - 1) * leases):
            reach = stats.t.isf(0.025 * left_to_spend(leases / declared), freedom) / np.sqrt(leases)
            assert (np.diff(reach) < 0).all()


def timed(size: int, extended: list[float | None] | None, rng: np.random.Generator) -> Evidence:
    """Variants about 1 with freedoms of their own; the first is the base, which cannot err."""
    estimates = 1 + 0.05 * rng.standard_normal(size)
    draws = estimates + 0.01 * rng.standard_normal((400, size)) * (np.arange(size) > 0)
    freedom = np.where(np.arange(size) > 0, 5.0 + np.arange(size) % 3, np.inf)
    return Evidence(LATENCY, estimates, draws, None, 0.0, freedom, None if extended is None else extension(extended))


def test_a_pair_has_what_is_left_of_the_error_where_it_was_extended_less() -> None:
    times = [None, 1.0, 4.0, 16.0]
    plain, judged = (half_widths((timed(4, e, np.random.default_rng(1)),), 0.95)[0] for e in (None, times))
    freedom = [math.inf, 6.0, 7.0, 5.0]
    for i in range(4):
        for j in range(i):
            left = float(left_to_spend(min(math.inf if t is None else t for t in (times[i], times[j]))))
            assert left == pytest.approx(
                {1.0: 1.0, 4.0: 1 / 8, 16.0: 1 / 64}[min(t for t in (times[i], times[j]) if t)]
            )
            quantile, least = quantile_of(plain[i, j], i, j), min(freedom[i], freedom[j])
            expected = stats.t.isf(stats.t.sf(quantile, least) * left, least)
            assert judged[i, j] / plain[i, j] == pytest.approx(expected / quantile)
    assert (judged == judged.T).all()
    assert (np.diag(judged) == 0).all()


def quantile_of(width: float, i: int, j: int) -> float:
    """How many deviations a half width of `timed` is."""
    each = timed(4, None, np.random.default_rng(1))
    assert each.draws is not None
    off = each.draws - each.estimates
    return float(width / np.sqrt(np.mean((off[:, i] - off[:, j]) ** 2)))


def test_what_nobody_extended_is_judged_as_ever() -> None:
    for size in (2, 5):
        rng = [np.random.default_rng(2) for _ in range(2)]
        plain, planned = timed(size, None, rng[0]), timed(size, [None, *[1.0] * (size - 1)], rng[1])
        assert (half_widths((plain,), 0.95)[0] == half_widths((planned,), 0.95)[0]).all()


def test_extensions_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="extended"):
        Evidence(LATENCY, np.ones(2), extended=np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="extended"):
        Evidence(LATENCY, np.ones(2), extended=np.ones(3))
    assert extension([None, None]) is None
