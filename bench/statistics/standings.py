"""Where variants stand: verdicts, ranks, ties and comparisons with one of them, all told from one event."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.statistics.frontier import Comparison, Verdict, against, beside_reference, verdicts
from bench.statistics.objectives import BoolArray, Evidence, FloatArray, count_variants
from bench.statistics.pruned import (
    MOST_CANDIDATES,
    STATES,
    Ends,
    count_pairs,
    ends,
    judge,
    rank_ends,
    reach_to_pivot,
    reasons,
    spread,
)
from bench.statistics.ranks import rank_intervals, tie_groups, tie_letters
from bench.statistics.simultaneous import half_widths

MOST_LETTERS = 26  # groups that `tie_letters` names by one letter each, without commas


@dataclass(frozen=True, slots=True)
class Standing:
    """One variant on one objective.

    `rank` is the best and the worst it may have, 1 best, None without a number. `tie` holds letters between commas: who
    shares one was not told apart. `against` compares it with the reference, None where there is none and for itself.
    """

    rank: tuple[int, int] | None
    tie: str
    against: Comparison | None


def stand(
    evidence: Sequence[Evidence],
    reference: int | None,
    level: float = 0.95,
    widths: Sequence[FloatArray] | None = None,
) -> tuple[list[Verdict], list[list[Standing]]]:
    """Verdicts of all variants, and their standings as [objective][variant].

    Everything rests on the simultaneous intervals of all pairs on all objectives, taken once: with probability `level`
    none of it is wrong. `widths` are those among more variants, of which these are some. Errors as for `verdicts` and
    `against`.

    Beyond `MOST_CANDIDATES` variants see `stand_among_many`.
    """
    every = tuple(evidence)
    size = count_variants(every)
    if size > MOST_CANDIDATES:
        return stand_among_many(every, reference, level)
    widths = half_widths(every, level) if widths is None else widths
    compared: Sequence[Sequence[Comparison | None]] = [[None] * size for _ in every]
    if reference is not None:
        compared = against(every, reference, widths)
    standings = []
    for each, width, beside in zip(every, widths, compared, strict=True):
        ranks = rank_intervals(each, level, width)
        groups = tie_groups(each, level, width)
        letters = tie_letters(groups, size)
        if len(groups) <= MOST_LETTERS:
            letters = [",".join(each) for each in letters]
        standings.append(
            [
                Standing(rank, tie, None if i == reference else other)
                for i, (rank, tie, other) in enumerate(zip(ranks, letters, beside, strict=True))
            ]
        )
    return verdicts(every, level, widths), standings


def stand_among_many(
    evidence: Sequence[Evidence], reference: int | None, level: float = 0.95
) -> tuple[list[Verdict], list[list[Standing]]]:
    """The same where pairs are too many to be compared: verdicts come from `pruned.judge`.

    Comparisons with the reference are as among fewer. Ranks come from the ends of each variant instead of paired
    intervals: none is wrong, some are wider; and ties are not lettered, whose groups would be as many as the variants.
    """
    every = tuple(evidence)
    size = count_variants(every)
    present = [each.present for each in every]
    complete = np.logical_and.reduce(present)
    pivot = int(np.argmax(complete)) if reference is None or not complete[reference] else reference
    pairs = count_pairs(present, [each.draws is not None for each in every])
    spreads = [None if each.draws is None else spread(each, pivot) for each in every]
    between = [
        _only(ends(each, about, pairs, level), there)
        for each, about, there in zip(every, spreads, present, strict=True)
    ]
    found = judge(between, lambda rows: [each.only(rows) for each in every], pairs, level)
    names = [each.objective.name for each in every]
    words = reasons(found, between, names)
    told = [
        Verdict(
            STATES[found.states[row]],
            float(found.share[row]),
            None if found.by[row] < 0 else int(found.by[row]),
            words[row],
        )
        for row in range(size)
    ]
    standings = []
    for each, about, mine in zip(every, spreads, between, strict=True):
        beside: Sequence[Comparison | None] = [None] * size
        if reference == pivot:
            beside = beside_reference(each, reference, reach_to_pivot(each, about, pivot, pairs, level))
        ranks = rank_ends(mine).tolist()
        standings.append(
            [
                Standing((best, worst) if best else None, "", None if i == reference else other)
                for i, ((best, worst), other) in enumerate(zip(ranks, beside, strict=True))
            ]
        )
    return told, standings


def _only(each: Ends, there: BoolArray) -> Ends:
    return Ends(np.where(there, each.low, np.nan), np.where(there, each.high, np.nan), each.noisy)


def nothing_between(evidence: Evidence) -> str | None:
    """Why an objective separates no variants, None where it may: no number at all, or the same one for all."""
    present = evidence.estimates[evidence.present]
    if not present.size:
        return "has no number"
    if present.size > 1 and (present == present[0]).all():
        return "is the same"
    return None
