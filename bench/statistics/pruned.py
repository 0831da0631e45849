"""Verdicts among more variants than pairs can be compared: first who cannot be beaten for certain, then those in pairs.

Each variant gets ends on each objective, so wide that two variants whose ends lie apart are told apart by every rule of
`frontier`. Whoever another beats even at the ends of both is dominated, and no claim about the others changes without
it. What is left are the candidates, and `frontier.verdicts` judges them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from bench.statistics.frontier import State, nondominated, verdicts, why_beaten, why_certain
from bench.statistics.objectives import BoolArray, Evidence, FloatArray
from bench.statistics.simultaneous import PSEUDO_EXAMPLES, half_widths, quantiles_beside, widest_quantiles

MOST_CANDIDATES = 2000  # that are compared in pairs: a second or two
CHUNK = 4_000_000  # comparisons at a time
STATES: tuple[State, ...] = get_args(State)
CERTAIN, CONTESTED, DOMINATED, NOT_EVALUATED = range(4)
NOT_COMPARED = "not told apart from all others: {:,} of {:,} candidates were compared in pairs"


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How far the draws of each variant are from a pivot's, on one noisy objective.

    All are of draws about their estimates, less the pivot's in the same draw: `deviation` [V] the root of the mean
    square, `least` and `most` [V] the ends. What is common to all draws is then not counted twice. `own` [V] says
    whether a variant's own draws differ at all.
    """

    deviation: FloatArray
    least: FloatArray
    most: FloatArray
    own: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """One objective's costs, lower better, at best and at worst [V]; NaN without a number. Exact ones are the same."""

    low: FloatArray
    high: FloatArray
    noisy: bool


@dataclass(frozen=True, slots=True, eq=False)
class Pruned:
    """`candidates` [C] in order of variants; `by` [V] is one who beats the variant at the ends of both, -1 for none."""

    candidates: NDArray[np.intp]
    by: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Verdicts of all V variants.

    `states` [V] are places in `STATES`, `share` [V] as in a verdict (0 of what is beaten in every draw), `by` [V] one
    who dominates, -1 for none; `reasons` of those that were compared.
    """

    states: NDArray[np.int8]
    share: FloatArray
    by: NDArray[np.intp]
    reasons: dict[int, str]
    compared: int
    candidates: int


def spread(each: Evidence, pivot: int) -> Spread:
    """Of the draws of a noisy objective."""
    draws, costs = each.cost_draws, each.costs
    assert draws is not None
    size = costs.size
    found = Spread(np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size, dtype=np.bool_))
    reference = draws[:, pivot] - costs[pivot]
    step = max(1, CHUNK // draws.shape[0])
    with np.errstate(invalid="ignore"):
        for first in range(0, size, step):
            mine = slice(first, first + step)
            off = draws[:, mine] - costs[mine]
            found.own[mine] = off.max(axis=0) > off.min(axis=0)
            off -= reference[:, None]
            found.deviation[mine] = np.sqrt((off**2).mean(axis=0))
            found.least[mine], found.most[mine] = off.min(axis=0), off.max(axis=0)
    return found


def ends(each: Evidence, about: Spread | None, pairs: int, level: float) -> Ends:
    """How good and how bad each variant may be: the interval of any paired difference lies within both variants' ends.

    The deviation of a difference is at most the sum of both deviations from the pivot, so that half widths add up; the
    pseudo examples of a bounded score are shared between the two. The ends also hold every draw, so that who is beaten
    at the ends is beaten in every draw.

    Args:
        each: the objective; its estimates, n, span, freedom and how far it was extended count, and no draws.
        about: the spread of its draws, None where it is exact.
        pairs: of variants with a number, over all noisy objectives.
        level: of all intervals together.
    """
    costs = np.where(np.isfinite(each.costs), each.costs, np.nan)
    if about is None:
        return Ends(costs, costs, noisy=False)
    padding = 0.0 if each.n is None else PSEUDO_EXAMPLES * (each.span / each.n) ** 2 / 4
    reach = widest_quantiles(each, pairs, level) * np.sqrt(about.deviation**2 + padding)
    # Of two whose draws never differ nothing is known; of a single one, as a base of ratios, the others' draws tell.
    if np.count_nonzero(~about.own & np.isfinite(costs)) > 1:
        reach = np.where(about.own, reach, math.inf)
    return Ends(costs - np.maximum(reach, -about.least), costs + np.maximum(reach, about.most), noisy=True)


def reach_to_pivot(each: Evidence, about: Spread | None, pivot: int, pairs: int, level: float) -> FloatArray:
    """[V]: the half width of the interval of each variant's difference from the pivot, as `half_widths` has it."""
    if about is None:
        return np.zeros(each.estimates.size)
    padding = 0.0 if each.n is None else PSEUDO_EXAMPLES * (each.span / each.n) ** 2
    deviation = np.sqrt(about.deviation**2 + padding)
    critical = quantiles_beside(each, pivot, pairs, level)
    with np.errstate(invalid="ignore"):
        width = np.where(deviation > 0, critical * deviation, math.inf)
    width[pivot] = 0.0
    return np.asarray(width)


