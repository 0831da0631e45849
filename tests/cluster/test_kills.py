"""Whatever is killed, and whenever: no acknowledged record is lost, none is there twice, the sweep can be finished."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import psutil
import pytest

from bench.store.database import open_database
from bench.store.folder import holder, latest_epoch, open_folder
from tests.cluster.conftest import ROOT, Cluster
from tests.cluster.driver import JOBS, hurried, jobs
from tests.cluster.places import acknowledged, finished_keys, journal
from tests.cluster.processes import all_gone, appeared, end_family, family, named, until

SEEDS = range(2)  # `make chaos` deals hundreds
TABLES = ("entries", "records", "numbers", "examples", "samples", "sweeps", "retries", "parts")


@dataclass
class Drivers:
    """Driver processes over one store. The next one is started ahead, so that a kill costs no start-up time."""

    root: Path
    arguments: list[str]
    environment: dict[str, str]
    cwd: str = ROOT  # whose code they run: Ray has workers look there too
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    spare: subprocess.Popen[str] | None = None
    code: str = ""  # the folder whose code the last one runs

    def prepare(self) -> None:
        command = [sys.executable, "-m", "tests.cluster.driver", str(self.root), *self.arguments]
        pipe = subprocess.PIPE
        self.spare = subprocess.Popen(command, env=self.environment, cwd=self.cwd, stdin=pipe, stdout=pipe, text=True)
        self.started.append(self.spare)

    def go(self) -> subprocess.Popen[str]:
        """Let the prepared driver take the store."""
        if self.spare is None:
            self.prepare()
        driver = self.spare
        assert driver is not None
        assert driver.stdout is not None
        assert driver.stdin is not None
        word, self.code = driver.stdout.readline().split()
        assert word == "ready"
        driver.stdin.write("go\n")
        driver.stdin.flush()
        self.spare = None
        return driver


@contextmanager
def drivers(root: Path, arguments: list[str], environment: dict[str, str], cwd: str = ROOT) -> Iterator[Drivers]:
    found = Drivers(root, arguments, environment, cwd)
    try:
        yield found
    finally:
        for driver in found.started:
            end_family(driver.pid)
            driver.wait()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.cluster)])
def here(request: pytest.FixtureRequest, tmp_path: Path, project_environment: dict[str, str]) -> Iterator[Drivers]:
    """Drivers over a new store, of either runner."""
    arguments = [request.param]
    if request.param == "ray":
        arguments.append(request.getfixturevalue("cluster").address)
    with drivers(tmp_path / "store", arguments, project_environment) as found:
        yield found


@pytest.fixture
def on_ray(cluster: Cluster, tmp_path: Path, project_environment: dict[str, str]) -> Iterator[Drivers]:
    assert until(lambda: not named(cluster.pid, "ray::WriterActor"), 60), "another test's writer is left"
    with drivers(tmp_path / "store", ["ray", cluster.address], project_environment) as found:
        yield found


def wait_for_more(root: Path, before: int, seconds: float = 60) -> None:
    """Until something more has been acknowledged."""
    assert until(lambda: len(acknowledged(root)) > before, seconds), "the sweep stands still"


def strike(root: Path, seed: str, blow: Callable[[random.Random], None]) -> None:
    """Deal a blow at a seeded moment after the sweep is under way again; nothing acknowledged may be missing then."""
    rng = random.Random(seed)
    wait_for_more(root, len(acknowledged(root)))
    time.sleep(rng.uniform(0, 0.3))
    blow(rng)
    assert_nothing_lost(root)


def assert_nothing_lost(root: Path) -> None:
    promised = acknowledged(root)  # read first: what is promised later may be written later
    lines = [record.identity for record in journal(root)]
    assert promised
    assert promised <= set(lines)
    assert [identity for identity, n in Counter(lines).items() if n > 1] == []


def assert_complete(root: Path) -> None:
    """Every job finished once, and the query form says what the journal says."""
    assert_nothing_lost(root)
    assert sorted(finished_keys(root)) == sorted(job.key for job in jobs(root))
    rebuilt = open_database(root.parent / "rebuilt.duckdb", root / "journal")
    kept = duckdb.connect(str(root / "results.duckdb"), read_only=True)
    try:
        for table in TABLES:
            query = f"select * from {table} order by all"
            assert kept.execute(query).fetchall() == rebuilt.execute(query).fetchall(), table
        assert kept.execute("select count(*) from examples").fetchone() == (3 * JOBS,)
    finally:
        rebuilt.close()
        kept.close()
    assert holder(open_folder(root)) is None


def kill(processes: list[psutil.Process], rng: random.Random) -> None:
    rng.choice(processes).send_signal(signal.SIGKILL)


def test_killed_drivers(here: Drivers) -> None:
    """Each next driver takes the store over by itself, because the one before is dead."""
    for seed in SEEDS:
        driver = here.go()
        here.prepare()
        below = [p.pid for p in family(driver.pid)]

        def blow(_: random.Random, driver: subprocess.Popen[str] = driver, below: list[int] = below) -> None:
            below += [p.pid for p in family(driver.pid)]
            assert driver.poll() is None, "the sweep ended before it could be killed"
            driver.kill()
            driver.wait()

        strike(here.root, f"driver {seed}", blow)
        assert all_gone(below), "a killed driver has left workers behind"
    hurried(here.root).touch()
    assert here.go().wait(90) == 0
    assert latest_epoch(open_folder(here.root)) == len(SEEDS) + 1
    assert_complete(here.root)


def test_killed_workers(here: Drivers, request: pytest.FixtureRequest) -> None:
    driver = here.go()
    above = request.getfixturevalue("cluster").pid if here.arguments[0] == "ray" else driver.pid
    words = "ray::act" if here.arguments[0] == "ray" else "spawn_main"

    def failed() -> int:
        return sum(not record.finished for record in journal(here.root))

    def blow(rng: random.Random) -> None:
        """Until it has hit one at work: of a worker between two jobs there is no record."""
        before = failed()
        while failed() == before:
            with suppress(psutil.NoSuchProcess):  # it has ended since
                kill(appeared(lambda: named(above, words)), rng)
            until(lambda: failed() > before, 3)

    for seed in SEEDS:
        strike(here.root, f"worker {seed}", blow)
    hurried(here.root).touch()
    assert driver.wait(90) == 0
    assert_complete(here.root)
    assert failed() >= len(SEEDS)


@pytest.mark.cluster
def test_killed_writers(on_ray: Drivers, cluster: Cluster) -> None:
    driver = on_ray.go()
    killed: set[int] = set()

    def blow(rng: random.Random) -> None:
        (writer,) = appeared(lambda: named(cluster.pid, "ray::WriterActor"))
        killed.add(writer.pid)
        kill([writer], rng)

    for seed in SEEDS:
        strike(on_ray.root, f"writer {seed}", blow)
    hurried(on_ray.root).touch()
    assert driver.wait(90) == 0
    assert len(killed) == len(SEEDS)
    assert_complete(on_ray.root)
