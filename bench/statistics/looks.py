"""When to look at a measurement that is still running, and when to stop."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.intervals import check_level

FIRST_LOOK = 40
LAST_LOOK = 320
# How fast the error falls that may still be spent (`left_to_spend`): with 1.25 up to 6% of exact ties would be told
# apart, with 1.5 about 5%.
SPENDING = 1.5


def planned_looks(first: int = FIRST_LOOK, cap: int = LAST_LOOK) -> tuple[int, ...]:
    """The rounds (or windows) after which to look: `first`, doubling, ending at `cap`. (40, 80, 160, 320) by default.

    A cap below `first` is the only look. ValueError below 1.
    """
    if first < 1 or cap < 1:
        raise ValueError(f"looks start at 1 round or more, got first={first}, cap={cap}")
    looks = []
    while first < cap:
        looks.append(first)
        first *= 2
    return (*looks, cap)


def look_level(level: float = 0.95, looks: int = 4) -> float:
    """Level of the interval at each of `looks` planned looks, so that all of them cover together at `level`.

    Bonferroni, 1 - (1 - level) / looks: it holds for any rule of stopping and any interval. A normal sequence with
    doubling looks would allow 0.984 instead of 0.9875 for four (Pocock, Biometrika 64, 1977), 4% narrower, but medians
    of 40 rounds are not normal. `next_look` stops by width alone, which misses less: simulated with `block_median`,
    0.95 at every look kept 0.93 to 0.96 in the end and the split 0.98 to 0.99, for up to 1.4 times the rounds.
    ValueError unless 0 < level < 1 and looks >= 1.
    """
    check_level(level)
    if looks < 1:
        raise ValueError(f"there is at least one look, got {looks}")
    return 1 - (1 - level) / looks


def left_to_spend(extended: ArrayLike) -> NDArray[np.float64]:
    """Which share of its error an interval may spend, once a measurement is so many times as long as was planned.

    1 as planned, and x^-1.5 at x times that, as whoever extends what is not decided yet looks again and again: at an
    exact tie, intervals of the same level at every look leave zero out sooner or later. A function of the length alone,
    so that what is stored says how it is to be judged, whoever looked at it and when. Each doubling spends about a
    third of the error of the one before (Lan and DeMets, Biometrika 70, 1983, spend by the share of a known end; here
    there is none).

    The exponent is from simulation, not a bound: of two models that tie, timed in one to three leases as declared and
    then in one more at a time up to 64, with intervals as in `resample.lease_draws`, 0.8 to 5.2% are told apart at any
    of the looks, which were 1 to 3% for the first alone because few leases lean on what calibration found; with the
    same level at each look it is 11 to 29%. ValueError for what is not above 0.
    """
    times = np.asarray(extended, dtype=np.float64)
    if not (times > 0).all():
        raise ValueError(f"a measurement is extended by a positive factor, got {times}")
    return np.asarray(np.maximum(times, 1.0) ** -SPENDING)


def next_look(
    done: int, half_width: float | None, target: float = 0.02, cap: int = LAST_LOOK, first: int = FIRST_LOOK
) -> int | None:
    """Total rounds at which to look next, or None to stop. Pure: the plan may ask again after any restart.

    `done` rounds gave an interval of `half_width`, in the unit of `target` (for a ratio, a share of it); None or a
    non-finite width is one that could not be computed, which stops nothing. Stops at the target or at the cap. A width
    seen between two looks, after a crash, does not count: the next look is finished first. ValueError for done < 0, a
    target not above 0 or a negative width.
    """
    if done < 0 or not target > 0:
        raise ValueError(f"rounds are not negative and a target is above 0, got done={done}, target={target}")
    if half_width is not None and half_width < 0:
        raise ValueError(f"a half width is not negative, got {half_width}")
    looks = planned_looks(first, cap)
    if done >= cap:
        return None
    narrow = half_width is not None and math.isfinite(half_width) and half_width <= target
    if done in looks and narrow:
        return None
    return next(look for look in looks if look > done)
