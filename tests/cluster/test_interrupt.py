"""Ctrl-C, a second driver, and a reader who looks all the time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from bench.errors import BadInput
from bench.store.folder import holder, open_folder, take_lease
from bench.store.reader import open_snapshot
from tests import tiny
from tests.cluster.driver import hurried, jobs
from tests.cluster.places import acknowledged, finished_keys
from tests.cluster.processes import all_gone, family, until
from tests.cluster.test_kills import assert_nothing_lost, drivers


def test_ctrl_c_ends_everything_and_the_next_run_repeats_nothing(
    tmp_path: Path, project_environment: dict[str, str]
) -> None:
    root = tmp_path / "store"
    with drivers(root, ["local"], project_environment) as found:
        driver = found.go()
        assert until(lambda: len(acknowledged(root)) >= 10, 60)
        workers = [process.pid for process in family(driver.pid)]
        driver.send_signal(signal.SIGINT)
        assert driver.wait(60) == 130
        assert all_gone(workers)
        assert holder(open_folder(root)) is None
        assert_nothing_lost(root)
        before = finished_keys(root)
        assert 10 <= len(before) < len(jobs(root))
        hurried(root).touch()
        assert found.go().wait(60) == 0
        after = finished_keys(root)
    assert after[: len(before)] == before
    assert sorted(after) == sorted(job.key for job in jobs(root))


def test_a_reader_during_a_sweep_never_meets_a_lock(tmp_path: Path, project_environment: dict[str, str]) -> None:
    root = tmp_path / "store"
    counts: list[int] = []
    errors: list[Exception] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            try:
                with open_snapshot(root) as snapshot:
                    counts.append(snapshot.rows("select count(*) as n from records")[0]["n"])
            except BadInput as error:
                if counts:  # before the first snapshot there is nothing to open, and a sentence says so
                    errors.append(error)
            except Exception as error:  # noqa: BLE001 - whatever a page would meet
                errors.append(error)

    reader = threading.Thread(target=look)
    with drivers(root, ["local"], project_environment) as found:
        driver = found.go()
        reader.start()
        try:
            assert until(lambda: len(counts) > 12 and len(set(counts)) > 1, 60)
            hurried(root).touch()
            assert driver.wait(90) == 0
            assert until(lambda: counts[-1] == len(jobs(root)), 60)
        finally:
            ended.set()
            reader.join()
    assert errors == []
    assert counts == sorted(counts)


def test_a_second_driver_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    sweep = tiny.sweep_file(tmp_path)
    folder = open_folder(tmp_path / "store", create=True)
    take_lease(folder)
    before = sorted(str(p) for p in folder.root.rglob("*"))
    command = [sys.executable, "-m", "cluster.cli", "run", str(sweep), "--store", str(folder.root), "--runner", "local"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"in use by another paredown (process {os.getpid()}" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert sorted(str(p) for p in folder.root.rglob("*")) == before
