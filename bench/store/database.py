"""The query form: DuckDB tables filled from journal parts. Held open by one writer; readers get snapshots instead."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb

from bench.errors import DiskFull, StoreBusy, is_disk_full
from bench.store.folder import SCHEMA_VERSION
from bench.store.journal import parts, read_entries
from bench.store.openings import OPENED

LOCKED = "Could not set lock on file"  # as DuckDB says it


def open_database(path: Path, journal: Path) -> duckdb.DuckDBPyConnection:
    """Open or make the database and take in whatever parts of the journal it lacks.

    A database that cannot be used is made anew: it holds nothing that the journal does not. Raises StoreBusy where
    another process has it open, DiskFull where there is no room for it.
    """
    try:
        return _caught_up(path, journal)
    except duckdb.Error as error:
        if LOCKED in str(error):
            raise StoreBusy(f"{path} is held open by another process: close it and try again.") from error
        if is_disk_full(error):
            raise DiskFull(f"no room under {path.parent}") from error
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
    return _caught_up(path, journal)


def _caught_up(path: Path, journal: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path))
    try:
        # Ours is one of many processes on a node, and the node's cores belong to the models.
        connection.execute("set threads to 1")
        connection.execute("set memory_limit = '2GB'")
        _refuse_other_layout(connection)
        connection.execute(files("bench.store").joinpath("schema.sql").read_text(encoding="utf-8"))
        connection.execute("insert into schema_version values (?) on conflict do nothing", [SCHEMA_VERSION])
        have = {row[0] for row in connection.execute("select name from parts").fetchall()}
        for part in parts(journal):
            if part.name not in have:
                take_in(connection, part)
    except BaseException:
        connection.close()  # DuckDB would hand the same open file to the next connection
        raise
    return connection


def _refuse_other_layout(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise duckdb.Error for a database of another layout: it is then made anew from the journal."""
    tables = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    if "schema_version" in tables:
        row = connection.execute("select max(version) from schema_version").fetchone()
        if row is not None and row[0] not in (None, SCHEMA_VERSION):
            raise duckdb.Error(f"layout {row[0]}, not {SCHEMA_VERSION}")


def take_in(connection: duckdb.DuckDBPyConnection, part: Path) -> None:
    """Insert a part's entries, each identity once, in one transaction."""
    connection.execute("begin")
    try:
        (ordinal,) = connection.execute("select count(*) from entries").fetchone() or (0,)
        new: list[str] = []
        for position, (entry, identity, body) in enumerate(read_entries(part)):
            fresh = connection.execute(
                "insert into entries values (?, ?, ?, ?) on conflict do nothing returning identity",
                [identity, entry, part.name, position],
            ).fetchall()
            if fresh:
                _take_in_entry(connection, entry, identity, json.loads(body), ordinal + len(new))
                new.append(identity)
        if new:
            _take_in_raw(connection, part, new)
        connection.execute("insert into parts values (?) on conflict do nothing", [part.name])
        connection.execute("commit")
    except BaseException:
        with suppress(duckdb.Error):  # a commit that failed has ended the transaction already
            connection.execute("rollback")
        raise


def _take_in_entry(
    connection: duckdb.DuckDBPyConnection, entry: str, identity: str, body: dict[str, Any], ordinal: int
) -> None:
    if entry == "sweep":
        connection.execute(
            "insert into sweeps values (?, ?, ?, ?) on conflict (sweep_id) do update set name = excluded.name, "
            "declared = excluded.declared, body = excluded.body where excluded.declared >= sweeps.declared",
            [body["sweep_id"], body["name"], body["declared"], json.dumps(body, sort_keys=True)],
        )
    elif entry == "retry":
        connection.executemany("insert into retries values (?, ?)", [[key, body["declared"]] for key in body["keys"]])
    elif entry == "claims":
        keys = ("model", "id", "text", "published", "source", "settings", "verdict", "found", "reason")
        rows = [[*(row[key] for key in keys), body["declared"]] for row in body["rows"]]
        connection.executemany(f"insert or replace into claims values ({', '.join('?' * 10)})", rows)  # noqa: S608
    elif entry == "stop":
        names = ("sweep_id", "artefact_id", "by", "raced", "look", "looks", "examples", "level", "objectives", "reason")
        row = [json.dumps(body[n]) if n in ("examples", "objectives") else body[n] for n in names]
        connection.execute(f"insert into stops values ({', '.join('?' * 10)}) on conflict do nothing", row)  # noqa: S608
    elif entry == OPENED:
        opened = [identity, body["sweep_id"], body["at"], json.dumps(body, sort_keys=True)]
        connection.execute("insert into openings values (?, ?, ?, ?)", opened)
    elif entry == "record":
        _take_in_record(connection, identity, body, ordinal)


def _take_in_record(connection: duckdb.DuckDBPyConnection, identity: str, body: dict[str, Any], ordinal: int) -> None:
    outcome, job = body["outcome"], body["job"]
    connection.execute(
        f"insert into records values ({', '.join('?' * 20)})",  # noqa: S608 - only question marks
        [
            identity,
            body["key"],
            body["kind"],
            job.get("type", ""),
            outcome["status"],
            body["attempt"],
            job.get("recipe_id"),
            outcome.get("artefact_id") or job.get("artefact_id"),
            outcome.get("stage"),
            outcome.get("kind"),
            outcome.get("reason"),
            outcome.get("log"),
            body["started"],
            body["seconds"],
            body["worker"],
            json.dumps(job, sort_keys=True),
            json.dumps(outcome.get("notes") or {}, sort_keys=True),
            json.dumps(outcome["answer"], sort_keys=True) if outcome.get("answer") is not None else None,
            json.dumps(body["conditions"], sort_keys=True) if body["conditions"] else None,
            ordinal,
        ],
    )
    rows = [
        [identity, *(v[k] for k in ("artefact_id", "metric", "scope", "estimate", "low", "high", "n", "method"))]
        for v in outcome.get("values") or ()
    ]
    if rows:
        connection.executemany("insert into numbers values (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _take_in_raw(connection: duckdb.DuckDBPyConnection, part: Path, identities: list[str]) -> None:
    """Copy per-example outcomes and timings straight from Parquet.

    Parts of layout 1 name no slices and columns, those before layout 3 no single calls and no energy.
    """
    held = {name for name, *_ in connection.execute("select name from parquet_schema(?)", [str(part)]).fetchall()}
    later = "e.slice, e.columns" if "slice" in held else "'', map()"
    connection.execute(
        f"""
        insert into examples
        select identity, artefact_id, task, e.index, e.label, e.prediction, e.score, e.confidence, {later}
        from (select identity, artefact_id, task, unnest(examples) as e from read_parquet(?)
              where examples is not null and list_contains(?, identity))
        """,  # noqa: S608 - one of two fixed lists of columns
        [str(part), identities],
    )
    later = "s.each, s.joules" if "joules" in held else "[], null"
    connection.execute(
        f"""
        insert into samples
        select identity, lease, s.artefact_id, s.scope, s.round, s.position, s.calls, s.seconds, s.first, {later}
        from (select identity, lease, unnest(samples) as s from read_parquet(?)
              where samples is not null and list_contains(?, identity))
        """,  # noqa: S608 - one of two fixed lists of columns
        [str(part), identities],
    )
