"""A driver of other code than the one before: it brings its own, and the writer of before is drained and replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.execute import Site
from bench.record import Failed
from bench.store.folder import latest_epoch, open_folder
from cluster.attempts import Output
from cluster.ray_start import our_code
from cluster.ray_work import Logs, Orders, _attempted
from cluster.runner_local import Limits
from tests.cluster.conftest import ROOT, Cluster
from tests.cluster.driver import hurried
from tests.cluster.jobs import Act, act
from tests.cluster.places import acknowledged
from tests.cluster.processes import end_family
from tests.cluster.test_kills import assert_complete, drivers, wait_for_more

# Connects, takes its own code away, and asks a worker for the version of what it runs.
AWAY = """
import os, sys
from cluster import ray_settings
ray_settings.apply()
from cluster import ray_start
ray_start.start(sys.argv[1])
import ray
os.rename(sys.argv[2], sys.argv[2] + "-away")

def version():
    import bench
    from cluster.ray_start import our_code
    return bench.__file__, our_code()

file, found = ray.get(ray.remote(version).remote())
print(file, found, ray_start.our_code())
"""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A copy of the project with another version of its code."""
    root = tmp_path / "copy"
    for name in ("bench", "cluster", "tests"):
        leave = shutil.ignore_patterns("__pycache__", "*.safetensors", "browser", "leaderboard")
        shutil.copytree(Path(ROOT) / name, root / name, ignore=leave)
    with (root / "bench" / "errors.py").open("a") as file:
        file.write("\n# another version\n")
    return root


def test_a_worker_of_other_code_refuses_the_job(tmp_path: Path) -> None:
    job = Act(name="one", driver=os.getpid())
    orders = Orders(Site(tmp_path), act, Limits(), None, "f" * 64, Logs(None))
    outcome = _attempted(job, 1, orders, "mark", Output(tmp_path / "log", shared=False)).record.outcome
    assert isinstance(outcome, Failed)
    assert outcome.kind == "lost worker"
    assert outcome.reason == (
        f"This worker runs version {our_code()[:10]} of paredown and the driver ffffffffff: install the same one on "
        "every node."
    )


@pytest.mark.cluster
def test_workers_run_the_code_that_the_driver_ships(
    cluster: Cluster, other: Path, project_environment: dict[str, str]
) -> None:
    """The head has this tree's version on its path, and the copy is gone before the worker starts."""
    done = subprocess.run(
        [sys.executable, "-c", AWAY, cluster.address, str(other)],
        env={**project_environment, "PYTHONPATH": str(other)},
        cwd=other,
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )
    file, workers, drivers_own = done.stdout.split()
    assert "py_modules_files" in file
    assert workers == drivers_own != our_code()


@pytest.mark.cluster
def test_a_driver_of_other_code_replaces_the_writer_and_ends_the_sweep(
    cluster: Cluster, other: Path, tmp_path: Path, project_environment: dict[str, str]
) -> None:
    root = tmp_path / "store"
    with drivers(root, ["ray", cluster.address], project_environment) as mine:
        driver = mine.go()
        wait_for_more(root, 5)
        driver.kill()
        driver.wait()
    before = acknowledged(root)
    hurried(root).touch()
    copied = {**project_environment, "PYTHONPATH": str(other)}
    with drivers(root, ["ray", cluster.address], copied, cwd=str(other)) as theirs:
        driver = theirs.go()
        assert (mine.code, theirs.code) == (ROOT, str(other))
        assert driver.wait(120) == 0
        end_family(driver.pid)
    assert latest_epoch(open_folder(root)) == 2
    assert before < acknowledged(root)
    assert_complete(root)
