"""A folder of artefacts named by their bytes. Written beside and renamed: existence means complete."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from bench.architecture import model_files
from bench.errors import BadInput
from bench.identity import files_digest


class Artefacts:
    """The artefacts of one store. Safe to use from any number of processes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, artefact_id: str) -> Path:
        """The folder of an artefact. Raises BadInput where it is gone."""
        found = self.folder / artefact_id
        if not found.is_dir():
            raise BadInput(
                f"The artefact {artefact_id[:10]} is not in {self.folder}: run the sweep again to rebuild it."
            )
        return found

    def __contains__(self, artefact_id: str) -> bool:
        return (self.folder / artefact_id).is_dir()

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A new empty folder to write into; it is removed afterwards unless `publish` has moved it."""
        draft = self.folder / f".draft-{uuid4().hex}"
        draft.mkdir(parents=True)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def publish(self, draft: Path) -> str:
        """Name a draft by its bytes and make it visible. Equal bytes published twice are one artefact.

        Returns the artefact_id: SHA-256 over the names and bytes of the model's files.
        """
        names = model_files(draft)
        artefact_id = files_digest(draft, names)
        for name in names:
            with (draft / name).open("rb") as file:
                os.fsync(file.fileno())
        try:
            draft.rename(self.folder / artefact_id)
        except OSError:
            if artefact_id not in self:
                raise
        return artefact_id

    def sweep_drafts(self) -> None:
        """Remove what killed builds left behind. Only the holder of the store's lease may call this."""
        for left in self.folder.glob(".draft-*"):
            shutil.rmtree(left, ignore_errors=True)


def weight_bytes(folder: Path) -> int:
    """Bytes of the saved weights, which `bench.models.save` writes once per unique storage."""
    return sum(p.stat().st_size for p in folder.glob("*.safetensors"))
