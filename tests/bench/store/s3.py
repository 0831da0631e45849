"""A real S3 server on the loopback address, and a proxy before it that breaks what it is told to break."""

from __future__ import annotations

import http.client
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.request import Request, urlopen

from bench.store import bucket

# What may become of a request: refused for now; done, but the answer is lost; the answer breaks off; no answer comes.
Fault = Literal["slow down", "answer lost", "half an answer", "no answer"]
SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
REFUSED = 503
HOST = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def moto_server() -> Iterator[int]:
    """Runs moto's server in a process of its own; gives its port."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 150
        while True:
            try:
                socket.create_connection((HOST, port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "the S3 server has ended"
                assert time.monotonic() < deadline, "the S3 server does not start"
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def make_bucket(port: int, name: str) -> None:
    with urlopen(Request(f"http://{HOST}:{port}/{name}", method="PUT")) as answer:
        answer.read()


def forget_buckets(port: int) -> None:
    """Take the server back to where it began."""
    with urlopen(Request(f"http://{HOST}:{port}/moto-api/reset", method="POST")) as answer:
        answer.read()


def environment(port: int) -> dict[str, str]:
    """What tells clients to use the server on this port."""
    return {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
    }


def forget() -> None:
    """As in a new process: no client, and no bucket that has answered before."""
    bucket._client.cache_clear()
    bucket._answered.clear()


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    proxy: Proxy
    behind: int
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body that follows its headers would wait 40 ms for them to be acknowledged

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):
            super().handle_one_request()

    def log_message(self, *args: object) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fault = self.proxy.next_fault(self.command, self.path)
        if fault == "slow down":
            self.reply(REFUSED, {"content-type": "application/xml"}, SLOW_DOWN)
            return
        if fault == "no answer":
            time.sleep(3)
            self.cut()
            return
        connection = http.client.HTTPConnection(HOST, self.behind, timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if fault == "answer lost":
            self.cut()
            return
        headers = {k.lower(): v for k, v in answer.getheaders()}
        self.reply(answer.status, headers, data, half=fault == "half an answer")

    def reply(self, status: int, headers: dict[str, str], data: bytes, *, half: bool = False) -> None:
        self.send_response_only(status)
        length = headers.get("content-length", str(len(data))) if self.command == "HEAD" else str(len(data))
        for name, value in {**headers, "content-length": length}.items():
            if name not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if half else data)
        if half:
            self.wfile.flush()
            self.cut()

    def cut(self) -> None:
        """Reset the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        raise ConnectionResetError

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815


class Server(ThreadingHTTPServer):
    """With room for as many connections as come at once: five wait by default, and others are turned away."""

    daemon_threads = True
    request_queue_size = 128


class Proxy:
    """Hands requests on to a server, unless `faults` has something for them; each fault is used up by one request."""

    def __init__(self, behind: int) -> None:
        self.faults: list[tuple[str, Fault]] = []  # (method, what becomes of its next request)
        self.seen: list[tuple[str, str]] = []  # (method, path) of every request
        self.made: list[Fault] = []
        self._using = threading.Lock()

        self._server = Server((HOST, 0), type("Bound", (Handler,), {"proxy": self, "behind": behind}))
        self.port = int(self._server.server_address[1])
        # As often as this (in seconds) it looks whether it is to end.
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self._using:
            self.seen.append((method, path))
            for place, (of, fault) in enumerate(self.faults):
                if of == method:
                    del self.faults[place]
                    self.made.append(fault)
                    return fault
        return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def without_aws() -> dict[str, str]:
    """This process's environment without anything that names a bucket's owner or place."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
