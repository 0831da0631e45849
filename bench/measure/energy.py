"""Energy of a device, in joules: of a CPU by RAPL, of a GPU by NVML's counter; where neither can tell, the reason.

Both count the whole device, whoever uses it. RAPL's counters move about once a millisecond, NVML's every 10 to 100 ms
by the kind of GPU: a single burst of 50 ms is known roughly, the mean over a lease's visits well. Neither counts the
rest of the machine.

RAPL: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from bench.device import gpu_index
from bench.errors import BadInput
from bench.measure.gpu import Gpu
from bench.measure.nvml import open_gpu

POWERCAP = Path("/sys/class/powercap")


class Meter(Protocol):
    """A counter of energy."""

    def joules(self) -> float:
        """Joules since the meter was made; never falls. Raises OSError or NVML's error if the counter went away."""


def meter(device: str, powercap: Path = POWERCAP) -> Meter | None:
    """The meter of a device, made now; None where there is none, for which `absence` has the reason.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        powercap: the kernel's folder of power zones, for tests.
    """
    found = _found(device, powercap)
    return None if isinstance(found, str) else found


def absence(device: str, powercap: Path = POWERCAP) -> str:
    """Why a device has no meter, in one phrase; empty where it has one."""
    found = _found(device, powercap)
    return found if isinstance(found, str) else ""


def _found(device: str, powercap: Path) -> Meter | str:
    if gpu_index(device) is None:
        return cpu_meter(powercap)
    try:
        gpu = open_gpu(device)
    except BadInput as error:
        return str(error)
    return gpu_meter(gpu)


def gpu_meter(gpu: Gpu) -> Meter | str:
    """The meter of a GPU, or why it has none."""
    if gpu.joules() is None:
        return "this GPU keeps no energy counter, or this is a slice of it (MIG), which has none of its own"
    return Counter(gpu)


class Counter:
    """A GPU's own count, from now on."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._last = self._begin = gpu.joules() or 0.0

    def joules(self) -> float:
        self._last = max(self._last, self._gpu.joules() or 0.0)
        return self._last - self._begin


def cpu_meter(powercap: Path = POWERCAP) -> Meter | str:
    """RAPL's meter of all processor packages and their memory, or why it cannot be read.

    Zones named package-N at the top, and dram below them, are summed. Cores and graphics lie inside a package, `psys`
    around it, and the zones of the memory-mapped interface count the same packages again: none of them is added.
    """
    packages = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _name(zone).startswith("package")]
    if not packages:
        return "the kernel shows no energy counters of the CPU (RAPL), as is usual in virtual machines"
    memory = [zone for package in packages for zone in sorted(package.glob("intel-rapl:*:*")) if _name(zone) == "dram"]
    try:
        return Rapl([Zone(folder) for folder in (*packages, *memory)])
    except PermissionError:
        return (
            "only root may read the CPU's energy counters here (energy_uj under /sys/class/powercap); "
            "give read access to measure it"
        )
    except (OSError, ValueError) as error:
        return f"the CPU's energy counters cannot be read ({type(error).__name__})"


class Rapl:
    """The sum of zones."""

    def __init__(self, zones: list[Zone]) -> None:
        self._zones = zones

    def joules(self) -> float:
        return sum(zone.microjoules() for zone in self._zones) / 1e6


class Zone:
    """One counter of the kernel, which starts again from zero beyond `max_energy_range_uj`.

    At 200 W that takes about 20 minutes; a counter that is read more often than that loses nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text(encoding="ascii"))
        self._last = int(self._file.read_text(encoding="ascii"))
        self._total = 0

    def microjoules(self) -> int:
        """Microjoules since the zone was opened."""
        now = int(self._file.read_text(encoding="ascii"))
        self._total += now - self._last if now >= self._last else now + self._range - self._last
        self._last = now
        return self._total


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
