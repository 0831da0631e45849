"""Hosts and processes of a real cluster fail in the middle of a sweep: it ends, or can be gone on with, and the store
has every job once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from bench.store.folder import holder, latest_epoch, open_folder
from tests.cluster.places import acknowledged, finished_keys, journal
from tests.cluster.processes import appeared, until
from tests.cluster.small_disk import SmallDisk
from tests.hosts.clusters import Cluster
from tests.hosts.driver import notes_of
from tests.hosts.machines import Host
from tests.hosts.work import Begun, begun, hurried, sweep

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

BEGINS_AGAIN = 15.0  # seconds at most until work lost in a partition begins elsewhere
USED = 15.0  # seconds at most until a node that has joined has work


def jobs_of(root: Path, count: int, seed: int, longest: float) -> list[str]:
    return sorted(job.key for job in sweep(count, seed, longest, notes_of(root)))


def long_ones(root: Path, count: int, seed: int, longest: float) -> set[str]:
    """Jobs that take so long that they are still at work when a blow falls."""
    return {job.key for job in sweep(count, seed, longest, notes_of(root)) if job.seconds > 0.6 * longest}


def assert_nothing_lost(root: Path) -> None:
    promised = acknowledged(root)  # read first: what is promised later may be written later
    lines = [record.identity for record in journal(root)]
    assert promised
    assert promised <= set(lines)
    assert [identity for identity, n in Counter(lines).items() if n > 1] == []


def assert_complete(root: Path, keys: list[str]) -> None:
    """Every job finished exactly once, and nobody holds the store."""
    assert_nothing_lost(root)
    assert sorted(finished_keys(root)) == keys
    assert holder(open_folder(root)) is None


def assert_goes_on(cluster: Cluster, root: Path, asked: tuple[int, int, float]) -> None:
    """The next driver ends the sweep."""
    driver = cluster.drive(root, *asked)
    assert driver.end(240) == 0, driver.said()
    assert_complete(root, jobs_of(root, *asked))


def in_work_on(root: Path, host: Host, keys: Collection[str]) -> Begun:
    """An attempt at one of these jobs that has only just begun on a host."""
    seen = {(b.key, b.at) for b in begun(notes_of(root))}
    new: list[Begun] = []

    def come() -> bool:
        found = (b for b in begun(notes_of(root)) if (b.key, b.at) not in seen and b.host == host.name)
        new[:] = [b for b in found if b.key in keys]
        return bool(new)

    assert until(come, 150), f"nothing begins on {host.name}"
    return new[0]


def again(root: Path, lost: Begun, after: float) -> float:
    """Seconds after `after` until a lost job has begun on another host."""
    return (
        min(b.at for b in begun(notes_of(root)) if b.key == lost.key and b.at > after and b.host != lost.host) - after
    )


def some_done(root: Path, more: int = 5) -> None:
    before = len(acknowledged(root))
    assert until(lambda: len(acknowledged(root)) >= before + more, 150), "the sweep stands still"


def test_a_partitioned_worker(cluster: Cluster, tmp_path: Path) -> None:
    # Short jobs: what is lost begins again when a CPU is free, and behind what waits there already.
    root, asked = tmp_path / "store", (48, 1, 1.5)
    driver, victim = cluster.drive(root, *asked), cluster.host("w1")
    lost = in_work_on(root, victim, long_ones(root, *asked))
    cut = time.time()
    victim.cut()
    try:
        assert driver.end(240) == 0, driver.said()
        assert again(root, lost, cut) <= BEGINS_AGAIN
        assert not [b for b in begun(notes_of(root)) if b.host == victim.name and b.at > cut + BEGINS_AGAIN]
    finally:
        victim.heal()
    assert_complete(root, jobs_of(root, *asked))


@pytest.mark.parametrize("words", ["/raylet/raylet", "ray::act"])
def test_a_killed_process_of_a_worker(cluster: Cluster, tmp_path: Path, words: str) -> None:
    root, asked = tmp_path / "store", (30, 2, 1.5)
    driver, victim = cluster.drive(root, *asked), cluster.host("w2")
    lost, killed = in_work_on(root, victim, long_ones(root, *asked)), time.time()
    (process,) = appeared(lambda: victim.named(words))
    process.kill()
    assert driver.end(240) == 0, driver.said()
    starts = [b for b in begun(notes_of(root)) if b.key == lost.key]
    assert len(starts) == 2
    assert max(b.at for b in starts) - killed <= BEGINS_AGAIN
    assert_complete(root, jobs_of(root, *asked))


def test_killed_drivers(cluster: Cluster, tmp_path: Path) -> None:
    """The next goes on by itself on the same host; on another, whose processes it cannot see, when it is told to."""
    root, asked = tmp_path / "store", (160, 3, 1.0)
    for host in ("head", "head", "w1"):
        take_over = ["--take-over"] * (host == "w1")
        driver = cluster.drive(root, *asked, *take_over, on=cluster.host(host))
        some_done(root)
        driver.kill()
        assert_nothing_lost(root)
    done, since = set(finished_keys(root)), time.time()
    refused = cluster.drive(root, *asked)
    assert refused.end(120) == 2
    assert "--take-over" in refused.said()
    hurried(notes_of(root)).touch()
    driver = cluster.drive(root, *asked, "--take-over")
    assert driver.end(240) == 0, driver.said()
    assert latest_epoch(open_folder(root)) == 4
    assert_complete(root, jobs_of(root, *asked))
    assert not [b for b in begun(notes_of(root)) if b.key in done and b.at > since], "what was finished was run again"


def test_a_crashed_head(cluster: Cluster, tmp_path: Path) -> None:
    """With it go the writer, the driver and all that the cluster knew. The store is enough to go on."""
    root, asked = tmp_path / "store", (40, 4, 1.0)
    cluster.drive(root, *asked)
    some_done(root)
    cluster.head.crash()
    assert_nothing_lost(root)
    cluster.restart(cluster.head)
    cluster.whole()
    # Nobody can ask a host that was off whether its driver has died: the lease runs out.
    assert until(lambda: holder(open_folder(root)) is None, 150)
    assert_goes_on(cluster, root, asked)


def test_a_driver_that_outlives_its_heads_ray(cluster: Cluster, tmp_path: Path) -> None:
    """It ends, rather than wait for answers that nobody will give; the next goes on without being told to."""
    root, asked = tmp_path / "store", (40, 7, 1.0)
    driver = cluster.drive(root, *asked)
    some_done(root)
    (raylet,) = appeared(lambda: cluster.head.named("/raylet/raylet"))
    raylet.kill()
    assert driver.end(120) != 0
    assert_nothing_lost(root)
    cluster.whole()
    assert_goes_on(cluster, root, asked)


def test_a_full_disk(cluster: Cluster, shared_disk: SmallDisk) -> None:
    root, asked = shared_disk.folder / "store", (40, 5, 0.8)
    driver = cluster.drive(root, *asked)
    some_done(root)
    try:
        assert until(lambda: filled(shared_disk) and driver.ended, 150), driver.said()
        assert driver.end(1) == 2
        assert "DiskFull" in driver.said()
        assert_nothing_lost(root)
    finally:
        shared_disk.free()
    assert_goes_on(cluster, root, asked)


def filled(disk: SmallDisk) -> bool:
    """Leave no room, also not what a snapshot gives back that could not be finished."""
    disk.fill()
    return True


def test_a_host_that_joins_and_leaves(cluster: Cluster, tmp_path: Path) -> None:
    root, asked = tmp_path / "store", (400, 6, 1.5)  # some are left however long the new host takes
    driver = cluster.drive(root, *asked)
    some_done(root)
    late = cluster.network.add("w3")
    try:
        cluster.serve(late)
        joined = when(lambda: "Ray runtime started" in (late.folder / "node.log").read_text())
        first = in_work_on(root, late, jobs_of(root, *asked))
        assert first.at - joined <= USED
        some_done(root)
        late.crash()
        hurried(notes_of(root)).touch()
        assert driver.end(240) == 0, driver.said()
    finally:
        cluster.network.remove("w3")
    assert_complete(root, jobs_of(root, *asked))


def when(condition: Callable[[], bool]) -> float:
    """Seconds since the epoch when a condition comes true."""
    assert until(condition, 150)
    return time.time()
