"""Nothing that an attempt has started outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cluster.processes import MARK, carrying, end_attempt, end_marked, marked
from tests.cluster.processes import all_gone, until

# Starts a sleeper in a session of its own whose parent ends at once, and writes down its pid.
ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
"""


def escaped(note: Path) -> int:
    """The pid of a process that has left its parent, its group and its session."""
    subprocess.run([sys.executable, "-c", ESCAPE, str(note)], check=True)
    assert until(lambda: note.exists() and note.read_text() != "", 60)
    return int(note.read_text())


def test_what_left_its_parent_and_session_ends_with_the_attempt(tmp_path: Path) -> None:
    with marked("one"):
        pid = escaped(tmp_path / "pid")
        assert carrying("one") == [pid]
        assert carrying("on") == []
    assert all_gone([pid])
    assert MARK not in os.environ


def test_other_attempts_are_left_alone(tmp_path: Path) -> None:
    with marked("other"):
        pid = escaped(tmp_path / "pid")
        assert end_marked("mine")
        assert carrying("other") == [pid]
    assert all_gone([pid])


def test_a_worker_is_killed_only_while_it_is_the_same_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as worker:
        import psutil

        born = psutil.Process(worker.pid).create_time()
        assert end_attempt(worker.pid, born - 100, "nobody")
        assert worker.poll() is None
        assert end_attempt(worker.pid, born, "nobody")
        assert worker.wait(60) == -9
