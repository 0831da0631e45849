"""Numbers that a store holds, to be compared with published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bench.store.reader import open_snapshot


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a variant with its 95% interval."""

    sweep: str
    variant: str
    metric: str
    scope: str
    estimate: float
    low: float
    high: float


class Measured:
    """All numbers of a store's newest snapshot."""

    def __init__(self, numbers: Sequence[Number]) -> None:
        self.numbers = tuple(numbers)

    @staticmethod
    def of(root: Path) -> Measured:
        """Read a store. Raises BadInput where there is none."""
        with open_snapshot(root) as snapshot:
            rows = snapshot.rows(
                "select s.name as sweep, v.name as variant, v.base, n.metric, n.scope, n.estimate, n.low, n.high "
                "from numbers n join variants v using (sweep_id, recipe_id) join sweeps s using (sweep_id) "
                "order by s.declared desc, v.position"
            )
        return Measured(
            [
                Number(
                    row["sweep"],
                    row["variant"].removeprefix(f"{row['base']}: "),
                    *(row[k] for k in ("metric", "scope", "estimate", "low", "high")),
                )
                for row in rows
            ]
        )

    def find(self, sweep: str, variant: str, metric: str, scope: str) -> Number | None:
        """The first number that fits; `variant` is a pattern, and dashes and underscores of sweeps are alike."""
        return next(
            (
                n
                for n in self.numbers
                if n.sweep.replace("-", "_") == sweep.replace("-", "_")
                and fnmatchcase(n.variant, variant)
                and (n.metric, n.scope) == (metric, scope)
            ),
            None,
        )
