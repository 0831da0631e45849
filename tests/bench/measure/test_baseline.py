"""The wait for a GPU's memory to come back, on readings that are made up."""

from collections.abc import Iterator

import pytest

from bench.errors import Contaminated
from bench.measure.baseline import PATIENCE, PAUSE, SLACK, await_baseline, returns_to_baseline

BEFORE = 500 * 2**20


class Clock:
    """Moves only when someone sleeps."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def waited(*readings: int | None) -> float:
    clock = Clock()
    following: Iterator[int | None] = iter(readings)
    return await_baseline(lambda: next(following), BEFORE, "cuda:1", clock.now, clock.sleep)


def test_memory_that_is_back_ends_the_lease_at_once() -> None:
    assert waited(BEFORE) == 0
    assert waited(BEFORE + SLACK) == 0
    assert waited(BEFORE - SLACK) == 0


def test_a_process_that_is_still_being_cleaned_up_is_waited_for() -> None:
    assert waited(BEFORE + 2**34, BEFORE + SLACK + 1, BEFORE) == pytest.approx(2 * PAUSE)


def test_a_device_that_no_longer_tells_ends_the_wait() -> None:
    assert waited(BEFORE + 2**34, None) == pytest.approx(PAUSE)


def test_memory_that_stays_away_spoils_the_measurement() -> None:
    clock = Clock()
    with pytest.raises(Contaminated, match=r"^30 s after the measurement cuda:1 still holds 1,074 MB more than before"):
        await_baseline(lambda: BEFORE + 2**30, BEFORE, "cuda:1", clock.now, clock.sleep)
    assert PATIENCE < clock.time - 100.0 < PATIENCE + 3 * PAUSE


def test_the_cpu_needs_no_wait() -> None:
    with returns_to_baseline("cpu"):
        pass
