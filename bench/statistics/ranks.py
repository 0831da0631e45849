"""Places on one objective, as far as they can be told: intervals of ranks, and groups that cannot be told apart."""

from collections.abc import Sequence

import numpy as np

from bench.statistics.objectives import BoolArray, Evidence, FloatArray
from bench.statistics.simultaneous import half_widths


def rank_intervals(
    evidence: Evidence, level: float = 0.95, width: FloatArray | None = None
) -> list[tuple[int, int] | None]:
    """For each variant the best and the worst rank it may have on one objective, 1 best; None without a number.

    Simultaneous over variants at `level`: 1 + those shown better, and the number present less those shown worse
    (Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91, 2024). Variants that truly tie share the ranks
    that they take together. `width` [V, V] is this objective's matrix of `half_widths`, where verdicts or other
    objectives are told from the same event; without it the objective is taken alone, with somewhat narrower intervals.
    """
    better = _shown_better(evidence, level, width)
    present = evidence.present
    ahead, behind = better.sum(axis=0), better.sum(axis=1)
    count = int(present.sum())
    return [(1 + int(a), count - int(b)) if there else None for there, a, b in zip(present, ahead, behind, strict=True)]


def tie_groups(evidence: Evidence, level: float = 0.95, width: FloatArray | None = None) -> list[tuple[int, ...]]:
    """The groups of variants that cannot be told apart on one objective, best first, each best first.

    In the order of estimates (the first of equals first), a group is a longest run in which no two are told apart: the
    interval of each paired difference holds zero. Everyone with a number is in at least one group, alone where told
    apart from both neighbours.

    "Cannot be told apart" does not carry over: a from b no, b from c no, a from c yes is common, and then b stands in
    two groups. So groups overlap, are not classes of equals, and make no claim of equality, which intervals that hold
    zero cannot make. Members of one group are never told apart. The converse holds where all pairs' intervals are as
    wide as each other; otherwise a pair that cannot be told apart may share no group, because one of the two is told
    apart from a better measured variant between them: `half_widths` has the last word on a pair.

    `level` and `width` as for `rank_intervals`.
    """
    better = _shown_better(evidence, level, width)
    apart = better | better.T
    rows = np.flatnonzero(evidence.present)
    order = rows[np.argsort(evidence.costs[rows], kind="stable")]
    apart = apart[np.ix_(order, order)]
    groups: list[tuple[int, ...]] = []
    start = 0
    for end in range(order.size):
        clashes = np.flatnonzero(apart[start:end, end])
        if clashes.size:
            groups.append(tuple(int(row) for row in order[start:end]))
            start += int(clashes[-1]) + 1
    if order.size:
        groups.append(tuple(int(row) for row in order[start:]))
    return groups


def tie_letters(groups: Sequence[Sequence[int]], size: int) -> list[str]:
    """For each of `size` variants the letters of its groups, "" without a number: who shares one was not told apart.

    Groups are a, b, ..., z, aa, ab and so on, best first, the letters of one variant joined by commas once there are
    more than 26 (a compact letter display, Piepho, Journal of Computational and Graphical Statistics 13, 2004).
    """
    names: list[list[str]] = [[] for _ in range(size)]
    for index, group in enumerate(groups):
        for row in group:
            names[row].append(_letter(index))
    return [("," if len(groups) > 26 else "").join(each) for each in names]


def _shown_better(evidence: Evidence, level: float, width: FloatArray | None) -> BoolArray:
    """[V, V]: whether the row is better than the column beyond the interval of their difference."""
    if width is None:
        (width,) = half_widths((evidence,), level)
    with np.errstate(invalid="ignore"):  # infinite estimates less each other; their widths are infinite too
        gap = evidence.costs[:, None] - evidence.costs[None, :]
    return np.asarray(gap < -width)


def _letter(index: int) -> str:
    """0 is a, 25 z, 26 aa."""
    head, last = divmod(index, 26)
    return (_letter(head - 1) if head else "") + chr(ord("a") + last)
