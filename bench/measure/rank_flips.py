"""Do two machines agree which of two variants is faster? Pure: intervals of ratios in, verdicts on pairs out.

A rank lives in one hardware class. What can be asked across classes is whether an order that is certain on one is
certain, and the other way round, on another: then no single row can be recommended without naming the machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

Interval = tuple[float, float]  # low, high
Order = Literal["below", "above", "open"]  # of the first of a pair: its whole interval is under or over the other's
Verdict = Literal["flipped", "same", "undecided"]
RANKED: tuple[Verdict, ...] = ("flipped", "same", "undecided")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two artefacts and how they stand to each other on each hardware class that measured both."""

    first: str
    second: str
    verdict: Verdict
    orders: Mapping[str, Order]  # by hardware class


def rank_flips(ratios: Mapping[str, Mapping[str, Interval]]) -> tuple[Pair, ...]:
    """What the hardware classes say of every pair of artefacts that two of them measured; flipped pairs come first.

    A pair is flipped where its order is certain on two classes and opposite; the same where it is certain and equal on
    every class that measured both; else undecided. Certain means that the intervals do not touch, which asks more than
    a paired comparison would: an order that is said to be certain is, at the level of the intervals.

    Args:
        ratios: by hardware class and artefact, the interval of its latency over that of one base, the same base
            everywhere. Give the base itself as (1, 1) to have it compared as well.

    Raises ValueError for an interval that is not finite or whose low is above its high.
    """
    for where, found in ratios.items():
        for artefact, (low, high) in found.items():
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(f"the interval of {artefact} on {where} runs from {low} to {high}: it must be finite")
    names = dict.fromkeys(artefact for found in ratios.values() for artefact in found)
    pairs = []
    for first, second in combinations(names, 2):
        orders = {w: _order(f[first], f[second]) for w, f in ratios.items() if first in f and second in f}
        if len(orders) > 1:
            pairs.append(Pair(first, second, _verdict(orders), orders))
    return tuple(sorted(pairs, key=lambda pair: RANKED.index(pair.verdict)))


def _order(first: Interval, second: Interval) -> Order:
    if first[1] < second[0]:
        return "below"
    return "above" if second[1] < first[0] else "open"


def _verdict(orders: Mapping[str, Order]) -> Verdict:
    seen = set(orders.values())
    if {"below", "above"} <= seen:
        return "flipped"
    return "undecided" if "open" in seen else "same"
