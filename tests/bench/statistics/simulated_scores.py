"""Outcomes of a classifier whose true confusion is known, and the interval of its macro F1."""

import numpy as np
from numpy.typing import NDArray

from bench.statistics.bca import bca
from bench.statistics.intervals import Interval
from bench.store.quality import macro_f1

Floats = NDArray[np.float64]
CLASSES = np.array([0.6, 0.3, 0.1])
DRAWS = 1000


def confusion(right: float) -> Floats:
    """True shares [3, 3] of (label, prediction): three unequal classes, errors spread evenly."""
    wrong = (1 - right) / 2
    shares: Floats = CLASSES[:, None] * (wrong + (right - wrong) * np.eye(3))
    return shares


def counts(shares: Floats, n: int, rng: np.random.Generator) -> Floats:
    """n examples as counts of those cells."""
    return rng.multinomial(n, shares.ravel()).reshape(shares.shape).astype(np.float64)


def resampled(cells: Floats, rng: np.random.Generator) -> Interval:
    """The interval of macro F1 from counts [k, k]; resampling examples is drawing counts from a multinomial."""
    n = int(cells.sum())
    draws = macro_f1(rng.multinomial(n, cells.ravel() / n, size=DRAWS).reshape(-1, *cells.shape).astype(np.float64))
    occupied = np.flatnonzero(cells.ravel())
    without = np.repeat(cells.reshape(1, -1), occupied.size, axis=0)
    without[np.arange(occupied.size), occupied] -= 1
    jackknife = macro_f1(without.reshape(-1, *cells.shape))
    return bca(float(macro_f1(cells)), draws, jackknife, cells.ravel()[occupied])
