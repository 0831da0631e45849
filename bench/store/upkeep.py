"""Looking after a store: its query form made anew, several stores joined into one, and the way out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bench.architecture import model_files
from bench.artefacts import Artefacts
from bench.errors import BadInput, DiskFull, StoreBusy, is_disk_full
from bench.identity import files_digest, short
from bench.store.folder import MARKER, SCHEMA_VERSION, Folder, holder, open_folder, store_id, take_lease
from bench.store.journal import Journal, parts, read_entries
from bench.store.reader import current_name, open_snapshot
from bench.store.rebuild import database_of
from bench.store.review_copies import copy_reviews
from bench.store.writer import Writer

BOARD = "board"  # folder of an export: what the last snapshot shows
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a store holds after its query form was made anew."""

    parts: int
    records: int
    snapshot: str | None


@dataclass
class Merged:
    """What came into a store."""

    parts: int = 0
    entries: int = 0
    repeated: int = 0  # entries that were there already
    artefacts: int = 0
    missing: list[str] = field(default_factory=list)  # artefacts that records name and no store has
    broken: list[str] = field(default_factory=list)  # artefacts whose bytes are not those of their names
    events: int = 0  # of reviews
    differing: list[str] = field(default_factory=list)  # reviews that went on differently: kept as they were


@dataclass(frozen=True, slots=True)
class Exported:
    """Rows of each table that was written."""

    rows: dict[str, int]


def rebuild(folder: Folder, tell: Tell = lambda _: None) -> Rebuilt:
    """Make the query form and the snapshot of a store anew from its journal.

    Raises StoreBusy where it is in use, BadInput for a part that cannot be read.
    """
    lease = take_lease(folder)
    try:
        tell("reading the journal")
        for path in (folder.database, folder.database.with_name(f"{folder.database.name}.wal")):
            path.unlink(missing_ok=True)
        with _readable(folder):
            writer = Writer(folder, lease.epoch)
        with closing(writer):
            tell("publishing")
            writer.publish(now=True)
            return Rebuilt(len(parts(folder)), writer.count(), current_name(folder))
    finally:
        lease.release()


@contextmanager
def _readable(folder: Folder) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, duckdb.Error, KeyError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise BadInput(
            f"The journal of {folder.location} cannot be read ({first}): `paredown verify` names the part."
        ) from error


def merge(into: Path, sources: Sequence[Path], tell: Tell = lambda _: None) -> Merged:
    """Copy what other stores hold into one, each identity once. Done again after an interruption it goes on.

    Args:
        into: a store, or a new or empty folder that becomes one.
        sources: stores, which are only read.
        tell: hears what is being done.

    Raises BadInput for what is no store or has another layout, StoreBusy for one that is in use.
    """
    found = [_source(source) for source in sources]
    target = open_folder(into, create=True)
    _check_layout(target)
    same = [source.location for source in found if source.location == target.location]
    if same:
        raise BadInput(f"{same[0]} is both where to merge into and what to merge: name another store.")
    lease = take_lease(target)
    merged = Merged()
    try:
        known = {identity for part in parts(target) for _, identity, _ in read_entries(part)}
        journal = Journal(lease)
        for source in found:
            tell(f"merging {source.location}")
            with _readable(source):
                # Artefacts first: a record must not name one that did not come.
                _merge_artefacts(source, target.open_artefacts(), merged)
                for part in parts(source):
                    _merge_part(part, journal, known, merged)
            events, differing = copy_reviews(source, target)
            merged.events += events
            merged.differing += differing
        tell("publishing")
        with closing(Writer(target, lease.epoch)) as writer:
            writer.publish(now=True)
    finally:
        lease.release()
    return merged


def _source(path: Path) -> Folder:
    folder = open_folder(path)
    _check_layout(folder)
    living = holder(folder)
    if living is not None:
        raise StoreBusy(
            f"The store {folder.location} is in use by another paredown (process {living['pid']} on "
            f"{living['host']}): merge it when that has ended."
        )
    return folder


def _check_layout(folder: Folder) -> None:
    schema = json.loads(folder.place.read(MARKER))["schema"]
    if schema != SCHEMA_VERSION:
        raise BadInput(
            f"The store {folder.location} has layout {schema}, and only stores of layout {SCHEMA_VERSION} are merged: "
            "merge it with the version of paredown that wrote it."
        )


