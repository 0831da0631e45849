"""Where a store's files lie. The rest of the store names them by relative names, and does not know what holds them.

`Local` is a folder of this machine or one that machines share; `bench.store.bucket.Bucket` an S3-compatible bucket.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

DRAFT = ".part"  # end of the name of what is not written yet; it begins with a dot


class Place(Protocol):
    """Small files under names such as `journal/000001-00000000.parquet`.

    What is asked of a place: a file is there whole or not at all; of two that create one name, one wins; what was
    created is seen by whoever looks afterwards, on any machine.
    """

    @property
    def location(self) -> str:
        """What --store was given to name it."""

    @property
    def root(self) -> Path:
        """A folder of this machine: the place itself, or where copies of its unchanging files are kept."""

    def create(self, name: str, data: bytes) -> None:
        """Durable when it returns. Raises FileExistsError where the name is taken, then nothing is written."""

    def replace(self, name: str, data: bytes) -> None:
        """Put a file in place of another, or where none was."""

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""

    def has(self, name: str) -> bool:
        """Whether a file is there."""

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted, without drafts."""

    def folders(self, folder: str) -> list[str]:
        """Names of the folders in a folder, sorted."""

    def touch(self, name: str) -> None:
        """Make a file as new as if it had been written now. Raises FileNotFoundError."""

    def idle(self, name: str, *, probe: bool) -> float:
        """Seconds since a file was written or touched.

        With `probe` by the clock of the place, for which a file is written: the clocks of machines may differ.
        """

    def keep(self, draft: Path, name: str) -> Path:
        """Move a file of this machine to a name of the place. Returns where it can be read here."""

    def near(self, name: str) -> Path:
        """A path of this machine under which a file, which never changes, can be read. Raises FileNotFoundError."""

    def gather(self, folder: str) -> Path:
        """A folder of this machine with all files of a folder, none of which ever changes."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def tidy(self, folder: str) -> None:
        """Remove drafts of writers that were killed."""


@dataclass(frozen=True, slots=True)
class Local:
    """A folder. What is created is synced to the disk and linked into place, what is replaced is renamed over it."""

    root: Path

    @property
    def location(self) -> str:
        return str(self.root)

    def create(self, name: str, data: bytes) -> None:
        path = self.root / name
        with _drafted(path, data) as draft:
            try:
                os.link(draft, path)  # fails if another was faster
            except FileExistsError:
                if draft.stat().st_nlink < 2:  # a network folder may have done it and lost the answer
                    raise
            sync(path.parent)

    def replace(self, name: str, data: bytes) -> None:
        path = self.root / name
        with _drafted(path, data) as draft:
            draft.replace(path)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def has(self, name: str) -> bool:
        return (self.root / name).exists()

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(p.name for p in (self.root / folder).iterdir() if not p.name.startswith("."))
        except FileNotFoundError:
            return []

    def folders(self, folder: str) -> list[str]:
        try:
            return sorted(p.name for p in (self.root / folder).iterdir() if p.is_dir() and not p.name.startswith("."))
        except FileNotFoundError:
            return []

    def touch(self, name: str) -> None:
        os.utime(self.root / name)  # needs no room, which a full disk has not

    def idle(self, name: str, *, probe: bool) -> float:
        path = self.root / name
        # Opened, because a network folder tells the age of an open file truly, and of another from its memory.
        with path.open("rb") as file:
            written = os.fstat(file.fileno()).st_mtime
        return (_now_at(path.parent) if probe else time.time()) - written

    def keep(self, draft: Path, name: str) -> Path:
        return draft.rename(self.root / name)

    def near(self, name: str) -> Path:
        path = self.root / name
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return path

    def gather(self, folder: str) -> Path:
        return self.root / folder

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def tidy(self, folder: str) -> None:
        for left in (self.root / folder).glob(f".*{DRAFT}"):
            left.unlink(missing_ok=True)


@contextmanager
def _drafted(path: Path, data: bytes) -> Iterator[Path]:
    """The data on the disk, under another name beside `path`; the name is gone afterwards."""
    draft = path.with_name(f".{uuid4().hex}{DRAFT}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Have the disk hold the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now_at(folder: Path) -> float:
    """The time as the file system of a folder tells it; this machine's where nothing can be written there."""
    probe = folder / f".{uuid4().hex}{DRAFT}"
    try:
        with probe.open("wb") as file:
            os.utime(file.fileno())
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
