"""The one process that writes into a store: journal first, then acknowledgement, then the query form and a snapshot."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import duckdb

from bench.code import code_version
from bench.errors import BadInput, DiskFull, is_disk_full
from bench.identity import short
from bench.store.database import open_database, take_in
from bench.store.folder import Folder, Lease
from bench.store.journal import Entry, Journal, parts
from bench.store.publish import Publisher

SHORTEST_PAUSE = 1.0  # seconds between two snapshots
ASKING = ("declared", "asked")  # of a declaration: when and with what words, which changes nothing
TOGETHER = 100  # parts that are taken into the query form at once
LARGEST_SHARE = 0.1  # of the writer's time that snapshots may take


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Let Ctrl-C take effect at the end of the block. In the middle of a query DuckDB makes it a RuntimeError."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(*came[-1])


def _check_code(lease: Lease) -> None:
    """Raise BadInput where the driver that took the lease runs other code than this process."""
    theirs, mine = lease.told().get("code"), code_version()
    if theirs not in (None, mine):
        raise BadInput(
            f"The driver of {lease.folder.location} runs version {short(theirs)} of paredown and its writer "
            f"{short(mine)}: install the same on both machines and run again."
        )


class Writer:
    """Appends entries under a lease. Appending is for one thread; publishing and reading may happen in another.

    `append` returns when its entries survive the loss of any process; everything after that can be made again from the
    journal, so a failure there loses nothing.
    """

    def __init__(self, folder: Folder, epoch: int) -> None:
        self.lease = Lease(folder, epoch)
        self.lease.check()
        _check_code(self.lease)
        self._journal = Journal(self.lease)
        with interrupts_later():
            self._connection = open_database(folder.database, folder)
        known = self._connection.execute("select identity from entries").fetchall()
        self._known: set[str] = {row[0] for row in known}
        have = {name for (name,) in self._connection.execute("select name from parts").fetchall()}
        self._pending = [p for p in parts(folder) if p.name not in have]
        self._publisher = Publisher(folder, epoch)
        self._using = threading.Lock()  # of the connection, which serves one thread at a time
        self._dirty = True
        self._next_publish = 0.0
        self.progress: dict[str, Any] = {}

    def append(self, entries: Sequence[Entry]) -> None:
        """Make entries durable; those already there, and declarations that repeat the newest, are left alone.

        Raises StaleLease when another driver holds the store, DiskFull when there is no room; nothing is written then.
        """
        new = {e.identity: e for e in entries if e.identity not in self._known and not self._repeats(e)}
        if new:
            with interrupts_later():
                self._pending.append(self._journal.append(list(new.values())))
                self._known.update(new)
                self._dirty = True

    def _repeats(self, entry: Entry) -> bool:
        """Whether a sweep's newest declaration says all that this one says, whenever and however it was asked for."""
        if entry.entry != "sweep":
            return False
        body = json.loads(entry.body)
        with interrupts_later(), self._using:
            self._take_in()
            query = "select body from sweeps where sweep_id = ?"
            row = self._connection.execute(query, [body["sweep_id"]]).fetchone()
        newest = None if row is None else json.loads(row[0])
        return newest is not None and {**newest, **dict.fromkeys(ASKING)} == {**body, **dict.fromkeys(ASKING)}

    def count(self) -> int:
        """How many records there are."""
        with interrupts_later(), self._using:
            self._take_in()
            ((count,),) = self._connection.execute("select count(*) from records").fetchall()
        return int(count)

    def _take_in(self) -> None:
        while pending := self._pending[:TOGETHER]:
            take_in(self._connection, *pending)
            del self._pending[: len(pending)]

    def publish(self, *, now: bool = False) -> bool:
        """Publish a snapshot if something changed and the last one is long enough ago (`now` skips the wait).

        Returns whether one was published. A lost lease or a disk without room is left for the next append to report.
        """
        if not self._dirty or (not now and time.monotonic() < self._next_publish):
            return False
        begin = time.monotonic()
        self._dirty = False  # what is appended from here on needs another snapshot
        try:
            if self.lease.lost():
                return False
            with interrupts_later(), self._using:
                self._take_in()
                self._publisher.publish(self._connection, self.progress)
        except (OSError, DiskFull, duckdb.Error) as error:
            if not isinstance(error, (OSError, DiskFull, duckdb.IOException)) and not is_disk_full(error):
                raise
            self._dirty = True
            self._next_publish = begin + 10 * SHORTEST_PAUSE
            return False
        took = time.monotonic() - begin
        self._next_publish = time.monotonic() + max(SHORTEST_PAUSE, took / LARGEST_SHARE)
        return True

    def report(self, progress: dict[str, Any]) -> None:
        """Keep what the driver says about its progress for the next snapshot. Not part of the journal."""
        if progress != self.progress:
            self.progress = progress
            self._dirty = True

    def close(self) -> None:
        """Publish what is left and let go of the database."""
        self.publish(now=True)
        with self._using:
            self._connection.close()
