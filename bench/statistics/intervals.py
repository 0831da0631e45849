"""Intervals for one number: proportions, means, medians, quantiles, and medians of autocorrelated rounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bench.statistics.autocorrelation import correlation_time

# Fewer block medians than this say too little about their own spread.
MIN_BLOCKS = 8
# A block this many correlation times long leaves neighbouring block medians nearly uncorrelated.
TIMES_PER_BLOCK = 2.0
# The correlation time of forty independent rounds is estimated below this three times in four.
INDEPENDENT = 1.3
# A quantile with fewer values than this beyond it is one or two stragglers, not a tail.
MIN_TAIL = 10


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the interval it came with.

    `level` is the coverage that the method promises; where a method cannot reach what was asked (a median of three
    values at 95%), it holds what was reached instead. `n` counts the values behind the estimate. All numbers carry the
    unit of the values. Raises ValueError unless low <= estimate <= high, all finite, 0 < level < 1 and n >= 1.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int
    method: str

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.estimate, self.low, self.high)):
            raise ValueError(f"an interval needs finite numbers, got {self.low}, {self.estimate}, {self.high}")
        if not self.low <= self.estimate <= self.high:
            raise ValueError(f"an estimate lies inside its interval, got {self.estimate} in [{self.low}, {self.high}]")
        check_level(self.level)
        if self.n < 1:
            raise ValueError(f"an interval needs at least one value, got n={self.n}")

    @property
    def half_width(self) -> float:
        """Half of high - low, in the unit of the estimate."""
        return (self.high - self.low) / 2

    @property
    def relative_half_width(self) -> float:
        """Half width as a share of the estimate's size; infinite for an estimate of zero that is not exact."""
        if self.half_width == 0:
            return 0.0
        return self.half_width / abs(self.estimate) if self.estimate else math.inf

    def contains(self, number: float) -> bool:
        """Whether `number` lies in the closed interval."""
        return self.low <= number <= self.high


def check_level(level: float) -> None:
    """Raise ValueError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise ValueError(f"a level lies above 0 and below 1, got {level}")


def as_values(values: ArrayLike, at_least: int = 1) -> NDArray[np.float64]:
    """`values` as a finite one-dimensional float array of `at_least` numbers, else ValueError."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"values come as one row, got shape {array.shape}")
    if array.size < at_least:
        raise ValueError(f"at least {at_least} values are needed, got {array.size}")
    if not np.isfinite(array).all():
        raise ValueError("values must be finite; leave out what failed, and say so, before asking for an interval")
    return array


def exact_proportion(successes: int, n: int, level: float = 0.95) -> Interval:
    """Clopper-Pearson interval for a proportion: covers at least `level` whatever the truth (Biometrika 26, 1934).

    ValueError unless 0 <= successes <= n and n >= 1.
    """
    _check_counts(successes, n, level)
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, successes, n - successes + 1)) if successes else 0.0
    high = float(stats.beta.isf(tail, successes + 1, n - successes)) if successes < n else 1.0
    return Interval(successes / n, low, high, level, n, "Clopper-Pearson")


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion (JASA 22, 1927): covers `level` on average over truths, not for each.

    ValueError unless 0 <= successes <= n and n >= 1.
    """
    _check_counts(successes, n, level)
    z = float(stats.norm.isf((1 - level) / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding may leave the ends of the scale by 1e-17, and the ends are exact.
    low = 0.0 if successes == 0 else min(max(centre - reach, 0.0), share)
    high = 1.0 if successes == n else max(min(centre + reach, 1.0), share)
    return Interval(share, low, high, level, n, "Wilson")


def mean_t(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's interval for the mean of independent values [n], n >= 2 (ValueError below).

    Equal values give an interval of no width: for 0/1 outcomes ask `wilson` or `exact_proportion` instead.
    """
    check_level(level)
    sample = as_values(values, at_least=2)
    mean = float(sample.mean())
    error = float(sample.std(ddof=1)) / math.sqrt(sample.size)
    reach = float(stats.t.isf((1 - level) / 2, sample.size - 1)) * error
    return Interval(mean, mean - reach, mean + reach, level, sample.size, "Student t")


