"""A GPU around a measurement: what it is, what it did, who else was on it. Pure; `bench.measure.nvml` reads.

What refuses a measurement is decided here, from readings alone: a stranger on the device, thermal or power slowdown, a
clock drop, a setup that changed. The bounds below are reasoned from NVIDIA's documentation, each beside its reason; no
GPU was at hand to measure them on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import NamedTuple, Protocol

from bench.errors import Contaminated

Detail = str | float | int | bool | None

# Clocks step by 15 MHz, under 1%, and boost gives some steps back as a chip warms. What falls steadily by 5% shifts
# the ratio of a compute-bound and a memory-bound model by half of that at worst: inside the 3% that ratios of unlike
# kernels are allowed.
CLOCK_DROP = 0.05
FEWEST_LOOKS = 6  # two for each third, so that no single reading is a drop
# About the context of another process before any of its data; ours grows by less once it is warm.
FOREIGN_BYTES = 256 * 2**20
CONTEXT_BYTES = 1536 * 2**20  # more than torch's context with all its kernels
FOREIGN_PERCENT = 5  # a desktop that redraws stays below

IDLE, POWER_CAP, SLOWDOWN = 0x01, 0x04, 0x08
SLOWED = {0x20: "slowed by heat (software)", 0x40: "slowed by heat (hardware)", 0x80: "slowed by its power supply"}


class Process(NamedTuple):
    """A process that NVML lists on the device; its bytes where the driver tells them."""

    pid: int
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Setup:
    """What a device is, and how it is set. Nothing of it may change during a measurement; None where it is not told."""

    name: str  # of the whole GPU
    uuid: str  # of the device that CUDA gives: the GPU, or the slice of it
    driver: str
    mig: str | None = None  # profile of the slice, as in "1g.10gb"
    mps: str | None = None  # share of threads that the multi-process service grants
    power_cap_watts: float | None = None
    persistence: bool | None = None
    compute_mode: str | None = None
    top_sm_mhz: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A device at one moment; None where it does not tell."""

    sm_mhz: int | None = None
    memory_mhz: int | None = None
    celsius: float | None = None
    reasons: int | None = None  # bits: why clocks are below their highest
    used_bytes: int | None = None  # by all processes, without what the driver keeps for itself
    percent: int | None = None  # of the last second or less in which a kernel ran
    processes: tuple[Process, ...] | None = None  # that compute
    graphics: tuple[Process, ...] = ()
    reserved_bytes: int = 0  # by torch's allocator in this process

    @property
    def busy(self) -> bool:
        """Whether clocks and their reasons are those of a device at work."""
        return self.reasons is not None and not self.reasons & IDLE

    @property
    def rest(self) -> int | None:
        """Memory that torch's allocator does not have: contexts, and strangers."""
        return None if self.used_bytes is None else self.used_bytes - self.reserved_bytes


