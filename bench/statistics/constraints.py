"""Bounds that a number must keep: met, not met, or open where its interval straddles them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Operator = Literal["<=", ">=", "<", ">"]
State = Literal["met", "not met", "open"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """At most or at least `bound`, for one metric in one scope, in the metric's own unit.

    ValueError for another operator or a bound that is not finite.
    """

    metric: str
    scope: str
    operator: Operator
    bound: float

    def __post_init__(self) -> None:
        if self.operator not in ("<=", ">=", "<", ">"):
            raise ValueError(f"a constraint compares with <=, >=, < or >, got '{self.operator}'")
        if not math.isfinite(self.bound):
            raise ValueError(f"the bound on '{self.metric}' is a finite number, got {self.bound}")

    @property
    def upper(self) -> bool:
        """Whether it says "at most"."""
        return self.operator.startswith("<")

    def holds(self, value: float) -> bool:
        """Whether one value keeps the bound."""
        if self.operator == "<=":
            return value <= self.bound
        if self.operator == "<":
            return value < self.bound
        return value >= self.bound if self.operator == ">=" else value > self.bound


def state(constraint: Constraint, low: float | None, high: float | None) -> State:
    """What an interval from `low` to `high` says of a constraint; an exact number is one whose ends are equal.

    Met if every value of the interval keeps the bound, not met if none does. Open where it straddles, and where there
    is no number: None, NaN, or ends the wrong way round. An infinite end reaches past every bound. The level is the
    interval's own: several constraints together hold less surely than each.
    """
    if low is None or high is None or not low <= high:
        return "open"
    at_low, at_high = constraint.holds(low), constraint.holds(high)
    if at_low != at_high:
        return "open"
    return "met" if at_low else "not met"


def combined(states: Sequence[State]) -> State:
    """What several constraints say together: not met if one is not met, met if all are; none at all are met."""
    if "not met" in states:
        return "not met"
    return "open" if "open" in states else "met"


def contradiction(constraints: Sequence[Constraint]) -> tuple[int, int] | None:
    """Two of them, by position, that no value can keep together; None where there is no such pair.

    Bounds of one number contradict each other in pairs or not at all: they are half lines, and half lines that meet
    two by two have a point in common (Helly's theorem in one dimension).
    """
    for second, b in enumerate(constraints):
        for first, a in enumerate(constraints[:second]):
            if (a.metric, a.scope) != (b.metric, b.scope) or a.upper == b.upper:
                continue
            most, least = (a, b) if a.upper else (b, a)
            strict = "=" not in a.operator or "=" not in b.operator
            if least.bound > most.bound or (least.bound == most.bound and strict):
                return first, second
    return None
