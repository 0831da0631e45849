"""Every column of a published snapshot is tampered with in turn, and the check of its table says in which column.

The columns are those of snapshot.sql itself: a column that is added there is a case here, and one that no check looks
at fails. What is tampered with elsewhere (journal, artefacts) is in test_verify.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from bench.metrics import METRICS
from bench.store.compare import TABLES, compare_metrics, compare_records, compare_summary
from bench.store.findings import ROUNDING, Check, Difference
from bench.store.journal import Entry
from bench.store.reader import Snapshot, open_snapshot
from bench.store.rebuild import database_of, names_published
from bench.store.rows import Summary
from bench.store.summary import summarise
from bench.store.verify import CHECKS
from tests.bench.store import defended
from tests.bench.store.defended import MEASURED
from tests.leaderboard import sample
from tests.leaderboard.sample import TASK

# Columns that no check holds against anything, and why.
UNCHECKED = {
    # Another driver may come to know the same parts in another order.
    ("records", "ordinal"),
    # How a snapshot describes itself: what of it can be wrong shows elsewhere, such as a part that it does not name.
    ("info", "key"),
    ("info", "value"),
}
# Columns that hold nothing in this store, whose recipes have one seed each and whose variants are not dominated.
EMPTY = {
    ("fronts", "knee"),
    ("numbers", "note"),
    ("verdicts", "dominated_by"),
    *(("recipes", name) for name in ("estimate", "low", "high", "variance_seeds", "variance_examples")),
}
# More than rounding may do, and far less than anybody would see.
FACTOR = 1 + 1e3 * ROUNDING


class Column(NamedTuple):
    """A column of a snapshot."""

    table: str
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


def columns() -> list[Column]:
    """All columns of all tables of a snapshot."""
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as snapshot")
        connection.execute(files("bench.store").joinpath("snapshot.sql").read_text(encoding="utf-8"))
        rows = connection.execute(
            "select table_name, column_name, data_type from duckdb_columns() where database_name = 'snapshot' "
            "order by table_name, column_index"
        ).fetchall()
    return [Column(*row) for row in rows]


COLUMNS = [column for column in columns() if (column.table, column.name) not in UNCHECKED]
IDENTIFYING = {table: {"sweep_id", *names} for table, names in TABLES.items()} | {
    "metrics": {"name"},
    "records": {"key", "status", "attempt", "started"},  # they make up its identity
    "sweeps": {"sweep_id"},
    "claims": {"model", "id"},
    "stops": {"sweep_id", "artefact_id"},
    "openings": {"sweep_id", "identity"},
}


class Truth(NamedTuple):
    """A store, a copy of its snapshot that can be written to, and what its journal gives."""

    snapshot: Path
    copy: Snapshot
    root: Path
    connection: duckdb.DuckDBPyConnection
    body: dict[str, Any]
    summary: Summary


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Truth]:
    """A store in which no table is empty."""
    root = defended.make_store(tmp_path_factory.mktemp("tampering") / "store")
    claim = dict.fromkeys(("model", "id", "text", "published", "source", "settings", "found", "reason"), "one")
    claims = {"declared": "2026-11-20T11:00:00.000+00:00", "rows": [claim | {"verdict": "reproduced"}]}
    stop = {
        "sweep_id": json.loads(defended.declaration().body)["sweep_id"],
        "artefact_id": MEASURED[2].artefact_id,
        "by": MEASURED[1].artefact_id,
        "raced": "examples",
        "look": 1,
        "looks": 2,
        "examples": {TASK: 512},
        "level": 0.0021,
        "objectives": [["accuracy", TASK]],
        "reason": "another is better",
    }
    with sample.writing(root) as writer:
        writer.append([Entry.statement("claims", "claims 1", claims), Entry.statement("stop", "stop 1", stop)])
    with open_snapshot(root) as snapshot:
        chosen = [root / "journal" / name for name in names_published(snapshot)]
        with database_of(chosen) as connection:
            body = snapshot.sweeps()[0]["body"]
            published = root / "published" / snapshot.name
            with duckdb.connect(str(shutil.copyfile(published, root.parent / snapshot.name))) as writable:
                copy = Snapshot(snapshot.folder, snapshot.name, writable)
                yield Truth(published, copy, root, connection, body, summarise(connection, body, {}))


def tampered(truth: Truth, *statements: str) -> tuple[Difference, ...]:
    """What is found after the statements were executed on the copy of the snapshot, which stays as it is."""
    checks = {name: Check(name, meaning) for name, meaning in CHECKS.items()}
    truth.copy.connection.begin()
    try:
        for statement in statements:
            truth.copy.connection.execute(statement)
        compare_records(truth.copy, truth.connection, checks["records"])
        compare_metrics(truth.copy, checks["metrics"])
        compare_summary(truth.copy, truth.body, truth.summary, checks)
    finally:
        truth.copy.connection.rollback()
    return tuple(difference for check in checks.values() for difference in check.differences)


def another(column: Column) -> str:
    """SQL of a value that is not the column's."""
    name = f'"{column.name}"'
    if column.kind == "DOUBLE":
        return f"if({name} is null or {name} = 0, 0.001, {name} * {FACTOR!r})"
    if column.kind in ("INTEGER", "BIGINT"):
        return f"coalesce({name}, 0) + 1"
    if column.kind == "BOOLEAN":
        return f"not coalesce({name}, false)"
    if column.kind == "FLOAT[]":
        return f"list_concat({name}[:-2], [1.001 * {name}[-1]])"
    if column.kind == "BLOB":
        return f"{name}[1:-2] || '\\x5a'::blob"
    return f"concat(coalesce({name}, ''), ' ')"


