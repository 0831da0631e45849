"""Reviews of one store in another."""

from __future__ import annotations

from bench.store.folder import Folder
from bench.store.reviews import NAME, REVIEW_ID, REVIEWS


def copy_reviews(source: Folder, target: Folder) -> tuple[int, list[str]]:
    """Copy the events that another store lacks, byte for byte and in order, so that their chains stay whole.

    Returns how many were copied, and the reviews that went on differently in both: those keep what the target has.
    """
    copied, differ = 0, []
    for review in source.place.folders(REVIEWS):
        if REVIEW_ID.fullmatch(review) is None:
            continue
        for name in source.place.names(f"{REVIEWS}/{review}"):
            path = f"{REVIEWS}/{review}/{name}"
            data = source.place.read(path)
            if NAME.fullmatch(name) is None:
                continue
            if target.bucket is None:
                (target.root / path).parent.mkdir(parents=True, exist_ok=True)
            try:
                target.place.create(path, data)
                copied += 1
            except FileExistsError:
                if target.place.read(path) != data:
                    differ.append(review)
                    break
    return copied, differ
