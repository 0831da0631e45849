"""The query form: DuckDB tables filled from journal parts. Held open by one writer; readers get snapshots instead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bench.errors import DiskFull, StoreBusy, is_disk_full
from bench.store.folder import SCHEMA_VERSION, Folder
from bench.store.journal import parts
from bench.store.openings import OPENED

BATCH_PARTS, BATCH_BYTES = 100, 32_000_000
LOCKED = "Could not set lock on file"  # as DuckDB says it


def open_database(path: Path, journal: Folder | Path) -> duckdb.DuckDBPyConnection:
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


def _caught_up(path: Path, journal: Folder | Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path))
    try:
        # Ours is one of many processes on a node, and the node's cores belong to the models.
        connection.execute("set threads to 1")
        connection.execute("set memory_limit = '2GB'")
        _refuse_other_layout(connection)
        connection.execute(files("bench.store").joinpath("schema.sql").read_text(encoding="utf-8"))
        connection.execute("insert into schema_version values (?) on conflict do nothing", [SCHEMA_VERSION])
        have = {row[0] for row in connection.execute("select name from parts").fetchall()}
        for batch in _batches([part for part in parts(journal) if part.name not in have]):
            take_in(connection, *batch)
    except BaseException:
        connection.close()  # DuckDB would hand the same open file to the next connection
        raise
    return connection


def _batches(missing: Sequence[Path]) -> Iterator[list[Path]]:
    """Parts that are taken in together: a transaction each would cost more than what is in them."""
    batch: list[Path] = []
    size = 0
    for part in missing:
        batch.append(part)
        size += part.stat().st_size
        if size >= BATCH_BYTES or len(batch) >= BATCH_PARTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _refuse_other_layout(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise duckdb.Error for a database of another layout: it is then made anew from the journal."""
    tables = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    if "schema_version" in tables:
        row = connection.execute("select max(version) from schema_version").fetchone()
        if row is not None and row[0] not in (None, SCHEMA_VERSION):
            raise duckdb.Error(f"layout {row[0]}, not {SCHEMA_VERSION}")


def take_in(connection: duckdb.DuckDBPyConnection, *chosen: Path) -> None:
    """Insert the entries of parts, each identity once, in one transaction."""
    connection.execute("begin")
    try:
        ((ordinal,),) = connection.execute("select count(*) from entries").fetchall()
        fresh = _fresh(connection, chosen)
        rows = Rows()
        for place, line in enumerate(fresh):
            _add_entry(connection, rows, line, ordinal + place)
        _insert(connection, "records", rows.records)
        _insert(connection, "numbers", rows.numbers)
        _insert(connection, "retries", rows.retries)
        _take_in_raw(connection, fresh)
        named = [[part.name] for part in chosen]
        if named:
            connection.executemany("insert into parts values (?) on conflict do nothing", named)
        connection.execute("commit")
    except BaseException:
        with suppress(duckdb.Error):  # a commit that failed has ended the transaction already
            connection.execute("rollback")
        raise


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a part."""

    part: Path
    position: int
    entry: str
    identity: str
    body: str
    examples: bool  # whether it has raw material of that kind
    samples: bool


@dataclass
class Rows:
    """What goes into tables at once: a row each would take a millisecond."""

    records: list[list[Any]] = field(default_factory=list)
    numbers: list[list[Any]] = field(default_factory=list)
    retries: list[list[Any]] = field(default_factory=list)


def _fresh(connection: duckdb.DuckDBPyConnection, chosen: Sequence[Path]) -> list[Line]:
    """The lines of parts whose identities were not there before, in order; they are entered as known."""
    lines: dict[str, Line] = {}
    for part in chosen:
        table = pq.ParquetFile(part).read(columns=["entry", "identity", "body", "artefact_id", "lease"])
        columns = (table.column(name).to_pylist() for name in table.column_names)
        for position, (entry, identity, body, examples, samples) in enumerate(zip(*columns, strict=True)):
            line = Line(part, position, entry, identity, body, examples is not None, samples is not None)
            lines.setdefault(identity, line)
    if not lines:
        return []
    incoming = pa.table(
        {
            "identity": list(lines),
            "entry": [line.entry for line in lines.values()],
            "part": [line.part.name for line in lines.values()],
            "position": [line.position for line in lines.values()],
        }
    )
    with _registered(connection, incoming):
        returned = connection.execute(
            "insert into entries select * from incoming on conflict do nothing returning identity"
        ).fetchall()
    new = {identity for (identity,) in returned}
    return [line for identity, line in lines.items() if identity in new]


@contextmanager
def _registered(connection: duckdb.DuckDBPyConnection, table: pa.Table) -> Iterator[None]:
    connection.register("incoming", table)
    try:
        yield
    finally:
        connection.unregister("incoming")


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, in the order of the table's columns."""
    if rows:
        incoming = pa.table([pa.array(column) for column in zip(*rows, strict=True)], names=_places(len(rows[0])))
        with _registered(connection, incoming):
            connection.execute(f"insert into {table} select * from incoming")  # noqa: S608 - one of ours


