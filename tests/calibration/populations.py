"""Sweeps of any size whose truth is known, in the shapes that real ones take."""

from collections.abc import Callable

import numpy as np

from tests.bench.statistics.simulated_sweeps import Truth

# True accuracy, latency ratio and size of each variant; variant 0 is the base, whose ratio is 1.
Shape = Callable[[int, np.random.Generator], Truth]


def diffuse(size: int, rng: np.random.Generator) -> Truth:
    """A cloud: the objectives have nothing to do with each other."""
    ratios = rng.uniform(0.4, 1.1, size)
    ratios[0] = 1.0
    return rng.uniform(0.6, 0.95, size), ratios, rng.integers(20, 120, size).astype(np.float64)


def trade_off(size: int, rng: np.random.Generator) -> Truth:
    """Each is faster and worse than the one before it, and no larger: all are on the frontier, many steps unseen."""
    drop = np.append(0.0, np.sort(rng.uniform(0.001, 0.35, size - 1)))
    return 0.95 - drop, 1 - 1.8 * drop, np.ceil(100 - 200 * drop)


def clusters(size: int, rng: np.random.Generator) -> Truth:
    """Groups of variants that are the same thing under other names; some groups beat others."""
    groups = max(2, size // 10)
    group = np.arange(size) * groups // size
    ratios = rng.uniform(0.4, 1.1, groups)[group]
    ratios[0] = 1.0
    return rng.uniform(0.6, 0.95, groups)[group], ratios, rng.integers(20, 120, groups)[group].astype(np.float64)


def all_equal(size: int, rng: np.random.Generator) -> Truth:
    """Nothing separates anything."""
    return np.full(size, 0.85), np.ones(size), np.full(size, 100.0)


def equal_accuracy(size: int, rng: np.random.Generator) -> Truth:
    """Time and size differ, and accuracy cannot tell anything apart."""
    ratios = rng.uniform(0.4, 1.1, size)
    ratios[0] = 1.0
    return np.full(size, 0.85), ratios, rng.integers(20, 120, size).astype(np.float64)


def heavy_ties(size: int, rng: np.random.Generator) -> Truth:
    """Three accuracies, three latencies and two sizes, in any combination."""
    ratios = rng.choice([0.6, 0.8, 1.0], size)
    ratios[0] = 1.0
    return rng.choice([0.7, 0.8, 0.9], size), ratios, rng.choice([50.0, 100.0], size)


def by_a_hair(size: int, rng: np.random.Generator) -> Truth:
    """Each is beaten by the one before it on everything noisy, by far less than can be seen."""
    step = np.arange(size, dtype=np.float64)
    return 0.85 - 0.0005 * step, 1 + 0.0005 * step, np.full(size, 100.0)


SHAPES: tuple[Shape, ...] = (diffuse, trade_off, clusters, all_equal, heavy_ties, by_a_hair, equal_accuracy)
