"""Racing: which variants are beaten already, so that nothing more need be spent on them. Pure.

A variant stops if one other is no worse on every exact objective and better on every noisy one. The claim is about the
population that the examples and rounds are drawn from, so there is no correction for a finite test set. It is an
intersection-union test (Berger, Technometrics 24, 1982): each noisy objective is tested at the full level, with no
split over objectives, for all of them must show it. The level is split over looks and ordered pairs.

References: sign test, Dixon and Mood, JASA 41, 1946; betting, Waudby-Smith and Ramdas, JRSS B 86, 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from scipy import stats

from bench.statistics.autocorrelation import correlation_time
from bench.statistics.intervals import check_level
from bench.statistics.looks import planned_looks
from bench.statistics.objectives import BoolArray, FloatArray
from bench.statistics.repeats import Error
from bench.statistics.resample import SHIFT

MOST_LOOKS = 6
LARGEST_BET = 0.5  # of the capital: one example can then never take more than half of it


def race_looks(windows: int) -> tuple[int, ...]:
    """Windows after which to look: at most 6 looks, doubling, the last at the end. (1, 2, 4, 8, 16, 20) for 20.

    ValueError below 1 window.
    """
    return planned_looks(max(1, -(-windows // 2 ** (MOST_LOOKS - 1))), windows)


def race_level(alpha: float, looks: int, variants: Sequence[int]) -> float:
    """One-sided level of one comparison: alpha over looks that decide and ordered pairs of variants.

    `variants` are how many each base has, itself among them: those of different bases never meet. ValueError unless
    0 < alpha < 1, looks >= 1 and some base has two.
    """
    check_level(alpha)
    if looks < 1 or max(variants, default=0) < 2:
        raise ValueError(f"a race has a look and two variants at least, got {looks} and {list(variants)}")
    return alpha / (looks * sum(size * (size - 1) for size in variants))


class Raced(Protocol):
    """What is known of V variants on one objective at a look."""

    @property
    def noisy(self) -> bool:
        """Whether its numbers have an error."""

    def better(self, level: float) -> BoolArray:
        """[V, V]: whether the row is shown to be better than the column, at the one-sided level."""

    def no_worse(self, level: float) -> BoolArray:
        """[V, V]: the same for no worse; on a noisy objective only better can be shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """Numbers without error, lower is better: costs [V]."""

    costs: FloatArray
    noisy: ClassVar[bool] = False

    def better(self, level: float) -> BoolArray:
        del level
        return np.asarray(self.costs[:, None] < self.costs[None, :])

    def no_worse(self, level: float) -> BoolArray:
        del level
        return np.asarray(self.costs[:, None] <= self.costs[None, :])


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores [V, n] of the same examples in a random order, higher is better; `span` is the range that one can take.

    `binary` says that they are 0 or 1. ValueError for another shape, none at all, or what is not finite.
    """

    scores: FloatArray
    span: float
    binary: bool
    noisy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or not self.scores.size or not np.isfinite(self.scores).all():
            raise ValueError(f"scores come as finite numbers [variants, examples], got shape {self.scores.shape}")
        if not self.span > 0:
            raise ValueError(f"a bounded score has a span above 0, got {self.span}")

    def better(self, level: float) -> BoolArray:
        return np.asarray(self.p_values() <= level)

    def no_worse(self, level: float) -> BoolArray:
        return self.better(level)

    def p_values(self) -> FloatArray:
        """[V, V]: p of the row being no better than the column in the population, one-sided; 1 on the diagonal."""
        return _sign_test(self.scores) if self.binary else _betting(self.scores / self.span)


def _sign_test(scores: FloatArray) -> FloatArray:
    """Exact: of the examples on which two differ, either wins each with chance one half if they are equally good."""
    wins = scores @ (1 - scores).T
    return np.asarray(stats.binom.sf(wins - 1, wins + wins.T, 0.5))


def _betting(scores: FloatArray) -> FloatArray:
    """1 / capital of a bettor against "the mean difference is 0 or less", who bets before seeing each example.

    The capital is a supermartingale under the null, so that 1 / (its largest so far) is a p-value at every look
    (Ville); the bet is a growth-optimal fraction from what was seen before.
    """
    size, n = scores.shape
    found = np.ones((size, size))
    seen = np.arange(n)
    for row in range(size):
        gain = scores[row] - scores  # [V, n] in [-1, 1]
        total = np.cumsum(gain, axis=1) - gain
        squares = np.cumsum(gain**2, axis=1) - gain**2
        # One imagined example of a quarter squared keeps the first bets small.
        bet = np.clip(total / (0.25 + squares), 0.0, LARGEST_BET)
        bet[:, seen == 0] = 0.0
        capital = np.cumsum(np.log1p(bet * gain), axis=1)
        found[row] = np.exp(-np.maximum(capital.max(axis=1), 0.0))
    np.fill_diagonal(found, 1.0)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """Ratios to the base of the models of each lease: (variants in the lease [m], ratios [rounds, m]); lower is better.

    The base is among the variants with ratios of 1. Variants that share leases are compared round by round, in every
    lease that they share; others meet through the base. What lasts as long as a lease no number of its rounds tells
    from a difference: half of the level is for that, at the deviation that calibration found, and half for the rounds.
    """

    leases: Sequence[tuple[Sequence[int], FloatArray]]
    variants: int
    noisy: ClassVar[bool] = True

    def better(self, level: float) -> BoolArray:
        found = np.zeros((self.variants, self.variants), dtype=np.bool_)
        for row in range(self.variants):
            for column in range(self.variants):
                found[row, column] = row != column and self._better(row, column, level)
        return found

    def no_worse(self, level: float) -> BoolArray:
        return self.better(level)

    def _better(self, row: int, column: int, level: float) -> bool:
        mine = [(places.index(row), places, ratios) for places, ratios in self._of(row)]
        shared = [
            ratios[:, places.index(column)] / ratios[:, place] for place, places, ratios in mine if column in places
        ]
        if shared:
            return all(_above(ratio, _lasting(level / 2), level / 2) for ratio in shared)
        theirs = [ratios[:, places.index(column)] for places, ratios in self._of(column)]
        if not mine or not theirs:
            return False
        # Two bounds, each at half of what is left, that do not meet whichever leases they come from.
        highest = max(_bound(ratios[:, place], level / 4, upper=True) for place, _, ratios in mine)
        lowest = min(_bound(ratios, level / 4, upper=False) for ratios in theirs)
        return highest * _lasting(level / 2, math.sqrt(2)) < lowest

    def _of(self, variant: int) -> list[tuple[Sequence[int], FloatArray]]:
        return [(places, ratios) for places, ratios in self.leases if variant in places]


@dataclass(frozen=True, slots=True, eq=False)
class Repeated:
    """Medians [V] of a few repetitions of one number by every variant, and their error; lower is better.

    One variant is shown better by Student's t for the difference of the medians (Welch, Biometrika 34, 1947), whose
    error holds what a whole measurement shares.
    """

    estimates: FloatArray
    error: Error
    noisy: ClassVar[bool] = True

    def better(self, level: float) -> BoolArray:
        variance, freedom = self.error.deviation**2, self.error.freedom
        both = variance[:, None] + variance[None, :]
        spread = variance**2 / freedom
        reach = np.sqrt(both) * stats.t.isf(level, both**2 / (spread[:, None] + spread[None, :]))
        return np.asarray(self.estimates[:, None] + reach < self.estimates[None, :])

    def no_worse(self, level: float) -> BoolArray:
        return self.better(level)


def _lasting(level: float, deviations: float = 1.0) -> float:
    """A factor that a ratio of two models goes beyond by what lasts as long as a lease, at most so rarely."""
    return math.exp(float(stats.norm.isf(level)) * SHIFT * deviations)


def _above(ratios: FloatArray, threshold: float, level: float) -> bool:
    """Whether the median of an autocorrelated series is shown to be above the threshold.

    A sign test in which a round counts for one over the correlation time, as that many rounds say as much as one.
    """
    time = correlation_time(ratios)
    above = np.count_nonzero(ratios > threshold)
    return bool(stats.binom.sf(int(above / time) - 1, int(ratios.size / time), 0.5) <= level)


def _bound(ratios: FloatArray, level: float, *, upper: bool) -> float:
    """One-sided distribution-free bound of a series' median; infinite or 0 where no order statistic reaches it."""
    if np.all(ratios == ratios[0]):  # the base's own
        return float(ratios[0])
    ordered = np.sort(ratios)
    worth = int(ratios.size / correlation_time(ratios))
    rank = int(stats.binom.ppf(level, worth, 0.5))
    rank -= bool(stats.binom.cdf(rank - 1, worth, 0.5) > level)  # the largest with P(Bin < rank) <= level
    if rank < 1:
        return float("inf") if upper else 0.0
    place = rank * ratios.size // worth - 1
    return float(ordered[-1 - place] if upper else ordered[place])


@dataclass(frozen=True, slots=True)
class Stop:
    """Variant `variant` is beaten by variant `by`."""

    variant: int
    by: int


def stops(objectives: Sequence[Raced], level: float, protected: frozenset[int] = frozenset()) -> list[Stop]:
    """Who is beaten at a look, in order; never one that is `protected`. Who beats is one that stays, if there is one.

    ValueError without a noisy objective: then there is nothing to race.
    """
    if not any(objective.noisy for objective in objectives):
        raise ValueError("a race needs a noisy objective")
    beats = np.logical_and.reduce([objective.no_worse(level) for objective in objectives])
    np.fill_diagonal(beats, val=False)
    beaten = beats.any(axis=0)
    found = []
    for variant in np.flatnonzero(beaten):
        if int(variant) not in protected:
            by = sorted(np.flatnonzero(beats[:, variant]), key=lambda j: (bool(beaten[j]), int(j)))
            found.append(Stop(int(variant), int(by[0])))
    return found
