"""Snapshots: small read-only DuckDB files under versioned names, and a pointer that is replaced in one step.

Records never change, so those of a large store are published once, in files of their own that the snapshots name: what
a snapshot costs then follows what is new.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]

from bench.identity import files_digest
from bench.job import library_versions
from bench.metrics import METRICS
from bench.store.folder import POINTER, SNAPSHOT_VERSION, Folder, Lease
from bench.store.rows import Summary

SEGMENT = 20_000  # records that are published in a file of their own as soon as there are so many
SEGMENTS = "segments"  # key of a snapshot's info: the names of these files
KEPT_SECONDS = 60.0  # a reader that has followed the pointer has this long to open the file
READ_SECONDS = 3600.0  # and this long to read what it names, which it opens with each query
RECORDS = (
    "select key, kind, job_type, status, attempt, recipe_id, artefact_id, stage, failure, reason, log, started, "
    "seconds, worker, job, notes, conditions, ordinal, case when kind = 'build' then answer end as answer from records"
)
STORAGE = "v1.5.0"  # older readers can open the snapshot too


@cache
def summarised_by() -> dict[str, str]:
    """What turned raw material into numbers: the code's digest, and the libraries whose arithmetic it rests on."""
    folder = Path(str(files("bench")))
    sources = [p for part in ("store", "statistics", "metrics") for p in (folder / part).glob("*.py")]
    names = [str(p.relative_to(folder)) for p in (*sources, folder / "measure" / "figures.py")]
    return {"code": files_digest(folder, names), **library_versions(("numpy", "scipy", "duckdb"))}


class Publisher:
    """Writes snapshots for one epoch."""

    def __init__(self, folder: Folder, epoch: int) -> None:
        self._folder = folder
        self._epoch = epoch
        self._next = 1 + max(
            (
                int(name[7:-7])
                for name in folder.place.names("published")
                if name.startswith(f"{epoch:06d}-") and name.endswith(".duckdb")
            ),
            default=-1,
        )
        self._cache: dict[Any, Any] = {}
        self._replaced: dict[str, float] | None = None  # snapshot -> since when it is not the newest
        self._current: str | None = None
        self._segments: list[str] = []

    def publish(self, connection: duckdb.DuckDBPyConnection, progress: dict[str, Any]) -> Path:
        """Summarise what the database holds and publish it. Returns the snapshot's path."""
        name = f"{self._epoch:06d}-{self._next:08d}.duckdb"
        draft = self._folder.published / f".{name}.draft"
        from bench.store.summary import summarise  # scipy takes a second, which neither a worker nor a start pays

        summaries = [
            summarise(connection, json.loads(body), self._cache)
            for (body,) in connection.execute("select body from sweeps order by declared").fetchall()
        ]
        self._discard_drafts()
        try:
            self._close_segments(connection)
            connection.execute(f"attach '{_quoted(draft)}' as snapshot (storage_version '{STORAGE}')")
            try:
                self._fill(connection, summaries, progress)
            finally:
                connection.execute("detach snapshot")
            path = self._folder.place.keep(draft, f"published/{name}")
        except BaseException:
            self._discard_drafts()
            raise
        if Lease(self._folder, self._epoch).lost():  # a newer driver's pointer is not ours to replace
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self._folder.place.replace(POINTER, f"{json.dumps({'snapshot': name})}\n".encode())
        self._next += 1
        self._clean(name)
        return path

    @property
    def _first_open(self) -> int:
        """The first ordinal that no segment has."""
        return len(self._segments) * SEGMENT

    def _close_segments(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Publish the records of each full segment that is not published yet.

        Segments belong to one writer: another may come to know the same records in another order.
        """
        ((last,),) = connection.execute("select max(ordinal) from records").fetchall()
        while last is not None and last >= self._first_open + SEGMENT:
            name = f"records-{self._epoch:06d}-{self._next:08d}-{len(self._segments):06d}.parquet"
            draft = self._folder.published / f".{name}.duckdb.draft"
            chosen = f"{RECORDS} where ordinal >= {self._first_open} and ordinal < {self._first_open + SEGMENT}"
            connection.execute(f"copy ({chosen} order by ordinal) to '{_quoted(draft)}' (format parquet)")
            self._folder.place.keep(draft, f"published/{name}")
            self._segments.append(name)

    def _fill(self, connection: duckdb.DuckDBPyConnection, summaries: list[Summary], progress: dict[str, Any]) -> None:
        schema = files("bench.store").joinpath("snapshot.sql").read_text(encoding="utf-8")
        connection.execute("begin")
        try:
            self._insert(connection, schema, summaries, progress)
            connection.execute("commit")
        except BaseException:
            with suppress(duckdb.Error):  # a commit that failed has ended the transaction already
                connection.execute("rollback")
            raise

    def _insert(
        self, connection: duckdb.DuckDBPyConnection, schema: str, summaries: list[Summary], progress: dict[str, Any]
    ) -> None:
        connection.execute(schema)
        info = {
            "schema": str(SNAPSHOT_VERSION),
            "published": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "progress": json.dumps(progress),
            "parts": json.dumps([n for (n,) in connection.execute("select name from parts order by name").fetchall()]),
            "summarised_by": json.dumps(summarised_by()),
            SEGMENTS: json.dumps(self._segments),
        }
        connection.executemany("insert into snapshot.info values (?, ?)", [list(item) for item in info.items()])
        rows = [[m.name, m.title, m.unit, m.better, m.exact, m.meaning] for m in METRICS.values()]
        connection.executemany("insert into snapshot.metrics values (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("insert into snapshot.sweeps select * from sweeps")
        connection.execute(f"insert into snapshot.records {RECORDS} where ordinal >= ?", [self._first_open])
        connection.execute("insert into snapshot.claims select * from claims order by model, id")
        connection.execute("insert into snapshot.stops select * from stops order by sweep_id, artefact_id")
        connection.execute("insert into snapshot.openings select * from openings order by declared, identity")
        for table in (each.name for each in fields(Summary)):
            rows_of = [row for summary in summaries for row in getattr(summary, table)]
            if rows_of:
                batch = pa.Table.from_pylist([row._asdict() for row in rows_of])
                connection.register("incoming", batch)
                connection.execute(f"insert into snapshot.{table} by name select * from incoming")  # noqa: S608
                connection.unregister("incoming")

    def _discard_drafts(self) -> None:
        """Remove what a failed or killed attempt has left; on a full disk it must not stay."""
        for left in self._folder.published.glob(".*.duckdb.draft*"):
            left.unlink(missing_ok=True)

    def _clean(self, current: str) -> None:
        """Remove snapshots that no reader can still be about to open: those replaced some time ago, and left ones."""
        now, place = time.monotonic(), self._folder.place
        if self._replaced is None:
            mine = {current, *self._segments}
            self._replaced = {
                name: now if name.endswith(".duckdb") else now + READ_SECONDS
                for name in place.names("published")
                if name.endswith((".duckdb", ".parquet")) and name not in mine
            }
        for name in [name for name, since in self._replaced.items() if since < now - KEPT_SECONDS]:
            place.remove(f"published/{name}")
            del self._replaced[name]
        if self._current is not None:
            self._replaced[self._current] = now
        self._current = current


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
