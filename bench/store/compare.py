"""What a store shows against what its journal gives: row by row, named by variant, metric and scope."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import duckdb

from bench.metrics import METRICS
from bench.store.findings import Check, Field, compare_draws
from bench.store.folder import SCHEMA_VERSION, Folder, holder
from bench.store.reader import Snapshot
from bench.store.rows import Summary

Row = dict[str, Any]
Key = tuple[Any, ...]
GONE = "stands in the snapshot, but the journal does not give it"
NEW = "follows from the journal, but does not stand in the snapshot"
TABLES = {
    # table of a snapshot -> what names a row beside its sweep
    "variants": ("recipe_id",),
    "numbers": ("recipe_id", "metric", "scope"),
    "draws": ("recipe_id", "metric", "scope"),
    "verdicts": ("recipe_id",),
    "standings": ("recipe_id", "metric", "scope"),
    "constraints": ("recipe_id", "position"),
    "hits": ("recipe_id", "metric", "scope"),
    "confirmations": ("opening", "recipe_id", "metric", "scope"),
    "fronts": ("base",),
    "recipes": ("base", "recipe_group", "metric", "scope", "other"),
}
RECORD = (
    "key, kind, job_type, status, attempt, recipe_id, artefact_id, stage, failure, reason, log, started, seconds, "
    "worker, job, notes, conditions"
)
PUBLISHED_OF_METRICS = ("name", "title", "unit", "better", "exact", "meaning")
# tables of the query form -> what their rows belong to
KEPT = {
    "entries": "identity",
    "records": "identity",
    "numbers": "identity",
    "examples": "identity",
    "samples": "identity",
    "sweeps": "sweep_id",
    "claims": "model || ' ' || id",
    "retries": "key",
    "openings": "identity",
    "stops": "sweep_id",
}


class Named(NamedTuple):
    """How the rows of a table are told apart, and what people call them."""

    key: Callable[[Row], Key]
    subject: Callable[[Row], str]


def compare_summary(
    snapshot: Snapshot, sweep: Mapping[str, Any], summary: Summary, checks: Mapping[str, Check]
) -> None:
    """What the snapshot says of one sweep against what the journal gives, a check for each of `TABLES`."""
    names = {v["recipe_id"]: str(v["name"]) for v in sweep["variants"]}
    for table, columns in TABLES.items():
        rows = snapshot.rows(f"select * from {table} where sweep_id = ?", [sweep["sweep_id"]])  # noqa: S608
        found = [row._asdict() for row in getattr(summary, table)]
        named = Named(
            lambda row, columns=columns: tuple(row[c] for c in columns),  # type: ignore[misc]
            lambda row: _subject(row, names),
        )
        _compare(checks[table], rows, found, named)


def _subject(row: Row, names: Mapping[str, str]) -> str:
    """Whom a row speaks of: a variant, a recipe over its seeds, or all variants of a base."""
    if "recipe_id" in row:
        return names.get(row["recipe_id"], f"recipe {row['recipe_id'][:10]}")
    return str(row.get("recipe_group", row["base"]))


def _compare(check: Check, rows: Sequence[Row], found: Sequence[Row], named: Named) -> None:
    """Compare two tables. A row of draws holds one series."""
    stated: dict[Key, list[Row]] = {}
    for row in rows:
        stated.setdefault(named.key(row), []).append(row)
    recomputed = {named.key(row): row for row in found}
    for key, copies in stated.items():
        row, subject = copies[0], named.subject(copies[0])
        of = str(row.get("metric", "")), str(row.get("scope", ""))
        if len(copies) > 1:
            check.differs(subject, f"stands {len(copies)} times in the snapshot", *of)
        if key not in recomputed:
            check.compared += 1
            check.differs(subject, GONE, *of, *_told(row, stored=True))
        elif "draws" in row:
            compare_draws(check, subject, row["draws"], recomputed[key]["draws"], *of)
        else:
            check.compare(subject, row, recomputed[key], "is not what the journal gives", *of)
    for key in recomputed.keys() - stated.keys():
        row = recomputed[key]
        of = str(row.get("metric", "")), str(row.get("scope", ""))
        check.compared += 1
        check.differs(named.subject(row), NEW, *of, *_told(row, stored=False))


def _told(row: Row, *, stored: bool) -> list[tuple[str, Any, Any]]:
    """The one value that says most of a row which stands on one side only."""
    name = next((n for n in ("estimate", "verdict", "status") if n in row), None)
    return [] if name is None else [(name, *((row[name], None) if stored else (None, row[name])))]


def compare_records(snapshot: Snapshot, connection: duckdb.DuckDBPyConnection, check: Check) -> None:
    """The records, declarations, claims, openings and stops that the snapshot repeats against the journal's."""
    named = Named(lambda r: (r["identity"],), lambda r: f"{r['job_type']} {r['key'][:10]}, attempt {r['attempt']}")
    identity = "if(status = 'finished', key, concat(key, '#', attempt, '#', started)) as identity"
    query = f"select {identity}, {RECORD}, {{}} as answer from records"  # noqa: S608 - fixed columns
    rows = snapshot.rows(query.format("answer"))
    _compare(check, rows, _rows(connection, query.format("if(kind = 'build', answer, null)")), named)
    for table, column, told in (
        ("sweeps", "sweep_id", "name"),
        ("claims", "id", "id"),
        ("openings", "identity", "declared"),
        ("stops", "artefact_id", "artefact_id"),
    ):
        every = f"select * from {table}"  # noqa: S608 - one of four
        named = Named(
            lambda r, c=column: (r.get("model"), r.get("sweep_id"), r[c]),  # type: ignore[misc]
            lambda r, t=told, n=table: f"{n.removesuffix('s')} {r[t]}",  # type: ignore[misc]
        )
        _compare(check, snapshot.rows(every), _rows(connection, every), named)


