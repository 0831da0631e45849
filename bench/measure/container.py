"""What a container (a control group of the kernel) lets this process use; versions 1 and 2 of the interface."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path("/")
NO_LIMIT = 1 << 62  # version 1 writes the largest number of pages where there is no limit


class Limits(NamedTuple):
    """CPUs at once and bytes; None where nothing is set."""

    cpus: float | None
    memory_bytes: int | None


class Throttled(NamedTuple):
    """How often, and for how many seconds, the quota has stopped this process's group since the group was made."""

    periods: int
    seconds: float


def limits(root: Path = ROOT) -> Limits:
    """The tightest limits among this process's groups and the groups around them. `root` is for tests."""
    cpus = [c for folder in _groups("cpu", root) for c in (_quota(folder), _old_quota(folder)) if c is not None]
    files = [f / name for f in _groups("memory", root) for name in ("memory.max", "memory.limit_in_bytes")]
    memory = [b for file in files if (b := _number(file)) is not None and 0 < b < NO_LIMIT]
    return Limits(min(cpus, default=None), int(min(memory)) if memory else None)


def memory_left(root: Path = ROOT) -> int | None:
    """Bytes that the tightest group leaves this process, cached files counted as free; None where nothing is set."""
    left: list[float] = []
    for folder in _groups("memory", root):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            most, now = _number(folder / limit), _number(folder / used)
            if most is not None and now is not None and 0 < most < NO_LIMIT:
                left.append(max(0.0, most - now + _cached(folder)))
    return int(min(left)) if left else None


def _cached(folder: Path) -> float:
    """Bytes of cached files, which the kernel takes back when the group needs room. Version 1 adds up groups below."""
    fields = dict(line.split() for line in _text(folder / "memory.stat").splitlines() if len(line.split()) == 2)
    names = ("active_file", "inactive_file")
    return sum(float(fields.get(f"total_{name}", fields.get(name, 0))) for name in names)


def throttled(root: Path = ROOT) -> Throttled | None:
    """The groups' counts together; None where the kernel keeps none."""
    periods, seconds, found = 0, 0.0, False
    for folder in _groups("cpu", root):
        fields = dict(line.split() for line in _text(folder / "cpu.stat").splitlines() if len(line.split()) == 2)
        if "nr_throttled" in fields:
            found = True
            periods += int(fields["nr_throttled"])
            seconds += int(fields.get("throttled_usec", 0)) / 1e6 + int(fields.get("throttled_time", 0)) / 1e9
    return Throttled(periods, seconds) if found else None


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Folders of the groups that limit this process: its own and those around it, each once.

    Inside a container the path in /proc may be the host's, of which only the mount's root is there.
    """
    mount = root / "sys/fs/cgroup"
    seen: set[Path] = set()
    for line in (_text(root / "proc/self/cgroup") or "0::/").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        tops = (mount / controllers, mount / controller) if controllers else (mount, mount / "unified")
        steps = PurePosixPath(path).parts[1:]
        steps = () if ".." in steps else steps
        for folder in (top.joinpath(*steps[:depth]) for top in tops for depth in range(len(steps), -1, -1)):
            if folder.is_dir() and folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield folder


def _quota(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    return None if quota in ("", "max") else float(quota) / float(period)


def _old_quota(folder: Path) -> float | None:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _number(file: Path) -> float | None:
    text = _text(file).strip()
    return None if text in ("", "max") else float(text)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
