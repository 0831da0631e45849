"""What is asked of variants beside their numbers: constraints, places on each objective, families of tests. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.metrics import METRICS, of_base
from bench.statistics.constraints import Constraint, state
from bench.statistics.frontier import Comparison
from bench.statistics.paired import holm
from bench.statistics.standings import Standing
from bench.store.numbers import Number
from bench.store.rows import ConstraintRow, NumberRow, StandingRow

Declaration = Mapping[str, Any]
Variants = Sequence[Mapping[str, Any]]


def standing_rows(
    sweep: Declaration, variants: Variants, standings: Sequence[Sequence[Standing]]
) -> Iterable[StandingRow]:
    """A row for each variant and declared objective, from standings [objective][variant]."""
    for objective, column in zip(sweep["objectives"], standings, strict=True):
        for variant, standing in zip(variants, column, strict=True):
            low, high = standing.rank or (None, None)
            yield StandingRow(
                sweep["sweep_id"],
                variant["recipe_id"],
                objective["metric"],
                objective["scope"],
                low,
                high,
                standing.tie,
                *_told(standing.against),
            )


def _told(other: Comparison | None) -> tuple[str | None, float | None, float | None, float | None]:
    if other is None:
        return None, None, None, None
    return other.relation, finite(other.difference), finite(other.low), finite(other.high)


def constraint_rows(
    sweep: Declaration, variants: Variants, placed: Sequence[str | None], numbers: Sequence[Sequence[Number]]
) -> Iterable[ConstraintRow]:
    """A row for each variant and declared constraint, from artefacts and numbers; an older declaration has none."""
    own = next((a for v, a in zip(variants, placed, strict=True) if v["is_base"]), None)
    for position, declared in enumerate(sweep.get("constraints", ())):
        constraint = Constraint(declared["metric"], declared["scope"], declared["operator"], declared["bound"])
        for variant, artefact_id, mine in zip(variants, placed, numbers, strict=True):
            as_base = variant["is_base"] or (own is not None and artefact_id == own)
            ends = _ends(constraint, mine, as_base=as_base)
            yield ConstraintRow(
                sweep["sweep_id"],
                variant["recipe_id"],
                position,
                constraint.metric,
                constraint.scope,
                constraint.operator,
                constraint.bound,
                declared["text"],
                state(constraint, *ends[1:]),
                *ends,
            )


def _ends(
    constraint: Constraint, numbers: Sequence[Number], *, as_base: bool
) -> tuple[float | None, float | None, float | None]:
    """Estimate and interval of the number that is constrained; what compares with the base is known of its bytes."""
    found = next((n for n in numbers if (n.metric, n.scope) == (constraint.metric, constraint.scope)), None)
    if found is None and not constraint.scope:  # of a metric that has one scope only, which the sweep cannot know
        same = [n for n in numbers if n.metric == constraint.metric]
        found = same[0] if len(same) == 1 else None
    if found is not None:
        return found.interval.estimate, found.interval.low, found.interval.high
    itself = of_base(constraint.metric) if as_base else None
    return itself, itself, itself


def finite(value: float) -> float | None:
    """None for what says that nothing is known."""
    return value if math.isfinite(value) else None


def with_holm(sweep: Declaration, rows: Sequence[NumberRow]) -> list[NumberRow]:
    """The same rows; p-values against the base also adjusted for their family (Holm).

    The family is the sweep's variants x the declared 0/1 metrics, whatever is finished or shown: tests that are still
    to come count as 1. Numbers of parts of the data are a family of their own: variants x parts.
    """
    others = sum(not v["is_base"] for v in sweep["variants"])
    whole = {
        (METRICS[name].paired, task["name"])
        for task in sweep["tasks"]
        for name in task["metrics"]
        if METRICS[name].source[:1] == ("share",)
    }
    parts = {(row.metric, row.scope) for row in rows if row.p is not None} - whole
    adjusted = {**_adjusted(rows, whole, others), **_adjusted(rows, parts, others)}
    return [row._replace(p_holm=adjusted.get(i)) for i, row in enumerate(rows)]


def _adjusted(rows: Sequence[NumberRow], family: set[tuple[str, str]], others: int) -> dict[int, float]:
    """Position -> adjusted p-value of the rows whose metric and scope are in the family."""
    mine = {i: row.p for i, row in enumerate(rows) if row.p is not None and (row.metric, row.scope) in family}
    to_come = np.ones(max(0, others * len(family) - len(mine)))
    found = holm(np.concatenate([np.array(list(mine.values()), dtype=np.float64), to_come]))
    return dict(zip(mine, found.tolist(), strict=False))
