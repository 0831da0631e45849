"""Which processes are seen from here, and which of them live: a number alone may be of another process by now."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import psutil


def processes_here() -> str:
    """What tells apart the processes that are seen from here: the boot, and the container that we are in."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def born() -> float:
    """When this process began, seconds since 1970."""
    return psutil.Process().create_time()


def lives(pid: int, born: float) -> bool:
    """Whether the process of that number that began then is still there, and writes."""
    try:
        process = psutil.Process(pid)
        # A killed process that nobody has waited for yet still has its entry, and writes nothing any more.
        return abs(process.create_time() - born) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
