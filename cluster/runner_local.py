"""Jobs in processes of this machine, without Ray: one long-lived process a slot, a new one for jobs that ask for it."""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench.execute import Execute, Site, attempt, execute
from bench.job import Job
from bench.processor import prepare
from bench.record import Delivery, FailureKind, Record
from bench.store.journal import Entry
from bench.store.writer import Writer
from cluster.failures import lost
from cluster.processes import end_tree

CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use."""

    seconds: float = 3600.0
    memory_bytes: int | None = None
    deaths: int | None = None  # workers that a job may take down before it is called poison; None: as many as it likes


def serve(pipe: Connection, site: Site, run: Execute, memory_bytes: int | None, log: Path) -> None:
    """The life of a worker process: take a job, say None to begin with, attempt it, hand over the delivery."""
    os.setsid()  # a group of its own: Ctrl-C is the driver's to handle, and the whole tree can be ended at once
    threading.Thread(target=_end_with_driver, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, sys.stdout.fileno() if sys.stdout else 1)
    os.dup2(file, sys.stderr.fileno() if sys.stderr else 2)
    prepare()
    limit_memory(memory_bytes)
    while True:
        try:
            job, number = pipe.recv()
        except EOFError:
            return
        pipe.send(None)
        try:
            answer: Delivery | Exception = attempt(job, number, site, run)
        except Exception as error:  # noqa: BLE001 - a full disk: the driver must hear of it
            answer = error
        pipe.send(answer)


def _end_with_driver() -> None:
    """End this worker and what it has started when its driver is gone: nobody else would."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os.killpg(os.getpid(), signal.SIGKILL)


def limit_memory(memory_bytes: int | None) -> None:
    """Refuse this process more private memory: an allocation beyond it fails instead of ending the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard if memory_bytes is None else memory_bytes, hard))


class Slot:
    """One worker process and the job it has."""

    def __init__(self, site: Site, run: Execute, limits: Limits, log: Path) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self.process: BaseProcess = CONTEXT.Process(
            target=serve, args=(theirs, site, run, limits.memory_bytes, log), daemon=False
        )
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.attempt = 0
        self.seconds = 0.0
        self.deadline = math.inf
        self.began = 0.0

    def give(self, job: Job, number: int, seconds: float) -> None:
        self.job, self.attempt, self.seconds = job, number, seconds
        self.began, self.deadline = time.time(), math.inf
        with suppress(OSError):  # a worker that died just now is noticed by `wait`
            self.pipe.send((job, number))

    def begin(self) -> None:
        """The worker has the job: its time limit counts from here, not from the start of its process."""
        self.began, self.deadline = time.time(), time.monotonic() + self.seconds

    def end(self) -> None:
        if self.process.pid is not None:
            end_tree(self.process.pid)
        self.process.join()
        self.pipe.close()


class LocalPool:
    """A fixed number of worker processes; this process is the writer."""

    def __init__(
        self, writer: Writer, site: Site, *, workers: int, limits: Limits, run: Execute = execute, logs: Path
    ) -> None:
        self._writer, self._site, self._run, self._limits, self._logs = writer, site, run, limits, logs
        self._workers = workers
        self._slots: list[Slot] = []

    def _busy(self) -> list[Slot]:
        return [slot for slot in self._slots if slot.job is not None]

    def takes(self, job: Job) -> bool:
        busy = self._busy()
        running = [slot.job for slot in busy if slot.job is not None]
        if any(other.exclusive or (job.gpu and other.gpu == job.gpu) for other in running):
            return False
        return not busy if job.exclusive else len(busy) < self._workers

    def submit(self, job: Job, attempt: int) -> None:
        for slot in [s for s in self._slots if s.job is None and not s.process.is_alive()]:
            self._remove(slot)
        idle = [slot for slot in self._slots if slot.job is None]
        if job.fresh or job.gpu or not idle:
            if idle and len(self._slots) >= self._workers:
                self._remove(idle[0])
            slot = Slot(self._site, self._run, self._limits, self._logs / f"worker-{os.getpid()}-{time.time_ns()}.log")
            self._slots.append(slot)
        else:
            slot = idle[0]
        slot.give(job, attempt, self._limits.seconds)

    def _remove(self, slot: Slot) -> None:
        self._slots.remove(slot)
        slot.end()

    def wait(self, seconds: float) -> list[Record]:
        busy = self._busy()
        ready = set(wait([slot.pipe for slot in busy], timeout=seconds))
        deliveries: list[Delivery] = []
        for slot in busy:
            if slot.pipe in ready:
                deliveries += self._receive(slot)
            elif time.monotonic() > slot.deadline:
                reason = f"The job did not end within {self._limits.seconds:g} s, and was ended."
                deliveries.append(self._lose(slot, "timeout", reason))
        if deliveries:
            self._writer.append([Entry.of(delivery) for delivery in deliveries])
        return [delivery.record for delivery in deliveries]

    def _receive(self, slot: Slot) -> list[Delivery]:
        try:
            answer = slot.pipe.recv()
        except (EOFError, OSError):  # it may have died in the middle of its answer
            slot.process.join()
            return [self._lose(slot, *_how_it_died(slot.process.exitcode))]
        if answer is None:
            slot.begin()
            return []
        if isinstance(answer, Exception):
            raise answer
        fresh = slot.job is not None and bool(slot.job.fresh or slot.job.gpu)
        slot.job = None
        if fresh:
            self._remove(slot)
        delivery: Delivery = answer
        return [delivery]

    def _lose(self, slot: Slot, kind: FailureKind, reason: str) -> Delivery:
        job = slot.job
        assert job is not None
        self._remove(slot)
        return lost(job, slot.attempt, kind, reason, slot.began)

    def state(self, entries: list[Entry]) -> None:
        self._writer.append(entries)

    def report(self, progress: dict[str, Any]) -> None:
        self._writer.lease.check()
        self._writer.report(progress)
        self._writer.publish()

    def close(self) -> None:
        for slot in self._slots:
            slot.end()
        self._slots.clear()
        self._writer.close()


def _how_it_died(exit_code: int | None) -> tuple[FailureKind, str]:
    if exit_code == -signal.SIGKILL:
        return "lost worker", "The worker process was killed (signal 9); the kernel does that when memory runs out."
    if exit_code is not None and exit_code < 0:
        return "lost worker", f"The worker process died of signal {-exit_code} ({signal.Signals(-exit_code).name})."
    return "lost worker", f"The worker process ended by itself with exit code {exit_code}."


def workers_for(cpus: float, asked: int | None = None) -> int:
    """How many worker processes to use: as asked, or one a CPU."""
    return max(1, asked if asked is not None else int(cpus))
