"""What is true of all rows of a board together, and of one row beside a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.metrics import of_base
from bench.statistics.constraints import Constraint, state

if TYPE_CHECKING:
    from leaderboard.rows import Cell, Kept, Key, Row


@dataclass(frozen=True, slots=True)
class Facts:
    """Of a whole board, whatever is shown of it."""

    bases: tuple[str, ...]  # in the order of the rows
    methods: tuple[str, ...]  # sorted
    statuses: Mapping[str, int]  # how many rows
    several_seeds: bool  # of some recipe


def facts_of(rows: Sequence[Row]) -> Facts:
    """Counted row by row."""
    seeds: dict[str, set[int]] = {}
    for row in rows:
        if row.seed is not None:
            seeds.setdefault(row.group, set()).add(row.seed)
    return Facts(
        tuple(dict.fromkeys(row.base for row in rows)),
        tuple(sorted({method for row in rows for method in row.methods})),
        Counter(row.status for row in rows),
        any(len(each) > 1 for each in seeds.values()),
    )


def resolved(constraint: Constraint, known: Iterable[Key]) -> Constraint:
    """The same in the one scope that is known of its metric, where it names none.

    A sweep cannot know the scope of what is counted in builds, such as the shape of FLOPs, and leaves it empty.
    """
    scopes = [scope for metric, scope in known if metric == constraint.metric]
    return replace(constraint, scope=scopes[0]) if not constraint.scope and len(scopes) == 1 else constraint


def keeps(cells: Mapping[Key, Cell], as_base: bool, constraint: Constraint) -> Kept:
    """Whether a row keeps a bound, as the store says it of declared ones: what has the base's bytes compares as it."""
    from leaderboard.rows import Kept

    cell = cells.get((constraint.metric, constraint.scope))
    if cell is not None:
        return Kept(state(constraint, cell.low, cell.high), cell.estimate, cell.low, cell.high)
    itself = of_base(constraint.metric) if as_base else None
    return Kept(state(constraint, itself, itself), itself, itself, itself)
