"""A frontier as a whole: how many are on it, where it bends, how much of the space of trade-offs it covers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.statistics.frontier import knee, nondominated
from bench.statistics.hypervolume import hypervolume
from bench.statistics.objectives import Evidence

SLACK = 0.1  # of each objective's range: how far the reference lies beyond the worst


@dataclass(frozen=True, slots=True)
class Front:
    """The frontier of estimates: its members, the row at its knee, and its hypervolume, None where there is none."""

    size: int
    knee: int | None
    hypervolume: float | None


def front_of(evidence: Sequence[Evidence]) -> Front:
    """What the estimates of V variants on K objectives say of their frontier; variants without a number are left out.

    The hypervolume is a share of the box from the best on every objective to a reference that is a tenth of the range
    worse than the worst, so that members at the ends count too (Ishibuchi, Imada, Setoguchi and Nojima, Evolutionary
    Computation 26, 2018). Being of estimates, it is a little too large, as every best of noisy numbers; being of one
    sweep's range, it compares choices within a sweep, not sweeps. An objective on which all agree is left out.
    """
    costs = np.column_stack([each.costs for each in evidence])
    rows = np.flatnonzero(np.logical_and.reduce([each.present for each in evidence]))
    if not rows.size:
        return Front(0, None, None)
    kept = costs[rows]
    bend = knee(kept)
    low, high = kept.min(axis=0), kept.max(axis=0)
    moving = high > low
    reference = (high + SLACK * (high - low))[moving]
    covered = hypervolume(kept[:, moving], reference, low[moving]) if moving.any() else None
    return Front(int(nondominated(kept).sum()), None if bend is None else int(rows[bend]), covered)
