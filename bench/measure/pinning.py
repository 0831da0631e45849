"""Running beside a GPU: on the cores of the memory node (NUMA) that its slot hangs from. Linux."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.device import gpu_index
from bench.measure.container import ROOT
from bench.measure.host import unlisted
from bench.measure.nvml import NvmlGpu, open_gpu


@contextmanager
def beside(device: str, threads: int = 1, gpu: NvmlGpu | None = None, root: Path = ROOT) -> Iterator[None]:
    """Keep this thread, and what it starts, on those CPUs that are local to a GPU; afterwards let it go again.

    Nothing changes for the CPU, nor where the machine does not tell, as many virtual ones, or allows fewer of them than
    there are threads.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        threads: that the job computes with.
        gpu: the device, for tests.
        root: the folder that stands for / in tests.

    Raises:
        BadInput: the device is not there.
    """
    allowed = os.sched_getaffinity(0)
    near = allowed if gpu_index(device) is None else allowed & local_cpus((gpu or open_gpu(device)).bus_id(), root)
    if len(near) < threads or near == allowed:
        yield
        return
    os.sched_setaffinity(0, near)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def local_cpus(bus_id: str | None, root: Path = ROOT) -> frozenset[int]:
    """The CPUs that the kernel calls local to a PCI device, such as "0000:3b:00.0"; none where it does not tell."""
    try:
        text = (root / "sys/bus/pci/devices" / str(bus_id) / "local_cpulist").read_text(encoding="ascii")
        return frozenset(unlisted(text))
    except (OSError, ValueError):
        return frozenset()
