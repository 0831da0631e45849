"""Snapshots: small read-only DuckDB files under versioned names, and a pointer that is replaced in one step."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]

from bench.identity import files_digest
from bench.job import library_versions
from bench.metrics import METRICS
from bench.store.folder import SCHEMA_VERSION, Folder, write_whole
from bench.store.rows import Summary

KEPT_SECONDS = 60.0  # a reader that has followed the pointer has this long to open the file
STORAGE = "v1.5.0"  # older readers can open the snapshot too


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
        existing = folder.published.glob(f"{epoch:06d}-*.duckdb")
        self._next = max((int(p.stem.partition("-")[2]) for p in existing), default=-1) + 1
        self._cache: dict[Any, Any] = {}

    def publish(self, connection: duckdb.DuckDBPyConnection, progress: dict[str, Any]) -> Path:
        """Summarise what the database holds and publish it. Returns the snapshot's path."""
        name = f"{self._epoch:06d}-{self._next:08d}.duckdb"
        path, draft = self._folder.published / name, self._folder.published / f".{name}.draft"
        from bench.store.summary import summarise  # scipy takes a second, which neither a worker nor a start pays

        summaries = [
            summarise(connection, json.loads(body), self._cache)
            for (body,) in connection.execute("select body from sweeps order by declared").fetchall()
        ]
        self._discard_drafts()
        try:
            connection.execute(f"attach '{_quoted(draft)}' as snapshot (storage_version '{STORAGE}')")
            try:
                self._fill(connection, summaries, progress)
            finally:
                connection.execute("detach snapshot")
            draft.rename(path)
        except BaseException:
            self._discard_drafts()
            raise
        write_whole(self._folder.pointer, json.dumps({"snapshot": name}) + "\n")
        self._next += 1
        self._clean(path)
        return path

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
            "schema": str(SCHEMA_VERSION),
            "published": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "progress": json.dumps(progress),
            "parts": json.dumps([n for (n,) in connection.execute("select name from parts order by name").fetchall()]),
            "summarised_by": json.dumps(summarised_by()),
        }
        connection.executemany("insert into snapshot.info values (?, ?)", [list(item) for item in info.items()])
        rows = [[m.name, m.title, m.unit, m.better, m.exact, m.meaning] for m in METRICS.values()]
        connection.executemany("insert into snapshot.metrics values (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("insert into snapshot.sweeps select * from sweeps")
        connection.execute(
            "insert into snapshot.records select key, kind, job_type, status, attempt, recipe_id, artefact_id, stage, "
            "failure, reason, log, started, seconds, worker, job, notes, conditions, ordinal, "
            "case when kind = 'build' then answer end from records"
        )
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

    def _clean(self, current: Path) -> None:
        """Remove snapshots that no reader can still be about to open."""
        oldest = time.time() - KEPT_SECONDS
        for path in self._folder.published.glob("*.duckdb"):
            if path != current and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
