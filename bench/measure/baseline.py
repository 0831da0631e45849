"""The end of a lease on a GPU: the device has back the memory that the measurement took.

Processes that end give their memory back a moment later. The next measurement must not begin before that, nor may what
another process took meanwhile be taken for it. Decided on readings alone; never run beside a real GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.device import gpu_index
from bench.errors import Contaminated

SLACK = 64 * 2**20  # the driver's own tables grow and shrink by some MiB
PATIENCE = 30.0  # seconds; a process with 80 GB takes about one to be cleaned up
PAUSE = 0.2


@contextmanager
def returns_to_baseline(device: str) -> Iterator[None]:
    """Use the device, then wait until its memory is what it was. Does nothing on the CPU.

    Nothing of this process may be on the device. Raises BadInput where the device is not there, Contaminated where its
    memory does not come back.
    """
    if gpu_index(device) is None:
        yield
        return
    from bench.measure.nvml import open_gpu

    gpu = open_gpu(device)
    before = gpu.reading().used_bytes
    yield
    if before is not None:
        await_baseline(lambda: gpu.reading().used_bytes, before, device)


def await_baseline(
    read: Callable[[], int | None],
    before: int,
    device: str,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until the bytes in use are at most SLACK above `before`; returns the seconds that it took.

    Args:
        read: bytes in use on the device now; None where it has stopped telling, which ends the wait.
        before: the same, before the measurement.
        device: its name, for the sentence.
        now, sleep: the clock, for tests.

    Raises Contaminated after PATIENCE seconds.
    """
    began = now()
    while (used := read()) is not None and used > before + SLACK:
        if now() - began > PATIENCE:
            raise Contaminated(
                f"{PATIENCE:g} s after the measurement {device} still holds {(used - before) / 1e6:,.0f} MB more than "
                f"before it, and {SLACK / 1e6:,.0f} MB are allowed: another process came onto the device. End it, or "
                "run again when the device is free."
            )
        sleep(PAUSE)
    return now() - began
