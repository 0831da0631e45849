"""What attempts leave behind: the output of their workers, and one structured line each.

logs/worker-HOST-PID-BORN.log    what a worker wrote to its standard output and error, one attempt after another
logs/attempts-*.jsonl            one JSON object an attempt, written by the driver: job, node, worker, times, outcome,
                                 and from which byte to which byte of which log it wrote
logs/handed-*.log                the end of what a worker wrote where it does not have that folder

Beside a bucket they lie in a folder of the driver's machine and are copied into the bucket as the sweep goes on.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.errors import BadInput, DiskFull
from bench.record import Delivery, Failed, Record
from bench.store.places import Place

TAIL = 8_000  # characters of a worker's output that a failed record keeps
COLLECTED = ("attempts-*.jsonl", "handed-*.log", "worker-*.log")
COLLECTED_EVERY = 60.0  # seconds
HANDED_OVER = 64_000  # bytes of it that travel to the driver from a node that does not have the store's folder


@dataclass(frozen=True, slots=True)
class Begun:
    """What a worker says when it begins with a job: where it is, and where its output goes."""

    node_id: str
    node: str
    pid: int
    born: float  # seconds since the epoch, when the process began
    log: str = ""  # name in the store's logs; empty where the node does not have that folder
    offset: int = 0  # bytes


@dataclass(frozen=True, slots=True)
class Output:
    """A file that takes what this process writes."""

    path: Path
    shared: bool  # whether it lies in the store's folder

    def size(self) -> int:
        with suppress(OSError):
            return self.path.stat().st_size
        return 0

    def tail(self, offset: int, most: int = TAIL) -> str:
        """The end of what was written from a byte on."""
        return tail(self.path, offset, most)


def tail(path: Path, offset: int, most: int = TAIL) -> str:
    """The last characters of a file from a byte on; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(offset, end - 4 * most))
            return file.read(4 * most).decode("utf-8", errors="replace")[-most:]
    except OSError:
        return ""


def open_output(logs: Path | None) -> Output:
    """The file for this process's output: in the store's logs, or for itself where they cannot be written here."""
    name = f"worker-{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.log"
    with suppress(OSError):
        if logs is not None and logs.is_dir():
            (logs / name).touch()
            return Output(logs / name, shared=True)
    return Output(Path(tempfile.gettempdir()) / f"paredown-{name}", shared=False)


@contextmanager
def captured(output: Output) -> Iterator[None]:
    """Have all that this process and its children write to standard output and error go to a file meanwhile."""
    kept = [os.dup(number) for number in (1, 2)]
    try:
        target = os.open(output.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # a full disk must not cost the job
        target = os.open(os.devnull, os.O_WRONLY)
    try:
        flush()
        for number in (1, 2):
            os.dup2(target, number)
        yield
    finally:
        flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
        for descriptor in (target, *kept):
            os.close(descriptor)


def flush() -> None:
    """Have what this process has printed in its file."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def with_output(delivery: Delivery, text: str) -> Delivery:
    """A delivery whose record, if it failed, keeps the end of what its worker wrote."""
    outcome = delivery.record.outcome
    if not text.strip() or not isinstance(outcome, Failed):
        return delivery
    joined = "\n".join(part for part in (outcome.log, f"--- output ---\n{text}") if part)
    kept = outcome.model_copy(update={"log": joined})
    return Delivery(delivery.record.model_copy(update={"outcome": kept}), delivery.examples, delivery.samples)


class AttemptLog:
    """The driver's account of every attempt, a line each. A line that cannot be written costs nothing else."""

    def __init__(self, logs: Path | None, bucket: Place | None = None) -> None:
        """`bucket`: where the files of `logs` are collected, if they do not lie in the store already."""
        self.logs = logs
        self._bucket = bucket
        self._collected: dict[str, int] = {}  # bytes, by name
        self._there: frozenset[str] | None = None  # names that the bucket had before
        self._began = time.time()
        self._next = time.monotonic() + COLLECTED_EVERY
        self._name = f"attempts-{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.jsonl"

    def note(self, record: Record, title: str, begun: Begun | None, size: int | None = None) -> None:
        """Write down one attempt. `size`: bytes of its log when it ended; None to look."""
        if self.logs is None:
            return
        line: dict[str, Any] = {
            "key": record.key,
            "title": title,
            "kind": record.kind,
            "attempt": record.attempt,
            "node": record.node,
            "worker": record.worker,
            "device": record.device,
            "started": record.started,
            "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seconds": round(record.seconds, 3),
            "outcome": record.outcome.kind if isinstance(record.outcome, Failed) else "finished",
            "reason": record.outcome.reason if isinstance(record.outcome, Failed) else "",
        }
        if begun is not None and begun.log:
            end = Output(self.logs / begun.log, shared=True).size() if size is None else size
            line |= {"log": begun.log, "from": begun.offset, "to": end}
        with suppress(OSError), (self.logs / self._name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        if time.monotonic() >= self._next:
            self.collect()

    def keep(self, record: Record, text: str, begun: Begun | None) -> Begun | None:
        """Keep output that was handed over; returns where it lies now."""
        if self.logs is None or begun is None or not text:
            return begun
        name = f"handed-{record.key[:12]}-{record.attempt}-{time.time_ns()}.log"
        with suppress(OSError):
            (self.logs / name).write_text(text, encoding="utf-8")
            return Begun(**{**asdict(begun), "log": name, "offset": 0})
        return begun

    def tail(self, begun: Begun | None) -> str:
        """The end of what an attempt wrote whose worker can no longer say."""
        if self.logs is None or begun is None or not begun.log:
            return ""
        return tail(self.logs / begun.log, begun.offset)

    def collect(self) -> None:
        """Copy what has grown since the last time into the bucket; what cannot be copied now is the next time."""
        self._next = time.monotonic() + COLLECTED_EVERY
        if self.logs is None or self._bucket is None:
            return
        with suppress(OSError, BadInput, DiskFull):  # of a place that does not answer nothing more is asked
            if self._there is None:
                self._there = frozenset(self._bucket.names(self.logs.name))
            for file in sorted(file for pattern in COLLECTED for file in self.logs.glob(pattern)):
                told = file.stat()
                if file.name in self._there and told.st_mtime < self._began:
                    continue  # an earlier run has collected it
                if told.st_size > self._collected.get(file.name, 0):
                    self._bucket.replace(f"{self.logs.name}/{file.name}", file.read_bytes())
                    self._collected[file.name] = told.st_size

    def close(self) -> None:
        """Remove the files of workers that wrote nothing, and collect the rest."""
        if self.logs is not None:
            for file in self.logs.glob("worker-*.log"):
                with suppress(OSError):
                    if not file.stat().st_size:
                        file.unlink()
        self.collect()


def attempts(logs: Path) -> list[dict[str, Any]]:
    """Every attempt that drivers have written down in a store's logs, oldest first; lines cut short are left out."""
    found = []
    for file in logs.glob("attempts-*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
    return sorted(found, key=lambda one: str(one["started"]))
