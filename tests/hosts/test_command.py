"""The real command on a cluster of hosts: a real sweep that loses a host, the doctor, requests that cannot be met."""

from __future__ import annotations

import csv
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from bench.store.folder import holder, open_folder
from bench.store.reader import open_snapshot
from leaderboard.rows import read_board
from tests import tiny
from tests.cluster.places import acknowledged, finished_keys, journal
from tests.cluster.processes import until
from tests.hosts.clusters import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def paredown(cluster: Cluster, *arguments: object, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    return cluster.say(cluster.head, cluster.python("cluster.cli", *arguments), seconds)


def test_a_real_sweep_that_loses_a_host(cluster: Cluster, tmp_path: Path) -> None:
    """Every variant has one record of each key, each lease a host of its own, and the next run finds nothing."""
    store = tmp_path / "store"
    file = tiny.sweep_file(tmp_path, recipes=[["int8_dynamic"], [{"cast": {"dtype": "bfloat16"}}]])
    asked = ["run", file, "--address", cluster.address, "--store", store]
    first = cluster.begin(
        cluster.head, cluster.python("cluster.cli", *asked), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert until(lambda: len(acknowledged(store)) >= 2, 150), "the sweep does not begin"
    lost = cluster.host("w1")
    lost.crash()
    cluster.restart(lost)
    said, _ = first.communicate(timeout=240)
    assert first.returncode == 0, said
    counts = Counter(finished_keys(store))
    assert set(counts.values()) == {1}
    assert acknowledged(store) <= {record.identity for record in journal(store)}
    assert holder(open_folder(store)) is None
    with open_snapshot(store) as snapshot:
        board = read_board(snapshot)
    assert [row.status for row in board.rows] == ["complete"] * 3
    leases = {r.job["lease"]: r.node for r in journal(store) if r.finished and r.job["type"] == "LatencyJob"}
    assert leases[0] != leases[1]
    again = paredown(cluster, *asked)
    assert again.returncode == 0, again.stderr
    assert Counter(finished_keys(store)) == counts


def test_the_doctor_of_a_sound_cluster(cluster: Cluster, tmp_path: Path) -> None:
    done = paredown(cluster, "doctor", "--address", cluster.address, "--store", tmp_path, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["fit"] is True
    of = {finding["check"]: finding for finding in report["findings"]}
    for check in ("nodes reach each other", "token", "Ray's settings", "results folder"):
        assert (of[check]["where"], of[check]["verdict"]) == ("head, w1, w2", "ok"), check
    assert {of[library]["where"] for library in ("Python", "ray", "torch", "paredown's code")} == {"all 3 nodes"}
    clocks = [f for f in report["findings"] if f["check"] == "clock"]
    assert {f["verdict"] for f in clocks} == {"ok"}
    assert [p for p in tmp_path.iterdir() if "doctor" in p.name] == []


def test_the_doctor_finds_a_folder_that_is_not_shared(cluster: Cluster) -> None:
    own = "/tmp/ray"  # each host has one
    done = paredown(cluster, "doctor", "--address", cluster.address, "--store", own, "--format", "csv")
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = [line for line in csv.reader(done.stdout.splitlines()) if "fail" in line]
    assert line[:3] == ["results folder", "w1, w2", f"{own}: what was put there is not seen"]
    assert line[4].startswith(f"Mount one folder at {own} on every node")


@pytest.mark.parametrize("verb", [["doctor"], ["run", "demo", "--store", "/tmp/ray/unborn"]])
def test_an_address_where_no_ray_answers(cluster: Cluster, verb: list[str]) -> None:
    nobody = f"{cluster.head.address}:6399"
    done = paredown(cluster, *verb, "--address", nobody)
    assert (done.returncode, done.stdout) == (2, "")
    assert nobody in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_a_wrong_token(cluster: Cluster) -> None:
    command = cluster.python("cluster.cli", "doctor", "--address", cluster.address)
    done = cluster.say(cluster.head, ["env", f"RAY_AUTH_TOKEN={'f' * 64}", *command])
    assert (done.returncode, done.stdout) == (2, "")
    assert "token" in done.stderr
    assert "Traceback" not in done.stderr
