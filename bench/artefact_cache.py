"""A node's own copies of artefacts: each filled once, however many processes want it, and only if its bytes hash to its
name. The least recently used go when there is no more room, never one that a process has in use.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from bench.architecture import model_files
from bench.errors import BadInput
from bench.identity import files_digest, short

DRAFT = ".draft-"
CACHE = "PAREDOWN_CACHE"  # environment variable: what this node keeps for itself
SHARE = 0.5  # of the disk's free space, with what the cache itself holds, that copies may take without a limit


def cache_folder() -> Path:
    """Where this node keeps what it need not ask for again."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "paredown").absolute()


class Cache:
    """A folder of copies on this node. What `path` has given stays until `close`, or until this is garbage."""

    def __init__(self, folder: Path, most_bytes: int | None = None) -> None:
        self.folder = folder
        self._most = most_bytes
        self._held: dict[str, int] = {}  # artefact_id -> descriptor of its lock, which says that we use it

    def __contains__(self, artefact_id: str) -> bool:
        return (self.folder / artefact_id).is_dir()

    def path(self, artefact_id: str, fill: Callable[[Path], None]) -> Path:
        """The folder of an artefact; `fill` writes its files into an empty one where it is not here yet.

        Raises what `fill` raises, BadInput where the bytes that came are not those that the name stands for.
        """
        found = self.folder / artefact_id
        if artefact_id not in self._held:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._held[artefact_id] = self._use(artefact_id, fill)
            self._make_room()
        with suppress(OSError):
            os.utime(found / ".used")
        return found

    def _use(self, artefact_id: str, fill: Callable[[Path], None]) -> int:
        """Lock an artefact for reading once it is there. Returns the lock's descriptor."""
        descriptor = os.open(self._lock(artefact_id), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            while True:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if artefact_id in self:
                    return descriptor
                # A lock that is killed with its process is free: whoever waits for it then fills in its place.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if artefact_id not in self:
                    self._fill(artefact_id, fill)
        except BaseException:
            os.close(descriptor)
            raise

    def _fill(self, artefact_id: str, fill: Callable[[Path], None]) -> None:
        with self.draft() as draft:
            fill(draft)
            found = files_digest(draft, model_files(draft))
            if found != artefact_id:
                raise BadInput(
                    f"What came for the artefact {short(artefact_id)} has the hash {short(found)}: "
                    "run `paredown verify` on the store, and the sweep again to rebuild what it names."
                )
            self.take(draft, artefact_id)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A new empty folder to write into; it is removed afterwards unless it was taken."""
        draft = self.folder / f"{DRAFT}{uuid4().hex}"
        draft.mkdir(parents=True)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def take(self, draft: Path, artefact_id: str) -> None:
        """Make a folder whose hash is known the copy of an artefact, unless there is one."""
        (draft / ".used").touch()
        try:
            draft.rename(self.folder / artefact_id)
        except OSError:
            if artefact_id not in self:
                raise

    def close(self) -> None:
        """Say that nothing of it is in use by us any more."""
        while self._held:
            os.close(self._held.popitem()[1])

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()

    def _lock(self, artefact_id: str) -> Path:
        return self.folder / f".lock-{artefact_id}"

    def _make_room(self) -> None:
        """Remove the least recently used until the rest is small enough, or all of it in use."""
        sizes = {p.name: _size(p) for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith(".")}
        used = sum(sizes.values())
        most = SHARE * (shutil.disk_usage(self.folder).free + used) if self._most is None else self._most
        for name in sorted(sizes, key=self._last_use):
            if used <= most:
                return
            if name not in self._held and self._remove(name):
                used -= sizes[name]

    def _last_use(self, name: str) -> float:
        try:
            return (self.folder / name / ".used").stat().st_mtime
        except OSError:
            return time.time()  # it has just gone, or come

    def _remove(self, name: str) -> bool:
        """Remove a copy; False where a process has it in use."""
        descriptor = os.open(self._lock(name), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = self.folder / f"{DRAFT}{uuid4().hex}"
            (self.folder / name).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)


def _size(folder: Path) -> int:
    try:
        return sum(p.stat().st_size for p in folder.iterdir())
    except OSError:
        return 0
