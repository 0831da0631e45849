"""The one writer of a store on a cluster: an actor on the head node, to which every worker hands its deliveries."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.errors import BadInput, DiskFull, StaleLease
from bench.store.folder import Folder
from bench.store.journal import Entry
from bench.store.writer import Writer
from cluster.attempts import Begun
from cluster.ray_metrics import WriterMetrics
from cluster.ray_start import NAMESPACE, alive_nodes, our_code

GATHER_SECONDS = 0.020  # a part of the journal holds what arrives within this time
GATHER_MOST = 500
ORPHAN_SECONDS = 60.0  # the writer ends itself so long after its last driver
PATIENCE_SECONDS = 5.0  # without an answer, after which it is seen whether there is still a cluster
BEGIN_SECONDS = 2.0  # that an attempt waits for the writer to hear that it begins
LAST_BEGUN = 10_000  # attempts of which the writer knows where they began
DRAIN_SECONDS = 10.0  # an earlier writer is given to write what it has
HEAD = "node:__internal_head__"


class WriterActor:
    """The writer as an actor: gathers what arrives at the same time into one part, acknowledges when it is durable."""

    def __init__(self, folder: Folder, epoch: int) -> None:
        self._writer = Writer(folder.here(), epoch)
        self._waiting: list[tuple[list[Entry], asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._begun: dict[str, Begun] = {}
        self._heard = time.monotonic()
        self._ending = threading.Event()
        self._metrics = WriterMetrics()
        # Begun here, not by a call: after a restart of the actor nobody would make that call again.
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    async def version(self) -> str:
        """The version of the code that the actor runs; answers when it is up."""
        return await asyncio.to_thread(our_code)

    async def append(self, entries: list[Entry]) -> None:
        """Returns when the entries are durable. Raises StaleLease or DiskFull."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await done

    async def begin(self, mark: str, begun: Begun) -> None:
        """Remember where an attempt began, for a driver that does not hear it from the attempt."""
        self._begun[mark] = begun
        if len(self._begun) > LAST_BEGUN:
            del self._begun[next(iter(self._begun))]

    async def begun(self, mark: str) -> Begun | None:
        """Where it began, if it did not long ago."""
        return self._begun.get(mark)

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
                self._metrics.acknowledged(sum(len(entries) for entries, _ in batch))
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)

    def _keep(self) -> None:
        """Publish about once a second; end when no driver has been heard of for a while."""
        while not self._ending.wait(0.25):
            begin = time.monotonic()
            try:
                if self._writer.publish():
                    self._metrics.published(time.monotonic() - begin)
            except Exception:
                logging.exception("the snapshot could not be published")
            if time.monotonic() - self._heard > ORPHAN_SECONDS:
                self._writer.close()
                ray.kill(ray.get_runtime_context().current_actor, no_restart=True)
                return

    async def report(self, progress: dict[str, Any]) -> None:
        self._heard = time.monotonic()
        self._writer.report(progress)

    async def close(self) -> None:
        """Publish what is left and let go of the database."""
        self._ending.set()
        await asyncio.to_thread(self._keeper.join)
        await asyncio.to_thread(self._writer.close)


def start_writer(folder: Folder, epoch: int, store_id: str) -> Any:
    """The store's writer for this epoch, of this process's code.

    A writer of an earlier epoch, of whatever code, writes what it has and is ended first: its lease is over.

    Raises BadInput where it does not start or runs other code.
    """
    name = f"writer-{store_id}"
    _warm_nodes()
    drain_writer(name)
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
            writer = remote.remote(folder, epoch)
            version = ray.get(writer.version.remote(), timeout=60)
        except (ValueError, RayActorError, RayTaskError, GetTimeoutError) as error:
            # The name of a killed actor and its lock on the database are free a moment later.
            if time.monotonic() > deadline:
                raise BadInput(f"The writer of {folder.location} does not start: {error}") from error
            time.sleep(0.3)
        else:
            break
    if version != our_code():
        ray.kill(writer, no_restart=True)
        raise BadInput(
            f"The cluster's head runs version {version[:10]} of paredown and this driver {our_code()[:10]}: "
            "install the same one on every node, or none, so that the driver's is shipped."
        )
    return writer


def _warm_nodes() -> None:
    """Have every node start a worker and import our code while the writer starts, which takes as long."""
    for row in ray.nodes():  # type: ignore[no-untyped-call]
        if row["Alive"] and row["Resources"].get("CPU"):
            remote: Any = ray.remote(_import_work)
            where = NodeAffinitySchedulingStrategy(row["NodeID"], soft=False)
            remote.options(num_cpus=0, max_retries=0, scheduling_strategy=where).remote()


def _import_work() -> None:
    import_module("cluster.ray_work")


def drain_writer(name: str) -> None:
    """Have the writer of that name, if there is one, write what it has, and end it."""
    try:
        writer = ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return
    end_writer(writer, DRAIN_SECONDS)


def end_writer(writer: Any, seconds: float) -> None:
    """Have a writer write what it has, waiting at most so long, and end it."""
    with suppress(RayError, AttributeError):  # it may be dead, hang or know no such call
        ray.get(writer.close.remote(), timeout=seconds)
    with suppress(RayError, ValueError):
        ray.kill(writer, no_restart=True)


def say_begun(writer: Any, mark: str, begun: Begun) -> None:
    """Tell the writer where an attempt begins. One that it does not answer soon begins all the same."""
    with suppress(RayError):
        ray.get(writer.begin.remote(mark, begun), timeout=BEGIN_SECONDS)


def ask_begun(writer: Any, mark: str) -> Begun | None:
    """Where the attempt of that mark began, as far as the writer knows."""
    with suppress(RayError):
        found: Begun | None = ray.get(writer.begun.remote(mark), timeout=BEGIN_SECONDS)
        return found
    return None


def append(writer: Any, entries: list[Entry]) -> None:
    """Have entries made durable by the writer. Raises what it raises, StaleLease or DiskFull, or ClusterLost."""
    answer = writer.append.remote(entries)
    while not ray.wait([answer], timeout=PATIENCE_SECONDS)[0]:
        alive_nodes()  # a writer that starts again is waited for, and one whose cluster is gone is not
    try:
        ray.get(answer)
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, (DiskFull, StaleLease)) else error) from None
    except RayActorError as error:  # it is restarted for ever unless somebody ends it
        raise StaleLease("the writer of this sweep was ended, as by a newer driver") from error