class Gpu(Protocol):
    """Where readings come from: NVML, or a record."""

    def setup(self) -> Setup: ...

    def reading(self) -> Reading: ...

    def joules(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Course:
    """All that was seen of a device during one measurement."""

    before: Setup
    after: Setup
    bare_bytes: int | None  # in use before this process came to the device; None if it was there already
    start: Reading  # with nothing of ours running for a second
    looks: tuple[Reading, ...]  # right after work of ours
    finish: Reading  # as `start`
    own: frozenset[int]  # process ids of this process and its children
    parts: tuple[int, ...] = ()  # before which looks another part began, whose work is other work

    def busy_parts(self) -> Iterator[list[Reading]]:
        """The looks at work, part by part."""
        ends = [0, *self.parts, len(self.looks)]
        for first, last in pairwise(ends):
            yield [look for look in self.looks[first:last] if look.busy]


def hardware_class(setup: Setup, torch_minor: str) -> str:
    """The class of devices whose milliseconds may be compared: GPU, slice, sharing, power cap, driver, torch minor."""
    cap = "power cap unknown" if setup.power_cap_watts is None else f"{setup.power_cap_watts:g} W"
    parts = (
        setup.name,
        f"MIG {setup.mig}" if setup.mig else None,
        f"MPS {setup.mps}" if setup.mps else None,
        cap,
        f"driver {setup.driver.partition('.')[0]}",
        f"torch {torch_minor}",
    )
    return " | ".join(part for part in parts if part)


def description(setup: Setup) -> dict[str, Detail]:
    """The setup as details of conditions."""
    return {
        "gpu": setup.name,
        "gpu_uuid": setup.uuid,
        "gpu_driver": setup.driver,
        "gpu_mig": setup.mig,
        "gpu_mps": setup.mps,
        "gpu_power_cap_watts": setup.power_cap_watts,
        "gpu_persistence": setup.persistence,
        "gpu_compute_mode": setup.compute_mode,
        "gpu_top_sm_mhz": setup.top_sm_mhz,
    }


def judge(course: Course) -> dict[str, Detail]:
    """What a measurement's conditions say of the device.

    Raises:
        Contaminated: the setup changed, a stranger was there, the device slowed itself, or a clock fell.
    """
    changed(course.before, course.after)
    strangers(course)
    busy = [look for look in course.looks if look.busy]
    slowed([look.reasons or 0 for look in busy])
    clocks = [look.sm_mhz for look in busy if look.sm_mhz]
    # Each part by itself: a device at its power cap runs larger batches at a lower clock, and ratios are within a part.
    drops = [clock_drop("SM", [look.sm_mhz for look in part if look.sm_mhz]) for part in course.busy_parts()]
    for part in course.busy_parts():
        clock_drop("memory", [look.memory_mhz for look in part if look.memory_mhz])
    drop = max((each for each in drops if each is not None), default=None)
    everything = (course.start, *course.looks, course.finish)
    listed = [p.pid in course.own for r in everything for p in r.processes or ()]
    foreign = [b for r in everything if (b := foreign_bytes(r, course.own)) is not None]
    return {
        "gpu_looks": len(course.looks),
        "gpu_busy_looks": len(busy),
        "gpu_sm_mhz_before": course.start.sm_mhz,
        "gpu_sm_mhz_after": course.finish.sm_mhz,
        "gpu_sm_mhz_lowest": min(clocks, default=None),
        "gpu_sm_mhz_highest": max(clocks, default=None),
        "gpu_memory_mhz_before": course.start.memory_mhz,
        "gpu_memory_mhz_after": course.finish.memory_mhz,
        "gpu_clock_drop": None if drop is None else round(drop, 4),
        "gpu_power_capped_share": _share([bool((look.reasons or 0) & POWER_CAP) for look in busy]),
        "gpu_celsius_before": course.start.celsius,
        "gpu_celsius_after": course.finish.celsius,
        "gpu_celsius_highest": max((r.celsius for r in everything if r.celsius is not None), default=None),
        "gpu_percent_before": course.start.percent,
        "gpu_percent_after": course.finish.percent,
        "gpu_process_ids": "seen" if any(listed) else "hidden",
        "gpu_foreign_bytes": max(0, *foreign) if foreign else None,
    }


def changed(before: Setup, after: Setup) -> None:
    """Raise Contaminated for the first part of the setup that is not what it was."""
    for what, was, now in (
        ("device", before.uuid, after.uuid),
        ("driver", before.driver, after.driver),
        ("MIG profile", before.mig, after.mig),
        ("multi-process service", before.mps, after.mps),
        ("power cap in watts", before.power_cap_watts, after.power_cap_watts),
        ("persistence mode", before.persistence, after.persistence),
        ("compute mode", before.compute_mode, after.compute_mode),
    ):
        if was != now:
            raise Contaminated(
                f"The GPU's {what} changed from {was} to {now} while the measurement ran: both halves would be of "
                "different devices, so keep it fixed and run again."
            )


def strangers(course: Course) -> None:
    """Raise Contaminated if anybody else used the device, also where process ids are hidden.

    Three signs: processes listed beside ours; kernels that run while we run none; memory that is not ours. In a
    container the list may be empty, hold ids of the host, or leave strangers out, so each sign counts by itself.
    """
    everything = (course.start, *course.looks, course.finish)
    most = max(foreign_processes(r, course.own, course.before.mps is not None) for r in everything)
    if most:
        raise Contaminated(
            f"The GPU was shared: {most} other process{'es' if most > 1 else ''} computed on it while the measurement "
            "ran, and none is allowed; free the GPU and run again."
        )
    for when, reading in (("before", course.start), ("after", course.finish)):
        if reading.percent is not None and reading.percent > FOREIGN_PERCENT:
            raise Contaminated(
                f"The GPU was busy {reading.percent}% of the time just {when} the measurement, while this process ran "
                f"nothing, and at most {FOREIGN_PERCENT}% is allowed: another process, hidden from here, uses it; free "
                "the GPU and run again."
            )
    held = _foreign_memory(course)
    if held > FOREIGN_BYTES:
        raise Contaminated(
            f"{held / 2**20:.0f} MiB of the GPU's memory belonged to somebody else while the measurement ran, and at "
            f"most {FOREIGN_BYTES / 2**20:.0f} are allowed; free the GPU and run again."
        )


def foreign_processes(reading: Reading, own: frozenset[int], mps: bool) -> int:
    """How many listed processes cannot be ours: all but us, or all but one where ids are of another namespace.

    The server of the multi-process service is listed beside its clients and is no stranger.
    """
    listed = {process.pid for process in reading.processes or ()}
    ours = len(listed & own) or 1
    return max(0, len(listed) - ours - mps)


def foreign_bytes(reading: Reading, own: frozenset[int]) -> int | None:
    """Memory of others, where the driver tells ours: a desktop's, which is drawn from, is not counted."""
    listed = reading.processes or ()
    ours = [p for p in listed if p.pid in own] or list(listed if len(listed) == 1 else ())
    if reading.used_bytes is None or not ours or any(p.bytes is None for p in ours):
        return None
    drawing = [p for p in reading.graphics if p.pid not in {o.pid for o in ours}]  # one process may be in both lists
    return reading.used_bytes - sum(p.bytes or 0 for p in (*ours, *drawing))


def _foreign_memory(course: Course) -> int:
    """Bytes of others, by the list of processes, or by what torch's allocator and one context do not explain."""
    everything = (course.start, *course.looks, course.finish)
    told = [b for reading in everything if (b := foreign_bytes(reading, course.own)) is not None]
    if told:
        return max(told)
    at_start = course.bare_bytes
    if at_start is None:
        at_start = (course.start.rest or 0) - CONTEXT_BYTES
    # The first look is warm: our own context grows little after it.
    rests = [r.rest for r in (*course.looks, course.finish) if r.rest is not None]
    return max(at_start, max(rests) - rests[0] if rests else 0)


def slowed(reasons: Sequence[int]) -> None:
    """Raise Contaminated if a device at work slowed itself.

    The software power cap alone is no reason: the cap belongs to the hardware class, small GPUs always work at it, and
    what it does to the clock is judged as a clock drop. Hardware slowdown without a cause may be a mere change of
    clocks (NVML's documentation), so it counts when it is seen twice.
    """
    for bit, words in SLOWED.items():
        seen = sum(bool(r & bit) for r in reasons)
        if seen:
            raise Contaminated(
                f"The GPU was {words} in {seen} of {len(reasons)} looks while the measurement ran, and none is "
                "allowed: see to its cooling and power, and run again."
            )
    seen = sum(bool(r & SLOWDOWN) for r in reasons)
    if seen > 1:
        raise Contaminated(
            f"The GPU's hardware slowed it down in {seen} of {len(reasons)} looks while the measurement ran, and one "
            "is allowed: see to its cooling and power, and run again."
        )


def clock_drop(which: str, mhz: Sequence[int]) -> float | None:
    """Relative distance of the slowest third of the measurement from the fastest, by medians; None of too few looks.

    Raises Contaminated above CLOCK_DROP.
    """
    if len(mhz) < FEWEST_LOOKS:
        return None
    third = len(mhz) // 3
    medians = [median(part) for part in (mhz[:third], mhz[third:-third], mhz[-third:])]
    drop = 1 - min(medians) / max(medians)
    if min(medians) < (1 - CLOCK_DROP) * max(medians):
        raise Contaminated(
            f"The GPU's {which} clock moved by {drop:.1%} (medians of thirds of the measurement: "
            f"{', '.join(f'{m:g}' for m in medians)} MHz), and at most {CLOCK_DROP:.0%} is allowed: cool the GPU or "
            "lock its clocks (nvidia-smi --lock-gpu-clocks), and run again."
        )
    return drop


def _share(flags: Sequence[bool]) -> float | None:
    return round(sum(flags) / len(flags), 3) if flags else None
