"""One cluster of a head and two workers for all tests of this folder, which leave it as they found it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.small_disk import SmallDisk, mount, unmount
from tests.hosts.clusters import Cluster, cluster_of
from tests.hosts.machines import why_not


@pytest.fixture(scope="session")
def shared_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """A small file system that all hosts share: mounted before there are any, so that each has it."""
    reason = why_not()
    if reason and os.environ.get("PAREDOWN_REQUIRE_HOSTS"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    folder: Path = tmp_path_factory.mktemp("disk")
    assert mount(folder)
    try:
        yield SmallDisk(folder)
    finally:
        unmount(folder)


@pytest.fixture(scope="session")
def session_cluster(shared_disk: SmallDisk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_of(tmp_path_factory.mktemp("hosts"), ("w1", "w2")) as found:
        yield found


@pytest.fixture
def cluster(session_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, whole before and after: every host in it, nothing leased, no driver and no job left behind."""
    yield session_cluster
    session_cluster.whole()
    session_cluster.quiet()
