"""What Prometheus can read of a sweep, at the port that the cluster names."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
import ray

from cluster.drive import drive
from tests.cluster.conftest import Cluster
from tests.cluster.jobs import Act, sleeps
from tests.cluster.listed import Listed
from tests.cluster.places import ray_place
from tests.cluster.processes import until

WANTED = (
    'paredown_attempts_total{[^}]*outcome="finished"',
    'paredown_attempts_total{[^}]*outcome="bug"',
    "paredown_attempt_seconds_bucket{",
    'paredown_jobs{[^}]*status="done"',
    'paredown_cpus{[^}]*which="busy"',
    "paredown_acknowledged_total{",
    "paredown_publish_seconds_count{",
)


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # nodes are not reached through a proxy


def exposed() -> str:
    """All that the metrics agents of the cluster expose, and why one does not."""
    found = ""
    for row in ray.nodes():  # type: ignore[no-untyped-call]
        if row["Alive"]:
            url = f"http://{row['NodeManagerAddress']}:{row['MetricsExportPort']}/metrics"
            try:
                with DIRECT.open(url, timeout=10) as answer:
                    found += answer.read().decode()
            except OSError as error:
                found += f"# {url}: {error!r}\n"
    return found


def summary(text: str) -> str:
    """Which families of metrics there are, and what was commented on besides."""
    families = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    errors = re.findall(r"^# http.*", text, re.MULTILINE)
    ours = [name for name in families if "paredown" in name]
    return f"{len(text)} characters, {len(families)} families, of ours {ours}, {errors}"


@pytest.mark.cluster
def test_a_sweep_can_be_followed_by_prometheus(cluster: Cluster, tmp_path: Path) -> None:
    del cluster
    jobs = [*sleeps(12, 0.5), Act(name="stumble", driver=0, does="stumble")]
    with ray_place(tmp_path / "store") as place:
        for _ in drive(Listed(jobs), place.known, place, lambda plan, _: {"done": plan.count("done")}):
            pass

        def told() -> bool:
            place.report({"done": 12})
            text = exposed()
            return all(re.search(words, text) for words in WANTED)

        assert until(told, 60), summary(exposed())
