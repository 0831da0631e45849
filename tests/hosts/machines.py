"""Hosts on one machine: each has its own network, processes, host name, /tmp/ray, /dev/shm, /etc/hosts and home.

They share the file system otherwise, so that any folder is a shared folder. Needs root and Linux's namespaces; nothing
of it outlives the process that made it. Ray itself is started in them by `tests.hosts.clusters`.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.cluster.processes import until

PR_SET_PDEATHSIG = 1
TOOLS = ("ip", "nsenter", "unshare", "mount")

# What the first process of a host does. It also buries processes whose parents have died.
FIRST = """
set -e
mount --make-rprivate /
hostname "$1"
mkdir -p /tmp/ray
mount --bind "$2/ray" /tmp/ray
mount -t tmpfs -o size=1g paredown-host /dev/shm
mount --bind "$3" /etc/hosts
mount --bind "$2/resolv.conf" /etc/resolv.conf
: > "$2/up"
while true; do sleep 1000 & wait || true; done
"""


def why_not() -> str | None:
    """Why no hosts can be made here; None where they can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"hosts are made with {', '.join(missing)}, which is not installed"
    if os.geteuid() != 0:
        return "only root can make hosts of network namespaces"
    name = f"pd{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"`ip netns add` fails here: {made.stderr.strip()}"
    _ip("netns", "delete", name)
    return None


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _die_with_parent() -> None:
    # unshare holds back every signal that can be held back while its child lives.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Host:
    """One machine of the network."""

    name: str
    address: str
    folder: Path  # what is its own
    link: str  # its end of the cable, on our side
    space: str  # name of its network namespace
    hosts: Path  # the /etc/hosts of the network
    pid: int | None = None  # of its first process, as this machine numbers it; None while it is off
    _holder: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Switch it on."""
        assert self.pid is None
        up = self.folder / "up"
        up.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "ray", ignore_errors=True)
        (self.folder / "ray").mkdir(parents=True)
        (self.folder / "home").mkdir(exist_ok=True)
        (self.folder / "resolv.conf").write_text("")  # a name server that does not answer costs 12 s a start
        command = ["nsenter", f"--net=/run/netns/{self.space}"]
        command += ["unshare", "-m", "-u", "-p", "-f", "--kill-child", "--mount-proc"]
        command += ["bash", "-c", FIRST, "first", self.name, str(self.folder), str(self.hosts)]
        self._holder = subprocess.Popen(command, preexec_fn=_die_with_parent)
        assert until(up.exists, 60), f"the host {self.name} does not start"
        (first,) = psutil.Process(self._holder.pid).children()
        self.pid = first.pid

    def crash(self) -> None:
        """Switch it off without a word: every process of it ends at once."""
        assert self._holder is not None
        left = self.processes()
        self._holder.kill()
        self._holder.wait()
        self._holder, self.pid = None, None
        psutil.wait_procs(left, timeout=10)

    def cut(self) -> None:
        """Pull its network cable."""
        _ip("link", "set", self.link, "down")

    def heal(self) -> None:
        _ip("link", "set", self.link, "up")

    def command(self, arguments: Sequence[str], **variables: str) -> list[str]:
        """What runs a command on the host, from the project's folder, with `variables` in its environment."""
        assert self.pid is not None, f"the host {self.name} is off"
        found = ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "-u", "env", f"--chdir={Path.cwd()}"]
        return [*found, *(f"{name}={value}" for name, value in variables.items()), *arguments]

    def processes(self) -> list[psutil.Process]:
        """Everything that runs on it but its first process."""
        if self.pid is None:
            return []
        mine = _space_of(self.pid)
        found = []
        for process in psutil.process_iter():
            with suppress(OSError, psutil.NoSuchProcess):
                if _space_of(process.pid) == mine and process.pid != self.pid:
                    found.append(process)
        return [p for p in found if words_of(p) != "sleep 1000"]

    @staticmethod
    def number_of(process: psutil.Process) -> int:
        """What a process of a host is called there."""
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1])

    def named(self, words: str) -> list[psutil.Process]:
        """The processes on it whose command line holds `words`."""
        return [p for p in self.processes() if words in words_of(p)]


def _space_of(pid: int) -> str:
    """The process namespace that a process lives in."""
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def words_of(process: psutil.Process) -> str:
    """Its command line; empty for one that is gone."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@dataclass
class Network:
    """A bridge and the hosts on it."""

    folder: Path
    hosts: dict[str, Host] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._prefix = f"pd{os.getpid()}"  # of names, of which an interface's has at most 15 letters
        self._subnet = f"10.77.{os.getpid() % 250 + 1}"
        self._names = self.folder / "hosts"
        self._given = 0  # addresses

    def __enter__(self) -> Network:
        _clear_up()
        _ip("link", "add", f"{self._prefix}-br", "type", "bridge")
        _ip("addr", "add", f"{self._subnet}.254/24", "dev", f"{self._prefix}-br")
        _ip("link", "set", f"{self._prefix}-br", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.hosts):
            self.remove(name)
        _ip("link", "delete", f"{self._prefix}-br")

    def add(self, name: str) -> Host:
        """A new host, switched on."""
        self._given += 1
        number = self._given
        space, link, address = f"{self._prefix}-{name}", f"{self._prefix}-{name}-v", f"{self._subnet}.{number}"
        _ip("netns", "add", space)
        host = Host(name, address, self.folder / name, link, space, self._names)
        self.hosts[name] = host
        lines = ["127.0.0.1 localhost", *(f"{h.address} {h.name}" for h in self.hosts.values())]
        self._names.write_text("\n".join(lines) + "\n")
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", link, "master", f"{self._prefix}-br", "up")
        _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "link", "set", "lo", "up")
        host.boot()
        return host

    def remove(self, name: str) -> None:
        """Take a host away for good."""
        host = self.hosts.pop(name)
        if host.pid is not None:
            host.crash()
        _ip("netns", "delete", host.space)


def _clear_up() -> None:
    """Remove the networks of processes that were killed; their hosts have ended with them."""
    listed = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    for bridge, pid in sorted(set(re.findall(r"\b(pd(\d+)-br):", listed))):
        if not psutil.pid_exists(int(pid)):
            for space in Path("/run/netns").glob(f"pd{pid}-*"):
                _ip("netns", "delete", space.name)
            _ip("link", "delete", bridge)


def inner(started: subprocess.Popen[str], seconds: float = 60.0) -> psutil.Process:
    """The process that a command of `Host.command` has become: `nsenter` stands in front of it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(started.pid).children():
                return child
        time.sleep(0.01)
    raise AssertionError("the command has not begun")
