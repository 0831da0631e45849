"""The machine around a measurement: which CPUs it had, how fast they ran, who else used them. Linux.

Reading is in `read` and `description`; what two readings say about the time between them is pure. Load, stolen time
and strangers are recorded and never refused: on a shared CPU they only widen an interval. What changes the machine
itself in the middle of a measurement refuses it.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.errors import Contaminated
from bench.measure.container import ROOT, Throttled, limits, throttled
from bench.processor import cpu, instruction_sets

Detail = str | float | int | bool | None
SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")


@dataclass(frozen=True, slots=True)
class Setup:
    """What must be the same when a measurement ends as when it began."""

    allowed: str  # CPUs that this process may run on, as in "0-3,8"
    online: str
    governor: str | None
    quota: float | None  # of the container, in CPUs


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the start of the machine, summed over the CPUs that this process may run on."""

    total: float
    busy: float  # without idle, waiting and stolen time
    stolen: float  # taken by the host of a virtual machine


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment."""

    setup: Setup
    times: Times | None
    own: float  # CPU seconds of this process and all that it has started
    throttled: Throttled | None
    load: float  # runnable tasks, mean of the last minute
    mhz: float | None
    celsius: float | None


def read(root: Path = ROOT) -> Reading:
    """Take a reading. `root` is the folder that stands for / in tests."""
    allowed = sorted(os.sched_getaffinity(0))
    return Reading(
        setup=Setup(
            allowed=listed(allowed),
            online=_text(root / "sys/devices/system/cpu/online") or "unknown",
            governor=governor(allowed, root),
            quota=limits(root).cpus,
        ),
        times=times(_text(root / "proc/stat"), allowed, os.sysconf("SC_CLK_TCK")),
        own=_own_seconds(),
        throttled=throttled(root),
        load=os.getloadavg()[0],
        mhz=megahertz(),
        celsius=_celsius(),
    )


def description(root: Path = ROOT) -> dict[str, Detail]:
    """What does not change while nobody changes it: the CPU, where this process may run, what the container allows."""
    allowed = sorted(os.sched_getaffinity(0))
    online = _text(root / "sys/devices/system/cpu/online") or None
    limit = limits(root)
    return {
        "cpu": cpu()[0],
        "instruction_sets": " ".join(instruction_sets()) or None,
        "governor": governor(allowed, root),
        "cpus_allowed": listed(allowed),
        "cpus_online": online,
        "pinned": online is not None and set(allowed) < set(unlisted(online)),
        "numa_nodes": numa_nodes(allowed, root),
        "quota_cpus": limit.cpus,
        "memory_limit_bytes": limit.memory_bytes,
    }


def between(before: Reading, after: Reading) -> dict[str, Detail]:
    """What happened to the machine between two readings.

    Shares are of the time of the CPUs that this process may run on; strangers are all other processes together, this
    process's own parents among them. None where the machine does not tell.

    Raises:
        Contaminated: the CPUs, the quota or the governor changed.
    """
    changed(before.setup, after.setup)
    stolen = strangers = None
    if before.times and after.times and (total := after.times.total - before.times.total) > 0:
        foreign = after.times.busy - before.times.busy - (after.own - before.own)
        stolen = round((after.times.stolen - before.times.stolen) / total, 4)
        strangers = round(min(1.0, max(0.0, foreign / total)), 4)
    stopped: Throttled | None = None
    if before.throttled and after.throttled:
        stopped = Throttled(
            after.throttled.periods - before.throttled.periods, after.throttled.seconds - before.throttled.seconds
        )
    return {
        "load_before": round(before.load, 2),
        "load_after": round(after.load, 2),
        "mhz_before": before.mhz,
        "mhz_after": after.mhz,
        "celsius_before": before.celsius,
        "celsius_after": after.celsius,
        "stolen_share": stolen,
        "strangers_share": strangers,
        "throttled_periods": stopped.periods if stopped else None,
        "throttled_seconds": round(stopped.seconds, 3) if stopped else None,
    }


def changed(before: Setup, after: Setup) -> None:
    """Raise Contaminated for the first part of the setup that is not what it was."""
    for what, was, now in (
        ("CPUs that this process may use", before.allowed, after.allowed),
        ("CPUs online", before.online, after.online),
        ("frequency governor", before.governor, after.governor),
        ("container's CPU quota", before.quota, after.quota),
    ):
        if was != now:
            raise Contaminated(
                f"The {what} changed from {_shown(was)} to {_shown(now)} while the measurement ran: both halves would "
                "be of different machines, so keep it fixed and run again."
            )


def times(stat: str, allowed: Iterable[int], ticks: int) -> Times | None:
    """Times of the allowed CPUs from the text of /proc/stat (user nice system idle iowait irq softirq steal, guest)."""
    wanted = {f"cpu{number}" for number in allowed}
    rows = [[int(x) for x in line.split()[1:9]] for line in stat.splitlines() if line.partition(" ")[0] in wanted]
    if not rows or any(len(row) < 8 for row in rows):
        return None
    total, stolen = sum(map(sum, rows)), sum(row[7] for row in rows)
    idle = sum(row[3] + row[4] for row in rows)
    return Times(total / ticks, (total - idle - stolen) / ticks, stolen / ticks)


def governor(allowed: Sequence[int], root: Path = ROOT) -> str | None:
    """The frequency governors of the allowed CPUs, None where the kernel shows none."""
    folder = root / "sys/devices/system/cpu"
    found = {_text(folder / f"cpu{number}/cpufreq/scaling_governor") for number in allowed} - {""}
    return ", ".join(sorted(found)) or None


def numa_nodes(allowed: Iterable[int], root: Path = ROOT) -> str | None:
    """The memory nodes to which the allowed CPUs belong."""
    mine = set(allowed)
    lists = sorted((root / "sys/devices/system/node").glob("node[0-9]*/cpulist"))
    return listed(int(f.parent.name[4:]) for f in lists if mine & set(unlisted(_text(f)))) or None


def listed(numbers: Iterable[int]) -> str:
    """Numbers in the kernel's notation, as in "0-3,8"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def unlisted(text: str) -> list[int]:
    """The reverse of `listed`."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def megahertz() -> float | None:
    """The mean clock of the CPUs now, None where the machine does not tell."""
    found = psutil.cpu_freq()
    return round(found.current, 1) if found else None


def _own_seconds() -> float:
    """CPU seconds of this process and its descendants, those that ended included."""
    me = psutil.Process()
    seconds = 0.0
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.Error):  # a child that ended just now: its parent has its time
            seconds += sum(process.cpu_times()[:4])  # user, system, and the same of ended children
    return seconds


def _celsius() -> float | None:
    """The hottest of the CPU's sensors."""
    found = psutil.sensors_temperatures()
    return max((entry.current for name in SENSORS for entry in found.get(name, ())), default=None)


def _shown(value: str | float | None) -> str:
    return "none" if value is None else str(value)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
