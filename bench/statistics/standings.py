"""Where variants stand: verdicts, ranks, ties and comparisons with one of them, all told from one event."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.statistics.frontier import Comparison, Verdict, against, verdicts
from bench.statistics.objectives import Evidence, count_variants
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
    evidence: Sequence[Evidence], reference: int | None, level: float = 0.95
) -> tuple[list[Verdict], list[list[Standing]]]:
    """Verdicts of all variants, and their standings as [objective][variant].

    Everything rests on the simultaneous intervals of all pairs on all objectives, taken once: with probability `level`
    none of it is wrong. Errors as for `verdicts` and `against`.
    """
    every = tuple(evidence)
    size = count_variants(every)
    widths = half_widths(every, level)
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


def nothing_between(evidence: Evidence) -> str | None:
    """Why an objective separates no variants, None where it may: no number at all, or the same one for all."""
    present = evidence.estimates[evidence.present]
    if not present.size:
        return "has no number"
    if present.size > 1 and (present == present[0]).all():
        return "is the same"
    return None
