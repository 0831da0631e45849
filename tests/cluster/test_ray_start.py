"""An address that is no cluster's, or that of one which cannot be used: one sentence, soon, and nothing left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from bench.errors import BadInput, ClusterLost
from cluster import ray_start
from cluster.ray_start import alive_nodes
from tests.cluster.conftest import Cluster, free_ports

SOON = 15.0  # seconds, on a busy machine

CONNECT = """
import sys, time
from cluster import ray_settings
ray_settings.apply()
from bench.errors import BadInput
from cluster.ray_start import start
try:
    start(sys.argv[1])
except BadInput as error:
    print(error)
    sys.exit(2)
import ray
ray.shutdown()
"""


@contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """Something that listens and is no Ray: it answers with these bytes, or with nothing at all."""
    server = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            taken.append(connection)
            if answer is not None:
                connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()
        for connection in taken:
            connection.close()


@pytest.mark.parametrize("address", ["nowhere", "10.0.0.1", ":6379", "host:0", "host:99999", "host:x", ""])
def test_what_is_no_address_is_said_at_once(address: str) -> None:
    with pytest.raises(BadInput, match=r"HOST:PORT, such as 10\.0\.0\.1:6379"):
        ray_start.check_address(address)


def test_a_client_address_is_told_from_a_heads() -> None:
    with pytest.raises(BadInput, match="Ray client server"):
        ray_start.check_address("ray://10.0.0.1:10001")


def test_where_nothing_answers_it_says_how_long_it_has_waited() -> None:
    (port,) = free_ports(1)
    with pytest.raises(BadInput, match=rf"Nothing answers at '127.0.0.1:{port}' \(.*after \d+\.\d s\)"):
        ray_start.check_address(f"127.0.0.1:{port}")


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 200 OK\r\n\r\nhello"])
def test_something_else_that_listens_is_not_waited_for(answer: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_start, "ANSWER_SECONDS", 2.0)
    began = time.monotonic()
    with listener(answer) as address, pytest.raises(BadInput, match="Ray"):
        ray_start.check_address(address)
    assert time.monotonic() - began < SOON


@pytest.mark.cluster
def test_a_cluster_of_another_version_is_named_with_both(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.__version__", "1.0.0")
    with pytest.raises(BadInput, match=r"runs Ray \d+\.\d+\.\d+ on Python 3\.\d+\.\d+ and this process Ray 1\.0\.0"):
        ray_start.check_address(cluster.address)
    monkeypatch.undo()
    ray_start.check_address(cluster.address)


@pytest.mark.cluster
def test_a_wrong_token_is_refused_in_one_sentence(cluster: Cluster, project_environment: dict[str, str]) -> None:
    wrong = {**project_environment, "RAY_AUTH_TOKEN": "0" * 64}
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, cluster.address],
        env=wrong,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert "token" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr


def told(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, object]]) -> None:
    """Have Ray say this of its nodes to a process on node a."""
    here = SimpleNamespace(get_node_id=lambda: "a")
    monkeypatch.setattr("cluster.ray_start.ray", SimpleNamespace(nodes=lambda: rows, get_runtime_context=lambda: here))


def test_a_process_whose_node_is_alive_belongs_to_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, object]] = [{"NodeID": "a", "Alive": True}, {"NodeID": "b", "Alive": False}]
    told(monkeypatch, rows)
    assert alive_nodes() == {"a": rows[0]}


@pytest.mark.parametrize("rows", [[], [{"NodeID": "a", "Alive": False}], [{"NodeID": "new", "Alive": True}]])
def test_a_process_whose_node_is_gone_is_told_so(
    monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, object]]
) -> None:
    """A head that was started anew knows nothing of what was asked of the old one, and answers none of it."""
    told(monkeypatch, rows)
    with pytest.raises(ClusterLost, match="was lost"):
        alive_nodes()
