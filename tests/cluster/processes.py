"""Looking after processes: who descends from whom, whether they are gone, and ending them without touching others."""

from __future__ import annotations

import ctypes
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """In a child before it runs its program: be ended when the parent dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def family(pid: int) -> list[psutil.Process]:
    """Everything below a process."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def end_family(pid: int) -> None:
    """End a process and everything below it; a process started meanwhile is ended too."""
    found = family(pid)
    with suppress(psutil.NoSuchProcess):
        found.append(psutil.Process(pid))
    for process in found:
        with suppress(psutil.NoSuchProcess):
            found += [p for p in process.children() if p not in found]
            process.kill()
    psutil.wait_procs([p for p in found if p.pid != pid], timeout=10)


def named(pid: int, words: str) -> list[psutil.Process]:
    """The descendants of a process whose command line holds `words`."""
    return [p for p in family(pid) if words in command_line(p)]


def appeared(find: Callable[[], list[psutil.Process]], seconds: float = 60.0) -> list[psutil.Process]:
    """What `find` finds as soon as it finds something: looked for again, it may be gone."""
    found: list[psutil.Process] = []

    def any_found() -> bool:
        found[:] = find()
        return bool(found)

    assert until(any_found, seconds), "no such process appears"
    return found


def command_line(process: psutil.Process) -> str:
    """Empty for a process that is gone."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def is_gone(pid: int) -> bool:
    """Whether no such process runs any more."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_gone(pids: Iterable[int], seconds: float = 30.0) -> bool:
    """Whether all of them are gone within so many seconds."""
    left = list(pids)
    return until(lambda: all(is_gone(pid) for pid in left), seconds)


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
