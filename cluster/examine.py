"""What a machine says of itself before a sweep: versions, GPUs, clocks, memory, disk, settings. Judges nothing.

Runs without Ray and without importing torch; on a cluster it runs on every node, `cluster.examine_nodes` brings it
there.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import psutil

from bench.code import code_version
from bench.errors import BadInput, Unreachable
from bench.identity import short
from bench.job import library_versions
from bench.measure import host
from bench.measure.container import Limits, limits, memory_left
from bench.processor import cpu, instruction_sets, onednn_is_sound
from bench.store.folder import bucket_url
from bench.store.places import Local, Place
from cluster.ray_settings import SETTINGS

LIBRARIES = ("paredown", "ray", "torch", "transformers", "tokenizers", "safetensors", "numpy", "duckdb", "pyarrow")
PACKAGES = ("bench", "cluster")  # what workers run
CONSTRAINTS = Path(__file__).parent / "deploy" / "constraints.txt"  # shipped with the code to every node
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Ray keeps objects
DASHBOARD_PORT = 8265
REFUSED = (OSError, BadInput, Unreachable)  # what a place may raise
LISTENS = "0A"  # state of a socket in the kernel's table


class Card(NamedTuple):
    """A GPU; None where NVML does not tell."""

    name: str
    persistence: bool | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """A machine, as it is now. Bytes and seconds."""

    host: str
    python: str
    code: str  # digest of our sources
    versions: Mapping[str, str]
    strays: tuple[str, ...]  # packages of other versions than the constraints file names
    cpu: str
    instructions: str
    sound: bool  # whether the instruction sets that the CPU announces can be run
    cpus: int  # that this process may run on
    governor: str | None
    limits: Limits  # of the container
    memory: int
    memory_free: int
    shared_memory: int
    scratch_free: float  # share of the disk that temporary files are on
    cards: tuple[Card, ...]
    cards_unread: str | None  # why NVML says nothing of GPUs that are there
    settings: Mapping[str, str]  # Ray's, as this process was started with
    token_modes: Mapping[str, int]  # permissions of the token file, by its name; empty where there is none
    open_dashboards: tuple[str, ...]  # addresses other than the loopback at which one listens


def examine() -> Facts:
    """Look at this machine. Takes some milliseconds, seconds where the CPU announces AMX."""
    allowed = sorted(os.sched_getaffinity(0))
    memory, left = psutil.virtual_memory(), memory_left()
    cards, unread = _cards()
    scratch = shutil.disk_usage(_temporary())
    return Facts(
        host=socket.gethostname(),
        python=platform.python_version(),
        code=short(code_version(*PACKAGES)),
        versions=library_versions(LIBRARIES),
        strays=strays(CONSTRAINTS.read_text(encoding="utf-8").splitlines()),
        cpu=cpu()[0],
        instructions=" ".join(instruction_sets()) or "no vector sets",
        sound=onednn_is_sound(),
        cpus=len(allowed),
        governor=host.governor(allowed),
        limits=limits(),
        memory=memory.total,
        memory_free=memory.available if left is None else min(left, memory.available),
        shared_memory=shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else 0,
        scratch_free=scratch.free / scratch.total,
        cards=cards,
        cards_unread=unread,
        settings={name: os.environ[name] for name in SETTINGS if name in os.environ},
        token_modes=_token_modes(),
        open_dashboards=open_dashboards(),
    )


def strays(constraints: Iterable[str]) -> tuple[str, ...]:
    """The installed packages that differ from lines such as "torch==2.13.0"; what a build is for (+cpu) may."""
    pinned = dict(line.split("==") for line in constraints if "==" in line and not line.startswith("#"))
    found = library_versions(tuple(pinned))
    return tuple(
        f"{name} {found[name]} ({wanted})"
        for name, wanted in pinned.items()
        if found[name] != "absent" and found[name].partition("+")[0] != wanted.partition("+")[0]
    )


def _temporary() -> Path:
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - it is only looked at


def _cards() -> tuple[tuple[Card, ...], str | None]:
    """The machine's NVIDIA GPUs, whether or not this process may use them."""
    models = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = dict(line.partition(":")[::2] for line in file.read_text(errors="replace").splitlines())
        models.append(lines.get("Model", "a GPU").strip())
    if not models:
        return (), None
    try:
        library = import_module("pynvml")
    except ImportError:
        return tuple(map(Card, models)), "the package nvidia-ml-py is not installed"
    try:
        return tuple(_through(library)), None
    except library.NVMLError as error:
        return tuple(map(Card, models)), f"NVML answers with an error ({error})"


