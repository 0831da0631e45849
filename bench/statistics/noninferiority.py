"""Is a variant at most so much worse than its base? One-sided, on the same examples."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bench.statistics.intervals import as_values, check_level
from bench.statistics.paired import difference
from bench.statistics.resample import mean_draws

FloatArray = NDArray[np.float64]
Kind = Literal["share", "mean", "ratio", "exp ratio"]
Better = Literal["higher", "lower"]

DRAWS = 2000
SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """What the test found, in the metric's unit.

    `difference` is the variant minus the base; `bound` its one-sided bound at `level` on the side that is worse: lower
    where higher is better, upper otherwise. `margin` is the loss that is allowed, positive.
    """

    difference: float
    bound: float
    margin: float
    accepted: bool
    level: float
    n: int
    method: str


def influences(columns: ArrayLike, kind: Kind) -> FloatArray:
    """Values [n] whose mean is the metric, and whose spread is its sampling error's, to first order.

    `columns` [1, n] of a share or mean are those values themselves; [2, n] of a ratio of sums, or of its exponential,
    are expanded about the sums (the delta method). ValueError for a wrong number of columns or a ratio over nothing.
    """
    table = np.asarray(columns, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != (1 if kind in ("share", "mean") else 2) or not table.shape[1]:
        raise ValueError(f"a {kind} is made of {'one column' if kind in ('share', 'mean') else 'two columns'}")
    if kind in ("share", "mean"):
        return as_values(table[0])
    below = float(table[1].mean())
    if below <= 0:
        raise ValueError("a ratio needs something below the line")
    ratio = float(table[0].mean()) / below
    value, slope = (math.exp(ratio), math.exp(ratio)) if kind == "exp ratio" else (ratio, 1.0)
    return as_values(value + slope * (table[0] - ratio * table[1]) / below)


def gain(variant: ArrayLike, other: ArrayLike, kind: Kind, better: Better) -> tuple[float, float]:
    """How much better the variant is than the other, and the standard error of that, from columns of `influences`.

    The error is the paired bootstrap's with infinitely many draws, which for a mean has a closed form: the standard
    deviation (over n) of the n differences, divided by the root of n (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 5).
    """
    change = _change(variant, other, kind, better)
    return float(change.mean()), float(change.std()) / math.sqrt(change.size)


def noninferiority(
    variant: ArrayLike,
    base: ArrayLike,
    kind: Kind,
    better: Better,
    tolerance: float,
    *,
    relative: bool,
    span: float = 0.0,
    level: float = 0.95,
) -> NonInferiority:
    """Test that the variant loses less than the tolerance, on the same examples as the base.

    Args:
        variant: columns [1 or 2, n] as for `influences`.
        base: the base's.
        kind: how the metric follows from the columns.
        better: which way.
        tolerance: in the metric's unit, or as a share of the base's score.
        relative: which of the two.
        span: range of one example's score, 0 where unbounded; guards as in `paired.difference`.
        level: of the one-sided bound; the chance of accepting a variant that loses the tolerance is 1 - level.

    Shares: Tango's score interval of the paired difference. The margin is then taken as known even where it is relative
    to the base's score: at the margin that is the cautious side, for examples that only the base gets right tie its
    score to the difference. Other metrics: the bootstrap-t lower bound of difference plus allowance, example by example
    (Efron and Tibshirani 1993, chapter 12), with a critical value no smaller than Student's. ValueError for unequal
    lengths, fewer than 2 examples (shares: 1), or a relative tolerance of a base score that is not positive.
    """
    check_level(level)
    ours, theirs = influences(variant, kind), influences(base, kind)
    change = _change(variant, base, kind, better)
    score = float(theirs.mean())
    if relative and score <= 0:
        raise ValueError(f"a tolerance relative to a score needs one above 0, got {score}")
    margin = tolerance * score if relative else tolerance
    sign = 1.0 if better == "higher" else -1.0
    if kind == "share":
        found = difference(ours, theirs, level=2 * level - 1)
        bound = found.low if better == "higher" else found.high
        estimate, method = found.estimate, found.method
    else:
        allowed = change + tolerance * (theirs if relative else 1.0)
        estimate, method = sign * float(change.mean()), "paired bootstrap-t"
        bound = sign * (_lower(allowed, span, level) - margin)
    return NonInferiority(estimate, bound, margin, bool(sign * bound + margin > 0), level, ours.size, method)


def _change(variant: ArrayLike, other: ArrayLike, kind: Kind, better: Better) -> FloatArray:
    """By how much each example is better, [n]."""
    ours, theirs = influences(variant, kind), influences(other, kind)
    if ours.shape != theirs.shape:
        raise ValueError(f"paired outcomes are equally long, got {ours.size} and {theirs.size}")
    return ours - theirs if better == "higher" else theirs - ours


def _lower(values: FloatArray, span: float, level: float) -> float:
    """One-sided lower bound of the mean."""
    n = values.size
    if n < 2:
        raise ValueError("a bound of a mean needs at least 2 examples, got 1")
    centred = values - values.mean()
    error = math.sqrt(float(centred @ centred) / (n - 1) / n + 2 * (span / n) ** 2)
    moments = mean_draws(np.stack([centred, centred**2]), DRAWS, SEED)
    spread = np.sqrt(np.maximum(moments[:, 1] - moments[:, 0] ** 2, 0.0) / (n - 1))
    # A resample of equal values has no spread: its t is as good as infinite, on the side that its mean lies on.
    ratios = np.divide(moments[:, 0], spread, out=1e9 * np.sign(moments[:, 0]), where=spread > 0)
    rank = math.ceil((DRAWS + 1) * level) - 1
    critical = max(float(np.sort(ratios)[rank]), float(stats.t.ppf(level, n - 1)))
    return float(values.mean()) - critical * error
