"""Read a store's published snapshot. Never touches the writer's files, so it never meets a lock."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from bench.errors import BadInput
from bench.store.folder import POINTER, SNAPSHOT_VERSION, Folder, open_folder

TRIES = 20
DECLARED = """select sweep_id, unnest(from_json(json_extract(body, '$.variants'), '["json"]')) as value from sweeps"""
COPIES_SECONDS = 600.0  # that copies of earlier snapshots are kept, for those who still read them


class Snapshot:
    """One published state of a store. Follows the pointer once, when it is made."""

    # Query of the variants that the sweep `?` declared, as JSON in `value`. json_each would hold the whole declaration
    # once for each of them: gigabytes for a few thousand.
    variants_declared = f"select value from ({DECLARED}) where sweep_id = ?"  # noqa: S608 - fixed texts

    def __init__(self, folder: Folder, name: str, connection: duckdb.DuckDBPyConnection) -> None:
        self.folder = folder
        self.name = name
        self._connection = connection

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """For what is more than a query; it is open for reading only."""
        return self._connection

    @property
    def segments(self) -> list[Path]:
        """Files with records that the snapshot names, on this machine."""
        told = json.loads(self.info().get("segments", "[]"))
        return [self.folder.place.near(f"published/{each}") for each in told]

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The result of a query, one dict a row."""
        cursor = self._connection.execute(query, list(parameters))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def info(self) -> dict[str, str]:
        """When and by which layout the snapshot was published; `progress` is JSON: `progress()` reads it."""
        return {row["key"]: row["value"] for row in self.rows("select key, value from info")}

    def progress(self, sweep_id: str) -> dict[str, Any]:
        """How far the newest run has said that it is, by count; empty where that was a run of another sweep."""
        told: dict[str, Any] = json.loads(self.info()["progress"])
        return told if told.get("sweep", sweep_id) == sweep_id else {}  # older stores do not say of which

    def sweeps(self) -> list[dict[str, Any]]:
        """Declarations of all sweeps, newest first, with the body parsed."""
        rows = self.rows("select sweep_id, name, declared, body from sweeps order by declared desc")
        return [{**row, "body": json.loads(row["body"])} for row in rows]

    def body(self, sweep_id: str, recipe_ids: Sequence[str] = ()) -> dict[str, Any] | None:
        """The declaration of a sweep, None for one that is not there.

        A snapshot that is read by an index may leave variants out that are not among `recipe_ids`.
        """
        del recipe_ids
        rows = self.rows("select body from sweeps where sweep_id = ?", [sweep_id])
        found: dict[str, Any] | None = json.loads(rows[0]["body"]) if rows else None
        return found


def current_name(folder: Folder) -> str | None:
    """Name of the newest snapshot, None before the first: cheap enough to be asked once a second."""
    try:
        return str(json.loads(folder.place.read(POINTER))["snapshot"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"The pointer {folder.location}/{POINTER} cannot be read ({error}): run the sweep again."
        ) from error


def _open(folder: Folder, name: str) -> duckdb.DuckDBPyConnection:
    """A snapshot with the records of its segments. Raises FileNotFoundError or duckdb.IOException where it has gone."""
    connection = duckdb.connect(str(folder.place.near(f"published/{name}")), read_only=True)
    try:
        told = connection.execute("select value from info where key = 'segments'").fetchall()
        segments = [folder.place.near(f"published/{each}") for each in json.loads(told[0][0])] if told else []
        if segments:
            ((database,),) = connection.execute("select current_database()").fetchall()
            every = ", ".join("'" + str(path).replace("'", "''") + "'" for path in segments)
            both = f'select * from "{database}".main.records union all by name from read_parquet([{every}])'  # noqa: S608
            connection.execute(f"create temp view records as {both}")
        if folder.bucket is not None:
            _remove_copies(folder, {name, *(path.name for path in segments)})
    except BaseException:
        connection.close()
        raise
    return connection


def _remove_copies(folder: Folder, wanted: set[str]) -> None:
    """Remove what was copied for earlier snapshots: a page that follows a sweep copies one every second."""
    for path in folder.published.iterdir():
        with suppress(OSError):
            # What a page has worked out there it removes itself.
            if (
                path.name not in wanted
                and not path.name.startswith(".board-")
                and path.stat().st_mtime < time.time() - COPIES_SECONDS
            ):
                path.unlink()


@contextmanager
def open_snapshot(root: Path | str) -> Iterator[Snapshot]:
    """Open the newest snapshot of the store in `root`.

    Raises BadInput where there is no store, no snapshot yet, or a newer layout.
    """
    folder = open_folder(root)
    for _ in range(TRIES):
        name = current_name(folder)
        if name is None:
            raise BadInput(f"The store {root} has nothing to show yet: start a sweep with `paredown run`.")
        try:
            connection = _open(folder, name)
        except (duckdb.IOException, FileNotFoundError):
            time.sleep(0.05)  # the writer replaced it between two lines of ours; the pointer already says so
            continue
        try:
            snapshot = Snapshot(folder, name, connection)
            layout = int(snapshot.info()["schema"])
            if layout > SNAPSHOT_VERSION:
                raise BadInput(f"The store {root} was written by a newer paredown: update this one.")
            if layout < SNAPSHOT_VERSION:
                raise BadInput(
                    f"What the store {root} has published has layout {layout}, and this reads {SNAPSHOT_VERSION}: "
                    "run its sweep again, which repeats nothing, to publish it anew."
                )
            yield snapshot
        finally:
            connection.close()
        return
    raise BadInput(f"The newest snapshot of {root} cannot be opened: run `paredown run` again to publish a new one.")