def median_order_statistic(values: ArrayLike, level: float = 0.95) -> Interval:
    """Distribution-free interval for the median of independent values [n], n >= 2 (ValueError below).

    The k-th lowest and k-th highest value, with the largest k that still covers `level`: P(Bin(n, 1/2) < k) at most
    half of what may be missed (David and Nagaraja, Order Statistics, 2003, section 7.1). Below n = 6 no k reaches 95%:
    then it is the lowest and highest value, and `level` says what they cover, 1 - 2^(1-n).
    """
    check_level(level)
    sample = np.sort(as_values(values, at_least=2))
    rank = _median_rank(sample.size, level)
    reached = level if rank >= 1 else 1 - 2.0 ** (1 - sample.size)
    k = max(rank, 1)
    low, high = float(sample[k - 1]), float(sample[sample.size - k])
    return Interval(float(np.median(sample)), low, high, reached, sample.size, "order statistics")


def block_length(values: ArrayLike, min_blocks: int = MIN_BLOCKS) -> int:
    """Rounds in a block: at least two correlation times of the series [n], odd, and leaving `min_blocks` blocks.

    Odd, because the median of an odd number of values is as often above the true median as below it.
    """
    series = as_values(values)
    return _block_length(series.size, correlation_time(series), min_blocks)


