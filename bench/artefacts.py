"""A store's artefacts, named by their bytes. Written beside and renamed: existence means complete."""

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.architecture import model_files
from bench.artefact_cache import DRAFT, Cache
from bench.errors import BadInput
from bench.identity import files_digest, short

if TYPE_CHECKING:
    from bench.store.bucket import Bucket

COMPLETE = ".complete"  # written last where there is no renaming: the names of the files and their sizes


class Artefacts:
    """The artefacts of one store. Safe to use from any number of processes at once.

    Args:
        store: the folder of the store's artefacts, on this disk or shared by machines.
        cache: a folder of this node in which copies are kept, each filled once; without it the store's own are used.
        bucket: URL of the store's artefacts where they lie in a bucket; `cache`, or else `store`, then holds copies.
        most_bytes: that copies may take; without it half of what the disk has free.
    """

    def __init__(
        self,
        store: Path,
        cache: Path | None = None,
        *,
        bucket: str | None = None,
        most_bytes: int | None = None,
    ) -> None:
        self.folder = store
        self._url = bucket
        copies = cache if cache is not None else store if bucket else None
        self._cache = None if copies is None else Cache(copies, most_bytes)

    @property
    def _bucket(self) -> "Bucket | None":
        if self._url is None:
            return None
        from bench.store.bucket import Bucket

        return Bucket(self._url, Path())

    def path(self, artefact_id: str) -> Path:
        """The folder of an artefact on this node. Raises BadInput where it is gone, or came with other bytes."""
        if self._cache is not None:
            return self._cache.path(artefact_id, lambda draft: self._bring(artefact_id, draft))
        found = self.folder / artefact_id
        if not found.is_dir():
            raise self._gone(artefact_id)
        return found

    def _gone(self, artefact_id: str) -> BadInput:
        where = self._url or self.folder
        return BadInput(
            f"The artefact {short(artefact_id)} is not in {where}: `paredown retry`, then run the sweep again, which "
            "builds it anew."
        )

    def __contains__(self, artefact_id: str) -> bool:
        if self._cache is not None and artefact_id in self._cache:
            return True
        bucket = self._bucket
        if bucket is None:
            return (self.folder / artefact_id).is_dir()
        return _is_whole(bucket, artefact_id, bucket.sizes(artefact_id))

    def missing(self, artefact_ids: Collection[str]) -> set[str]:
        """Those that are not in the store whole; a copy of this node's counts for nothing."""
        bucket = self._bucket
        if bucket is None:
            return set(artefact_ids) - ({p.name for p in self.folder.iterdir()} if self.folder.is_dir() else set())
        if not artefact_ids:
            return set()
        there: dict[str, dict[str, int]] = {}
        for path, size in bucket.all_sizes().items():
            artefact_id, _, name = path.partition("/")
            there.setdefault(artefact_id, {})[name] = size
        return {each for each in artefact_ids if not _is_whole(bucket, each, there.get(each, {}))}

    def _bring(self, artefact_id: str, draft: Path) -> None:
        """Write the files of an artefact into a folder of this node."""
        bucket, found = self._bucket, self.folder / artefact_id
        if bucket is not None:
            try:
                for name in json.loads(bucket.read(f"{artefact_id}/{COMPLETE}")):
                    bucket.fetch(f"{artefact_id}/{name}", draft / Path(name).name)
            except FileNotFoundError as error:
                raise self._gone(artefact_id) from error
        elif found.is_dir():
            for name in model_files(found):
                shutil.copyfile(found / name, draft / name)
        else:
            raise self._gone(artefact_id)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A new empty folder to write into; it is removed afterwards unless `publish` has moved it."""
        with (self._cache if self._cache and self._url else Cache(self.folder)).draft() as draft:
            yield draft

    def publish(self, draft: Path) -> str:
        """Name a draft by its bytes and make it visible. Equal bytes published twice are one artefact.

        Returns the artefact_id: SHA-256 over the names and bytes of the model's files.
        """
        names = model_files(draft)
        artefact_id = files_digest(draft, names)
        for name in names:
            with (draft / name).open("rb") as file:
                os.fsync(file.fileno())
        bucket = self._bucket
        if self._cache is not None and bucket is not None:
            self._upload(bucket, artefact_id, draft, names)
            self._cache.take(draft, artefact_id)
            return artefact_id
        self._place(draft, artefact_id)
        return artefact_id

    def _place(self, draft: Path, artefact_id: str) -> None:
        try:
            draft.rename(self.folder / artefact_id)
        except OSError:
            if not (self.folder / artefact_id).is_dir():
                raise

    def _upload(self, bucket: "Bucket", artefact_id: str, draft: Path, names: list[str]) -> None:
        if _is_whole(bucket, artefact_id, bucket.sizes(artefact_id)):
            return
        for name in names:
            bucket.send(draft / name, f"{artefact_id}/{name}")
        bucket.replace(f"{artefact_id}/{COMPLETE}", _statement({n: (draft / n).stat().st_size for n in names}))

    def sweep_drafts(self) -> None:
        """Remove what killed builds left behind. Only the holder of the store's lease may call this."""
        for left in self.folder.glob(f"{DRAFT}*"):
            shutil.rmtree(left, ignore_errors=True)


def _statement(sizes: Mapping[str, int]) -> bytes:
    """What COMPLETE says."""
    return json.dumps(dict(sizes)).encode()


def _is_whole(bucket: "Bucket", artefact_id: str, there: Mapping[str, int]) -> bool:
    """Whether an upload came to its end, and all that it said it had uploaded is still there.

    `there` is what a listing of the artefact's folder tells: names and sizes. A statement that is as long as one about
    these files would be is about these files, so that only a strange one has to be read.
    """
    files = {name: size for name, size in there.items() if name != COMPLETE}
    if COMPLETE not in there:
        return False
    if there[COMPLETE] == len(_statement(files)):
        return True
    try:
        stated = json.loads(bucket.read(f"{artefact_id}/{COMPLETE}"))
    except FileNotFoundError:  # removed since it was listed
        return False
    return all(files.get(name) == size for name, size in stated.items())


def weight_bytes(folder: Path) -> int:
    """Bytes of the saved weights, which `bench.models.save` writes once per unique storage."""
    return sum(p.stat().st_size for p in folder.glob("*.safetensors"))