def _through(library: Any) -> list[Card]:
    from bench.measure.nvml import NvmlGpu

    library.nvmlInit()
    count = library.nvmlDeviceGetCount()
    setups = [NvmlGpu(library, library.nvmlDeviceGetHandleByIndex(index)).setup() for index in range(count)]
    return [Card(setup.name, setup.persistence) for setup in setups]


def _token_modes() -> dict[str, int]:
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    with suppress(OSError):
        return {str(path): path.stat().st_mode & 0o777}
    return {}


def open_dashboards(root: Path = Path("/")) -> tuple[str, ...]:
    """Addresses, other than the loopback, at which something listens at the dashboard's port."""
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (root / "proc/net" / table).read_text().splitlines()[1:]:
                local, _, state = line.split()[1:4]
                address, port = local.split(":")
                if state == LISTENS and int(port, 16) == DASHBOARD_PORT:
                    found.add(_address(address))
    return tuple(sorted(a for a in found if not a.startswith("127.") and a != "::1"))


def _address(words: str) -> str:
    """An address as the kernel's table has it, in words of four bytes in the machine's order."""
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    found = socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
    return found.removeprefix("::ffff:")


def place_of(store: str) -> Place:
    """Where a store is or will be: a bucket, or the folder itself or the closest one above it that exists.

    Raises BadInput for a URL of anything but a bucket.
    """
    url = bucket_url(store)
    if url is not None:
        from bench.store.bucket import Bucket

        return Bucket(url, Path())
    if "://" in store:
        raise BadInput(f"The store is {store!r}: name a folder, or a bucket as s3://BUCKET/PREFIX.")
    folder = Path(store).absolute()
    return Local(next(p for p in (folder, *folder.parents) if p.is_dir()))


def free_bytes(place: Place) -> int | None:
    """Room on the disk; None for a bucket, which has no end."""
    return shutil.disk_usage(place.root).free if isinstance(place, Local) else None


class Sign:
    """Something in a place by which processes find out whether they mean the same one.

    Raises one of REFUSED where nothing can be written there.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.name = place, f".paredown-doctor-{uuid4().hex}"
        place.replace(self.name, self.name.encode())

    def answered(self, names: set[str], patience: float = 3.0) -> set[str]:
        """Which of the named have put their answer where this process sees it."""
        deadline = time.monotonic() + patience
        while True:
            seen = {name for name in names if self.place.has(f"{self.name}-{name}")}
            if seen == names or time.monotonic() > deadline:
                return seen
            time.sleep(0.2)

    def remove(self, names: Iterable[str] = ()) -> None:
        """Take it away, with the answers of those named."""
        for name in (self.name, *(f"{self.name}-{name}" for name in names)):
            self.place.remove(name)


def answer(place: Place, sign: str, name: str, patience: float = 3.0) -> str | None:
    """Read a sign and put an answer beside it. Returns what is wrong, None for nothing.

    Network file systems show a new file after a moment, so a missing one is looked for again.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            if place.read(sign) != sign.encode():
                return "what was put there reads differently"
            break
        except FileNotFoundError:
            if time.monotonic() > deadline:
                return "what was put there is not seen"
            time.sleep(0.2)
        except REFUSED as error:
            return f"it cannot be read ({reason(error)})"
    try:
        place.replace(f"{sign}-{name}", b"seen")
    except REFUSED as error:
        return f"it cannot be written ({reason(error)})"
    return None


def reason(error: Exception) -> str:
    """What an error says, in a few words where it has them."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
