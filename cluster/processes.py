"""Ending a worker with everything that it has started, also what has left its group, its session or its parent.

Processes inherit their environment: an attempt puts its mark into it, and whatever carries the mark is the attempt's.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

MARK = "PAREDOWN_ATTEMPT"
PATIENCE = 5.0  # seconds that the kernel is given to end what was killed


@contextmanager
def marked(mark: str) -> Iterator[None]:
    """Have everything that this process starts meanwhile carry the mark, and end what is left of it."""
    os.environ[MARK] = mark
    before = _of_children()
    try:
        yield
    finally:
        del os.environ[MARK]
        # Most have started nothing, and to look through all processes takes milliseconds.
        if _of_children() != before or _has_children():
            end_marked(mark)


def _of_children() -> tuple[int, int]:
    """Page faults of children that this process has waited for: another count if there were some meanwhile."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_minflt, usage.ru_majflt


def _has_children() -> bool:
    try:
        return any(file.read_text() for file in Path("/proc/self/task").glob("*/children"))
    except OSError:
        return True  # this kernel does not say


def carrying(mark: str) -> list[int]:
    """Processes of this user that carry the mark, but for this one."""
    words = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if words in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def end_marked(mark: str, patience: float = PATIENCE) -> bool:
    """Kill whatever carries the mark. Whether nothing does any more; a process in the kernel's hands may not end."""
    deadline = time.monotonic() + patience
    while found := [pid for pid in carrying(mark) if not _is_dead(pid)]:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def end_tree(pid: int) -> None:
    """Kill a worker and everything below it, also where the worker itself is dead already."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()


def end_attempt(pid: int, born: float, mark: str) -> bool:
    """Kill a worker, if it is still the process that it was, and all that its attempt has started."""
    with suppress(psutil.NoSuchProcess):
        if abs(psutil.Process(pid).create_time() - born) < 1:
            psutil.Process(pid).kill()
    return end_marked(mark)
