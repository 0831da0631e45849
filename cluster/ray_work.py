"""What a Ray worker does with one attempt at a job."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import ray

from bench.execute import Execute, Site, attempt
from bench.job import Job
from bench.processor import collect_seldom, prepare
from bench.record import Delivery, Record
from bench.store.journal import Entry
from cluster.attempts import HANDED_OVER, Begun, Output, captured, open_output, with_output
from cluster.failures import device_of, lost
from cluster.processes import marked
from cluster.ray_start import node_name, our_code
from cluster.ray_writer import append, say_begun
from cluster.runner_local import Limits, limit_memory


@dataclass(frozen=True, slots=True)
class Logs:
    """Where the output of workers goes: into this folder, on one host only if it is not shared."""

    folder: Path | None
    host: str | None = None

    @classmethod
    def of(cls, site: Site) -> Logs:
        """On every node into the store's folder; beside a bucket on the machine of this process alone."""
        return cls(site.acknowledgements, None if site.bucket is None else socket.gethostname())

    def here(self) -> Path | None:
        """The folder as this node has it."""
        return self.folder if self.host in (None, socket.gethostname()) else None


@dataclass(frozen=True, slots=True)
class Orders:
    """What an attempt is made under."""

    site: Site
    run: Execute
    limits: Limits
    writer: Any  # the actor's handle
    code: str  # version of the driver's
    logs: Logs


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker says at the end: the record that the writer has acknowledged, and where its output ends."""

    record: Record
    size: int = 0  # bytes of its log
    output: str = ""  # the output itself, from a node without the store's folder


@cache
def _output(logs: Path | None) -> Output:
    """This process's file; one a process, whatever the number of jobs."""
    return open_output(logs)


@cache
def _here() -> tuple[str, str]:
    """The id and the name of this node."""
    node_id: str = ray.get_runtime_context().get_node_id()
    return node_id, node_name(socket.gethostname(), node_id)


def work(
    job: Job, number: int, orders: Orders, mark: str, environments: Mapping[str, Mapping[str, str]]
) -> Iterator[Begun | Told]:
    """One attempt at one job. Says when it begins, and gives its record when the writer has acknowledged it.

    Whatever the attempt starts carries `mark`, and is ended with it. `environments`: what workers need, by node.
    """
    output, (node_id, node) = _output(orders.logs.here()), _here()
    os.environ.update(environments.get(node_id, {}))
    offset = output.size()
    born = psutil.Process().create_time()
    begun = Begun(node_id, node, os.getpid(), born, output.path.name if output.shared else "", offset)
    # What takes its process down at once would take the news along that it had begun, were the driver alone told.
    say_begun(orders.writer, mark, begun)
    yield begun
    delivery = _attempted(job, number, orders, mark, output)
    record = delivery.record.model_copy(update={"node": node, "device": device_of(job)})
    delivery = with_output(replace(delivery, record=record), output.tail(offset))
    append(orders.writer, [Entry.of(delivery)])
    if orders.site.acknowledgements is not None:
        note_acknowledged(orders.site.acknowledgements, delivery.record)
    handed = "" if output.shared else output.tail(offset, HANDED_OVER)
    size = output.size()
    if job.fresh or job.gpu or not output.shared:
        _forget(output)
    yield Told(delivery.record, size, handed)


def _attempted(job: Job, number: int, orders: Orders, mark: str, output: Output) -> Delivery:
    if orders.code != our_code():
        reason = (
            f"This worker runs version {our_code()[:10]} of paredown and the driver {orders.code[:10]}: install the "
            "same one on every node."
        )
        return lost(job, number, "lost worker", reason, time.time())
    prepare()
    collect_seldom()
    limit_memory(orders.limits.memory_bytes)
    with captured(output), marked(mark):
        return attempt(job, number, orders.site, orders.run)


def _forget(output: Output) -> None:
    """Remove an empty file, or one that nobody else sees, before the process ends."""
    if not output.shared or not output.size():
        with suppress(OSError):
            output.path.unlink(missing_ok=True)


# Retrying is the plan's business. A fresh job's process ends with it.
WORK = ray.remote(max_retries=0, num_returns="streaming")(work)
WORK_FRESH = ray.remote(max_retries=0, max_calls=1, num_returns="streaming")(work)


def note_acknowledged(folder: Path, record: Record) -> None:
    """Write down, on the worker's side, that the writer has acknowledged this record."""
    # A note that cannot be made, as on a node without this folder, must not cost the record.
    with suppress(OSError), (folder / f"acknowledged-{os.getpid()}.log").open("a", encoding="utf-8") as file:
        file.write(f"{record.identity}\n")
        file.flush()
        os.fsync(file.fileno())
