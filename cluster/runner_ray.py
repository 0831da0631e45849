"""Jobs as Ray tasks. Workers hand their deliveries to the one writer, an actor on the head node, and return the record.

What this project needs different from Ray's defaults is set in `cluster.ray_settings`, before Ray is imported.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)

from bench.errors import BadInput, DiskFull, StaleLease
from bench.execute import Execute, Site, attempt, execute
from bench.job import Job
from bench.processor import prepare
from bench.record import Delivery, FailureKind, Record
from bench.store.folder import Folder
from bench.store.journal import Entry
from bench.store.writer import Writer
from cluster.failures import lost
from cluster.runner_local import Limits, limit_memory

NAMESPACE = "paredown"
GATHER_SECONDS = 0.020  # a part of the journal holds what arrives within this time
GATHER_MOST = 500
ORPHAN_SECONDS = 60.0  # the writer ends itself so long after its last driver
HEAD = "node:__internal_head__"


def start(address: str | None, cpus: int | None = None) -> None:
    """Connect to a cluster, or start one on this machine. Raises BadInput where no Ray answers at `address`.

    `ray_settings.apply` must have come before this module was imported.
    """
    try:
        if address is None:
            ray.init(
                num_cpus=cpus,
                namespace=NAMESPACE,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=True,
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"No Ray cluster can be reached at {address!r} ({reason}): check the address and the token."
        ) from error


class WriterActor:
    """The writer as an actor: gathers what arrives at the same time into one part, acknowledges when it is durable."""

    def __init__(self, root: str, epoch: int) -> None:
        self._writer = Writer(Folder(Path(root)), epoch)
        self._waiting: list[tuple[list[Entry], asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._heard = time.monotonic()
        self._ending = threading.Event()
        # Begun here, not by a call: after a restart of the actor nobody would make that call again.
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    async def ready(self) -> bool:
        """Answers when the actor is up."""
        return True

    async def append(self, entries: list[Entry]) -> None:
        """Returns when the entries are durable. Raises StaleLease or DiskFull."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        while self._waiting:
            if len(self._waiting) < GATHER_MOST:
                await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting[:GATHER_MOST], self._waiting[GATHER_MOST:]
            try:
                self._writer.append([entry for entries, _ in batch for entry in entries])
            except Exception as error:  # noqa: BLE001 - each caller gets it
                for _, done in batch:
                    if not done.done():  # its caller may have been cancelled
                        done.set_exception(error)
            else:
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)

    def _keep(self) -> None:
        """Publish about once a second; end when no driver has been heard of for a while."""
        while not self._ending.wait(0.25):
            try:
                self._writer.publish()
            except Exception:
                logging.exception("the snapshot could not be published")
            if time.monotonic() - self._heard > ORPHAN_SECONDS:
                self._writer.close()
                ray.kill(ray.get_runtime_context().current_actor, no_restart=True)
                return

    async def report(self, progress: dict[str, Any]) -> None:
        self._heard = time.monotonic()
        self._writer.report(progress)

    async def records(self) -> list[Record]:
        return await asyncio.to_thread(self._writer.records)

    async def retried(self) -> dict[str, str]:
        return await asyncio.to_thread(self._writer.retried)

    async def close(self) -> None:
        """Publish what is left and let go of the database."""
        self._ending.set()
        await asyncio.to_thread(self._keeper.join)
        await asyncio.to_thread(self._writer.close)


def start_writer(folder: Folder, epoch: int, store_id: str) -> Any:
    """The store's writer for this epoch. A writer of an earlier epoch is ended first: its lease is over."""
    name = f"writer-{store_id}"
    with suppress(ValueError):
        ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
    remote: Any = ray.remote(WriterActor)
    remote = remote.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        num_cpus=0,
        resources={HEAD: 0.001},
        max_restarts=-1,
        max_task_retries=-1,
    )
    deadline = time.monotonic() + 30
    while True:
        try:
            writer = remote.remote(str(folder.root), epoch)
            ray.get(writer.ready.remote(), timeout=60)
        except (ValueError, RayActorError, RayTaskError, GetTimeoutError) as error:
            # The name of a killed actor and its lock on the database are free a moment later.
            if time.monotonic() > deadline:
                raise BadInput(f"The writer of {folder.root} does not start: {error}") from error
            time.sleep(0.3)
        else:
            return writer


def append(writer: Any, entries: list[Entry]) -> None:
    """Have entries made durable by the writer. Raises what it raises: StaleLease, DiskFull."""
    try:
        ray.get(writer.append.remote(entries))
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, (DiskFull, StaleLease)) else error) from None
    except RayActorError as error:  # it is restarted for ever unless somebody ends it
        raise StaleLease("the writer of this sweep was ended, as by a newer driver") from error


def work(job: Job, number: int, site: Site, run: Execute, limits: Limits, writer: Any) -> Iterator[Record | None]:
    """One attempt at one job on a worker. Gives None when it begins, its record when the writer has acknowledged it."""
    yield None
    prepare()
    limit_memory(limits.memory_bytes)
    delivery = attempt(job, number, site, run)
    append(writer, [Entry.of(delivery)])
    if site.acknowledgements is not None:
        note_acknowledged(site.acknowledgements, delivery.record)
    yield delivery.record


