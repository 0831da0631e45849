"""Jobs as Ray tasks. Workers hand their deliveries to the one writer, an actor on the head node, and return the record.

What this project needs different from Ray's defaults is set in `cluster.ray_settings`, before Ray is imported.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        self._keeping: asyncio.Task[None] | None = None

    async def ready(self) -> bool:
        """Start what runs beside the calls; answers when the actor is up."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())
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
                    done.set_exception(error)
            else:
                for _, done in batch:
                    done.set_result(None)

    async def _keep(self) -> None:
        """Publish about once a second; end when no driver has been heard of for a while."""
        while time.monotonic() - self._heard < ORPHAN_SECONDS:
            await asyncio.sleep(0.25)
            await asyncio.to_thread(self._writer.publish)
        await asyncio.to_thread(self._writer.close)
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)

    async def report(self, progress: dict[str, Any]) -> None:
        self._heard = time.monotonic()
        self._writer.report(progress)

    async def records(self) -> list[Record]:
        return await asyncio.to_thread(self._writer.records)

    async def retried(self) -> dict[str, str]:
        return await asyncio.to_thread(self._writer.retried)

    async def close(self) -> None:
        """Publish what is left and let go of the database."""
        if self._keeping is not None:
            self._keeping.cancel()
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


def work(job: Job, number: int, site: Site, run: Execute, limits: Limits, writer: Any) -> Record:
    """One attempt at one job on a worker. Returns its record after the writer has acknowledged it."""
    prepare()
    limit_memory(limits.memory_bytes)
    delivery = attempt(job, number, site, run)
    ray.get(writer.append.remote([Entry.of(delivery)]))
    if site.acknowledgements is not None:
        note_acknowledged(site.acknowledgements, delivery.record)
    return delivery.record


# Retrying is the plan's business. A fresh one gets a process of its own, which ends with the job.
WORK = ray.remote(max_retries=0)(work)
WORK_FRESH = ray.remote(max_retries=0, max_calls=1)(work)


def note_acknowledged(folder: Path, record: Record) -> None:
    """Write down, on the worker's side, that the writer has acknowledged this record."""
    with (folder / f"acknowledged-{os.getpid()}.log").open("a", encoding="utf-8") as file:
        file.write(f"{record.identity}\n")
        file.flush()
        os.fsync(file.fileno())


@dataclass
class Flight:
    """A job in flight."""

    job: Job
    attempt: int
    began: float
    deadline: float
    cancelled: bool = field(default=False)


class RayPool:
    """The cluster's workers."""

    def __init__(
        self, writer: Any, site: Site, *, limits: Limits, run: Execute = execute, most: int | None = None
    ) -> None:
        self._writer, self._site, self._limits, self._run = writer, site, limits, run
        self._flights: dict[ray.ObjectRef[Record], Flight] = {}
        cpus = [int(n["Resources"].get("CPU", 0)) for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
        self._node_cpus = max(1, min(c for c in cpus if c) if any(cpus) else 1)
        self._most = most or 2 * max(1, sum(cpus))
        self._reported = 0.0

    def takes(self, job: Job) -> bool:
        del job
        return len(self._flights) < self._most

    def submit(self, job: Job, attempt: int) -> None:
        # Claiming every CPU of a node is how nothing else of ours runs there.
        cpus = self._node_cpus if job.exclusive else 1
        remote: Any = WORK_FRESH if job.fresh else WORK
        reference = remote.options(num_cpus=cpus, name=job.title).remote(
            job, attempt, self._site, self._run, self._limits, self._writer
        )
        now = time.time()
        self._flights[reference] = Flight(job, attempt, now, now + self._limits.seconds)

    def wait(self, seconds: float) -> list[Record]:
        if not self._flights:
            return []
        ready, _ = ray.wait(list(self._flights), num_returns=1, timeout=seconds)
        if ready:  # whatever else ended meanwhile comes along
            ready, _ = ray.wait(list(self._flights), num_returns=len(self._flights), timeout=0)
        records = [self._result(reference) for reference in ready]
        for reference, flight in self._flights.items():
            if time.time() > flight.deadline and not flight.cancelled:
                flight.cancelled = True
                ray.cancel(reference, force=True)
        return records

    def _result(self, reference: ray.ObjectRef[Record]) -> Record:
        flight = self._flights.pop(reference)
        try:
            record: Record = ray.get(reference)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, (DiskFull, StaleLease)):
                raise cause from None
            return self._lose(flight, "bug", f"The worker could not report its outcome: {cause!r}.")
        except RayError as error:
            return self._lose(flight, *_how_it_died(error, flight, self._limits))
        return record

    def _lose(self, flight: Flight, kind: FailureKind, reason: str) -> Record:
        delivery: Delivery = lost(flight.job, flight.attempt, kind, reason, flight.began)
        ray.get(self._writer.append.remote([Entry.of(delivery)]))
        return delivery.record

    def report(self, progress: dict[str, Any]) -> None:
        if time.monotonic() - self._reported > 1.0:
            self._reported = time.monotonic()
            self._writer.report.remote(progress)

    def close(self) -> None:
        for reference in self._flights:
            with suppress(RayError):
                ray.cancel(reference, force=True)
        self._flights.clear()
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
