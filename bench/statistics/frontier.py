"""Which variants no other beats, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import moocore  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.objectives import BoolArray, Evidence, FloatArray, Objective, count_variants
from bench.statistics.simultaneous import half_widths

__all__ = ["Comparison", "Evidence", "Objective", "Relation", "Verdict", "against", "knee", "nondominated"]
__all__ += ["relations", "shares", "verdicts"]

MANY = 64  # variants among whom looking for those that are beaten in every draw pays
State = Literal["certain", "contested", "dominated", "not evaluated"]
Relation = Literal["better", "equivalent", "worse", "not known yet"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one variant's place: its state, its share of draws on the frontier, and a reason in words.

    `share` is the part of resamples in which the variant is on the frontier: not the probability that it is. 0 where
    not evaluated. `dominated_by` is the index of one variant that beats it.
    """

    state: State
    share: float
    dominated_by: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two variants on one objective: a - b in its unit with a simultaneous interval, and what that says of a."""

    objective: str
    relation: Relation
    difference: float
    low: float
    high: float


def nondominated(costs: ArrayLike) -> BoolArray:
    """[V]: whether no other row of costs [V, K] is at most as high everywhere and lower somewhere. Lower is better.

    Equal rows do not beat each other: all stay, or none. A row with NaN or an infinity is never on the frontier and
    beats nobody. ValueError unless there are two dimensions and at least one column.
    """
    table = np.asarray(costs, dtype=np.float64)
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"costs come as a table [variants, objectives], got shape {table.shape}")
    on: BoolArray = np.asarray(np.isfinite(table).all(axis=1))
    if on.any():
        on[on] = _on_front(table[on])
    return on


def verdicts(
    evidence: Sequence[Evidence], level: float = 0.95, widths: Sequence[FloatArray] | None = None
) -> list[Verdict]:
    """A verdict for each of V variants, wrong for none of them with probability `level`.

    Truth first: j dominates i if j is no worse on any objective and better on at least one. All claims rest on one
    event of probability `level`: every true paired difference lies in its simultaneous interval (`half_widths`). On a
    noisy objective "better" means beyond that interval; on an exact one, strictly.

    - dominated: some one j is better than i on every noisy objective, no worse on every exact one, and better on at
      least one objective. Not strictly better on exact ones, since equal sizes do not shield i from a j that is better
      wherever they differ: that is Pareto dominance, and the rule by which racing stops. A noisy "no worse" cannot be
      shown, only "better" can, so a true tie on a noisy objective keeps i contested for ever, and rightly.
    - certain: for each other j it is shown that j does not dominate i: i is better than j on some objective, or all
      objectives are exact and the two rows are equal. Equal rows share a frontier, so they may all be certain. An exact
      tie beside noisy objectives shows nothing; those objectives must.
    - contested: neither. Both cannot be: what shows the one excludes the other.
    - not evaluated: no finite number on some objective. Such a variant beats nobody and its reason names the objective.

    `widths` are those of `half_widths(evidence, level)`, where ranks and ties are told from the same event; without
    them only variants with every number count among the pairs. A variant alone is certain. Deterministic. ValueError
    for no objective, repeated names, or shapes that differ.
    """
    every = tuple(evidence)
    count_variants(every)
    rows = _complete(every)
    out = _not_evaluated(every)
    if not rows.size:
        return out
    kept = tuple(each.only(rows) for each in every)
    among = half_widths(kept, level) if widths is None else [width[np.ix_(rows, rows)] for width in widths]
    beats, dominates, margin = relations(kept, among)
    share = shares(kept)
    dominated: BoolArray = np.asarray(dominates.any(axis=0))
    dominators = _best_dominators(dominates, dominated, margin)
    shown = beats.sum(axis=1)
    others = rows.size - 1
    for at, row in enumerate(rows):
        if dominated[at]:
            by = int(dominators[at])
            out[row] = Verdict("dominated", float(share[at]), int(rows[by]), _why_dominated(kept, among, by, at))
            continue
        open_against = others - int(shown[at])
        if open_against == 0:
            out[row] = Verdict("certain", float(share[at]), None, why_certain(others))
        else:
            reason = f"not shown to be better than {open_against} of {others} others on any objective"
            out[row] = Verdict("contested", float(share[at]), None, reason)
    return out


def shares(evidence: Sequence[Evidence]) -> FloatArray:
    """[V]: the part of draws in which each variant is on the frontier of the drawn points.

    Exact objectives are the same in every draw; with no noisy one the share is 0 or 1. A variant without a finite
    number has share 0 and takes no part. Errors as for `verdicts`.
    """
    every = tuple(evidence)
    size = count_variants(every)
    rows = _complete(every)
    out = np.zeros(size)
    if not rows.size:
        return out
    kept = [each.only(rows) for each in every]
    alive = _ever_on_front(kept)
    rows, kept = rows[alive], [each.only(alive) for each in kept]
    worlds = [each.cost_draws for each in kept]
    count = next((draws.shape[0] for draws in worlds if draws is not None), 1)
    points = np.column_stack([each.costs for each in kept])
    on = np.zeros(rows.size)
    for world in range(count):
        for column, draws in enumerate(worlds):
            if draws is not None:
                points[:, column] = draws[world]
        on += _on_front(points)
    out[rows] = on / count
    return out


def _ever_on_front(kept: Sequence[Evidence]) -> NDArray[np.intp]:
    """Without those whom one other beats in every draw: at its worst, less a third's draw, against their best."""
    size = kept[0].estimates.size
    if size < MANY:
        return np.arange(size)
    low, high = np.empty((size, len(kept))), np.empty((size, len(kept)))
    for k, each in enumerate(kept):
        draws = each.cost_draws
        if draws is None:
            low[:, k] = high[:, k] = each.costs
        else:
            off = draws - draws[:, :1]  # what all have in common beats nobody
            low[:, k], high[:, k] = off.min(axis=0), off.max(axis=0)
    beaten = np.zeros(size, dtype=np.bool_)
    for worst in high[_on_front(high)]:
        beaten |= (worst <= low).all(axis=1) & (worst < low).any(axis=1)
    return np.flatnonzero(~beaten)


