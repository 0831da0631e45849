"""A page that is served for a test, and the browser that looks at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

DEBIAN = "/usr/bin/chromium"
SETTLED = 60_000  # milliseconds that a page is given for whatever it was asked for
UP = 120  # seconds that a server is given to answer
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SERVE = """
import sys
from pathlib import Path
from leaderboard.serve import serve
from leaderboard.sign_in import read_auth
auth = read_auth(Path(sys.argv[4])) if sys.argv[3:4] == ["--auth"] else None
sys.exit(serve(Path(sys.argv[1]), int(sys.argv[2]), auth, locally=sys.argv[3:4] == ["--sign-locally"]))
"""


def chromium() -> str | None:
    """The browser's path: PAREDOWN_CHROMIUM, or where Debian puts it; None where there is none."""
    path = os.environ.get("PAREDOWN_CHROMIUM", DEBIAN)
    return path if shutil.which(path) else None


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(store: Path, *signing: str, port: int | None = None) -> Iterator[str]:
    """Serve the store as `paredown board` does, with --sign-locally or --auth FILE; yields the address."""
    port = port or free_port()
    with running([sys.executable, "-c", SERVE, str(store), str(port), *signing], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A Streamlit server's process, once it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield process
    finally:
        end(process)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until a server's process answers."""
    deadline = time.monotonic() + UP
    while time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=10):
                return
        except (URLError, OSError):
            time.sleep(0.1)
        assert process.poll() is None, f"the server of {url} has ended"
    raise AssertionError(f"the server of {url} does not answer")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server; one that takes its time is not waited for."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
