"""Two variants on the same examples: differences, tests, flips, agreement."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from bench.statistics.intervals import Interval, as_values, check_level, wilson


def mcnemar_exact(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided exact McNemar p-value for 0/1 outcomes [n] of two variants on the same examples.

    The binomial test of the discordant examples at one half (McNemar, Psychometrika 12, 1947); 1 where none is
    discordant. ValueError for unequal lengths or outcomes other than 0 and 1.
    """
    gained, lost = flips(b, a)
    return min(1.0, 2 * float(stats.binom.cdf(min(gained, lost), gained + lost, 0.5)))


def difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, span: float = 0.0, *, binary: bool | None = None
) -> Interval:
    """Interval for the mean of a - b over the examples [n] that both were scored on.

    0/1 outcomes: Tango's score interval (Statistics in Medicine 17, 1998), which keeps its level and a sensible width
    with few discordant examples or none; needs n >= 1. Other scores: Student's t on the differences; needs n >= 2.
    `span` is the range that one example's score can take (1 for a ROUGE, 0 where unbounded): with it two pseudo
    examples that differ by all of it, one each way, join the variance, so that outcomes alike on every example seen do
    not claim to be alike for ever. `binary` says whether these are 0/1 outcomes; None: by what they happen to be, which
    takes scores that are 0 or 1 by chance for such. ValueError for unequal lengths, non-finite scores or a negative
    span.
    """
    check_level(level)
    first, second = _pair(a, b)
    if span < 0:
        raise ValueError(f"a span is not negative, got {span}")
    if binary is not False and _is_binary(first) and _is_binary(second):
        wins, losses = int(np.sum(first > second)), int(np.sum(first < second))
        return _tango(wins, losses, first.size, level)
    change = first - second
    n = change.size
    if n < 2:
        raise ValueError("a mean difference needs at least 2 examples, got 1")
    mean = float(change.mean())
    error = math.sqrt(float(change.var(ddof=1)) / n + 2 * (span / n) ** 2)
    reach = float(stats.t.isf((1 - level) / 2, n - 1)) * error
    return Interval(mean, mean - reach, mean + reach, level, n, "paired t")


def holm(pvalues: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values [m], in the order given (Scandinavian Journal of Statistics 6, 1979).

    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection at alpha, whatever the
    dependence. An empty family gives an empty array; ValueError for values outside of [0, 1].
    """
    raw = as_values(pvalues, at_least=0)
    if ((raw < 0) | (raw > 1)).any():
        raise ValueError("p-values lie in 0..1")
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(raw.size, 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def flips(base_correct: ArrayLike, variant_correct: ArrayLike) -> tuple[int, int]:
    """Examples (gained, lost) by the variant: wrong before and right now, right before and wrong now.

    Outcomes [n] of 0/1 or bool on the same examples; ValueError otherwise. Equal accuracies can hide many flips.
    """
    base, variant = _pair(base_correct, variant_correct)
    if not (_is_binary(base) and _is_binary(variant)):
        raise ValueError("outcomes must be 0 or 1")
    return int(np.sum(variant > base)), int(np.sum(variant < base))


def agreement(pred_a: ArrayLike, pred_b: ArrayLike, level: float = 0.95) -> Interval:
    """Share of examples on which two variants predict the same label [n], right or wrong, with Wilson's interval.

    Labels are numbers or strings. ValueError for unequal lengths, none at all, or NaN, which agrees with nothing.
    """
    first, second = np.asarray(pred_a), np.asarray(pred_b)
    _check_shapes(first, second)
    for labels in (first, second):
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise ValueError("predictions must be finite")
    if (first.dtype.kind in "US") != (second.dtype.kind in "US"):
        raise ValueError(f"predictions must be of one kind, got {first.dtype} and {second.dtype}")
    return wilson(int(np.sum(first == second)), first.size, level)


def _tango(wins: int, losses: int, n: int, level: float) -> Interval:
    """The differences that Tango's score statistic, which falls as the difference grows, does not reject."""
    z = float(stats.norm.isf((1 - level) / 2))
    estimate = (wins - losses) / n

    def statistic(shift: float) -> float:
        # Variance with the discordance that is most likely under this difference.
        slope = -wins - losses + (2 * n - wins + losses) * shift
        rare = (math.sqrt(max(slope**2 + 8 * n * losses * shift * (1 - shift), 0.0)) - slope) / (4 * n)
        variance = n * (2 * rare + shift * (1 - shift))
        return (wins - losses - n * shift) / math.sqrt(max(variance, 1e-300))

    nearly = 1 - 1e-12
    low = -1.0 if statistic(-nearly) <= z else _root(lambda shift: statistic(shift) - z, -nearly, estimate)
    high = 1.0 if statistic(nearly) >= -z else _root(lambda shift: statistic(shift) + z, estimate, nearly)
    return Interval(estimate, min(low, estimate), max(high, estimate), level, n, "Tango score")


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero; an end of the bracket where rounding left it no crossing."""
    if function(low) <= 0:
        return low
    if function(high) >= 0:
        return high
    return float(optimize.brentq(function, low, high, xtol=1e-12))


def _is_binary(values: NDArray[np.float64]) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = as_values(a), as_values(b)
    _check_shapes(first, second)
    return first, second


def _check_shapes(first: NDArray[Any], second: NDArray[Any]) -> None:
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise ValueError(f"paired outcomes need one row each, equally long, got {first.shape} and {second.shape}")