# Retrying is the plan's business. A fresh job's process ends with it.
WORK = ray.remote(max_retries=0, num_returns="streaming")(work)
WORK_FRESH = ray.remote(max_retries=0, max_calls=1, num_returns="streaming")(work)


def _own_process() -> dict[str, Any]:
    """A task in an environment that no other has begins in a process that no other has used."""
    return {"env_vars": {"PAREDOWN_FRESH": uuid4().hex}}


def note_acknowledged(folder: Path, record: Record) -> None:
    """Write down, on the worker's side, that the writer has acknowledged this record."""
    # A note that cannot be made, as on a node without this folder, must not cost the record.
    with suppress(OSError), (folder / f"acknowledged-{os.getpid()}.log").open("a", encoding="utf-8") as file:
        file.write(f"{record.identity}\n")
        file.flush()
        os.fsync(file.fileno())


@dataclass
class Flight:
    """A job in flight. Its time limit counts from when a worker begins with it: a job that queues has not hung."""

    job: Job
    attempt: int
    began: float
    deadline: float = math.inf
    cancelled: bool = False


class RayPool:
    """The cluster's workers."""

    def __init__(
        self, writer: Any, site: Site, *, limits: Limits, run: Execute = execute, most: int | None = None
    ) -> None:
        self._writer, self._site, self._limits, self._run = writer, site, limits, run
        self._flights: dict[ray.ObjectRefGenerator, Flight] = {}
        cpus = [int(n["Resources"].get("CPU", 0)) for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
        self._node_cpus = max(1, min(c for c in cpus if c) if any(cpus) else 1)
        self._most = most or 2 * max(1, sum(cpus))
        self._reported = 0.0
        self._progress: dict[str, Any] = {}

    def takes(self, job: Job) -> bool:
        del job
        return len(self._flights) < self._most

    def submit(self, job: Job, attempt: int) -> None:
        # Claiming every CPU of a node is how nothing else of ours runs there.
        options: dict[str, Any] = {"num_cpus": self._node_cpus if job.exclusive else 1, "name": job.title}
        fresh = job.fresh or job.gpu is not None
        if job.gpu:
            options["num_gpus"] = 1  # Ray shows the worker this one alone, as its first
        if fresh:
            options["runtime_env"] = _own_process()
        remote: Any = WORK_FRESH if fresh else WORK
        arguments = (job, attempt, self._site, self._run, self._limits, self._writer)
        self._flights[remote.options(**options).remote(*arguments)] = Flight(job, attempt, time.time())

    def wait(self, seconds: float) -> list[Record]:
        if not self._flights:
            return []
        ready, _ = ray.wait(list(self._flights), num_returns=1, timeout=seconds)
        if ready:  # whatever else ended meanwhile comes along
            ready, _ = ray.wait(list(self._flights), num_returns=len(self._flights), timeout=0)
        records = [record for answers in ready if (record := self._next(answers)) is not None]
        for answers, flight in self._flights.items():
            if time.monotonic() > flight.deadline and not flight.cancelled:
                flight.cancelled = True
                ray.cancel(answers, force=True)
        return records

    def _next(self, answers: ray.ObjectRefGenerator) -> Record | None:
        """What a job has to say: None that it has begun, or a record, with which its flight ends."""
        flight = self._flights[answers]
        try:
            record: Record | None = ray.get(next(answers))
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, (DiskFull, StaleLease)):
                raise cause from None
            record = self._lose(flight, "bug", f"The worker could not report its outcome: {cause!r}.")
        except RayError as error:
            record = self._lose(flight, *_how_it_died(error, flight, self._limits))
        if record is None:
            flight.began, flight.deadline = time.time(), time.monotonic() + self._limits.seconds
        else:
            del self._flights[answers]
        return record

    def _lose(self, flight: Flight, kind: FailureKind, reason: str) -> Record:
        delivery: Delivery = lost(flight.job, flight.attempt, kind, reason, flight.began)
        append(self._writer, [Entry.of(delivery)])
        return delivery.record

    def state(self, entries: list[Entry]) -> None:
        append(self._writer, entries)

    def report(self, progress: dict[str, Any]) -> None:
        self._progress = progress
        if time.monotonic() - self._reported > 1.0:
            self._reported = time.monotonic()
            self._writer.report.remote(progress)

    def close(self) -> None:
        for answers in self._flights:
            with suppress(RayError):
                ray.cancel(answers, force=True)
        self._flights.clear()
        self._writer.report.remote(self._progress)
        with suppress(RayError):
            ray.get(self._writer.close.remote(), timeout=60)
        with suppress(RayError, ValueError):
            ray.kill(self._writer, no_restart=True)


def _how_it_died(error: RayError, flight: Flight, limits: Limits) -> tuple[FailureKind, str]:
    if flight.cancelled or isinstance(error, TaskCancelledError):
        return "timeout", f"The job did not end within {limits.seconds:g} s, and was ended."
    if isinstance(error, OutOfMemoryError):
        return "out of memory", "Ray ended the worker because the node ran out of memory."
    if isinstance(error, NodeDiedError):
        return "lost worker", "The node that ran the job was lost."
    if isinstance(error, WorkerCrashedError):
        return "lost worker", "The worker process died; the kernel kills one when memory runs out."
    return "lost worker", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