def compare_metrics(snapshot: Snapshot, check: Check) -> None:
    """What the snapshot says of metrics against the table of this code: readers take directions and units from it."""
    named = Named(lambda r: (r["name"],), lambda r: f"metric {r['name']}")
    _compare(check, snapshot.rows("select * from metrics"), metric_rows(), named)


def metric_rows() -> list[Row]:
    """The METRICS table as it is published."""
    return [{name: getattr(m, name) for name in PUBLISHED_OF_METRICS} for m in METRICS.values()]


def _rows(connection: duckdb.DuckDBPyConnection, query: str, given: Sequence[Any] = ()) -> list[Row]:
    cursor = connection.execute(query, list(given))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def compare_database(folder: Folder, connection: duckdb.DuckDBPyConnection, check: Check) -> None:
    """The query database that a run leaves behind against the one that `connection` has made of the same parts.

    A copy is looked at: opening the file itself would keep a driver out that starts in this moment.
    """
    if not folder.database.exists():
        check.notes.append("there is none: the next run makes it from the journal")
        return
    if holder(folder) is not None:
        check.notes.append("a sweep is writing: its database is not looked at")
        return
    with TemporaryDirectory(prefix="paredown-") as name:
        copy = Path(name) / folder.database.name
        for path in (folder.database, folder.database.with_name(f"{folder.database.name}.wal")):
            if path.exists():
                shutil.copyfile(path, copy.with_name(path.name))
        try:
            connection.execute(f"attach '{copy}' as kept")
        except duckdb.Error as error:
            check.notes.append(f"it cannot be read ({str(error).splitlines()[0]}): the next run makes it anew")
            return
        try:
            _compare_kept(connection, check)
        finally:
            connection.execute("detach kept")


def _compare_kept(connection: duckdb.DuckDBPyConnection, check: Check) -> None:
    layout = connection.execute(
        "select count(*) from duckdb_tables() where database_name = 'kept' and table_name = 'schema_version'"
    ).fetchone()
    version = connection.execute("select max(version) from kept.schema_version").fetchone() if layout != (0,) else None
    if version != (SCHEMA_VERSION,):
        check.notes.append("it has another layout: the next run makes it anew")
        return
    mine, theirs = (
        {name for (name,) in connection.execute(f"select name from {prefix}parts").fetchall()}  # noqa: S608
        for prefix in ("", "kept.")
    )
    if mine - theirs:
        check.notes.append(f"it has not taken in {len(mine - theirs)} parts of the journal yet: the next run does")
    titles = dict(connection.execute("select identity, job_type || ' ' || key[:10] from records").fetchall())
    for table, column in KEPT.items():
        if column != "identity" and mine != theirs:
            continue  # these tables do not say which part a row came from
        for name, fields in _unequal(connection, table, column, check):
            subject = f"{table} of {titles.get(name, name)}"
            check.differs(subject, "the query database holds something else", "", "", *fields)


def _unequal(
    connection: duckdb.DuckDBPyConnection, table: str, column: str, check: Check
) -> list[tuple[str, list[Field]]]:
    """What differs between the two databases in a table: (whose rows, in what).

    What belongs to parts that only one of them has taken in is left out.
    """
    kept, mine = (_contents(prefix, table, column) for prefix in ("kept.", ""))
    rows = connection.execute(
        f"select coalesce(k.name, m.name), k.n, m.n, k.sum is not distinct from m.sum from ({kept}) k "  # noqa: S608
        f"full join ({mine}) m on k.name = m.name"
    ).fetchall()
    check.compared += sum(count or 0 for _, _, count, _ in rows)
    return [
        (str(name), [("rows", k, m)] if k != m else _first_unequal(connection, table, column, name))
        for name, k, m, same in rows
        if not same
    ]


def _contents(prefix: str, table: str, column: str) -> str:
    """A query for the number of rows and a sum of their hashes, by what they belong to."""
    both = "select name from parts intersect select name from kept.parts"
    shared = f"select identity from {prefix}entries where part in ({both})"  # noqa: S608 - fixed names
    where = f"where identity in ({shared})" if column == "identity" else ""
    rows = f"{_rows_of(prefix, table)} {where}"
    return f"select {column} as name, count(*) as n, sum(hash(t)::hugeint) as sum from ({rows}) t group by all"  # noqa: S608


def _rows_of(prefix: str, table: str) -> str:
    left_out = "exclude (ordinal)" if table == "records" else ""  # the order in which a writer came to know them
    return f"select * {left_out} from {prefix}{table}"  # noqa: S608 - names of KEPT


def _first_unequal(connection: duckdb.DuckDBPyConnection, table: str, column: str, name: str) -> list[Field]:
    """How many rows differ, and in what the first of them does."""
    mine, theirs = (f"{_rows_of(prefix, table)} where {column} = ?" for prefix in ("", "kept."))
    stored = _rows(connection, f"({theirs}) except all ({mine}) order by all", [name, name])
    found = _rows(connection, f"({mine}) except all ({theirs}) order by all", [name, name])
    fields: list[Field] = [("rows that differ", len(stored), len(found))]
    if stored and found:
        fields += [(key, value, found[0][key]) for key, value in stored[0].items() if value != found[0][key]]
    return fields
