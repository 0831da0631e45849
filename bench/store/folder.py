"""The results folder: what lies where in it, and which driver it belongs to.

store.json               what this folder is, and the version of its layout
lease/<epoch>.json       one file a driver that ever held the folder; the highest epoch holds it
journal/<epoch>-<seq>.parquet    immutable parts: the truth
results.duckdb           query form of the journal, rebuilt from it at will; the writer's alone
published/               read-only snapshots and the pointer `current.json`
artefacts/<artefact_id>/ weights, config, tokenizer
logs/                    what workers wrote
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psutil

from bench.errors import BadInput, StaleLease, StoreBusy

SCHEMA_VERSION = 3
KIND = "paredown store"


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths of one store."""

    root: Path

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def published(self) -> Path:
        return self.root / "published"

    @property
    def pointer(self) -> Path:
        return self.published / "current.json"

    @property
    def artefacts(self) -> Path:
        return self.root / "artefacts"

    @property
    def database(self) -> Path:
        return self.root / "results.duckdb"

    @property
    def leases(self) -> Path:
        return self.root / "lease"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def open_folder(root: Path, *, create: bool = False) -> Folder:
    """The store in `root`; with `create`, an empty or missing folder becomes one.

    Raises BadInput for a folder that is something else, has a newer layout, or cannot be written.
    """
    marker = root / "store.json"
    if marker.is_file():
        _check_marker(marker)
        return Folder(root.resolve())
    if not create:
        raise BadInput(f"{root} is not a paredown store: give --store a folder that `paredown run` has made.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise BadInput(f"{root} exists and is not a paredown store: give --store an empty folder or a new name.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Folder(root.resolve())
        for part in (folder.journal, folder.published, folder.artefacts, folder.leases, folder.logs):
            part.mkdir(exist_ok=True)
        # The marker comes last: it says that the rest is there.
        write_whole(marker, json.dumps({"kind": KIND, "schema": SCHEMA_VERSION, "id": uuid4().hex}) + "\n")
    except OSError as error:
        raise BadInput(
            f"The results folder {root} cannot be written ({error.strerror}): choose another with --store."
        ) from error
    return folder


def _check_marker(marker: Path) -> None:
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        kind, schema = found["kind"], int(found["schema"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{marker.parent} is not a paredown store: its store.json cannot be read ({error}).") from error
    if kind != KIND:
        raise BadInput(f"{marker.parent} is not a paredown store: its store.json says {kind!r}.")
    if schema > SCHEMA_VERSION:
        raise BadInput(
            f"The store {marker.parent} has layout {schema}, newer than the {SCHEMA_VERSION} that this version reads: "
            "update paredown."
        )


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old text or the new, never a part."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write into a store, held by the highest epoch."""

    folder: Folder
    epoch: int

    def lost(self) -> bool:
        """Whether another driver has taken the store over."""
        return latest_epoch(self.folder) != self.epoch

    def check(self) -> None:
        """Raises StaleLease when another driver has taken the store over."""
        if self.lost():
            raise StaleLease(f"another driver has taken over {self.folder.root}")

    def release(self) -> None:
        """Say that the driver has ended in good order; the epoch stays used."""
        path = self.folder.leases / f"{self.epoch:06d}.json"
        with suppress(OSError):
            mine = json.loads(path.read_text(encoding="utf-8"))
            try:
                write_whole(path, json.dumps({**mine, "released": True}) + "\n")
            except OSError:
                os.truncate(path, 0)  # a full disk has room for less: a lease that names nobody is free


def latest_epoch(folder: Folder) -> int:
    """The highest epoch that was ever granted, 0 before the first."""
    return max((int(p.stem) for p in folder.leases.glob("[0-9]*.json")), default=0)


def holder(folder: Folder) -> dict[str, object] | None:
    """Who holds the store now, None where nobody living does."""
    epoch = latest_epoch(folder)
    if epoch == 0:
        return None
    try:
        found = json.loads((folder.leases / f"{epoch:06d}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if found.get("released"):
        return None
    if found["host"] != socket.gethostname():
        return dict(found)  # another machine's processes cannot be seen from here: only --take-over ends its lease
    try:
        process = psutil.Process(found["pid"])
        # A killed process that nobody has waited for yet still has its entry, and writes nothing any more.
        alive = abs(process.create_time() - found["born"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        alive = False
    return dict(found) if alive else None


def take_lease(folder: Folder, *, take_over: bool = False) -> Lease:
    """Become the store's driver. Raises StoreBusy while another one lives, unless `take_over`."""
    epoch = latest_epoch(folder) + 1  # before asking who holds it: another driver that comes in between gets this one
    living = holder(folder)
    if living and not take_over:
        raise StoreBusy(
            f"The store {folder.root} is in use by another paredown (process {living['pid']} on {living['host']}, "
            f"since {living['since']}): wait for it, or take it over with --take-over."
        )
    me = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "born": psutil.Process().create_time(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path = folder.leases / f"{epoch:06d}.json"
    draft = folder.leases / f".{uuid4().hex}"
    try:
        draft.write_text(json.dumps(me) + "\n", encoding="utf-8")
        os.link(draft, path)  # fails if another driver was faster
    except FileExistsError as error:
        raise StoreBusy(f"The store {folder.root} was taken by another paredown at this moment: try again.") from error
    except OSError as error:
        raise BadInput(
            f"The store {folder.root} cannot be written ({error.strerror}): choose another with --store."
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return Lease(folder, epoch)
