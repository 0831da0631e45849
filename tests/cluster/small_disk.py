"""A disk that can be filled and freed at will: a small file system in memory where we may mount one."""

from __future__ import annotations

import errno
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

MEGABYTES = 48  # room for a database and a few snapshots


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system of its own."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self) -> None:
        """Leave not a single free block."""
        descriptor = os.open(self._ballast, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            while True:
                os.write(descriptor, bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            os.close(descriptor)

    def filled(self, key: str) -> str:
        """The key as it was given, and not a free block again: an unfinished snapshot may have given its room back."""
        self.fill()
        return key

    def free(self) -> None:
        self._ballast.unlink()


def mount(folder: Path) -> bool:
    """Mount a small file system on `folder`; False where we may not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "paredown-test", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=True)
