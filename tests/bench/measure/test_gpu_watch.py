"""When a GPU is read around a measurement, and what is made of it. The device, torch's part and the clock stand in."""

import os
from dataclasses import replace

import pytest

from bench.errors import Contaminated
from bench.measure.gpu import Process, Reading
from bench.measure.gpu_watch import LOOK_SECONDS, QUIET_SECONDS, GpuWatch
from tests.bench.measure.readings import BUSY, MIB, QUIET, SETUP, ScriptedGpu, hidden


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Runtime:
    def __init__(self, started: bool = True, reserved: int = 4500 * MIB) -> None:
        self.has_started, self.reserved, self.settled_at = started, reserved, list[float]()
        self.clock = Clock()

    def started(self) -> bool:
        return self.has_started

    def settle(self) -> None:
        self.has_started = True
        self.settled_at.append(self.clock())

    def reserved_bytes(self) -> int:
        return self.reserved


def watch(gpu: ScriptedGpu, runtime: Runtime) -> GpuWatch:
    return GpuWatch(gpu, runtime, runtime.clock, runtime.clock.sleep)


def mine(reading: Reading) -> Reading:
    return replace(reading, processes=(Process(os.getpid(), 4990 * MIB),))


def test_it_waits_until_nothing_of_ours_runs() -> None:
    gpu, runtime = ScriptedGpu([mine(QUIET), mine(BUSY), mine(QUIET)]), Runtime()
    watched = watch(gpu, runtime)
    watched.start()
    assert runtime.clock() == QUIET_SECONDS
    found = watched.finish()
    assert runtime.settled_at == [0.0, QUIET_SECONDS]
    assert runtime.clock() == 2 * QUIET_SECONDS
    assert (found["gpu_looks"], found["gpu_busy_looks"]) == (1, 1)  # the device is looked at before it comes to rest
    assert (found["gpu_percent_before"], found["gpu_percent_after"]) == (0, 0)
    assert found["gpu_process_ids"] == "seen"


def test_looks_are_spaced() -> None:
    gpu, runtime = ScriptedGpu([mine(QUIET), mine(BUSY)]), Runtime()
    watched = watch(gpu, runtime)
    watched.start()
    asked = gpu.asked
    for _ in range(20):
        watched.look()
        runtime.clock.seconds += LOOK_SECONDS / 4
    assert gpu.asked - asked == 5
    gpu.readings = [mine(BUSY), mine(QUIET)]
    assert watched.finish()["gpu_looks"] == 6


def test_memory_before_our_context_is_not_ours() -> None:
    """The fresh process sees the device as it was without it, where the list of processes shows nobody."""
    for used, started, refused in ((4000, False, True), (100, False, False), (4000, True, False)):
        bare = [] if started else [replace(hidden(QUIET), used_bytes=used * MIB)]
        gpu = ScriptedGpu([*bare, hidden(QUIET), hidden(BUSY), hidden(QUIET)])
        watched = watch(gpu, Runtime(started))
        watched.start()
        if refused:
            with pytest.raises(Contaminated, match="4000 MiB of the GPU's memory"):
                watched.finish()
        else:
            watched.finish()


def test_what_torch_reserves_is_ours() -> None:
    grown = replace(hidden(BUSY), used_bytes=7000 * MIB)
    gpu, runtime = ScriptedGpu([hidden(QUIET), hidden(BUSY), grown, hidden(QUIET)]), Runtime()
    watched = watch(gpu, runtime)
    watched.start()
    watched.look()
    runtime.clock.seconds += 1
    runtime.reserved = 6500 * MIB
    watched.look()
    runtime.reserved = 4500 * MIB
    assert watched.finish()["gpu_looks"] == 3


def test_the_setup_is_read_twice() -> None:
    gpu = ScriptedGpu([mine(QUIET)], [SETUP, replace(SETUP, power_cap_watts=400.0)])
    watched = watch(gpu, Runtime())
    watched.start()
    with pytest.raises(Contaminated, match="power cap in watts changed from 700"):
        watched.finish()


def test_it_must_be_started() -> None:
    with pytest.raises(RuntimeError, match="must be started"):
        watch(ScriptedGpu([QUIET]), Runtime()).finish()
