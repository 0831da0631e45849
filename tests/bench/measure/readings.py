"""Readings of a GPU as tests need them, and a stand-in that gives them one after another."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.measure.gpu import Course, Process, Reading, Setup

MIB = 2**20
OURS, THEIRS = 100, 200

SETUP = Setup(
    name="NVIDIA H100 80GB HBM3",
    uuid="GPU-0d7d5a44-5d52-4c3c-8a5e-6f1b7a1c2d3e",
    driver="570.124.06",
    power_cap_watts=700.0,
    persistence=True,
    compute_mode="default",
    top_sm_mhz=1980,
)
QUIET = Reading(
    sm_mhz=1980,
    memory_mhz=2619,
    celsius=34.0,
    reasons=0x1,
    used_bytes=5000 * MIB,
    percent=0,
    processes=(Process(OURS, 4990 * MIB),),
    reserved_bytes=4500 * MIB,
)
BUSY = replace(QUIET, reasons=0, percent=97, celsius=52.0)
COURSE = Course(
    before=SETUP,
    after=SETUP,
    bare_bytes=None,
    start=QUIET,
    looks=(BUSY,) * 9,
    finish=QUIET,
    own=frozenset({OURS, OURS + 1}),
)


def hidden(reading: Reading) -> Reading:
    """The same reading in a container that shows no processes."""
    return replace(reading, processes=())


def looks(**changes: Sequence[Any]) -> tuple[Reading, ...]:
    """Busy looks that differ in some fields, as looks(sm_mhz=[1980, 1965])."""
    count = len(next(iter(changes.values())))
    return tuple(replace(BUSY, **{name: values[i] for name, values in changes.items()}) for i in range(count))


class ScriptedGpu:
    """Gives readings in turn, the last for ever; counts how often it was asked."""

    def __init__(self, readings: Sequence[Reading], setups: Sequence[Setup] = (SETUP,), energy: float | None = None):
        self.readings, self.setups, self.energy = list(readings), list(setups), energy
        self.asked = 0

    def setup(self) -> Setup:
        return self.setups.pop(0) if len(self.setups) > 1 else self.setups[0]

    def reading(self) -> Reading:
        self.asked += 1
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]

    def joules(self) -> float | None:
        return self.energy
