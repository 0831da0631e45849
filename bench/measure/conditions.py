"""What a number depends on beside the model's bytes: the machine, its load, the libraries."""

import os
import platform
import socket
from pathlib import Path

import psutil

from bench.job import library_versions
from bench.processor import cpu, instruction_sets
from bench.record import Conditions

RECORDED = ("torch", "transformers", "safetensors", "numpy")


def cpu_quota() -> float:
    """CPUs that this process may use at once: the container's quota, or the CPUs it is allowed on."""
    allowed = float(len(os.sched_getaffinity(0)))
    limit = Path("/sys/fs/cgroup/cpu.max")
    if limit.exists():
        quota, _, period = limit.read_text().strip().partition(" ")
        if quota != "max":
            return min(allowed, float(quota) / float(period))
    return allowed


def hardware_class(threads: int) -> str:
    """The class of machines whose milliseconds may be compared: CPU, instruction sets, threads, quota, torch minor."""
    model, sets = cpu()[0], instruction_sets()
    minor = ".".join(library_versions(("torch",))["torch"].split(".")[:2])
    quota = f"{cpu_quota():g} CPUs"
    return f"{model} | {' '.join(sets) or 'no vector sets'} | {threads} of {quota} | torch {minor}"


def capture(threads: int, **details: str | float | int | bool | None) -> Conditions:
    """The conditions of this process now. `details` adds what only the measurement knows."""
    load = os.getloadavg()
    frequency = psutil.cpu_freq()
    return Conditions(
        hardware_class=hardware_class(threads),
        device="cpu",
        host=socket.gethostname(),
        threads=threads,
        versions={"python": platform.python_version(), **library_versions(RECORDED)},
        details={
            "load_1min": round(load[0], 2),
            "load_5min": round(load[1], 2),
            "mhz": round(frequency.current, 1) if frequency else None,
            "governor": _governor(),
            "kernel": platform.release(),
            **details,
        },
    )


def _governor() -> str | None:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else None
