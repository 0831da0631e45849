"""Clocks that time one call: the processor's, and a GPU's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.device import gpu_index

Call = Callable[[], object]
Clock = Callable[[Call], float]


def clock_of(device: str) -> Clock:
    """What times a call on a device, in seconds from its start until its results are there."""
    return host_seconds if gpu_index(device) is None else _gpu_clock(device)


def host_seconds(call: Call) -> float:
    """Seconds of one call by the performance counter."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _gpu_clock(device: str) -> Clock:
    """CUDA events around each call, and the device idle before the first and after the second.

    Without waiting between calls the queue would run ahead, and what is timed were throughput. The time in which the
    device waits for its kernels to be launched lies between the events, as it does for whoever sends one request.
    """
    import torch

    where = torch.device(device)

    def seconds(call: Call) -> float:
        torch.cuda.synchronize(where)
        begin, end = _event(), _event()
        with torch.cuda.device(where):
            begin.record()
            call()
            end.record()
            end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3

    return seconds


def _event() -> Any:
    """An event of torch, which types neither its maker nor its methods."""
    import torch

    made: Any = torch.cuda.Event
    return made(enable_timing=True)