def against(evidence: Sequence[Evidence], reference: int, widths: Sequence[FloatArray]) -> list[list[Comparison]]:
    """[objective][variant]: every variant against one, from the given half widths.

    With m the smallest difference that matters: better (worse) if the whole interval is at or beyond m in the variant's
    favour (disfavour), and not zero; equivalent if the whole interval is inside of m either way, or is exactly zero;
    otherwise not known yet. So with m = 0 better means that the interval leaves out zero, and noisy objectives are
    never equivalent. Without a finite number, or with draws that never differ, the interval is the whole line. A
    variant is equivalent to itself.

    With the widths of `half_widths(evidence, level)` all of it is told from the event that `verdicts` rest on: no
    comparison contradicts a verdict. IndexError for no such variant.
    """
    every = tuple(evidence)
    size = count_variants(every)
    if not 0 <= reference < size:
        raise IndexError(f"variants are numbered 0 to {size - 1}, got {reference}")
    return [beside_reference(each, reference, width[:, reference]) for each, width in zip(every, widths, strict=True)]


def beside_reference(each: Evidence, reference: int, widths: FloatArray) -> list[Comparison]:
    """Every variant against one on one objective, from the half widths [V] of these pairs alone."""
    known = each.present & each.present[reference]
    reach = [float(width) if there else None for width, there in zip(widths, known, strict=True)]
    return [_compare(each, i, reference, reach[i]) for i in range(known.size)]


def knee(costs: ArrayLike) -> int | None:
    """The row of costs [V, K] in the frontier's bend: where giving up a little of one objective gains most of another.

    The frontier is scaled to 0..1 on each objective; the knee lies farthest below the plane through its ends (Das,
    Structural Optimization 18, 1999), which is the lowest sum. The first of equals. None with fewer than three
    different points, a single objective, or no point below the plane. Scaling follows the ends, so a new end may move
    the knee.
    """
    table = np.asarray(costs, dtype=np.float64)
    rows = np.flatnonzero(nondominated(table))
    front = table[rows]
    if table.shape[1] < 2 or np.unique(front, axis=0).shape[0] < 3:
        return None
    low, high = front.min(axis=0), front.max(axis=0)
    # Objectives on which the whole frontier agrees bend nothing.
    moving = high > low
    sums = ((front - low)[:, moving] / (high - low)[moving]).sum(axis=1)
    best = int(np.argmin(sums))
    return int(rows[best]) if sums[best] < np.count_nonzero(moving) - 1 - 1e-12 else None


