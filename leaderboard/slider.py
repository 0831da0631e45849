"""The ends and steps of a slider over a number: round, and such that the variant at either end keeps the bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.points import scale
from leaderboard.rows import Axis

STEPS = 3  # powers of ten below the span of the values: a thousand steps or more


@dataclass(frozen=True, slots=True)
class SliderEnds:
    """In the unit of `suffix`, as constraints are written."""

    low: float
    high: float
    step: float
    digits: int  # behind the point, which a step needs
    suffix: str
    factor: float  # what one of that unit is in the metric's own


def slider_ends(axis: Axis, values: Sequence[float]) -> SliderEnds:
    """Of a slider over the values of a number, of which there is at least one."""
    each = scale(axis, values)
    factor, suffix = each.factor, each.suffix
    if axis.unit == "count" and max(values) >= 1e6:
        factor, suffix = 1e6, " M"
    span = (max(values) - min(values)) / factor
    power = math.floor(math.log10(span)) - STEPS if span > 0 else 0
    digits, step = max(0, -power), 10.0**power
    # "At most" ends above both values and "at least" below: a bound rounded to the other side would rule them out.
    outward = math.ceil if axis.better == "lower" else math.floor
    low, high = (round(outward(value / factor / step) * step, digits) for value in (min(values), max(values)))
    return SliderEnds(low, high, step, digits, suffix, factor)