def _block_length(n: int, time: float, min_blocks: int = MIN_BLOCKS) -> int:
    longest = max(n // min_blocks, 1)
    wanted = 1 if time <= INDEPENDENT else math.ceil(TIMES_PER_BLOCK * time)
    length = min(wanted, longest)
    return length if length % 2 else min(length + 1, longest - 1 + longest % 2)


def block_median(values: ArrayLike, level: float = 0.95) -> Interval:
    """Interval for the median of an autocorrelated series of per-round values [n], in the order measured.

    The series is cut into blocks longer than its correlation time, at least 8 of them where n allows; the block medians
    are nearly independent, so order statistics of theirs make the interval (the non-overlapping batch means of
    simulation, Schmeiser, Operations Research 30, 1982, with medians in place of means). What does not fill a block is
    left out at the start, where a machine is coldest. Blocks are odd, so for a series that is a monotone function of a
    Gaussian one the block medians have the same median as the rounds.

    Where even the longest blocks allowed stay correlated, the interval is widened about its estimate by the square root
    of the variance inflation that the rounds' correlation implies. ValueError below 2 values.
    """
    check_level(level)
    series = as_values(values, at_least=2)
    time = correlation_time(series)
    length = _block_length(series.size, time)
    medians = _medians(series, length)
    inner = median_order_statistic(medians, level)
    estimate = float(np.median(series))
    # Blocks shorter than wished leak correlation into their neighbours; each then counts for less than one value.
    stretch = math.sqrt(max(1.0, 1.0 + _leak(time, length)))
    low = min(estimate, estimate - stretch * (estimate - inner.low))
    high = max(estimate, estimate + stretch * (inner.high - estimate))
    return Interval(estimate, low, high, inner.level, series.size, f"medians of {medians.size} blocks of {length}")


def block_medians(values: ArrayLike) -> NDArray[np.float64]:
    """Medians of the blocks that `block_median` rests on, in the order measured. ValueError below 2 values."""
    series = as_values(values, at_least=2)
    return _medians(series, block_length(series))


def _medians(series: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Medians of blocks of that length; what does not fill one is left out at the start."""
    count = series.size // length
    return np.asarray(np.median(series[series.size - count * length :].reshape(count, length), axis=1))


def quantile(values: ArrayLike, q: float, level: float = 0.95, worth: float | None = None) -> Interval | None:
    """Distribution-free interval for quantile q of values [n]; None where the tail is too thin to show.

    Shown only if n(1-q) >= 10, and for q below one half n q >= 10: a p99 of 20 values is their maximum under another
    name. Order statistics of binomial ranks (David and Nagaraja, section 7.1). Values that are not independent are
    `worth` fewer than n of them: the rule and the ranks then go by that number. ValueError unless 0 < q < 1 and
    1 <= worth <= n.
    """
    check_level(level)
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies above 0 and below 1, got {q}")
    sample = np.sort(as_values(values))
    n = sample.size
    worth = float(n) if worth is None else worth
    if not 1 <= worth <= n:
        raise ValueError(f"{n} values are worth 1 to {n} independent ones, got {worth}")
    # n * (1 - 0.9) is 9.999... for n = 100: the rule is meant for exact decimals.
    if worth * min(q, 1 - q) < MIN_TAIL - 1e-9:
        return None
    count = int(worth)
    tail = (1 - level) / 2
    # Largest r with P(Bin < r) <= tail, smallest s with P(Bin >= s) <= tail: then [x_r, x_s] covers q.
    lower = int(stats.binom.ppf(tail, count, q)) * n // count
    upper = -(-(int(stats.binom.isf(tail, count, q)) + 1) * n // count)
    estimate = float(np.quantile(sample, q))
    low = float(sample[max(lower, 1) - 1])
    high = float(sample[min(upper, n) - 1])
    independent = "" if count == n else f" of {count} independent"
    return Interval(
        estimate, min(low, estimate), max(high, estimate), level, n, f"order statistics of q={q:g}{independent}"
    )


def hull(intervals: Sequence[Interval]) -> Interval:
    """One interval for a measurement repeated in several leases: from the lowest low to the highest high.

    The estimate is the median of the estimates. It covers wherever one of the leases covers; a spread between leases
    much wider than their own intervals is NOT covered at the level, which is why leases that do not overlap are called
    unstable. `level` is the lowest of theirs, n the sum. ValueError for none.
    """
    if not intervals:
        raise ValueError("a hull needs at least one interval")
    if len(intervals) == 1:
        return intervals[0]
    low = min(interval.low for interval in intervals)
    high = max(interval.high for interval in intervals)
    # The mean of two estimates may round to just outside of the ends when all three are one float apart.
    estimate = min(max(float(np.median([interval.estimate for interval in intervals])), low), high)
    return Interval(
        estimate=estimate,
        low=low,
        high=high,
        level=min(interval.level for interval in intervals),
        n=sum(interval.n for interval in intervals),
        method=f"hull of {len(intervals)}: {intervals[0].method}",
    )


def mean_over_leases(
    intervals: Sequence[Interval], draws: NDArray[np.float64], freedom: float, level: float = 0.95
) -> Interval:
    """One interval for a ratio measured in leases: the geometric mean of their medians, Student on logs.

    `draws` [B] and `freedom` are as from `resample.lease_draws`. ValueError for no lease or a bad level.
    """
    check_level(level)
    centre = float(np.mean(np.log([interval.estimate for interval in intervals])))
    reach = float(stats.t.isf((1 - level) / 2, freedom)) * float(np.log(draws).std())
    return Interval(
        estimate=math.exp(centre),
        low=math.exp(centre - reach),
        high=math.exp(centre + reach),
        level=level,
        n=sum(interval.n for interval in intervals),
        method=f"Student t over {len(intervals)} lease{'s' * (len(intervals) > 1)}",
    )


def overlap(a: Interval, b: Interval) -> bool:
    """Whether two closed intervals share a point."""
    return a.low <= b.high and b.low <= a.high


def _check_counts(successes: int, n: int, level: float) -> None:
    check_level(level)
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes lie in 0..n and n is at least 1, got {successes} of {n}")


@cache  # for it asks scipy, which takes longer than all else of an interval
def _median_rank(n: int, level: float) -> int:
    """Largest k with 2 P(Bin(n, 1/2) < k) <= 1 - level; 0 where there is none."""
    rank = int(stats.binom.ppf((1 - level) / 2, n, 0.5))
    return rank if 2 * float(stats.binom.cdf(rank - 1, n, 0.5)) <= 1 - level else rank - 1


def _leak(time: float, length: int) -> float:
    """Twice the correlation between neighbouring block medians that a series of that correlation time would leave.

    A series with exponentially falling correlation and time T = (1+r)/(1-r) has neighbouring block means correlated by
    about r / (1 - r^2) / length = (T^2 - 1) / (4 T length).
    """
    return 2 * (time - 1 / time) / (4 * length) if time > 1 else 0.0
