"""A sentence about a method rests on several seeds: intervals over training seeds and examples together."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bench.statistics.intervals import Interval, check_level


def over_seeds(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Interval for the mean difference over the seeds and the examples that there might have been.

    Args:
        differences: [S, n]: of each of S seeds on the same n examples, variant minus reference.
        level: of the two-sided interval.

    Seeds and examples are crossed random factors (Owen, Annals of Applied Statistics 1, 2007: resampling rows and
    columns apart adds their variances): the squared error is the variance of the seeds' means over S plus that of the
    examples' means over n, which counts what neither explains twice and so errs on the wide side. Student's t with
    S - 1 degrees of freedom, as if all variance were the seeds'. ValueError for fewer than 2 seeds or 2 examples, or
    what is not finite.
    """
    check_level(level)
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(f"differences come as [seeds, examples], at least 2 of each, got shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError("differences must be finite")
    seeds, examples = table.shape
    mean = float(table.mean())
    between_seeds = float(table.mean(axis=1).var(ddof=1)) / seeds
    between_examples = float(table.mean(axis=0).var(ddof=1)) / examples
    reach = float(stats.t.isf((1 - level) / 2, seeds - 1)) * math.sqrt(between_seeds + between_examples)
    return Interval(mean, mean - reach, mean + reach, level, seeds, "Student t over seeds and examples")
