"""Hashes that name what was asked for and what came out; canonical JSON so that equal requests have equal names."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CHUNK = 1 << 20


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces. Raises ValueError for NaN or infinity, which have no canonical form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def files_digest(folder: Path, names: Iterable[str]) -> str:
    """SHA-256 over the names and bytes of the named files of a folder, whatever order they are given in."""
    return digest({name: file_digest(folder / name) for name in sorted(names)})


def short(identity: str) -> str:
    """The prefix of an identity that is shown to people; the store always keeps all 256 bits."""
    return identity[:10]


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON values (tuples become lists) in a fixed order, for a canonical form."""
    plain: dict[str, Any] = json.loads(canonical(dict(values)))
    return plain
