"""What is still open on a frontier, and how many more leases would decide it. Pure.

A variant is contested while, against some other, neither is shown: that it is better somewhere, or that it is beaten.
More leases narrow what is measured. Scores are not narrowed by them: every example that may be chosen by has been used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bench.statistics.frontier import compare, relations
from bench.statistics.looks import left_to_spend
from bench.statistics.objectives import BoolArray, Evidence, FloatArray
from bench.statistics.resample import SHIFT_FREEDOM
from bench.statistics.simultaneous import normal_quantile, student

MOST_LEASES = 64  # more, beyond which a pair counts as tied on what is measured
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class OpenPair:
    """Variant `of` against variant `other`: how many more leases that time both would show what.

    `better`: that `of` is better on something, so that it need fear `other` no more. `beaten`: that it is dominated.
    None where no number up to `MOST_LEASES` would.
    """

    of: int
    other: int
    better: int | None
    beaten: int | None

    @property
    def leases(self) -> int | None:
        """The fewest more that would close the pair."""
        return min((n for n in (self.better, self.beaten) if n is not None), default=None)


@dataclass(frozen=True, slots=True)
class Decision:
    """What it would take to decide one variant: `leases` more of each of `members`."""

    of: int
    members: frozenset[int]
    leases: int


def open_pairs(
    evidence: Sequence[Evidence],
    widths: Sequence[FloatArray],
    measured: Sequence[bool],
    leases: Sequence[float],
    declared: int,
) -> list[OpenPair]:
    """Every pair that keeps a variant contested.

    Args:
        evidence: the declared objectives.
        widths: half widths [V, V] of their simultaneous intervals at 95%.
        measured: of each objective, whether more leases narrow it.
        leases: of each variant, how many there are by now; 0 for one without a number, infinite for the base, whose
            ratio is 1 in each of them and does not get any nearer to it.
        declared: leases that were planned, beyond which less of the error is left (`looks.left_to_spend`).
    """
    present = np.logical_and.reduce([each.present for each in evidence])
    safe, dominates, _ = relations(evidence, widths)
    dominated = dominates.any(axis=0)
    compared = [compare(each, width) for each, width in zip(evidence, widths, strict=True)]
    gaps, no_worse = [gap for gap, _, _ in compared], [shown for _, _, shown in compared]
    count = int(present.sum())
    critical = normal_quantile(count * (count - 1) // 2 * sum(each.draws is not None for each in evidence), LEVEL)
    found = []
    for i in np.flatnonzero(present & ~dominated):
        for j in np.flatnonzero(present & ~safe[i]):
            if i != j:
                reach = _reach(max(1, leases[int(i)]), max(1, leases[int(j)]), critical, max(1, declared))
                found.append(_priced(int(i), int(j), gaps, widths, measured, no_worse, reach))
    return found


def _priced(
    i: int,
    j: int,
    gaps: Sequence[FloatArray],
    widths: Sequence[FloatArray],
    measured: Sequence[bool],
    no_worse: Sequence[BoolArray],
    reach: FloatArray,
) -> OpenPair:
    """A pair with the fewest leases that either way to close it takes."""
    needed = [
        _needed(float(abs(gap[i, j])), float(width[i, j]), reach) if more else None
        for gap, width, more in zip(gaps, widths, measured, strict=True)
    ]
    better = [n for n, gap in zip(needed, gaps, strict=True) if n is not None and gap[i, j] < 0]
    # Whoever beats it is shown better everywhere: by now, or once the last of what is measured shows it.
    left = [(n, gap) for n, gap, shown in zip(needed, gaps, no_worse, strict=True) if not shown[j, i]]
    beaten = [n for n, gap in left if n is not None and gap[i, j] > 0]
    return OpenPair(i, j, min(better, default=None), max(beaten) if beaten and len(beaten) == len(left) else None)


@lru_cache(maxsize=4096)
def _reach(first: float, second: float, critical: float, declared: int) -> FloatArray:
    """How wide an interval for two models is after 0, 1, ... `MOST_LEASES` more leases of both, in deviations of now.

    Their variances fall with their leases. Student's quantile, as rare as the normal `critical`, falls with the fewer
    of them, and rises with what these have spent of the error.
    """
    more = np.arange(MOST_LEASES + 1)
    variances = 1 / (first + more) + 1 / (second + more)
    fewer = np.asarray(min(first, second) + more, dtype=np.float64)
    quantiles = student(critical, SHIFT_FREEDOM + fewer - 1, left_to_spend(fewer / declared))
    return np.asarray(quantiles * np.sqrt(variances / variances[0]))


def _needed(gap: float, width: float, reach: FloatArray) -> int | None:
    """More leases after which a half width falls below a gap, if the estimates stay what they are.

    Where none is enough, all that are allowed, unless a gap that is larger by its own deviation would need more too:
    few leases may agree by chance on what differs.
    """
    if not gap > 0 or not math.isfinite(width):
        return None
    deviation = width / float(reach[0])
    enough = np.flatnonzero(deviation * reach < gap)
    if enough.size:
        return max(1, int(enough[0]))
    return MOST_LEASES if deviation * reach[-1] < gap + deviation else None


def decisions(pairs: Iterable[OpenPair], most: int, never: frozenset[int] = frozenset()) -> list[Decision]:
    """Every variant that leases would decide, by how many more of each of those involved that takes.

    A variant is decided when one other is shown to beat it, or when it is shown better than each that it is still open
    against: closing one pair of a variant decides nothing while another stays open that no lease closes.

    Args:
        pairs: what is open.
        most: variants that fit into a lease: of more, those that need the most leases come first.
        never: those that every lease holds anyway, such as the base; they take no place.
    """
    by_variant: dict[int, list[OpenPair]] = {}
    for pair in pairs:
        by_variant.setdefault(pair.of, []).append(pair)
    found = []
    for of, mine in by_variant.items():
        shown = [{pair.other: pair.beaten} for pair in mine if pair.beaten is not None]
        better = {pair.other: pair.better for pair in mine if pair.better is not None}
        shown += [better] if len(better) == len(mine) else []
        ways = [_decision(of, more, most, never) for more in shown]
        if ways:
            found.append(min(ways, key=lambda way: (way.leases * (1 + len(way.members)), way.leases)))
    return sorted(found, key=lambda each: (each.leases, len(each.members), each.of))


def _decision(of: int, more: Mapping[int, int], most: int, never: frozenset[int]) -> Decision:
    """To time `of` beside others, by how many more leases each of them takes."""
    others = sorted(more.keys() - never, key=lambda other: -more[other])
    return Decision(of, (frozenset({of}) - never) | frozenset(others[: most - 1]), max(more.values()))


class Group(NamedTuple):
    """Variants to time together for so many leases, and how many variants that decides."""

    members: list[int]
    leases: int
    decided: int


def group_to_measure(found: Sequence[Decision], most: int) -> Group:
    """Which up to `most` variants to time, and for how many leases, to decide the most variants for the time.

    A lease takes as long as it has models, the base among them. Variants are taken by how few leases decide them, and
    of all such beginnings the one that decides most a model and lease is measured. Without any, nobody and 0.
    """
    best, best_rate = Group([], 0, 0), 0.0
    group: list[int] = []
    decided = 0
    for each in found:
        new = sorted(each.members - set(group))
        if len(group) + len(new) > most:
            continue
        group, decided = group + new, decided + 1
        rate = decided / (each.leases * (1 + len(group)))
        if rate > best_rate:
            best, best_rate = Group(group, each.leases, decided), rate
    return best


def best_rounds(looks: Sequence[int], between: float, within: float, fixed: float, each: float) -> int:
    """After how many rounds a further lease should end, of those at which it may: what narrows most a second.

    Args:
        looks: rounds at which a lease may end.
        between: variance of a log ratio from lease to lease.
        within: variance of the median of a single round; of R rounds it is one R-th.
        fixed: seconds that a model's place in a lease takes before its first round, loading it among them.
        each: seconds of a model's place a round.

    With a budget of many such leases the variance of their mean is (between + within / R) (fixed + R each) over the
    budget, least at R = sqrt(within / between * fixed / each). ValueError for no looks or a variance below 0.
    """
    if not looks or between < 0 or within < 0:
        raise ValueError(f"a lease ends at a look and has variances, got {looks}, {between} and {within}")
    return min(looks, key=lambda rounds: (between + within / rounds) * (fixed + rounds * each))
