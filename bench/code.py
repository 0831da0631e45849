"""Which code this is: a digest of the package's sources, so that two processes can tell that they run the same."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bench.identity import digest, file_digest

SUFFIXES = {".py", ".sql"}  # what decides how a store is written


@cache
def code_version(*packages: str) -> str:
    """SHA-256 over the names and bytes of the packages' sources (of `bench` without any), wherever they are installed.

    Read once a process: what is imported does not change when files do. Raises ModuleNotFoundError where a package is
    not there.
    """
    found: dict[str, Path] = {}
    for package in packages or ("bench",):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no package called {package!r}", name=package)
        root = Path(spec.origin).parent
        found |= {f"{package}/{p.relative_to(root)}": p for p in root.rglob("*") if p.suffix in SUFFIXES}
    return digest({name: file_digest(path) for name, path in found.items()})
