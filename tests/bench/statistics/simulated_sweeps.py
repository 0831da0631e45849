"""Sweeps whose truth is known, to count how often a verdict about them is wrong."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.statistics.frontier import Evidence, Objective
from bench.statistics.resample import SHIFT, lease_draws, mean_draws

FloatArray = NDArray[np.float64]
DRAWS = 200
# True accuracy, latency ratio to the base (variant 0) and size of each variant.
Truth = tuple[FloatArray, FloatArray, FloatArray]


def trade_off() -> Truth:
    """Each step is faster, smaller and worse; all are on the frontier, and some steps are too small to see."""
    drop = np.array([0, 0.04, 0.05, 0.15, 0.16, 0.30])
    return 0.9 - drop, 1 - 2 * drop, np.array([100.0, 90, 90, 60, 60, 30])


def clusters() -> Truth:
    """Three groups of variants that are the same thing under another name, the last group beaten by the second."""
    return np.repeat([0.9, 0.8, 0.65], 2), np.repeat([1.0, 0.8, 0.95], 2), np.repeat([100.0, 50.0, 50.0], 2)


def all_equal() -> Truth:
    """Nothing separates anything."""
    return np.full(6, 0.85), np.ones(6), np.full(6, 100.0)


def equal_sizes() -> Truth:
    """One size, three speeds, each with a good and a poor accuracy: the fastest good one beats all the others."""
    return np.tile([0.85, 0.70], 3), np.repeat([1.0, 0.9, 0.8], 2), np.full(6, 100.0)


def by_a_hair() -> Truth:
    """Each variant is beaten by the one before it on everything noisy, by far less than can be seen."""
    step = np.arange(6.0)
    return 0.85 - 0.0005 * step, 1 + 0.0005 * step, np.full(6, 100.0)


SHAPES: tuple[Callable[[], Truth], ...] = (trade_off, clusters, all_equal, equal_sizes, by_a_hair)


def outcomes(accuracy: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """0/1 outcomes [V, n] of the given true accuracies, which mostly fail on the same examples."""
    hardness = np.sqrt(0.8) * rng.standard_normal(n) + np.sqrt(0.2) * rng.standard_normal((accuracy.size, n))
    right: NDArray[np.bool_] = hardness < stats.norm.ppf(accuracy)[:, None]
    return right.astype(np.float64)


def rounds(ratios: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Ratios to the base [rounds, V] with noise of 5% that lasts from one round into the next; the base's are 1.

    Every model has a shift that lasts the lease, and the base's is in all ratios.
    """
    fresh = 0.05 * rng.standard_normal((count + 1, ratios.size))
    lasting = SHIFT / np.sqrt(2) * rng.standard_normal(ratios.size)
    noise: FloatArray = 0.9 * fresh[1:] + 0.44 * fresh[:-1] + lasting - lasting[0]
    noise[:, 0] = 0.0
    out: FloatArray = ratios * np.exp(noise)
    return out


def quality(accuracy: FloatArray, n: int, rng: np.random.Generator, draws: int = DRAWS) -> Evidence:
    scores = outcomes(accuracy, n, rng)
    return Evidence(Objective("quality", "higher"), scores.mean(axis=1), mean_draws(scores, draws, rng), n, 1.0)


def sweep(truth: Truth, n: int, rng: np.random.Generator, draws: int = DRAWS) -> tuple[Evidence, ...]:
    """Measured once: n examples, two leases of 40 rounds, exact sizes."""
    accuracy, ratios, size = truth
    leases = [rounds(ratios, 40, rng) for _ in range(2)]
    estimates = np.exp(np.mean([np.log(np.median(lease, axis=0)) for lease in leases], axis=0))
    times, freedom = lease_draws(leases, draws, rng)
    latency = Evidence(Objective("latency", "lower"), estimates, times, freedom=freedom)
    return quality(accuracy, n, rng, draws), latency, Evidence(Objective("size", "lower"), size)


def true_costs(truth: Truth) -> FloatArray:
    """Costs [V, 3], lower better."""
    accuracy, ratios, size = truth
    return np.column_stack([-accuracy, ratios, size])
