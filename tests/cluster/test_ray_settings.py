"""What Ray does otherwise than by default reaches its processes, and is still known to them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import ray

from cluster.ray_settings import SETTINGS
from tests.cluster.conftest import Cluster
from tests.cluster.processes import family

BINARIES = Path(ray.__file__).parent / "core" / "src" / "ray"
OF_PYTHON = {"RAY_USAGE_STATS_ENABLED"}


def strings(path: Path) -> bytes:
    return path.read_bytes()


def test_every_setting_is_one_that_this_ray_reads() -> None:
    """A name that an upgrade has dropped would be ignored without a word."""
    known = strings(BINARIES / "raylet" / "raylet") + strings(BINARIES / "gcs" / "gcs_server")
    assert [name for name in SETTINGS if name not in OF_PYTHON and name.encode() not in known] == []
    assert b"RAY_task_oom_retriesx" not in known


@pytest.mark.cluster
def test_settings_reach_the_head_and_the_raylet(cluster: Cluster) -> None:
    found = {}
    for process in family(cluster.pid):
        with suppress(psutil.NoSuchProcess):  # some come and go
            name = Path(process.exe()).name
            if name in ("gcs_server", "raylet"):
                found[name] = process.environ()
    assert found.keys() == {"gcs_server", "raylet"}
    for environment in found.values():
        assert {name: environment.get(name) for name in SETTINGS} == SETTINGS
