"""The store: what lies where in it, and which driver it belongs to.

store.json               what this is, and the version of its layout
lease/<epoch>.json       one file a driver that ever held the store; the highest epoch holds it
journal/<epoch>-<seq>.parquet    immutable parts: the truth
results.duckdb           query form of the journal, rebuilt from it at will; the writer's alone
published/               read-only snapshots and the pointer `current.json`
artefacts/<artefact_id>/ weights, config, tokenizer
logs/                    what workers wrote

In a folder all of it lies there. Of a bucket the query form, the logs and copies of what never changes lie in a folder
of the machine that works with it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.artefacts import Artefacts
from bench.code import code_version
from bench.errors import BadInput, DiskFull, StaleLease, StoreBusy, is_disk_full
from bench.settings import what_is_at
from bench.store.places import Local, Place
from bench.store.processes import born, lives, processes_here

SCHEMA_VERSION = 3  # of the journal and its query form
SNAPSHOT_VERSION = 5  # of what is published, which any run publishes anew
KIND = "paredown store"
MARKER = "store.json"
POINTER = "published/current.json"
BUCKET = re.compile(r"s3:/{1,2}(?=[^/])")  # a Path has lost one slash of it
RENEW_SECONDS = 10.0
EXPIRY_SECONDS = 60.0  # a lease that was not renewed for so long is free


@dataclass(frozen=True, slots=True)
class Folder:
    """One store: paths of this machine that belong to it, and the place that holds it: this folder, or a bucket."""

    root: Path
    bucket: Place | None = None  # `root` then holds copies of what lies there

    @property
    def place(self) -> Place:
        return self.bucket or Local(self.root)

    @property
    def location(self) -> str:
        """What --store names it by, on any machine."""
        return self.place.location

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
    def artefacts_url(self) -> str | None:
        """Where the artefacts of a bucket lie; `artefacts` then holds copies."""
        return None if self.bucket is None else f"{self.location}/artefacts"

    def here(self) -> Folder:
        """The same store as seen from this machine, which keeps its copies of a bucket in its own place."""
        return self if self.bucket is None else open_folder(self.location)

    def open_artefacts(self) -> Artefacts:
        """The artefacts as this process reaches them."""
        return Artefacts(self.artefacts, bucket=self.artefacts_url)

    @property
    def database(self) -> Path:
        return self.root / "results.duckdb"

    @property
    def leases(self) -> Path:
        return self.root / "lease"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def bucket_url(root: Path | str) -> str | None:
    """The URL of a bucket that --store may name, None for a folder."""
    text = str(root)
    found = BUCKET.match(text)
    return None if found is None else f"s3://{text[found.end() :].rstrip('/')}"


def is_store(root: Path | str) -> bool:
    """Whether a store is there. Raises BadInput for a bucket that cannot be asked."""
    url = bucket_url(root)
    if url is None:
        return what_is_at(Path(root) / MARKER) == "file"
    from bench.store.bucket import Bucket

    return Bucket(url, Path()).has(MARKER)


def open_folder(root: Path | str, *, create: bool = False) -> Folder:
    """The store in a folder, or in a bucket as `s3://bucket/prefix`; with `create`, an empty one becomes one.

    Raises BadInput for a place that is something else, has a newer layout, cannot be reached or cannot be written.
    """
    url = bucket_url(root)
    if url is not None:
        return _in_bucket(url, create=create)
    root = Path(root)
    marker = root / MARKER
    if what_is_at(marker) == "file":
        try:
            _check_marker(str(root), marker.read_bytes())
        except OSError as error:
            raise BadInput(f"{root} is not a paredown store: its {MARKER} cannot be read ({error}).") from error
        return Folder(root.resolve())
    if not create:
        raise BadInput(f"{root} is not a paredown store: give --store a folder that `paredown run` has made.")
    if (here := what_is_at(root)) == "file" or (here == "folder" and any(root.iterdir())):
        raise BadInput(f"{root} exists and is not a paredown store: give --store an empty folder or a new name.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Folder(root.resolve())
        _make_folders(folder)
        folder.place.replace(MARKER, _new_marker())  # last: it says that the rest is there
    except OSError as error:
        raise BadInput(
            f"The results folder {root} cannot be written ({error.strerror}): choose another with --store."
        ) from error
    return folder


def _in_bucket(url: str, *, create: bool) -> Folder:
    from bench.store.bucket import Bucket, copies_of

    outside = Bucket(url, Path())
    if not outside.has(MARKER):
        taken = outside.anything()  # asked first: it notices a bucket that is not there
        if not create:
            raise BadInput(f"{url} holds no paredown store: give --store one that `paredown run` has made.")
        if taken:
            raise BadInput(f"{url} holds other things and no paredown store: give --store a prefix that is not used.")
        with suppress(FileExistsError):  # another was faster: that is the store then
            outside.create(MARKER, _new_marker())
    identity = _check_marker(url, outside.read(MARKER))
    copies = copies_of(identity)
    folder = Folder(copies, Bucket(url, copies))
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        _make_folders(folder)
    except OSError as error:
        raise BadInput(
            f"Copies of {url} cannot be kept in {folder.root} ({error.strerror}): set PAREDOWN_CACHE to another folder."
        ) from error
    return folder


def _make_folders(folder: Folder) -> None:
    for part in (folder.journal, folder.published, folder.artefacts, folder.leases, folder.logs):
        part.mkdir(exist_ok=True)


def _new_marker() -> bytes:
    return f"{json.dumps({'kind': KIND, 'schema': SCHEMA_VERSION, 'id': uuid4().hex})}\n".encode()


def _check_marker(where: str, marker: bytes) -> str:
    """The name that the store was born with. Raises BadInput where this is not a store that can be read."""
    try:
        found = json.loads(marker)
        kind, schema, identity = found["kind"], int(found["schema"]), str(found.get("id", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{where} is not a paredown store: its {MARKER} cannot be read ({error}).") from error
    if kind != KIND:
        raise BadInput(f"{where} is not a paredown store: its {MARKER} says {kind!r}.")
    if schema > SCHEMA_VERSION:
        raise BadInput(
            f"The store {where} has layout {schema}, newer than the {SCHEMA_VERSION} that this version reads: "
            "update paredown."
        )
    return identity


def store_id(folder: Folder) -> str:
    """The name that a store was born with. Raises BadInput where it is gone."""
    try:
        return _check_marker(folder.location, folder.place.read(MARKER))
    except OSError as error:
        raise BadInput(f"{folder.location} is no paredown store any more ({error}).") from error


def lease_name(epoch: int) -> str:
    return f"lease/{epoch:06d}.json"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write into a store, held by the highest epoch. Whoever took it renews it until it is released."""

    folder: Folder
    epoch: int
    _ended: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    def lost(self) -> bool:
        """Whether another driver has taken the store over, or the store is gone."""
        place = self.folder.place
        return place.has(lease_name(self.epoch + 1)) or not place.has(lease_name(self.epoch))

    def check(self) -> None:
        """Raises StaleLease when another driver has taken the store over."""
        if self.lost():
            raise StaleLease(f"another driver has taken over {self.folder.location}")

    def told(self) -> dict[str, Any]:
        """What the lease says of its holder; nothing where it cannot be read."""
        return _told(self.folder, self.epoch)

    def mark(self, **words: Any) -> None:
        """Add something to what the lease says. Raises OSError."""
        self.folder.place.replace(lease_name(self.epoch), _line({**self.told(), **words}))

    def keep(self) -> None:
        """Renew the lease, from a thread of its own, until it is released or lost."""
        threading.Thread(target=self._renew, name=f"lease {self.epoch}", daemon=True).start()

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            # What fails now may work the next time; what does not until the lease expires is decided by the epoch.
            with suppress(OSError, DiskFull, BadInput):
                if self.lost():
                    return
                self.folder.place.touch(lease_name(self.epoch))

    def release(self) -> None:
        """Say that the driver has ended in good order; the epoch stays used."""
        self._ended.set()
        with suppress(OSError, DiskFull, BadInput):
            if not self.folder.place.has(lease_name(self.epoch)):
                return
            try:
                self.mark(released=True)
            except OSError as error:
                if not is_disk_full(error):
                    raise
                os.truncate(self.folder.root / lease_name(self.epoch), 0)  # a lease that names nobody is free


