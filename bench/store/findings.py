"""What a check of a store found: how much it compared, and each thing that is not as it was stated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np

# Another processor's arithmetic may end a sum otherwise in its last digits; nothing that is shown depends on them.
ROUNDING, ROUNDING_OF_DRAWS = 1e-9, 1e-6

# What summarising may raise where raw material was tampered with.
FAULTS = (ValueError, KeyError, IndexError, TypeError, duckdb.Error)

Field = tuple[str, Any, Any]  # name, stored, recomputed


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it was stated; `fields` say in what."""

    check: str
    subject: str  # a variant, a record, a part or an artefact, in words
    reason: str
    metric: str = ""
    scope: str = ""
    fields: tuple[Field, ...] = ()


@dataclass
class Check:
    """One kind of check: how much was compared, what differs, and what could not be looked at."""

    name: str
    meaning: str
    compared: int = 0
    rounded: int = 0  # of those compared, equal but for their last digits
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def differs(self, subject: str, reason: str, metric: str = "", scope: str = "", *fields: Field) -> None:
        """Write down a difference."""
        self.differences.append(Difference(self.name, subject, reason, metric, scope, fields))

    def compare(
        self,
        subject: str,
        stated: Mapping[str, Any],
        found: Mapping[str, Any],
        reason: str,
        metric: str = "",
        scope: str = "",
    ) -> None:
        """Compare the fields of two rows."""
        self.compared += 1
        unequal = [key for key in stated if stated[key] != found.get(key)]
        apart = [key for key in unequal if not nearly(stated[key], found.get(key))]
        if apart:
            self.differs(subject, reason, metric, scope, *((key, stated[key], found.get(key)) for key in apart))
        elif unequal:
            self.rounded += 1


def nearly(a: Any, b: Any) -> bool:
    """Whether two values are equal, numbers but for rounding."""
    numbers = (int, float)
    if isinstance(a, numbers) and isinstance(b, numbers):
        return math.isclose(a, b, rel_tol=ROUNDING, abs_tol=1e-15) or (a != a and b != b)
    return bool(a == b)


def compare_draws(
    check: Check, subject: str, stated: Sequence[float], found: Sequence[float], metric: str, scope: str
) -> None:
    """Compare two series of draws."""
    check.compared += 1
    mine, theirs = (np.asarray(values, dtype=np.float64) for values in (stated, found))
    if mine.shape == theirs.shape and np.array_equal(mine, theirs, equal_nan=True):
        return
    if mine.shape == theirs.shape and np.allclose(mine, theirs, rtol=ROUNDING_OF_DRAWS, atol=1e-12, equal_nan=True):
        check.rounded += 1
        return
    if mine.shape != theirs.shape:
        check.differs(subject, "there are more or fewer draws", metric, scope, ("draws", mine.size, theirs.size))
        return
    unequal = np.flatnonzero(~np.isclose(mine, theirs, rtol=ROUNDING_OF_DRAWS, atol=1e-12, equal_nan=True))
    first = int(unequal[0])
    reason = f"{unequal.size} of {mine.size} draws differ"
    check.differs(subject, reason, metric, scope, (f"draw {first}", float(mine[first]), float(theirs[first])))
