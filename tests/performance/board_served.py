"""The page of a store as a process of its own, watched while somebody looks at it, and an empty page beside it."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from leaderboard.controls import PAUSE
from tests.browser.served import SERVE, free_port, running

EMPTY = "nothing here"
# Any page that looks for what is typed costs at least as much as one that repeats it.
PAGE = f"""import streamlit as st

st.text({EMPTY!r})
st.text("typed " + st.text_input("Search", key="q", type="search", live={PAUSE!r}))
"""


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
    with running([sys.executable, "-c", SERVE, str(store), str(port)], port) as process:
        (page,) = psutil.Process(process.pid).children()
        server = Server(f"http://127.0.0.1:{port}", page)
        watcher = threading.Thread(target=server.watch, daemon=True)
        watcher.start()
        yield server
        server.ended.set()
        watcher.join()


@contextmanager
def served_empty() -> Iterator[Server]:
    """A Streamlit page that repeats a word: what any page costs at least."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "page.py"
        script.write_text(PAGE, encoding="utf-8")
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
        command += ["--server.address=127.0.0.1", f"--server.port={port}", "--browser.gatherUsageStats=false"]
        with running(command, port) as process:
            yield Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