def _merge_part(part: Path, journal: Journal, known: set[str], merged: Merged) -> None:
    """Append the lines of a part whose identities are new; a part of new ones only is copied byte for byte."""
    lines: list[str] = pq.ParquetFile(part).read(columns=["identity"]).column("identity").to_pylist()
    fresh = [place for place, identity in enumerate(lines) if identity not in known]
    merged.repeated += len(lines) - len(fresh)
    if not fresh:
        return
    if len(fresh) == len(lines):
        journal.write(part.read_bytes())
    else:
        sink = pa.BufferOutputStream()
        pq.write_table(pq.ParquetFile(part).read().take(fresh), sink, compression="zstd")
        journal.write(sink.getvalue().to_pybytes())
    known.update(lines)
    merged.parts += 1
    merged.entries += len(fresh)


def _merge_artefacts(source: Folder, target: Artefacts, merged: Merged) -> None:
    mine = source.open_artefacts()
    for artefact_id in _built(source):
        if artefact_id in target:
            continue
        if artefact_id not in mine:
            merged.missing.append(short(artefact_id))
            continue
        folder = mine.path(artefact_id)
        names = model_files(folder)
        with target.draft() as draft:
            for name in names:
                shutil.copyfile(folder / name, draft / name)
            if files_digest(draft, names) != artefact_id:
                merged.broken.append(short(artefact_id))
                continue
            target.publish(draft)
            merged.artefacts += 1


def _built(folder: Folder) -> list[str]:
    """The artefacts that finished builds and studies of a journal name, in order."""
    found: dict[str, None] = {}
    for part in parts(folder):
        for entry, _, body in read_entries(part):
            if entry == "record" and ('"build"' in body or '"study"' in body):
                record = json.loads(body)
                artefact_id = record["outcome"].get("artefact_id")
                if record["kind"] in ("build", "study") and artefact_id:
                    found[artefact_id] = None
    return list(found)


def export(folder: Folder, target: Path, tell: Tell = lambda _: None) -> Exported:
    """Write every table of a store as Parquet, with the schema that says what they hold.

    Args:
        folder: the store; a sweep may go on writing meanwhile.
        target: a new or empty folder. `schema.sql` comes last: it says that the rest is there.
        tell: hears what is being done.

    Raises BadInput where the target is not empty or cannot be written, DiskFull where it has no room.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is not empty: give an empty folder or a new name.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        tell("reading the journal")
        with _readable(folder), database_of(parts(folder)) as connection:
            rows = _copy_tables(connection, "main", target)
        if current_name(folder) is not None:
            tell("reading the newest snapshot")
            (target / BOARD).mkdir()
            with open_snapshot(folder.location) as snapshot:
                told = _copy_tables(snapshot.connection, "main", target / BOARD)
            rows |= {f"{BOARD}/{name}": count for name, count in told.items()}
            (target / BOARD / "schema.sql").write_text(_schema("snapshot.sql").replace("snapshot.", ""))
        (target / MARKER).write_text(json.dumps({"schema": SCHEMA_VERSION, "exported from": store_id(folder)}) + "\n")
        (target / "schema.sql").write_text(_schema("schema.sql"))
    except (OSError, duckdb.IOException) as error:
        if is_disk_full(error):
            raise DiskFull(f"no room under {target}") from error
        raise BadInput(f"{target} cannot be written ({str(error).splitlines()[0]}): give another folder.") from error
    return Exported(rows)


def _schema(name: str) -> str:
    return files("bench.store").joinpath(name).read_text(encoding="utf-8")


def _copy_tables(connection: duckdb.DuckDBPyConnection, schema: str, target: Path) -> dict[str, int]:
    """Every table to a Parquet file of its name; returns how many rows each has."""
    names = connection.execute(
        "select table_name from duckdb_tables() where schema_name = ? and not internal order by 1", [schema]
    ).fetchall()
    found = {}
    for (name,) in names:
        path = str(target / f"{name}.parquet").replace("'", "''")
        ((found[name],),) = connection.execute(
            f"copy (select * from {name}) to '{path}' (format parquet, compression zstd)"  # noqa: S608 - our tables
        ).fetchall()
    return found
