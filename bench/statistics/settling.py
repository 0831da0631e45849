"""What is still open on a frontier, and how many more leases would decide it. Pure.

A variant is contested while, against some other, neither is shown: that it is better somewhere, or that it is beaten.
More leases narrow what is measured. Scores are not narrowed by them: every example that may be chosen by has been used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.statistics.frontier import relations
from bench.statistics.looks import left_to_spend
from bench.statistics.objectives import Evidence, FloatArray
from bench.statistics.resample import SHIFT_FREEDOM
from bench.statistics.simultaneous import normal_quantile, student

MOST_LEASES = 64  # more, beyond which a pair counts as tied on what is measured
NEVER = MOST_LEASES + 1
LEVEL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class OpenPairs:
    """Pairs [P] that keep variant `of` contested, for it is open against variant `other`; in order of both.

    How many more leases that time both would show what: `better`, that `of` is better on something, so that it need
    fear `other` no more; `beaten`, that it is dominated. 0 where no number up to `MOST_LEASES` would.
    """

    of: NDArray[np.intp]
    other: NDArray[np.intp]
    better: NDArray[np.intp]
    beaten: NDArray[np.intp]

    @property
    def leases(self) -> NDArray[np.intp]:
        """[P]: the fewest more that would close each pair, 0 where none would."""
        fewer = np.minimum(self.better, self.beaten)
        return np.where(fewer > 0, fewer, np.maximum(self.better, self.beaten))

    def contested(self) -> NDArray[np.intp]:
        """The variants that some pair keeps contested, in order."""
        return np.unique(self.of)

    def of_variant(self, variant: int) -> OpenPairs:
        """Those that keep one variant contested."""
        first, last = np.searchsorted(self.of, [variant, variant + 1])
        mine = slice(int(first), int(last))
        return OpenPairs(self.of[mine], self.other[mine], self.better[mine], self.beaten[mine])


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
    planned: float | Sequence[float],
    pairs: int | None = None,
) -> OpenPairs:
    """Every pair that keeps a variant contested.

    Args:
        evidence: the declared objectives.
        widths: half widths [V, V] of their simultaneous intervals at 95%.
        measured: of each objective, whether more leases narrow it.
        leases: of each variant, how many there are by now; 0 for one without a number, infinite for the base, whose
            ratio is 1 in each of them and does not get any nearer to it.
        planned: leases that were planned, of all or of each variant, beyond which less of the error is left
            (`looks.left_to_spend`).
        pairs: of a larger field that these variants are a part of, as for `half_widths`.
    """
    present = np.logical_and.reduce([each.present for each in evidence])
    safe, dominates, _ = relations(evidence, widths)
    still = (present & ~dominates.any(axis=0))[:, None] & present & ~safe
    np.fill_diagonal(still, val=False)
    of, other = np.nonzero(still)
    count = int(present.sum())
    noisy = sum(each.draws is not None for each in evidence)
    critical = normal_quantile(count * (count - 1) // 2 * noisy if pairs is None else pairs, LEVEL)
    begun = np.column_stack([np.maximum(1.0, leases), np.broadcast_to(np.maximum(1.0, planned), len(leases))])
    reaches = _Reaches(begun, of, other, critical)
    better, beaten = np.full(of.size, NEVER), np.zeros(of.size, dtype=np.intp)
    for each, width, more in zip(evidence, widths, measured, strict=True):
        gap, reach = each.costs[of] - each.costs[other], width[of, other]
        needed = reaches.needed(np.abs(gap), reach) if more else np.full(of.size, NEVER)
        np.minimum(better, np.where(gap < 0, needed, NEVER), out=better)
        # Whoever beats it is shown better everywhere: by now, or once the last of what is measured shows it.
        shown = gap >= 0 if each.draws is None else gap > reach
        np.maximum(beaten, np.where(shown, 0, np.where(gap > 0, needed, NEVER)), out=beaten)
    return OpenPairs(of, other, np.where(better < NEVER, better, 0), np.where(beaten < NEVER, beaten, 0))


class _Reaches:
    """How far the interval of each pair reaches after more leases, worked out once for each two counts of leases.

    `begun` [V, 2] has the leases of each variant by now, and those that were planned.
    """

    def __init__(self, begun: FloatArray, of: NDArray[np.intp], other: NDArray[np.intp], critical: float) -> None:
        counts, place = np.unique(begun, axis=0, return_inverse=True)
        place = place.ravel()
        self._kind = np.minimum(place[of], place[other]) * len(counts) + np.maximum(place[of], place[other])
        self._reach = {
            int(kind): _reach(*counts[kind // len(counts)].tolist(), *counts[kind % len(counts)].tolist(), critical)
            for kind in np.unique(self._kind)
        }

    def needed(self, gap: FloatArray, width: FloatArray) -> NDArray[np.intp]:
        """[P]: more leases after which a half width falls below a gap, if the estimates stay what they are, or `NEVER`.

        Where none is enough, all that are allowed, unless a gap that is larger by its own deviation would need more
        too: few leases may agree by chance on what differs.
        """
        found = np.full(gap.size, NEVER)
        can = (gap > 0) & np.isfinite(width)
        for kind, reach in self._reach.items():
            mine = np.flatnonzero(can & (self._kind == kind))
            deviation = width[mine] / reach[0]
            with np.errstate(divide="ignore"):
                wanted = gap[mine] / deviation
            # The first place that is below: the lowest so far falls all the way.
            enough = np.searchsorted(-np.minimum.accumulate(reach), -wanted, side="right")
            last = np.where(deviation * reach[-1] < gap[mine] + deviation, MOST_LEASES, NEVER)
            found[mine] = np.where(enough < reach.size, np.maximum(1, enough), last)
        return found


@lru_cache(maxsize=4096)
def _reach(first: float, planned: float, second: float, its_planned: float, critical: float) -> FloatArray:
    """How wide an interval for two models is after 0, 1, ... `MOST_LEASES` more leases of both, in deviations of now.

    Their variances fall with their leases. Student's quantile, as rare as the normal `critical`, falls with the fewer
    of them, and rises with what the one that was extended less has spent of the error.
    """
    more = np.arange(MOST_LEASES + 1)
    variances = 1 / (first + more) + 1 / (second + more)
    if not variances[0]:  # what never errs needs no lease, and gets nowhere by one
        return np.ones(more.size)
    fewer = np.asarray(min(first, second) + more, dtype=np.float64)
    extended = np.minimum((first + more) / planned, (second + more) / its_planned)
    quantiles = student(critical, SHIFT_FREEDOM + fewer - 1, left_to_spend(extended))
    return np.asarray(quantiles * np.sqrt(variances / variances[0]))


def decisions(pairs: OpenPairs, most: int, never: frozenset[int] = frozenset()) -> list[Decision]:
    """Every variant that leases would decide, by how many more of each of those involved that takes.

    A variant is decided when one other is shown to beat it, or when it is shown better than each that it is still open
    against: closing one pair of a variant decides nothing while another stays open that no lease closes.

    Args:
        pairs: what is open.
        most: variants that fit into a lease: of more, those that need the most leases come first.
        never: those that every lease holds anyway, such as the base; they take no place.
    """
    found = []
    free = np.array(sorted(never), dtype=np.intp)
    for of in pairs.contested().tolist():
        mine = pairs.of_variant(of)
        ways = []
        shown = np.flatnonzero(mine.beaten)
        if shown.size:
            models = 3 - np.isin(mine.other[shown], free).astype(np.intp) - (of in never)
            first = shown[np.lexsort((mine.beaten[shown], mine.beaten[shown] * models))[:1]]
            ways.append(_decision(of, mine.other[first], mine.beaten[first], most, never))
        if mine.better.all():
            ways.append(_decision(of, mine.other, mine.better, most, never))
        if ways:
            found.append(min(ways, key=lambda way: (way.leases * (1 + len(way.members)), way.leases)))
    return sorted(found, key=lambda each: (each.leases, len(each.members), each.of))


def _decision(of: int, other: NDArray[np.intp], more: NDArray[np.intp], most: int, never: frozenset[int]) -> Decision:
    """To time `of` beside others, by how many more leases each of them takes."""
    others = [each for each in other[np.argsort(-more, kind="stable")].tolist() if each not in never]
    return Decision(of, (frozenset({of}) - never) | frozenset(others[: most - 1]), int(more.max()))


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
