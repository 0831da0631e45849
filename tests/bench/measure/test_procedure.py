"""The whole procedure of a latency ratio (looks, stopping, two leases, a third where they disagree) on recorded noise.

The noise is that of real leases of a model and three copies of it, quiet and beside bursts of load
(tests/calibration/traces.py), so what persists through a lease and differs between leases is in it. The truth is 1.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.measure.latency import narrow_enough
from bench.statistics.intervals import Interval, block_median, hull, overlap
from bench.statistics.looks import look_level, planned_looks

TRACES = Path(__file__).parents[2] / "calibration" / "traces.npz"
LOOKS = planned_looks(40, 160)
LEVEL = look_level(looks=len(LOOKS))
SIMULATIONS = 2000
REFUSED = 0.1  # of leases: something disturbed them, and they were made again


class Found(NamedTuple):
    """What one simulated measurement gave."""

    interval: Interval
    leases: int
    rounds: int


def lease(traces: NDArray[np.float64], ratio: float, rng: np.random.Generator) -> tuple[Interval, int]:
    """One lease: rounds of a random trace from a random place on, a copy `ratio` times as slow against another."""
    while True:
        trace = traces[rng.integers(len(traces))]
        if rng.random() >= REFUSED:
            break
    base, variant = rng.permutation(trace.shape[1])[:2]
    table = np.roll(trace, rng.integers(len(trace)), axis=0)[:, [base, variant]] * (1.0, ratio)
    enough = narrow_enough(0.02, LEVEL)
    rounds = next((look for look in LOOKS if enough([table[:look]])), LOOKS[-1])
    return block_median(table[:rounds, 1] / table[:rounds, 0], LEVEL), rounds


def measured(traces: NDArray[np.float64], ratio: float, rng: np.random.Generator) -> Found:
    """Two leases, and a third if their intervals do not overlap."""
    leases = [lease(traces, ratio, rng) for _ in range(2)]
    if not overlap(leases[0][0], leases[1][0]):
        leases.append(lease(traces, ratio, rng))
    return Found(hull([interval for interval, _ in leases]), len(leases), sum(rounds for _, rounds in leases))


@pytest.mark.parametrize("condition", ["quiet", "load"])
def test_intervals_cover(condition: str) -> None:
    """At least 93% of 2,000. It is more, for the hull of two leases is wider than one of them alone would need."""
    traces = np.load(TRACES)[condition].astype(np.float64)
    rng = np.random.default_rng(0)
    found = [measured(traces, 1.0, rng) for _ in range(SIMULATIONS)]
    covered = np.mean([f.interval.contains(1.0) for f in found])
    assert covered >= 0.93, f"{100 * covered:.1f}% of {SIMULATIONS} intervals cover"
    assert np.median([f.interval.relative_half_width for f in found]) < 0.04  # wide intervals would cover anything


@pytest.mark.parametrize("condition", ["quiet", "load"])
def test_five_per_cent_are_found(condition: str) -> None:
    traces = np.load(TRACES)[condition].astype(np.float64)
    rng = np.random.default_rng(1)
    found = [measured(traces, 1.05, rng).interval for _ in range(SIMULATIONS // 4)]
    assert np.mean([interval.low > 1.0 for interval in found]) >= 0.91
    assert np.mean([interval.contains(1.05) for interval in found]) >= 0.93
