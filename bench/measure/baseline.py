"""The end of a lease on a GPU: the device has back the memory that a job took.

Processes that end give their memory back a moment later. The next job must not begin before that, nor may what another
process took meanwhile be taken for it. What is measured in processes of its own is waited for by who started them. The
process of any other job ends with it and cannot see that: whoever comes to the device next waits, before anything of
its own is there. Decided on readings alone; never run beside a real GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from bench.artefact_cache import cache_folder
from bench.device import gpu_index
from bench.errors import Contaminated

SLACK = 64 * 2**20  # the driver's own tables grow and shrink by some MiB
PATIENCE = 30.0  # seconds; a process with 80 GB takes about one to be cleaned up
PAUSE = 0.2
STEADY = 1.0  # seconds without a fall after which what is there belongs to the living
BOOT = Path("/proc/sys/kernel/random/boot_id")  # another one after each start of the machine


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


def await_predecessors(device: str) -> None:
    """Wait, before this process comes to a GPU, until it has back the memory of processes that have ended.

    Its baseline is the least that was ever read here since the machine was started. Others may be on the device, ours
    where evaluations share it, or strangers: then it does not come down to that, and it is enough that nothing more
    comes back. Whether a stranger spoils a measurement is for `bench.measure.gpu_watch` to say. Raises BadInput where
    the device is not there.
    """
    from bench.measure.nvml import open_gpu

    gpu = open_gpu(device)

    def read() -> int | None:
        return gpu.reading().used_bytes

    used = read()
    if used is not None:
        note = _note_of(gpu.setup().uuid)
        least = await_given_back(read, min(used, _noted(note, used)))
        if least < _noted(note, least + 1):
            _write(note, least)


def await_given_back(
    read: Callable[[], int | None],
    baseline: int,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wait until the bytes in use are at most SLACK above the baseline, or have stopped falling, PATIENCE at most.

    Returns the least that was read, or the baseline where that is less. Arguments are those of `await_baseline`.
    """
    began = fell = now()
    least: int | None = None
    while (used := read()) is not None:
        if least is None or used < least - SLACK:  # less is no sign that something large is being cleaned up
            fell = now()
        least = used if least is None else min(least, used)
        if used <= baseline + SLACK or now() - fell >= STEADY or now() - began >= PATIENCE:
            break
        sleep(PAUSE)
    return baseline if least is None else min(least, baseline)


def _note_of(uuid: str) -> Path:
    """Where the baseline of a device is kept until this machine is started anew."""
    try:
        boot = BOOT.read_text(encoding="ascii").strip()
    except OSError:
        boot = "unknown"
    return cache_folder() / "devices" / f"{uuid}-{boot}"


def _noted(note: Path, otherwise: int) -> int:
    try:
        return int(note.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return otherwise


def _write(note: Path, least: int) -> None:
    """Keep a baseline. Where nothing can be kept every job waits for what was read at its own beginning: not at all."""
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        draft = note.with_name(f".{uuid4().hex}")
        draft.write_text(str(least), encoding="ascii")
        draft.replace(note)
