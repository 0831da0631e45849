"""An artefact handed out to those who run it elsewhere: a folder that is there whole or not at all, with the bytes that
were measured."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from bench.architecture import model_files
from bench.artefacts import Artefacts
from bench.errors import BadInput, DiskFull, quoted
from bench.identity import CHUNK, digest, short
from bench.store.places import sync

DRAFT = ".paredown-"  # beside the folder, while it is written


@contextmanager
def new_folder(asked: Path) -> Iterator[Path]:
    """A draft beside the folder that is asked for, which takes its name once all is written.

    Raises BadInput where something is there already, or nothing can be written. Whatever is raised, nothing is left.
    """
    target = _free(asked)
    above = [each for each in (target.parent, *target.parent.parents) if not each.exists()]
    draft = target.parent / f"{DRAFT}{uuid4().hex}"
    held, done = -1, False
    try:
        _remove_drafts_of_the_dead(target.parent)
        held = _made_and_held(draft)
        yield draft
        sync(draft)
        draft.rename(target)  # over an empty folder too; one that was filled in between is left as it is
        done = True
        sync(target.parent)
    except OSError as error:
        raise BadInput(
            f"The folder {quoted(asked)} cannot be written ({error.strerror or error}): free some space, or give "
            "another one."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if held >= 0:
            os.close(held)
        for each in () if done else above:
            with suppress(OSError):
                each.rmdir()


def _made_and_held(draft: Path) -> int:
    """Make a draft and lock it; the lock goes with the process, however it ends."""
    while True:
        draft.mkdir(parents=True)
        held = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):  # a file system without locks: what a kill leaves there stays
            fcntl.flock(held, fcntl.LOCK_EX)
        if draft.is_dir():
            return held
        os.close(held)  # it looked like one of the dead before it was locked


def _remove_drafts_of_the_dead(folder: Path) -> None:
    for draft in folder.glob(f"{DRAFT}{'[0-9a-f]' * 32}"):
        with suppress(OSError):
            held = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(draft, ignore_errors=True)
            finally:
                os.close(held)


def _free(asked: Path) -> Path:
    """Where the folder will lie. Raises BadInput unless nothing is there, or an empty folder."""
    try:
        target = Path(os.path.realpath(asked))
        if target == Path.cwd():
            raise BadInput(f"{quoted(asked)} is the folder that you are in: give the name of a new one.")
        if target.is_dir():
            if any(target.iterdir()):
                raise BadInput(f"The folder {quoted(asked)} is not empty: give the name of a new one.")
        elif os.path.lexists(target):
            raise BadInput(f"{quoted(asked)} is a file, and a folder is to be written: give the name of a new one.")
    except (OSError, ValueError) as error:  # a name that the system refuses
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"{quoted(asked)} can be no folder ({reason}): give the name of a new one.") from error
    return target


def copy_artefact(artefacts: Artefacts, artefact_id: str, to: Path, command: str) -> None:
    """Copy the files of a model, and check that they are those that the store's records are about.

    Args:
        artefacts: of the store.
        artefact_id: which.
        to: an existing folder.
        command: that builds it again.

    Raises BadInput where it is gone, cannot be read or has other bytes, OSError where `to` cannot be written.
    """
    again = f"`{command}` builds it anew"
    try:
        if artefact_id not in artefacts:
            raise BadInput(
                f"The artefact {short(artefact_id)} is not in the store any more: {again}, and repeats nothing else."
            )
        source = artefacts.path(artefact_id)
        names = model_files(source)
    except (OSError, DiskFull) as error:
        raise _unreadable(artefact_id, error) from error
    found = {name: _copied(source / name, to / name, artefact_id) for name in names}
    if digest(found) != artefact_id:
        raise BadInput(
            f"The artefact {short(artefact_id)} has other bytes than its numbers were measured on (they hash to "
            f"{short(digest(found))}): remove {source}, then {again}."
        )


def _copied(source: Path, to: Path, artefact_id: str) -> str:
    """Copy a file. Returns the SHA-256 of the bytes that were written."""
    sha = hashlib.sha256()
    with to.open("xb") as file:
        for chunk in _chunks(source, artefact_id):
            sha.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return sha.hexdigest()


def _chunks(source: Path, artefact_id: str) -> Iterator[bytes]:
    try:
        with source.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise _unreadable(artefact_id, error) from error


def _unreadable(artefact_id: str, error: OSError | DiskFull) -> BadInput:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return BadInput(f"The artefact {short(artefact_id)} cannot be read ({reason}): see to its store, and try again.")
