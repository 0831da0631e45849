"""What Prometheus can read of a sweep, at the port that the cluster names."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import ray

from cluster.drive import drive
from tests.cluster.conftest import Cluster
from tests.cluster.jobs import Act, Listed, sleeps
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


def exposed() -> str:
    """All that the metrics agents of the cluster expose."""
    found = ""
    for row in ray.nodes():  # type: ignore[no-untyped-call]
        if row["Alive"]:
            url = f"http://{row['NodeManagerAddress']}:{row['MetricsExportPort']}/metrics"
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    found += answer.read().decode()
            except (OSError, urllib.error.URLError):
                continue
    return found


@pytest.mark.cluster
def test_a_sweep_can_be_followed_by_prometheus(cluster: Cluster, tmp_path: Path) -> None:
    del cluster
    jobs = [*sleeps(12, 0.5), Act(name="stumble", driver=0, does="stumble")]
    with ray_place(tmp_path / "store") as place:
        for _ in drive(Listed(jobs), place.known, place, lambda plan, _: {"done": plan.count("done")}):
            pass
        place.report({"done": 12})

        def told() -> bool:
            place.report({"done": 12})
            text = exposed()
            return all(re.search(words, text) for words in WANTED)

        assert until(told, 60), [words for words in WANTED if not re.search(words, exposed())]
