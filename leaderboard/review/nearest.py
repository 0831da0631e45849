"""What to do where nobody is known to keep the constraints: which one is nearest to being kept, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from bench.errors import BadInput
from bench.metrics import TIMED, of_base
from bench.metrics.bounds import bound, read
from bench.statistics.constraints import Constraint
from leaderboard.format import number
from leaderboard.review.question import Question
from leaderboard.rows import Board, Kept, Required, Row, judged_as
from leaderboard.where import understand

RATIOS = frozenset(f"{name}_ratio" for name in TIMED)


def nearest(every: Board, asked: Question, may: int, *, has_met: bool) -> str:
    """One or two sentences for a shortlist that is empty.

    Args:
        every: all rows of the base, without the question's constraints; of a large sweep those that may be nearest.
        asked: the question.
        may: how many may keep the constraints.
        has_met: whether some row keeps them all but lacks a number that is weighed.
    """
    if has_met:
        names = " and ".join(every.axes[key].title for key in asked.weights)
        return f"Those that keep the constraints have no number for {names} yet: run the sweep on, or weigh others."
    required = (*every.constraints, *(understand(every, asked.constraints) if asked.constraints else ()))
    if not required:
        return "No variant has all the numbers that are weighed: run the sweep on, or weigh others."
    told = [_alone(every.rows, required, i) for i in range(len(required))]
    found = sorted((each for each in told if each is not None), key=lambda each: each[0])
    open_ = ""
    if may:
        open_ = f" {may} may keep {_them(required)}: an interval straddles a bound, or there is no number yet."
        if any(judged_as((each.constraint.metric, each.constraint.scope))[0] in RATIOS for each in required):
            open_ += " `paredown settle` narrows times, not scores."
    if found:
        _, row, which, value = found[0]
        constraint = required[which].constraint
        unit = every.axes[constraint.metric, constraint.scope].unit
        others = ", and keeps all others" if len(required) > 1 else ""
        return (
            f"No variant is known to keep {_them(required)}. Nearest is {required[which].text!r}: loosened to "
            f"{_bound_text(value, constraint, unit)} it would be kept by {row.name}{others}.{open_}"
        )
    return (
        f"No variant is known to keep all of {', '.join(repr(r.text) for r in required)}, and loosening one of them is "
        f"not enough: leave one out.{open_}"
    )


def _bound_text(value: float, constraint: Constraint, unit: str) -> str:
    """A bound that a value keeps, in few digits: what rounding takes away from it is given back."""
    away = (abs(value) or 1.0) * (1 if constraint.upper else -1)
    text = number(value, unit, constraint.metric)
    with suppress(BadInput):  # a bound that everyone keeps is none
        for more in (0.0, 1e-4, 1e-3, 3e-3, 1e-2):
            text = number(value + more * away, unit, constraint.metric)
            (written,) = read([f"{constraint.metric} {constraint.operator} {text.replace(',', '')}"])
            if bound(written, constraint.metric, constraint.scope, unit).holds(value):
                break
    return text


def _them(required: Sequence[Required]) -> str:
    return f"{required[0].text!r}" if len(required) == 1 else f"all {len(required)} constraints"


def _alone(rows: Sequence[Row], required: Sequence[Required], which: int) -> tuple[float, Row, int, float] | None:
    """How far one constraint must be loosened until a row that keeps all others keeps it too.

    Returns (shortfall relative to the bound, row, which, the bound that would do), the least shortfall of all rows.
    """
    constraint = required[which].constraint
    found = []
    for row in rows:
        if not all(_keeps(row, each.constraint) for i, each in enumerate(required) if i != which):
            continue
        ends = _ends(row, constraint)
        if ends is not None:
            value = ends[1] if constraint.upper else ends[0]
            found.append((abs(value - constraint.bound) / (abs(constraint.bound) or 1.0), row, which, value))
    return min(found, key=lambda each: each[0], default=None)


def _ends(row: Row, constraint: Constraint) -> tuple[float, float] | None:
    cell = row.cells.get((constraint.metric, constraint.scope))
    if cell is not None:
        return cell.low, cell.high
    itself = of_base(constraint.metric) if row.as_base else None
    return None if itself is None else (itself, itself)


def _keeps(row: Row, constraint: Constraint) -> bool:
    ends = _ends(row, constraint)
    return ends is not None and constraint.holds(ends[0]) and constraint.holds(ends[1])


def kept_words(required: Sequence[Required], kept: Sequence[Kept]) -> list[tuple[str, str]]:
    """(constraint, met | not met | open) for a row."""
    return [(each.text, one.state) for each, one in zip(required, kept, strict=True)]