def _places(count: int) -> list[str]:
    return [f"c{place}" for place in range(count)]


def _add_entry(connection: duckdb.DuckDBPyConnection, rows: Rows, line: Line, ordinal: int) -> None:
    """Add a record's rows to those that are inserted together; insert anything else, of which there is little."""
    entry, body = line.entry, json.loads(line.body)
    if entry == "record":
        _add_record(rows, line.identity, body, ordinal)
    elif entry == "sweep":
        connection.execute(
            "insert into sweeps values (?, ?, ?, ?) on conflict (sweep_id) do update set name = excluded.name, "
            "declared = excluded.declared, body = excluded.body where excluded.declared >= sweeps.declared",
            [body["sweep_id"], body["name"], body["declared"], json.dumps(body, sort_keys=True)],
        )
    elif entry == "retry":
        rows.retries += [[key, body["declared"]] for key in body["keys"]]
    elif entry == "claims":
        keys = ("model", "id", "text", "published", "source", "settings", "verdict", "found", "reason")
        claims = [[*(row[key] for key in keys), body["declared"]] for row in body["rows"]]
        connection.executemany(f"insert or replace into claims values ({', '.join('?' * 10)})", claims)  # noqa: S608
    elif entry == "stop":
        names = ("sweep_id", "artefact_id", "by", "raced", "look", "looks", "examples", "level", "objectives", "reason")
        row = [json.dumps(body[n]) if n in ("examples", "objectives") else body[n] for n in names]
        connection.execute(f"insert into stops values ({', '.join('?' * 10)}) on conflict do nothing", row)  # noqa: S608
    elif entry == OPENED:
        opened = [line.identity, body["sweep_id"], body["at"], json.dumps(body, sort_keys=True)]
        connection.execute("insert into openings values (?, ?, ?, ?)", opened)


def _add_record(rows: Rows, identity: str, body: dict[str, Any], ordinal: int) -> None:
    outcome, job = body["outcome"], body["job"]
    rows.records.append(
        [
            identity,
            body["key"],
            body["kind"],
            job.get("type", ""),
            outcome["status"],
            body["attempt"],
            job.get("recipe_id"),
            job.get("artefact_id") or outcome.get("artefact_id"),  # what it is about: of a study not what it left
            outcome.get("stage"),
            outcome.get("kind"),
            outcome.get("reason"),
            outcome.get("log"),
            body["started"],
            float(body["seconds"]),
            body["worker"],
            json.dumps(job, sort_keys=True),
            json.dumps(outcome.get("notes") or {}, sort_keys=True),
            json.dumps(outcome["answer"], sort_keys=True) if outcome.get("answer") is not None else None,
            json.dumps(body["conditions"], sort_keys=True) if body["conditions"] else None,
            ordinal,
        ]
    )
    for value in outcome.get("values") or ():
        texts = (value["artefact_id"], value["metric"], value["scope"])
        numbers = (float(value["estimate"]), float(value["low"]), float(value["high"]))
        rows.numbers.append([identity, *texts, *numbers, value["n"], value["method"]])


def _take_in_raw(connection: duckdb.DuckDBPyConnection, fresh: Sequence[Line]) -> None:
    """Copy per-example outcomes and timings straight from Parquet.

    Parts of layout 1 name no slices and columns, those before layout 3 no single calls and no energy.
    """
    for column, present in (("examples", "examples"), ("samples", "samples")):
        by_layout: dict[bool, list[Line]] = {}
        held: dict[Path, bool] = {}
        for line in fresh:
            if getattr(line, present):
                if line.part not in held:
                    held[line.part] = _holds(line.part, column, "slice" if column == "examples" else "joules")
                by_layout.setdefault(held[line.part], []).append(line)
        for whole, lines in by_layout.items():
            _copy_raw(connection, column, lines, whole=whole)


def _holds(part: Path, column: str, name: str) -> bool:
    """Whether the raw material of a part has a field, which older layouts lack."""
    return bool(pq.read_schema(part).field(column).type.value_type.get_field_index(name) >= 0)


def _copy_raw(connection: duckdb.DuckDBPyConnection, column: str, lines: Sequence[Line], *, whole: bool) -> None:
    if column == "examples":
        mine = "identity, artefact_id, task"
        fields = "e.index, e.label, e.prediction, e.score, e.confidence, " + (
            "e.slice, e.columns" if whole else "'', map()"
        )
    else:
        mine = "identity, lease"
        fields = "e.artefact_id, e.scope, e.round, e.position, e.calls, e.seconds, e.first, " + (
            "e.each, e.joules" if whole else "[], null"
        )
    incoming = pa.table({"part": [str(line.part) for line in lines], "name": [line.identity for line in lines]})
    with _registered(connection, incoming):
        connection.execute(
            f"insert into {column} select {mine}, {fields} "  # noqa: S608 - fixed lists of columns
            f"from (select {mine}, unnest({column}) as e from read_parquet(?, filename = true) "
            f"semi join incoming on filename = part and identity = name where {column} is not null)",
            [list(dict.fromkeys(str(line.part) for line in lines))],
        )
