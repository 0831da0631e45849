"""Intervals for all paired differences at once: every pair of variants, every noisy objective, one level."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.statistics.intervals import check_level
from bench.statistics.looks import left_to_spend
from bench.statistics.objectives import Evidence, FloatArray

# Pseudo examples that join a bounded score's paired variance, one each way (Bonett and Price, Journal of
# Educational and Behavioral Statistics 37, 2012): d discordant examples that all go one way then count as a difference
# of d / sqrt(d + 2) deviations.
PSEUDO_EXAMPLES = 2
# Differences this far below the values they come from are rounding of the same number, not variance.
ROUNDING = 1e-12
# A variance of differences below this share of the variances that it comes from has lost a third of its digits as
# S_ii + S_jj - 2 S_ij.
CANCELS = 1e-6
# Pairs times draws, over all noisy objectives, that are worth comparing one by one: half a second, or 500 variants on
# two objectives in 1,000 draws.
MOST_COMPARED = 250_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """How one objective's U distinct columns of draws vary together.

    `rows` [P] are the variants with a number, `column` [P] which distinct column each has, `off` [U, B] the draws about
    the estimates, `drawn` [U, U] the deviation of paired differences that the draws show (infinite where they show
    none), `deviation` [U, U] the one that intervals are made of, on its diagonal of two variants with the same column.
    """

    rows: NDArray[np.intp]
    column: NDArray[np.intp]
    off: FloatArray
    drawn: FloatArray
    deviation: FloatArray


def half_widths(evidence: tuple[Evidence, ...], level: float, pairs: int | None = None) -> list[FloatArray]:
    """Half widths [V, V] of the simultaneous intervals of paired differences, one matrix an objective.

    With probability `level`, every true difference lies within its half width of the estimated one, for all pairs and
    all objectives together: the bootstrap of the largest standardised deviation, max-t (Westfall and Young,
    Resampling-Based Multiple Testing, 1993; Romano and Wolf, Econometrica 73, 2005). Covering both signs, it covers
    both orders of each pair. Exact objectives get zeros; pairs with a variant without a finite number infinity.

    A pair's deviation comes from its joint draws, about the estimate, so a bias of the draws widens it. Three guards,
    because a bootstrap cannot see what the sample did not show:
    - a score with a span gets two pseudo examples that differ by all of it, one each way, after the critical value is
      found: one from the wider deviations would be smaller, and take back what they added;
    - the critical value is at least that of a single normal difference, and turned into Student's where n is known;
    - a pair whose draws never differ, and has no span, gets an infinite half width: nothing is known about it.

    A pair that was measured longer than planned, after a look, has what is left of the error (`looks.left_to_spend`):
    its quantile is that of a smaller tail, so that `level` holds over all the looks.

    Beyond `MOST_COMPARED` pairs times draws, the critical value is Bonferroni's over all pairs and objectives, the
    normal quantile at (1 - level) / (2 m): it holds whatever the dependence, wherever the standardised differences are
    normal that far out, which max-t need not assume. It costs a few per cent of width where variants err independently
    (at 2,000 of them 5.6 deviations in place of 5.4), more where they err alike.

    `pairs` are those of a larger field, over its noisy objectives, that these variants are a part of: the critical
    value is then Bonferroni's over them, whatever their number, and the intervals hold among all of them.

    Enough draws to show the level: ValueError below 1 / (1 - level) - 1 draws. Takes V * V numbers an objective.
    """
    check_level(level)
    spreads = [None if each.draws is None else _spread(each) for each in evidence]
    noisy = [spread for spread in spreads if spread is not None]
    critical = _critical(noisy, level) if pairs is None else normal_quantile(pairs, level)
    size = evidence[0].estimates.size
    widths = []
    for each, spread in zip(evidence, spreads, strict=True):
        width = np.full((size, size), math.inf)
        rows = np.flatnonzero(each.present) if spread is None else spread.rows
        inner = np.zeros((rows.size, rows.size))
        if spread is not None:
            inner = _student(critical, each, rows) * spread.deviation[np.ix_(spread.column, spread.column)]
            np.fill_diagonal(inner, 0.0)
        width[np.ix_(rows, rows)] = inner
        widths.append(width)
    return widths


def normal_quantile(pairs: int, level: float) -> float:
    """How many deviations each of so many intervals reaches either way, so that all hold at once: Bonferroni's."""
    return max(float(stats.norm.isf((1 - level) / 2)), _bonferroni(max(1, pairs), level))


def widest_quantiles(each: Evidence, pairs: int, level: float) -> FloatArray:
    """[V]: as wide as any that `half_widths` gives a pair of each variant, on one noisy objective, among so many pairs.

    A pair's error is that of the one extended less, so neither of its variants has a smaller quantile than the pair.
    """
    freedom, left = _freedom(each), _left(each)
    fewest = freedom[np.isfinite(each.estimates)].min(initial=math.inf)
    if left is None:
        return np.full(freedom.size, student(normal_quantile(pairs, level), float(fewest)))
    # One that cannot err may stand on the wide side of any pair.
    return student(normal_quantile(pairs, level), fewest, np.where(left > 0, left, left[left > 0].min(initial=1.0)))


def quantiles_beside(each: Evidence, pivot: int, pairs: int, level: float) -> FloatArray:
    """[V]: the quantiles that `half_widths` gives the pairs of each variant with the pivot, among so many pairs."""
    freedom, left = _freedom(each), _left(each)
    least = np.minimum(freedom, freedom[pivot])
    mine = np.ones(least.size) if left is None else np.maximum(left, left[pivot])
    kinds, places = np.unique(np.column_stack([least, mine]), axis=0, return_inverse=True)
    return student(normal_quantile(pairs, level), kinds[:, 0], kinds[:, 1])[places.ravel()]


