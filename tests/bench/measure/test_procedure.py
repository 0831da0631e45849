"""The whole procedure of a latency ratio on recorded noise: looks, stopping, refusal, two leases, a third where they
disagree, and the interval that a store shows of them.

The noise is that of real leases of a model and three copies of it, quiet and beside bursts of load
(tests/calibration/traces.py): what persists through a lease and differs between leases is in it, 0.6 and 0.7% on that
machine. Another machine's differed by 1.3%, which is what intervals reckon with (`bench.statistics.resample.SHIFT`), so
leases are also moved by as much as makes it that. The truth is known.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.measure.latency import narrow_enough
from bench.statistics.intervals import Interval, block_median, mean_over_leases, overlap
from bench.statistics.looks import look_level, planned_looks
from bench.statistics.resample import SHIFT, lease_draws

TRACES = Path(__file__).parents[2] / "calibration" / "traces.npz"
LOOKS = planned_looks()  # as a sweep that does not say otherwise
LEVEL = look_level(looks=len(LOOKS))
SIMULATIONS = 2000
DRAWS = 200  # a store draws 1,000; so few widen or narrow an interval by 5%
REFUSED = 0.1  # of leases: something disturbed them, and they were made again
# Rounds that stay together when a lease of 320 is put together from the 160 of a trace: what neighbours share stays,
# and a lease has luck of its own with the rounds beside what its trace keeps.
TOGETHER = 20

FloatArray = NDArray[np.float64]


class Found(NamedTuple):
    """What one simulated measurement gave."""

    interval: Interval
    leases: int


def recorded(condition: str) -> FloatArray:
    """Seconds per call [leases, rounds, copies]."""
    return np.asarray(np.load(TRACES)[condition], dtype=np.float64)


def own_shift(traces: FloatArray) -> float:
    """Standard deviation, on logs, of the median ratio of two copies from lease to lease."""
    apart = [np.log(np.median(lease[:, [a]] / np.delete(lease, a, 1), axis=0)) for lease in traces for a in range(4)]
    return float(np.sqrt(np.mean(np.square(apart))))


def lease(traces: FloatArray, ratio: float, moved: float, rng: np.random.Generator) -> FloatArray:
    """The rounds' ratios of one lease: two copies of a random trace, one of them `ratio` times as slow, up to the look
    that ends it."""
    while True:
        trace = traces[rng.integers(len(traces))]
        if rng.random() >= REFUSED:
            break
    base, variant = rng.permutation(trace.shape[1])[:2]
    starts = rng.integers(len(trace), size=(LOOKS[-1] // TOGETHER, 1))
    rounds = trace[((starts + np.arange(TOGETHER)) % len(trace)).ravel()]
    table = rounds[:, [base, variant]] * (1.0, ratio * np.exp(moved * rng.standard_normal()))
    enough = narrow_enough(0.02, LEVEL)
    last = next((look for look in LOOKS if enough([table[:look]])), LOOKS[-1])
    return np.asarray(table[:last, 1] / table[:last, 0])


def measured(traces: FloatArray, ratio: float, moved: float, rng: np.random.Generator) -> Found:
    """Two leases, and a third if their intervals do not overlap, as a store shows them."""
    leases = [lease(traces, ratio, moved, rng) for _ in range(2)]
    if not overlap(*(block_median(rounds, LEVEL) for rounds in leases)):
        leases.append(lease(traces, ratio, moved, rng))
    draws, freedom = lease_draws([rounds[:, None] for rounds in leases], DRAWS, rng)
    each = [block_median(rounds, LEVEL) for rounds in leases]
    return Found(mean_over_leases(each, draws[:, 0], float(freedom[0])), len(leases))


def simulated(condition: str, shift: float | None, ratio: float, count: int) -> list[Found]:
    """Measurements on a machine whose leases differ by `shift`, None for as much as the recorded ones do."""
    traces = recorded(condition)
    moved = 0.0 if shift is None else float(np.sqrt(shift**2 - own_shift(traces) ** 2))
    rng = np.random.default_rng([count, round(1e3 * ratio)])
    return [measured(traces, ratio, moved, rng) for _ in range(count)]


def covered(found: list[Found], ratio: float) -> float:
    return float(np.mean([f.interval.contains(ratio) for f in found]))


@pytest.mark.parametrize("condition", ["quiet", "load"])
def test_what_a_store_shows_covers(condition: str) -> None:
    """93% at least, where leases differ by what intervals reckon with. Found: 98.4% quiet and 98.1% beside load.

    97% is what one would aim at. It is more, because the luck of the rounds counts twice (`lease_draws`) and because a
    third lease is made exactly where two disagree; above 99% intervals would have become wider than anyone needs.
    """
    found = simulated(condition, SHIFT, 1.0, SIMULATIONS)
    assert 0.93 <= covered(found, 1.0) <= 0.99, f"{100 * covered(found, 1.0):.1f}% of {SIMULATIONS} intervals cover"
    assert np.median([f.interval.relative_half_width for f in found]) < 0.03  # wide intervals would cover anything
    assert 0.05 < np.mean([f.leases == 3 for f in found]) < 0.25


@pytest.mark.parametrize("condition", ["quiet", "load"])
def test_on_the_machine_that_was_recorded_nearly_all_cover(condition: str) -> None:
    """Its leases differ by half of what intervals reckon with, which two leases cannot show."""
    found = simulated(condition, None, 1.0, SIMULATIONS // 5)
    assert 0.004 < own_shift(recorded(condition)) < 0.009
    assert covered(found, 1.0) >= 0.97
    assert np.median([f.interval.relative_half_width for f in found]) < 0.03


@pytest.mark.parametrize("condition", ["quiet", "load"])
def test_five_per_cent_are_found(condition: str) -> None:
    found = simulated(condition, SHIFT, 1.05, SIMULATIONS // 4)
    assert np.mean([f.interval.low > 1.0 for f in found]) >= 0.91
    assert covered(found, 1.05) >= 0.93


def test_leases_that_differ_by_more_than_was_reckoned_with_are_seen_to() -> None:
    """By 3%: two leases that happen to agree still hide it at times, but a third of all are told to disagree."""
    found = simulated("quiet", 0.03, 1.0, SIMULATIONS // 4)
    assert np.mean([f.leases == 3 for f in found]) > 0.33
    assert covered(found, 1.0) >= 0.8
