"""Jobs that need no model and no torch, and do what real ones do only on a bad day."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Never

import numpy as np

from bench.errors import BadInput, ClusterLost
from bench.execute import Done, Site
from bench.identity import digest
from bench.job import Job
from bench.record import Examples, Finished, JobKind, Record, Samples, Value


class Act(Job):
    """Does what `does` says, under the table ACTS."""

    kind: ClassVar[JobKind] = "evaluate"

    name: str
    driver: int  # pid of a process in which no job may run
    does: str = "sleep"
    seconds: float = 0.02
    notes: str = ""  # a file, for what a job cannot say itself

    def identity(self) -> dict[str, Any]:
        return {"name": self.name}

    @property
    def title(self) -> str:
        return f"act {self.name}"


class FreshAct(Act):
    """In a process of its own."""

    fresh: ClassVar[bool] = True


class GpuAct(Act):
    """On a GPU, which it only says that it needs."""

    @property
    def gpu(self) -> str | None:
        return "cuda"


class LoneAct(Act):
    """With nothing else of ours beside it, in a process of its own, as a latency lease."""

    fresh: ClassVar[bool] = True
    exclusive: ClassVar[bool] = True


class OddError(Exception):
    """Pickles, but does not unpickle: the usual mistake."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


class MuteError(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def _sleep_until_told(job: Act) -> None:
    """Sleep, or not any longer once there is a file."""
    begin = time.monotonic()
    while time.monotonic() < begin + job.seconds and not Path(job.notes).exists():
        time.sleep(0.02)


def _meet(job: Act) -> None:
    """End once another such job runs beside this one."""
    folder = Path(job.notes)
    folder.mkdir(exist_ok=True)
    (folder / job.name).touch()
    begin = time.monotonic()
    while len(list(folder.iterdir())) < 2:
        if time.monotonic() > begin + 60:
            raise RuntimeError("nobody came")
        time.sleep(0.02)


def _exit(job: Act) -> Never:
    os._exit(3)


def _kill(job: Act) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault(job: Act) -> None:
    ctypes.string_at(0)


def _hang(job: Act) -> None:
    """Block inside C with the interpreter's lock held, as a broken kernel does, with a child that sleeps on."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(job.notes).write_text(f"{os.getpid()} {child.pid}")
    ctypes.PyDLL(None).pause()


ESCAPE = """
import os, sys, time
written, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(sys.argv[1], "a") as notes:
            notes.write(f"{os.getpid()} ")
        os.close(writing)
        time.sleep(600)
    os._exit(0)
os.close(writing)
os.wait()
os.read(written, 1)  # which ends when nobody can write any more
"""


def _escape(job: Act) -> None:
    """Leave a process behind that has left its parent, its group and its session, and has written down its number."""
    subprocess.run([sys.executable, "-c", ESCAPE, job.notes], check=True)


def _escape_and_exit(job: Act) -> Never:
    _escape(job)
    os._exit(3)


def _escape_and_hang(job: Act) -> None:
    _escape(job)
    ctypes.PyDLL(None).pause()


def _speak(job: Act) -> Never:
    """Say something where Python does not see it, and fail."""
    print("from Python")
    os.write(2, b"from a descriptor\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    raise LookupError("the third layer")


def _speak_and_exit(job: Act) -> Never:
    os.write(2, b"its last words\n")
    os._exit(3)


def _full_once(job: Act) -> None:
    try:
        os.close(os.open(job.notes, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        time.sleep(job.seconds)
        return
    raise MemoryError("not this time")


def _fill_memory(job: Act) -> Never:
    """Take whatever memory can be had, down to the last kilobyte, and hold it while the error rises."""
    held = []
    size = 1 << 26
    while True:
        try:
            held.append(np.empty(size, dtype=np.uint8))
        except MemoryError:
            if size <= 1 << 10:
                raise
            size //= 2


def _refuse(job: Act) -> Never:
    raise BadInput("decoder keeps 9 layers but the parent has 6: choose fewer.")


def _stumble(job: Act) -> Never:
    raise LookupError("the third layer")


def _odd(job: Act) -> Never:
    raise OddError("left", "right")


def _mute(job: Act) -> Never:
    raise MuteError


def _crash_once(job: Act) -> None:
    try:
        os.close(os.open(job.notes, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os._exit(4)


def _cut_off_once(job: Act) -> None:
    """Have the worker hear, when it reports this job, that its node is no longer of the cluster."""
    try:
        os.close(os.open(job.notes, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    ray_work: Any = import_module("cluster.ray_work")
    append = ray_work.append

    def cut_off(*asked: Any) -> Never:
        ray_work.append = append
        raise ClusterLost("this machine is no longer of it")

    ray_work.append = cut_off


ACTS: dict[str, Callable[[Act], None]] = {
    "sleep": lambda job: time.sleep(job.seconds),
    "sleep until told": _sleep_until_told,
    "meet": _meet,
    "exit": _exit,
    "kill": _kill,
    "segfault": _segfault,
    "hang": _hang,
    "fill memory": _fill_memory,
    "refuse": _refuse,
    "stumble": _stumble,
    "odd": _odd,
    "mute": _mute,
    "crash once": _crash_once,
    "escape": _escape,
    "escape and exit": _escape_and_exit,
    "escape and hang": _escape_and_hang,
    "speak": _speak,
    "speak and exit": _speak_and_exit,
    "full once": _full_once,
    "cut off once": _cut_off_once,
}


def act(job: Job, site: Site) -> Done:
    """What a worker does with a job of this file."""
    assert isinstance(job, Act)
    if os.getpid() == job.driver:
        raise AssertionError("a job ran in the driver's process")
    began = time.time()
    ACTS[job.does](job)
    artefact_id = digest(job.name)
    number = sum(job.name.encode())
    values = (Value.exact(artefact_id, "size", float(number)),)
    notes: dict[str, str | float | int | bool | None] = {
        "pid": os.getpid(),
        "began": began,
        "ended": time.time(),
        "torch": "torch" in sys.modules,
    }
    examples = Examples(
        artefact_id=artefact_id,
        task=digest("task"),
        index=np.arange(3),
        label=("a", "b", "c"),
        prediction=("a", "b", job.name),
        score=np.array([1.0, 1.0, 0.0]),
        confidence=np.full(3, 0.5),
    )
    samples = Samples(
        artefact_id=(artefact_id,) * 2,
        scope=("batch 1 x 8 tokens",) * 2,
        lease=0,
        round=np.zeros(2, dtype=np.int32),
        position=np.arange(2, dtype=np.int16),
        calls=np.ones(2, dtype=np.int32),
        seconds=np.array([number, number + 1.0]),
        first=np.zeros(2),
        each=((number,), (number + 1.0,)),
        joules=np.full(2, np.nan),
    )
    return Done(Finished(values=values, notes=notes), examples=examples, samples=samples)


def sleeps(count: int, seconds: float = 0.02, prefix: str = "sleep") -> list[Act]:
    """Jobs that end well."""
    return [Act(name=f"{prefix} {i}", driver=os.getpid(), seconds=seconds) for i in range(count)]


def meetings(folder: Path) -> list[Act]:
    """Two jobs of which each ends when the other runs beside it: only two workers can do them."""
    jobs = sleeps(2, 0.0, "meet")
    return [job.model_copy(update={"does": "meet", "notes": str(folder)}) for job in jobs]


def sleeps_until(told: Path, count: int, seconds: float, prefix: str = "sleep") -> list[Act]:
    """The same, but none sleeps once `told` is there."""
    jobs = sleeps(count, seconds, prefix)
    return [job.model_copy(update={"does": "sleep until told", "notes": str(told)}) for job in jobs]


def note(record: Record, name: str) -> float:
    """A number that a finished job noted."""
    assert isinstance(record.outcome, Finished)
    found = record.outcome.notes[name]
    assert isinstance(found, (int, float))
    return found


def pid_of(record: Record) -> int:
    """The process that made the record."""
    return int(record.worker.rpartition(":")[2])