def prune(every: Sequence[Ends]) -> Pruned:
    """Who is left, and by whom the others are beaten. Only variants with a number on every objective count."""
    low, high = (np.column_stack([getattr(each, end) for each in every]) for end in ("low", "high"))
    noisy = np.array([each.noisy for each in every])
    there = np.flatnonzero(~np.isnan(low).any(axis=1))
    by = np.full(low.shape[0], -1, dtype=np.intp)
    # Whoever beats a variant at its worst, a front member at its worst beats it too.
    sure = there[np.isfinite(high[there]).all(axis=1)]
    front = sure[nondominated(high[sure])] if sure.size else sure
    by[there] = beaten(low[there], high[front], noisy, front)
    return Pruned(there[by[there] < 0], by)


def beaten(low: FloatArray, high: FloatArray, noisy: BoolArray, names: NDArray[np.intp]) -> NDArray[np.intp]:
    """[V]: the name of one row of high [F, K] that beats the row of low [V, K], -1 for none.

    Beyond it on every noisy objective, no worse on every exact one, and better on one.
    """
    found = np.full(low.shape[0], -1, dtype=np.intp)
    if not names.size:
        return found
    step = max(1, CHUNK // names.size)
    for first in range(0, low.shape[0], step):
        mine = low[first : first + step]
        holds = np.ones((mine.shape[0], names.size), dtype=np.bool_)
        better = np.zeros_like(holds)
        for k, is_noisy in enumerate(noisy):
            beyond = high[None, :, k] < mine[:, k, None]
            better |= beyond
            holds &= beyond if is_noisy else high[None, :, k] <= mine[:, k, None]
        holds &= better
        found[first : first + step] = np.where(holds.any(axis=1), names[np.argmax(holds, axis=1)], -1)
    return found


def judge(
    between: Sequence[Ends], pick: Callable[[NDArray[np.intp]], Sequence[Evidence]], pairs: int, level: float = 0.95
) -> Judged:
    """Verdicts of all variants, those of candidates as `frontier.verdicts` gives them among all.

    What was pruned changes none of them: whoever beats a pruned variant is told apart from whom that is told apart
    from. (Where quantiles differ between pairs, as freedoms and extensions do, a pair may be told apart here by way of
    a third that its own interval leaves open: it follows from the same event.) Beyond `MOST_CANDIDATES` the layers of
    the estimates nearest to the frontier are compared; the other candidates stay contested, and whoever may not be as
    good as one of them for certain stays contested too.

    Args:
        between: of every objective.
        pick: the evidence of some variants, all of them with a number on every objective.
        pairs: as for `ends`.
        level: of all intervals together.
    """
    pruned = prune(between)
    size = pruned.by.size
    chosen, rest = nearest(pruned.candidates, between)
    found = Judged(
        states=np.where(pruned.by >= 0, DOMINATED, NOT_EVALUATED).astype(np.int8),
        share=np.zeros(size),
        by=pruned.by,
        reasons={},
        compared=chosen.size,
        candidates=pruned.candidates.size,
    )
    found.states[rest] = CONTESTED
    found.reasons.update({int(i): NOT_COMPARED.format(chosen.size, pruned.candidates.size) for i in rest})
    if not chosen.size:
        return found
    every = tuple(pick(chosen))
    others = int((found.by >= 0).sum())
    told = verdicts(every, level, half_widths(every, level, pairs))
    open_to = _not_apart(between, chosen, rest)
    for at, (row, verdict) in enumerate(zip(chosen.tolist(), told, strict=True)):
        state, reason = verdict.state, verdict.reason
        if state == "certain" and open_to[at]:
            state, reason = "contested", NOT_COMPARED.format(chosen.size, pruned.candidates.size)
        elif state == "certain":
            reason = why_certain(chosen.size - 1 + others)
        elif state == "contested" and others:
            reason = f"{reason}; {others:,} more are beaten even at the ends of their intervals"
        found.states[row] = STATES.index(state)
        found.share[row] = verdict.share
        found.by[row] = -1 if verdict.dominated_by is None else chosen[verdict.dominated_by]
        found.reasons[row] = reason
    _name_unbeaten(found, between)
    return found


def reasons(found: Judged, between: Sequence[Ends], names: Sequence[str]) -> NDArray[np.object_]:
    """[V]: why each variant has its verdict, in words; `names` are the objectives'."""
    missing = sum((np.isnan(each.low).astype(np.intp) << k for k, each in enumerate(between)))
    by = np.maximum(found.by, 0)
    with np.errstate(invalid="ignore"):
        clear = sum(((each.high[by] < each.low).astype(np.intp) << k for k, each in enumerate(between)))
    told: NDArray[np.object_] = np.full(found.by.size, "", dtype=object)
    for code in range(1 << len(between)):
        mine = [name for k, name in enumerate(names) if code >> k & 1]
        others = [name for k, name in enumerate(names) if not code >> k & 1]
        told[clear == code] = why_beaten(mine, others)
    for code in range(1, 1 << len(between)):
        mine = [name for k, name in enumerate(names) if code >> k & 1]
        told[(missing == code) & (found.states == NOT_EVALUATED)] = f"no finite number for {' and '.join(mine)}"
    for row, text in found.reasons.items():
        told[row] = text
    return told


def rank_ends(each: Ends) -> NDArray[np.int32]:
    """[V, 2]: the best and the worst rank of each variant as its ends tell them, 1 best; 0 without a number."""
    there = ~np.isnan(each.low)
    count = int(there.sum())
    ahead = np.searchsorted(np.sort(each.high[there]), each.low, side="left")
    behind = count - np.searchsorted(np.sort(each.low[there]), each.high, side="right")
    return np.where(there[:, None], np.column_stack([1 + ahead, count - behind]), 0).astype(np.int32)


def count_pairs(present: Sequence[BoolArray], noisy: Sequence[bool]) -> int:
    """Pairs of variants with a number, over all noisy objectives."""
    return sum(math.comb(int(each.sum()), 2) for each, is_noisy in zip(present, noisy, strict=True) if is_noisy)


def nearest(candidates: NDArray[np.intp], between: Sequence[Ends]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Those that are compared in pairs, and the rest: layer by layer from the frontier of the estimates."""
    if candidates.size <= MOST_CANDIDATES:
        return candidates, candidates[:0]
    with np.errstate(invalid="ignore"):
        middle = np.column_stack([(each.low + each.high) / 2 for each in between])
    left, taken = candidates, candidates[:0]
    while taken.size < MOST_CANDIDATES:
        front = nondominated(np.where(np.isfinite(middle[left]), middle[left], 1e300))
        taken = np.concatenate([taken, left[front][: MOST_CANDIDATES - taken.size]])
        left = left[~front]
    return np.sort(taken), np.setdiff1d(candidates, taken)


def _not_apart(between: Sequence[Ends], chosen: NDArray[np.intp], rest: NDArray[np.intp]) -> BoolArray:
    """Which of the chosen are not shown to be better on something than each of the rest."""
    found = np.zeros(chosen.size, dtype=np.bool_)
    step = max(1, CHUNK // max(1, chosen.size))
    for first in range(0, rest.size, step):
        mine = rest[first : first + step]
        better = np.zeros((chosen.size, mine.size), dtype=np.bool_)
        for each in between:
            better |= each.high[chosen][:, None] < each.low[mine][None, :]
        found |= ~better.all(axis=1)
    return found


def _name_unbeaten(found: Judged, between: Sequence[Ends]) -> None:
    """Name for each pruned variant one that no other dominates, where there is one."""
    low, high = (np.column_stack([getattr(each, end) for each in between]) for end in ("low", "high"))
    noisy = np.array([each.noisy for each in between])
    beatable = np.isfinite(high).all(axis=1) & ((found.states == CERTAIN) | (found.states == CONTESTED))
    good = np.flatnonzero(beatable)
    if good.size:
        good = good[nondominated(high[good])]
    pruned = np.array(
        [i for i in np.flatnonzero(found.states == DOMINATED) if int(i) not in found.reasons], dtype=np.intp
    )
    named = beaten(low[pruned], high[good], noisy, good)
    found.by[pruned] = np.where(named >= 0, named, found.by[pruned])
