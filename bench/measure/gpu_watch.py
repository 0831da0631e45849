"""A GPU watched while it measures: readings before, between visits, and after; `bench.measure.gpu` judges them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import psutil

from bench.measure.gpu import Course, Detail, Gpu, Reading, Setup, judge

QUIET_SECONDS = 1.2  # NVML averages use over up to one second: after this, nothing of it is ours
LOOK_SECONDS = 0.5


class Runtime(Protocol):
    """This process's own part of the device."""

    def started(self) -> bool:
        """Whether this process has been on a device already."""

    def settle(self) -> None:
        """Come to the device if need be, and wait for all work to end."""

    def reserved_bytes(self) -> int:
        """Memory that this process's allocator holds on the device."""


class TorchRuntime:
    """torch's part. Not tested: it needs a GPU."""

    def __init__(self, index: int) -> None:
        self._index = index

    def started(self) -> bool:
        import torch

        return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]

    def settle(self) -> None:
        import torch

        torch.empty(1, device=f"cuda:{self._index}")
        torch.cuda.synchronize(self._index)

    def reserved_bytes(self) -> int:
        import torch

        return torch.cuda.memory_reserved(self._index)


class GpuWatch:
    """Readings of one device around one measurement.

    Args:
        gpu: where readings come from.
        runtime: what of the device is this process's own.
        now, sleep: the clock, for tests.
    """

    def __init__(
        self,
        gpu: Gpu,
        runtime: Runtime,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gpu, self._runtime, self._now, self._sleep = gpu, runtime, now, sleep
        self._bare: int | None = None
        self._before: Setup | None = None
        self._start = Reading()
        self._looks: list[Reading] = []
        self._parts: list[int] = []
        self._looked = -LOOK_SECONDS

    def start(self) -> None:
        """Read the device at rest; takes QUIET_SECONDS. Best before models are loaded: memory then tells most.

        Whoever has just ended has left by now: `bench.measure.baseline` has waited for that before the job began.
        """
        self._bare = None if self._runtime.started() else self._gpu.reading().used_bytes
        self._before = self._gpu.setup()
        self._start = self._quiet()
        self._looks, self._looked = [], self._now() - LOOK_SECONDS
        self._parts = []

    def part(self) -> None:
        """Say that what follows is other work, at which the device may run at another clock."""
        if self._looks:
            self._parts.append(len(self._looks))

    def look(self) -> None:
        """Read the device right after work, at most every LOOK_SECONDS. To be called between visits, never in one."""
        if self._now() - self._looked >= LOOK_SECONDS:
            self._looks.append(self._reading())
            self._looked = self._now()

    def finish(self) -> dict[str, Detail]:
        """What conditions say of the device since `start`. Raises Contaminated where the measurement is refused."""
        if self._before is None:
            raise RuntimeError("a watch must be started before it is finished")
        self._looks.append(self._reading())
        finish = self._quiet()
        course = Course(
            before=self._before,
            after=self._gpu.setup(),
            bare_bytes=self._bare,
            start=self._start,
            looks=tuple(self._looks),
            finish=finish,
            own=_family(),
            parts=tuple(self._parts),
        )
        return judge(course)

    def _quiet(self) -> Reading:
        self._runtime.settle()
        self._sleep(QUIET_SECONDS)
        return self._reading()

    def _reading(self) -> Reading:
        return replace(self._gpu.reading(), reserved_bytes=self._runtime.reserved_bytes())


def _family() -> frozenset[int]:
    """Ids of this process and its descendants."""
    found = {os.getpid()}
    with suppress(psutil.Error):
        found.update(child.pid for child in psutil.Process().children(recursive=True))
    return frozenset(found)
