"""A Ray cluster on hosts of `tests.hosts.machines`: started as on real machines, by the script that ships for them."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.processor import CAP, CHECKED, prepare
from tests.cluster.processes import end_family, until
from tests.hosts.machines import Host, Network, inner, words_of

ROOT = Path(__file__).parents[2]
NODE = ROOT / "cluster" / "deploy" / "on_premise" / "node.sh"
PORT = 6379
OWN = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")  # processes that Ray keeps on every node
STORE_BYTES = 100_000_000  # of each node's object store; 78.6 MB is the least that Ray takes


@dataclass
class Cluster:
    """The head and its workers, one CPU each."""

    network: Network
    token: str
    nodes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    onlooker: subprocess.Popen[str] | None = None  # one for many looks: to start it takes seconds of a CPU

    @property
    def head(self) -> Host:
        return self.network.hosts["head"]

    @property
    def address(self) -> str:
        return f"{self.head.address}:{PORT}"

    def host(self, name: str) -> Host:
        return self.network.hosts[name]

    def variables(self, host: Host) -> dict[str, str]:
        """The environment on a host: its home, the project, and nothing of a Ray that may run around the tests."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        prepare()  # once, here: no worker on any host need find out for itself what this CPU can do
        return {
            "PATH": path,
            "HOME": str(host.folder / "home"),
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_TOKEN": self.token,
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "RAY_ADDRESS": "",
            **{name: os.environ[name] for name in (CAP, CHECKED) if name in os.environ},
        }

    def begin(self, host: Host, arguments: list[str], **pipes: Any) -> subprocess.Popen[str]:
        """Start a command on a host. It ends with the cluster."""
        command = host.command(arguments, **self.variables(host))
        started = subprocess.Popen(command, text=True, cwd=ROOT, **pipes)
        self.started.append(started)
        return started

    def say(self, host: Host, arguments: list[str], seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on a host to its end."""
        command = host.command(arguments, **self.variables(host))
        return subprocess.run(command, text=True, cwd=ROOT, capture_output=True, timeout=seconds, check=False)

    def python(self, module: str, *arguments: object) -> list[str]:
        return [sys.executable, "-m", module, *map(str, arguments)]

    def serve(self, host: Host) -> None:
        """Have a host be the head or a worker, for as long as it is on."""
        role = ["head", host.address] if host is self.head else ["worker", host.address, self.address]
        options = ["--num-cpus=1", f"--object-store-memory={STORE_BYTES}", "--include-log-monitor=false"]
        options += ["--include-dashboard=false"] if host is self.head else []
        with (host.folder / "node.log").open("a") as log:
            self.nodes[host.name] = self.begin(host, ["bash", str(NODE), *role, *options], stdout=log, stderr=log)

    def restart(self, host: Host) -> None:
        """Switch a host that has crashed on again."""
        host.boot()
        self.serve(host)

    def look(self) -> dict[str, Any]:
        """What the cluster says of itself; empty while it does not answer."""
        if self.onlooker is None:
            command = self.python("tests.hosts.look", self.address)
            self.onlooker = self.begin(
                self.head, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        asked = self.onlooker
        assert asked.stdin is not None
        assert asked.stdout is not None
        patience = threading.Timer(60, lambda: end_family(asked.pid))
        patience.start()
        try:
            asked.stdin.write("look\n")
            asked.stdin.flush()
            answer = next((line for line in asked.stdout if line.startswith("{")), "")
        except BrokenPipeError:
            answer = ""
        finally:
            patience.cancel()
        if not answer:  # it has ended, perhaps with the Ray that it was connected to
            self.onlooker = None
        return dict(json.loads(answer)) if answer else {}

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 180) -> dict[str, Any]:
        """What the cluster says once it meets a condition."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.look()
            if found and condition(found):
                return found
            assert time.monotonic() < deadline, f"the cluster does not get there: {found}\n{self.logs()}"
            time.sleep(0.2)

    def whole(self) -> dict[str, Any]:
        """Wait until every host is in the cluster, nothing is in use and nobody's writer is left."""
        names = sorted(self.network.hosts)

        def is_whole(found: dict[str, Any]) -> bool:
            free, total = ({k: r.get(k, 0.0) for k in ("CPU", "GPU")} for r in (found["free"], found["total"]))
            return found["alive"] == names and free == total and found["actors"] == []

        return self.wait_for(is_whole)

    def quiet(self) -> None:
        """Wait until no host runs a driver, a job or a writer any more."""

        def busy() -> list[str]:
            found = [
                f"{host.name}: {words}"
                for host in self.network.hosts.values()
                for process in host.processes()
                if (words := words_of(process)).startswith("ray::") or "tests.hosts.driver" in words
            ]
            return [words.strip() for words in found if not any(name in words for name in OWN)]

        assert until(lambda: not busy(), 60), f"processes are left behind: {busy()}"

    def logs(self) -> str:
        """The end of what each node said."""
        return "\n".join(
            f"{host.name}: {(host.folder / 'node.log').read_text(errors='replace')[-1500:]}"
            for host in self.network.hosts.values()
            if (host.folder / "node.log").exists()
        )

    def drive(self, store: Path, *arguments: object, on: Host | None = None) -> Driver:
        """Start a driver, on the head if nothing else is said."""
        host = on or self.head
        command = self.python("tests.hosts.driver", store, self.address, *arguments)
        told = host.folder / f"driver-{len(self.started)}.log"
        with told.open("w") as log:
            return Driver(host, self.begin(host, command, stdout=log, stderr=log), told)

    def end(self) -> None:
        for host in self.network.hosts.values():
            if host.pid is not None:
                host.crash()
        for started in self.started:
            started.wait()


@dataclass
class Driver:
    """A driver on a host."""

    host: Host
    started: subprocess.Popen[str]
    told: Path  # what it writes

    def process(self) -> psutil.Process:
        return inner(self.started)

    def kill(self) -> None:
        self.process().kill()
        self.started.wait(60)

    def end(self, seconds: float) -> int:
        """Its exit code."""
        return self.started.wait(seconds)

    @property
    def ended(self) -> bool:
        return self.started.poll() is not None

    def said(self) -> str:
        return self.told.read_text(errors="replace")


@contextmanager
def cluster_of(folder: Path, names: tuple[str, ...]) -> Iterator[Cluster]:
    """A running cluster of the hosts "head" and `names`, whole."""
    with Network(folder) as network:
        found = Cluster(network, secrets.token_hex(32))
        try:
            found.serve(network.add("head"))
            assert until(lambda: bool(network.hosts["head"].named("gcs_server")), 90), found.logs()
            for name in names:
                found.serve(network.add(name))
            found.whole()
            yield found
        finally:
            found.end()