def student(critical: float, freedom: float | FloatArray, left: float | FloatArray = 1.0) -> FloatArray:
    """Student's quantile as rare as a normal one, or rarer: by the share `left` of its tail."""
    return np.asarray(stats.t.isf(stats.norm.sf(critical) * left, freedom), dtype=np.float64)


def _spread(each: Evidence) -> _Spread:
    rows = np.flatnonzero(each.present)
    draws, costs = each.cost_draws, each.costs[rows]
    assert draws is not None
    draws = draws[:, rows]
    # Variants first: a row of pairs is then one stretch of memory.
    off = np.ascontiguousarray((draws - costs).T)
    # Variants that are one thing under two names have the same draws; once is enough.
    numbers: dict[bytes, int] = {}
    column = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in off], dtype=np.intp)
    if len(numbers) < rows.size:
        off = off[np.unique(column, return_index=True)[1]]
    rounding = ROUNDING * max(float(np.abs(draws).max(initial=0.0)), float(np.abs(costs).max(initial=0.0)))
    variance = _variances(off)
    variance[variance <= rounding**2] = 0.0
    padded = variance + (0.0 if each.n is None else PSEUDO_EXAMPLES * (each.span / each.n) ** 2)
    return _Spread(rows, column, off, _deviation(variance), _deviation(padded))


def _deviation(variance: FloatArray) -> FloatArray:
    deviation = np.sqrt(variance)
    deviation[deviation == 0] = math.inf
    return deviation


def _variances(off: FloatArray) -> FloatArray:
    """Mean squares [U, U] of the differences between rows of off [U, B]."""
    seen: FloatArray = off @ off.T
    seen /= off.shape[1]
    own = np.diag(seen).copy()
    seen *= -2
    seen += own[:, None] + own
    cancelled = seen < CANCELS * own
    np.fill_diagonal(cancelled, False)
    for i in np.flatnonzero(cancelled.any(axis=1)):
        near = np.flatnonzero(cancelled[i])
        if near.size:
            # About one of them they are small numbers, which keep their digits. That one is then zero and near nothing,
            # so this ends.
            group = np.append(near, i)
            seen[np.ix_(group, group)] = _variances(off[group] - off[i])
            cancelled[np.ix_(group, group)] = False
    return seen


def _critical(spreads: list[_Spread], level: float) -> float:
    """How many deviations each interval reaches either way: at least as many as for a single normal difference."""
    single = float(stats.norm.isf((1 - level) / 2))
    if not spreads:
        return single
    draws = spreads[0].off.shape[1]
    if math.ceil((draws + 1) * level) > draws:
        raise ValueError(f"{draws} draws cannot show a level of {level}; {math.ceil(level / (1 - level))} can")
    pairs = sum(math.comb(spread.rows.size, 2) for spread in spreads)
    many = pairs * draws > MOST_COMPARED
    return max(single, _bonferroni(pairs, level) if many else _max_t(spreads, level))


def _bonferroni(pairs: int, level: float) -> float:
    """The normal quantile that a share of (1 - level) / pairs lies beyond, either way."""
    return float(stats.norm.isf((1 - level) / 2 / pairs))


def _max_t(spreads: list[_Spread], level: float) -> float:
    """The level's quantile, rounded up to a draw, of the largest standardised difference in each draw."""
    draws = spreads[0].off.shape[1]
    largest = np.zeros(draws)
    for spread in spreads:
        off, inverse = spread.off, 1 / spread.drawn
        for i in range(off.shape[0] - 1):
            differences = off[i + 1 :] - off[i]
            differences *= inverse[i, i + 1 :, None]
            np.abs(differences, out=differences)
            np.maximum(largest, differences.max(axis=0), out=largest)
    return float(np.sort(largest)[math.ceil((draws + 1) * level) - 1])


def _student(critical: float, each: Evidence, rows: NDArray[np.intp]) -> FloatArray:
    """Student's quantiles as rare as this normal one, by what is left of the error: for all pairs or each [P, P]."""
    left = _left(each)
    if each.freedom is None and left is None:
        return np.asarray(critical) if each.n is None else student(critical, each.n - 1)
    values, places = np.unique(_freedom(each)[rows], return_inverse=True)
    if left is None:
        # The larger quantile belongs to the smaller freedom, so a pair has the larger of its two.
        own = student(critical, values)[places]
        return np.asarray(np.maximum(own[:, None], own[None, :]))
    shares, of = np.unique(left[rows], return_inverse=True)
    known = student(critical, values[:, None], shares[None, :])
    return np.asarray(known[np.minimum(places[:, None], places[None, :]), np.maximum(of[:, None], of[None, :])])


def _freedom(each: Evidence) -> FloatArray:
    """[V]: infinite where the deviation is known."""
    if each.freedom is not None:
        return each.freedom
    return np.full(each.estimates.size, math.inf if each.n is None else each.n - 1.0)


def _left(each: Evidence) -> FloatArray | None:
    """[V]: the share of the error that is left, 0 for what cannot err; None where none was measured beyond plan."""
    if each.extended is None:
        return None
    present = np.isfinite(each.estimates) & np.isfinite(each.extended)
    if not (each.extended[present] > 1).any():
        return None
    return left_to_spend(each.extended)
