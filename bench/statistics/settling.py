"""What is still open on a frontier, and how many more leases would close it. Pure.

A variant is contested while, against some other, neither is shown: that it is better somewhere, or that it is beaten.
More leases narrow what is measured. Scores are not narrowed by them: every example that may be chosen by has been used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.statistics.objectives import BoolArray, Evidence, FloatArray
from bench.statistics.resample import MANY_LEASES

NEAR = 1.5  # times as many leases as the cheapest pair needs
MOST_LEASES = 64  # beyond which a pair counts as tied on what is measured


@dataclass(frozen=True, slots=True)
class OpenPair:
    """Variant `of` against variant `other`: what would be shown by `leases` leases of both, in all.

    `shows` is "better" (then `of` need fear it no more) or "beaten" (then `of` is dominated). `leases` is None where no
    number of leases up to `MOST_LEASES` would do.
    """

    of: int
    other: int
    shows: str
    leases: int | None


def open_pairs(
    evidence: Sequence[Evidence], widths: Sequence[FloatArray], measured: Sequence[bool], leases: Sequence[int]
) -> list[OpenPair]:
    """Every pair that keeps a variant contested.

    Args:
        evidence: the declared objectives.
        widths: half widths [V, V] of their simultaneous intervals.
        measured: of each objective, whether more leases narrow it.
        leases: of each variant, how many there are by now; 0 for one without a number.
    """
    present = np.logical_and.reduce([each.present for each in evidence])
    gaps = [each.costs[:, None] - each.costs[None, :] for each in evidence]
    better = [gap < -width for gap, width in zip(gaps, widths, strict=True)]
    somewhere = np.logical_or.reduce(better)
    exact = [each.draws is None for each in evidence]
    equal = np.logical_and.reduce([gap == 0 for gap in gaps]) & all(exact)
    no_worse = [gap <= 0 if sure else shown for gap, sure, shown in zip(gaps, exact, better, strict=True)]
    dominates = np.logical_and.reduce(no_worse) & somewhere
    dominated = dominates.any(axis=0)
    found = []
    for i in np.flatnonzero(present & ~dominated):
        for j in np.flatnonzero(present):
            if i != j and not somewhere[i, j] and not equal[i, j]:
                found.append(_cheapest(int(i), int(j), gaps, widths, measured, no_worse, leases))
    return found


def _cheapest(
    i: int,
    j: int,
    gaps: Sequence[FloatArray],
    widths: Sequence[FloatArray],
    measured: Sequence[bool],
    no_worse: Sequence[BoolArray],
    leases: Sequence[int],
) -> OpenPair:
    """The way to close a pair that takes the fewest leases."""
    have = max(1, min(n for n in (leases[i], leases[j]) if n) if leases[i] or leases[j] else 1)
    ways: list[tuple[int, str]] = []
    for at, (gap, width) in enumerate(zip(gaps, widths, strict=True)):
        if not measured[at]:
            continue
        needed = _needed(have, float(abs(gap[i, j])), float(width[i, j]))
        if needed is None:
            continue
        if gap[i, j] < 0:
            ways.append((needed, "better"))
        elif all(no_worse[k][j, i] for k in range(len(gaps)) if k != at):
            ways.append((needed, "beaten"))
    if not ways:
        return OpenPair(i, j, "better", None)
    needed, shows = min(ways)
    return OpenPair(i, j, shows, needed)


def _needed(have: int, gap: float, width: float) -> int | None:
    """Leases in all after which a half width falls below a gap, if the estimates stay what they are."""
    if not gap > 0 or not math.isfinite(width):
        return None
    ratio = width / gap
    needed = max(have + 1, MANY_LEASES, math.ceil(have * ratio**2))
    return needed if needed <= MOST_LEASES else None


def group_to_measure(pairs: Sequence[OpenPair], most: int, never: frozenset[int] = frozenset()) -> list[int]:
    """Up to `most` variants whose pairs are closed by the fewest leases; none where no lease closes any.

    Pairs that need much more than the cheapest wait for it: their turn comes, if it is not saved. Those in `never`,
    such as the base, are in every lease anyway and take no place.
    """
    chosen: list[int] = []
    priced = sorted((p.leases, p.of, p.other, p) for p in pairs if p.leases is not None)
    for needed, _, _, pair in priced:
        if needed > NEAR * priced[0][0]:
            break
        new = [v for v in dict.fromkeys((pair.of, pair.other)) if v not in chosen and v not in never]
        if len(chosen) + len(new) <= most:
            chosen += new
    return chosen
