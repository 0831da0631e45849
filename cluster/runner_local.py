"""Jobs in processes of this machine, without Ray: one long-lived process a slot, a new one for jobs that ask for it."""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil

from bench.execute import Execute, Site, attempt, execute
from bench.job import Job
from bench.processor import collect_seldom, prepare
from bench.record import Delivery, FailureKind, Record
from bench.store.journal import Entry
from bench.store.places import Place
from bench.store.writer import Writer
from cluster.attempts import AttemptLog, Begun, Output, flush, with_output
from cluster.failures import device_of, lost
from cluster.ledger import Held, History
from cluster.processes import end_marked, end_tree, marked

if TYPE_CHECKING:
    from cluster.drive import Running

CONTEXT = multiprocessing.get_context("spawn")
SOON = 0.1  # seconds until a job for which there is no room is tried again


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use."""

    seconds: float = 3600.0
    memory_bytes: int | None = None
    deaths: int | None = None  # workers that a job may take down before it is called poison; None: as many as it likes


def serve(pipe: Connection, site: Site, run: Execute, memory_bytes: int | None, log: Path) -> None:
    """The life of a worker process: take a job, say where it begins, attempt it, hand over the delivery."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    os.setsid()  # a group of its own: Ctrl-C is the driver's to handle, and the whole tree can be ended at once
    threading.Thread(target=_end_with_driver, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, sys.stdout.fileno() if sys.stdout else 1)
    os.dup2(file, sys.stderr.fileno() if sys.stderr else 2)
    prepare()
    collect_seldom()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore that a worker leaves behind when it is killed
    limit_memory(memory_bytes)
    output, node = Output(log, shared=True), socket.gethostname()
    born = psutil.Process().create_time()
    while True:
        try:
            job, number, mark = pipe.recv()
        except EOFError:
            return
        offset = output.size()
        pipe.send(Begun("", node, os.getpid(), born, log.name, offset))
        try:
            with marked(mark):
                delivery = attempt(job, number, site, run)
            flush()
            record = delivery.record.model_copy(update={"node": node, "device": device_of(job)})
            answer: Delivery | Exception = with_output(replace(delivery, record=record), output.tail(offset))
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
        self.alone = False
        self.attempt = 0
        self.seconds = 0.0
        self.deadline = math.inf
        self.began = 0.0
        self.begun: Begun | None = None
        self.mark = ""

    def give(self, job: Job, number: int, seconds: float, *, alone: bool) -> None:
        self.job, self.attempt, self.seconds, self.alone = job, number, seconds, alone
        self.began, self.deadline, self.begun, self.mark = time.time(), math.inf, None, uuid4().hex
        with suppress(OSError):  # a worker that died just now is noticed by `wait`
            self.pipe.send((job, number, self.mark))

    def begin(self, begun: Begun) -> None:
        """The worker has the job: its time limit counts from here, not from the start of its process."""
        self.begun = begun
        self.began, self.deadline = time.time(), time.monotonic() + self.seconds

    def end(self) -> None:
        if self.process.pid is not None:
            end_tree(self.process.pid)
        if self.job is not None:  # what has left the tree carries the mark
            end_marked(self.mark)
        self.process.join()
        self.pipe.close()


class LocalPool:
    """A fixed number of worker processes; this process is the writer."""

    def __init__(
        self,
        writer: Writer,
        site: Site,
        *,
        workers: int,
        limits: Limits,
        run: Execute = execute,
        logs: Path,
        bucket: Place | None = None,
    ) -> None:
        self._writer, self._site, self._run, self._limits, self._logs = writer, site, run, limits, logs
        self._workers = workers
        self._slots: list[Slot] = []
        self._history = History()
        self._held: list[Held] = []
        self._log = AttemptLog(logs, bucket)

    def _busy(self) -> list[Slot]:
        return [slot for slot in self._slots if slot.job is not None]

    def _alone(self, job: Job) -> bool:
        """Whether nothing may run beside it: it asks for that, or has run out of memory beside others."""
        return job.exclusive or self._history.next(job).larger

    def takes(self, job: Job) -> bool:
        if len(self._busy()) + len(self._held) >= self._workers:
            return False
        return self._history.pause(job) > 0 or self._has_room(job)

    def _has_room(self, job: Job) -> bool:
        busy = self._busy()
        if any(slot.alone or (job.gpu and slot.job is not None and slot.job.gpu == job.gpu) for slot in busy):
            return False
        return not busy if self._alone(job) else len(busy) < self._workers

    def submit(self, job: Job, attempt: int) -> None:
        self._start_or_hold(Held(job, attempt, time.monotonic() + self._history.pause(job)))

    def _start_or_hold(self, held: Held) -> None:
        if held.until > time.monotonic() or not self._has_room(held.job):
            self._held.append(held)
            return
        job = held.job
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
        slot.give(job, held.attempt, self._limits.seconds, alone=self._alone(job))

    def _remove(self, slot: Slot) -> None:
        self._slots.remove(slot)
        slot.end()

    def wait(self, seconds: float) -> list[Record]:
        held, self._held = self._held, []
        for each in held:
            self._start_or_hold(each)
        busy = self._busy()
        if self._held:
            seconds = min(seconds, SOON)
        if not busy:
            time.sleep(seconds)
        ready = set(wait([slot.pipe for slot in busy], timeout=seconds))
        deliveries: list[Delivery] = []
        ended: list[tuple[Record, str, Begun | None]] = []
        for slot in busy:
            title, begun = slot.job.title if slot.job else "", slot.begun
            if slot.pipe in ready:
                found = self._receive(slot)
            elif time.monotonic() > slot.deadline:
                reason = f"The job did not end within {self._limits.seconds:g} s, and was ended."
                found = [self._lose(slot, "timeout", reason)]
            else:
                continue
            deliveries += found
            ended += [(delivery.record, title, begun) for delivery in found]
        if deliveries:
            self._writer.append([Entry.of(delivery) for delivery in deliveries])
        for record, title, begun in ended:
            self._history.learn(record)
            self._log.note(record, title, begun)
        return [delivery.record for delivery in deliveries]

    def _receive(self, slot: Slot) -> list[Delivery]:
        try:
            answer = slot.pipe.recv()
        except (EOFError, OSError):  # it may have died in the middle of its answer
            slot.process.join()
            return [self._lose(slot, *_how_it_died(slot.process.exitcode))]
        if isinstance(answer, Begun):
            slot.begin(answer)
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
        node = socket.gethostname()
        tail = self._log.tail(slot.begun)
        delivery = lost(job, slot.attempt, kind, reason, slot.began, node=node, log=tail)
        return self._history.judged(delivery, self._limits.deaths)

    def utilisation(self) -> dict[str, tuple[float, float]]:
        """Workers that have a job, and all workers, of this machine by its name."""
        return {socket.gethostname(): (float(len(self._busy())), float(self._workers))}

    def running(self) -> list[Running]:
        """What has begun and not ended, the oldest first."""
        begun = ((slot.begun.node, slot.job.title, slot.began) for slot in self._busy() if slot.begun and slot.job)
        return sorted(begun, key=lambda each: each[2])

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
        self._log.close()
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
