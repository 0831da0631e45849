"""What `paredown run` and `plan` refuse on a cluster: one sentence, exit code 2, and everything left as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import ray

from bench.store.folder import open_folder, take_lease
from tests import tiny
from tests.cluster.conftest import Cluster

pytestmark = pytest.mark.cluster


def told(command: str, cluster: str, environment: dict[str, str], root: Path, *more: str) -> CompletedProcess[str]:
    """What a command says about a sweep on the cluster."""
    words = [sys.executable, "-m", "cluster.cli", command, str(tiny.sweep_file(root)), "--store", str(root / "store")]
    words += ["--address", cluster, *more]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=180)


def refused(cluster: str, environment: dict[str, str], root: Path, *more: str, command: str = "run") -> str:
    """The sentence with which a command ends."""
    done = told(command, cluster, environment, root, *more)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["device=cuda"], r"none of the cluster's nodes (1) gives Ray a GPU"),
        (["--hardware", "PDP-11"], r"--hardware is 'PDP-11', with which none of the cluster's classes begins"),
        (["latency.threads=64"], r"latency.threads is 64, but the cluster's largest node has"),
    ],
)
def test_a_machine_that_the_cluster_lacks(
    cluster: Cluster, project_environment: dict[str, str], tmp_path: Path, more: list[str], sentence: str
) -> None:
    before = ray.util.list_named_actors(all_namespaces=True)
    assert sentence in refused(cluster.address, project_environment, tmp_path, *more)
    assert ray.util.list_named_actors(all_namespaces=True) == before
    take_lease(open_folder(tmp_path / "store")).release()  # nobody holds it
    assert not list((tmp_path / "store" / "journal").glob("*.parquet"))


def test_a_plan_for_a_cluster_is_of_its_nodes(
    cluster: Cluster, project_environment: dict[str, str], tmp_path: Path
) -> None:
    done = told("plan", cluster.address, project_environment, tmp_path)
    assert done.returncode == 0, done.stderr
    cpus = int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]
    assert f"min on {cpus} CPUs" in " ".join(done.stdout.split())
    assert not (tmp_path / "store").exists()
    sentence = refused(cluster.address, project_environment, tmp_path, "device=cuda", command="plan")
    assert "none of the cluster's nodes (1) gives Ray a GPU" in sentence