def _line(told: dict[str, Any]) -> bytes:
    return f"{json.dumps(told)}\n".encode()


def _told(folder: Folder, epoch: int) -> dict[str, Any]:
    try:
        found = json.loads(folder.place.read(lease_name(epoch)))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def latest_epoch(folder: Folder) -> int:
    """The highest epoch that was ever granted, 0 before the first."""
    names = folder.place.names("lease")
    return max((int(n[:-5]) for n in names if n.endswith(".json") and n[:-5].isdigit()), default=0)


def holder(folder: Folder, *, probe: bool = False) -> dict[str, Any] | None:
    """Who holds the store now and since how many seconds it was not heard of (`idle`), None where nobody does.

    A process of this machine that has ended is noticed at once, any other by a lease that is not renewed: by the clock
    of this machine, with `probe` by that of the place, in which a file is then written for a moment.
    """
    epoch = latest_epoch(folder)
    told = _told(folder, epoch) if epoch else {}
    if not {"host", "pid", "born", "since"} <= told.keys() or told.get("released"):
        return None
    if told.get("processes") == processes_here() and not lives(told["pid"], told["born"]):
        return None
    try:
        idle = folder.place.idle(lease_name(epoch), probe=probe)
    except FileNotFoundError:
        return None
    return None if idle >= EXPIRY_SECONDS else {**told, "idle": max(0.0, idle)}


def take_lease(folder: Folder, *, take_over: bool = False) -> Lease:
    """Become the store's driver, and renew the lease until it is released.

    Raises StoreBusy while another driver is heard of, unless `take_over`. That two hold the store for a moment harms
    nothing: the journal takes what the higher epoch writes (`bench.store.journal`).
    """
    epoch = latest_epoch(folder) + 1  # before asking who holds it: another driver that comes in between gets this one
    living = None if take_over else holder(folder, probe=True)
    if living:
        raise StoreBusy(
            f"The store {folder.location} is in use by another paredown (process {living['pid']} on {living['host']}, "
            f"since {living['since']}, heard of {living['idle']:.0f} s ago): wait for it, or take it over with "
            f"--take-over; if it has died, the store is free {EXPIRY_SECONDS:.0f} s after it was last heard of."
        )
    me = {
        "host": socket.gethostname(),
        "processes": processes_here(),
        "pid": os.getpid(),
        "born": born(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": code_version(),
        "nonce": uuid4().hex,
    }
    try:
        folder.place.create(lease_name(epoch), _line(me))
    except FileExistsError as error:
        raise StoreBusy(
            f"The store {folder.location} was taken by another paredown at this moment: try again."
        ) from error
    except OSError as error:
        raise BadInput(
            f"The store {folder.location} cannot be written ({error.strerror}): choose another with --store."
        ) from error
    lease = Lease(folder, epoch)
    lease.keep()
    return lease