def one_row(column: Column) -> str:
    """Which row is tampered with: one that has something in the column, if any has, and which is spoken of."""
    return f'rowid = (select rowid from {column.table} order by "{column.name}" is null, rowid limit 1)'


def check_of(table: str) -> str:
    return table if table in CHECKS else "records"


def test_as_it_was_published_nothing_is_found(truth: Truth) -> None:
    assert tampered(truth) == ()
    with duckdb.connect(str(truth.snapshot), read_only=True) as connection:
        for table in dict.fromkeys(column.table for column in COLUMNS):
            assert connection.execute(f"select count(*) from {table}").fetchone() != (0,), table
        nothing = [
            c for c in COLUMNS if connection.execute(f'select count("{c.name}") from {c.table}').fetchone() == (0,)
        ]
    assert {(column.table, column.name) for column in nothing} == EMPTY


@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_another_value_is_named(column: Column, truth: Truth) -> None:
    change = f'update {column.table} set "{column.name}" = {another(column)} where {one_row(column)}'
    found = tampered(truth, change)
    assert {difference.check for difference in found} == {check_of(column.table)}, found
    if column.name in IDENTIFYING[column.table]:
        return  # the row is another one then: at least one is missed
    (difference,) = found
    if column.kind == "FLOAT[]":
        assert [name.partition(" ")[0] for name, _, _ in difference.fields] == ["draw"]
    else:
        assert [name for name, _, _ in difference.fields] == [column.name]


HELD = [c for c in COLUMNS if c.name not in IDENTIFYING[c.table] and (c.table, c.name) not in EMPTY]


@pytest.mark.parametrize("column", [column for column in HELD if column.kind != "FLOAT[]"], ids=str)
def test_a_value_that_was_taken_away_is_named(column: Column, truth: Truth) -> None:
    (difference,) = tampered(
        truth,
        f'update {column.table} set "{column.name}" = null where {one_row(column)}',
    )
    assert difference.check == check_of(column.table)
    ((name, stored, recomputed),) = difference.fields
    assert (name, stored) == (column.name, None)
    assert recomputed is not None


@pytest.mark.parametrize("table", dict.fromkeys(column.table for column in COLUMNS))
def test_rows_that_go_or_come_are_named(table: str, truth: Truth) -> None:
    first = f"(select min(rowid) from {table})"
    gone = tampered(truth, f"delete from {table} where rowid = {first}")
    assert {difference.check for difference in gone} == {check_of(table)}
    key = {"metrics": "name", "sweeps": "sweep_id", "openings": "identity"}.get(table)  # they cannot stand there twice
    changed = f"* replace (concat({key}, ' ') as {key})" if key else "*"
    more = tampered(truth, f"insert into {table} select {changed} from {table} where rowid = {first}")
    assert {difference.check for difference in more} == {check_of(table)}


def test_what_is_not_a_number_is_named(truth: Truth) -> None:
    doubles = [c for c in COLUMNS if c.kind == "DOUBLE" and c.table in TABLES and c.table != "draws"]
    changes = [f"update {c.table} set \"{c.name}\" = 'nan'::double where {one_row(c)}" for c in doubles]
    found = tampered(truth, *changes)
    named = {(difference.check, name) for difference in found for name, _, _ in difference.fields}
    assert {(c.table, c.name) for c in doubles} <= named


def test_what_a_metric_means_is_published_as_the_table_has_it(truth: Truth) -> None:
    with open_snapshot(truth.root) as snapshot:
        check = Check("metrics", "")
        compare_metrics(snapshot, check)
    assert (check.compared, check.differences) == (len(METRICS), [])
