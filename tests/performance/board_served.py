"""The page of a store as a process of its own, watched while somebody looks at it, and an empty page beside it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import psutil

from tests.browser.served import SERVE, free_port

EMPTY = "nothing here"


@dataclass
class Server:
    """A served store: where, and what its process held at most."""

    url: str
    process: psutil.Process
    peak: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.ended.wait(0.2):
            try:
                self.peak = max(self.peak, self.process.memory_info().rss)
            except psutil.Error:
                return


@contextmanager
def served(store: Path) -> Iterator[Server]:
    """`paredown board` over a store."""
    port = free_port()
    with _serving([sys.executable, "-c", SERVE, str(store), str(port)], port) as process:
        (page,) = process.children()
        server = Server(f"http://127.0.0.1:{port}", page)
        watcher = threading.Thread(target=server.watch, daemon=True)
        watcher.start()
        yield server
        server.ended.set()
        watcher.join()


@contextmanager
def served_empty() -> Iterator[Server]:
    """A Streamlit page of one word: what any page costs at least."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "page.py"
        script.write_text(f"import streamlit as st\n\nst.text({EMPTY!r})\n", encoding="utf-8")
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
        command += ["--server.address=127.0.0.1", f"--server.port={port}", "--browser.gatherUsageStats=false"]
        with _serving(command, port) as process:
            yield Server(f"http://127.0.0.1:{port}", process)


@contextmanager
def _serving(command: Sequence[str], port: int) -> Iterator[psutil.Process]:
    """A server's process, once it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                with urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)
