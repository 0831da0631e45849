"""The query form made anew from parts of the journal: beside the store, never in it, and gone when it was used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from bench.errors import BadInput
from bench.store.database import open_database
from bench.store.journal import parts
from bench.store.reader import Snapshot


@contextmanager
def database_of(chosen: Iterable[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables of `schema.sql`, filled from these parts in the order of their names."""
    with TemporaryDirectory(prefix="paredown-") as name:
        journal = Path(name) / "journal"
        journal.mkdir()
        for part in chosen:
            (journal / part.name).symlink_to(part)
        connection = open_database(Path(name) / "results.duckdb", journal)
        try:
            yield connection
        finally:
            connection.close()


def names_published(snapshot: Snapshot) -> tuple[str, ...]:
    """Names of the parts that a snapshot was made from; all that are there now for one that does not say."""
    told = snapshot.info().get("parts")
    if told is None:
        return tuple(part.name for part in parts(snapshot.folder))
    return tuple(json.loads(told))


def parts_with(snapshot: Snapshot, identities: Iterable[str]) -> list[Path]:
    """The parts that hold the entries of these identities. Raises BadInput where one cannot be read."""
    wanted = list(dict.fromkeys(identities))
    found = [str(part) for part in parts(snapshot.folder)]
    if not wanted or not found:
        return []
    with duckdb.connect() as connection:
        try:
            rows = connection.execute(
                "select distinct filename from read_parquet(?, filename = true) where list_contains(?, identity)",
                [found, wanted],
            ).fetchall()
        except duckdb.Error as error:
            raise BadInput(
                f"The journal of {snapshot.folder.location} cannot be read ({str(error).splitlines()[0]}): "
                "`paredown verify` names the part."
            ) from error
    return sorted(Path(name) for (name,) in rows)