def _on_front(points: FloatArray) -> BoolArray:
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=np.bool_)


def _complete(every: tuple[Evidence, ...]) -> NDArray[np.intp]:
    """Which variants have a number on every objective."""
    return np.flatnonzero(np.logical_and.reduce([each.present for each in every]))


def _in_pairs(each: Evidence, width: FloatArray) -> tuple[FloatArray, BoolArray, BoolArray]:
    """[V, V] each, row against column: cost less its cost, whether the row is better, whether it is shown no worse."""
    gap = each.costs[:, None] - each.costs[None, :]
    better = gap < -width
    return gap, better, gap <= 0 if each.draws is None else better


def relations(kept: Sequence[Evidence], widths: Sequence[FloatArray]) -> tuple[BoolArray, BoolArray, FloatArray]:
    """[V, V] each, row against column: not dominated by it, dominates it, and the weakest noisy margin of that."""
    size = kept[0].estimates.size
    better_somewhere, equal = np.zeros((size, size), dtype=np.bool_), np.ones((size, size), dtype=np.bool_)
    holds = np.ones((size, size), dtype=np.bool_)
    margin = np.full((size, size), np.inf)
    for each, width in zip(kept, widths, strict=True):
        gap, better, no_worse = _in_pairs(each, width)
        better_somewhere |= better
        holds &= no_worse
        if each.draws is None:
            equal &= gap == 0
        else:
            equal[:] = False
            np.minimum(margin, -gap / np.where(width > 0, width, 1.0), out=margin, where=better)
    # A row settles nothing against itself: the diagonal stays false, whether rows can be equal or not.
    np.fill_diagonal(equal, False)
    return better_somewhere | equal, holds & better_somewhere, margin


def _best_dominators(dominates: BoolArray, dominated: BoolArray, margin: FloatArray) -> NDArray[np.intp]:
    """[V]: who to name: one on the frontier if there is one, then the widest margin, then the first.

    There need not be one on the frontier: dominance beyond intervals is not transitive.
    """
    undominated = dominates & ~dominated[:, None]
    candidates = np.where(undominated.any(axis=0), undominated, dominates)
    found: NDArray[np.intp] = np.argmax(np.where(candidates, margin, -1.0), axis=0)
    return found


def _why_dominated(kept: tuple[Evidence, ...], widths: Sequence[FloatArray], by: int, at: int) -> str:
    better: list[str] = []
    same: list[str] = []
    for each, width in zip(kept, widths, strict=True):
        clear = each.costs[by] - each.costs[at] < -width[by, at]
        (better if clear else same).append(each.objective.name)
    return why_beaten(better, same)


def why_beaten(better: Sequence[str], same: Sequence[str]) -> str:
    """The reason of a verdict, by what the other is better and equal on. Names hold commas, so none stands between."""
    text = f"another is better beyond the interval on {' and on '.join(better)}"
    return f"{text}, and equal on {' and on '.join(same)}" if same else text


def why_certain(others: int) -> str:
    """The reason of a verdict among so many others."""
    if not others:
        return "the only variant with every number"
    return f"none of {others} others can be as good on every objective and better on one"


def _not_evaluated(every: tuple[Evidence, ...]) -> list[Verdict]:
    """What to say of each variant if it lacks a number; of those that lack none it is not true."""
    present = np.array([each.present for each in every])
    names = [each.objective.name for each in every]
    missing = [" and ".join(name for name, there in zip(names, row, strict=True) if not there) for row in present.T]
    return [Verdict("not evaluated", 0.0, None, f"no finite number for {what}") for what in missing]


def _compare(each: Evidence, a: int, b: int, reach: float | None) -> Comparison:
    name, matters = each.objective.name, each.objective.matters
    if reach is None:
        return Comparison(name, "not known yet", float("nan"), float("-inf"), float("inf"))
    difference = float(each.estimates[a] - each.estimates[b])
    low, high = difference - reach, difference + reach
    # Seen from a: how much cheaper it is, at worst and at best.
    gain_low, gain_high = (-high, -low) if each.objective.better == "lower" else (low, high)
    relation: Relation = "not known yet"
    if low == high == 0 or (-matters < low and high < matters):
        relation = "equivalent"
    elif gain_low >= matters and gain_low > 0:
        relation = "better"
    elif gain_high <= -matters and gain_high < 0:
        relation = "worse"
    return Comparison(name, relation, difference, low, high)
