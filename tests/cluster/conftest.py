"""One Ray cluster for all tests of this folder. It belongs to no driver: killing drivers leaves it as it is."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Ray reads its settings, the token among them, when it is first imported.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # what else fills the machine's memory is no finding
from cluster import ray_settings

ray_settings.apply()

from bench.processor import prepare  # noqa: E402
from tests.cluster.processes import end_family, end_with_parent  # noqa: E402
from tests.cluster.small_disk import SmallDisk, mount, unmount  # noqa: E402

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:  # workers that this process spawns import our jobs by name
    sys.path.insert(0, ROOT)


@dataclass(frozen=True)
class Cluster:
    """A running head with two CPUs."""

    address: str
    pid: int


@pytest.fixture(scope="session")
def project_environment() -> dict[str, str]:
    """The environment of a process that imports the project and its tests from anywhere."""
    prepare()  # once, here: no worker of the cluster need find out for itself what this CPU can do
    path = os.pathsep.join(p for p in (ROOT, os.environ.get("PYTHONPATH")) if p)
    return {**os.environ, "PYTHONPATH": path}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="session")
def cluster(project_environment: dict[str, str]) -> Iterator[Cluster]:
    """A head in processes of its own, and this process connected to it."""
    folder = Path(tempfile.mkdtemp(prefix="pd-"))  # short: the path of a Unix socket has at most 107 bytes
    port, agent = free_ports(2)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
    command += [f"--port={port}", f"--dashboard-agent-listen-port={agent}"]
    command += ["--include-dashboard=false", "--object-store-memory=200000000", f"--temp-dir={folder}"]
    log = folder / "head.log"
    with log.open("w") as file:
        head = subprocess.Popen(
            command,
            env=project_environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    try:
        address = f"127.0.0.1:{port}"
        _connect(address, head, log)
        yield Cluster(address, head.pid)
    finally:
        import ray

        ray.shutdown()
        end_family(head.pid)
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _connect(address: str, head: subprocess.Popen[bytes], log: Path) -> None:
    from bench.errors import BadInput
    from cluster import runner_ray

    deadline = time.monotonic() + 180
    while "Ray runtime started" not in log.read_text():
        assert head.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    while True:
        try:
            runner_ray.start(address)
        except BadInput:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)
        else:
            return


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system with little room, which only root may mount."""
    if not mount(tmp_path):
        pytest.skip("no file system can be mounted here")
    try:
        yield SmallDisk(tmp_path)
    finally:
        unmount(tmp_path)
