"""What may befall a cluster: each blow is dealt to a victim that chance, seeded, picks among those that there are."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from tests.hosts.clusters import OWN, Cluster, Driver
from tests.hosts.machines import Host, words_of

LONGEST_CUT = 20.0  # seconds; after about nine a node is declared dead


@dataclass(frozen=True)
class Struck:
    """Who was hit. `host` and `pid` None: whoever works for the driver."""

    kind: str
    victim: str
    host: str | None = None
    pid: int | None = None  # as its host numbers it


@dataclass
class Scene:
    """A cluster in the middle of a sweep, and what is wrong with it for now."""

    cluster: Cluster
    driver: Driver
    off: dict[str, float] = field(default_factory=dict)  # host -> seconds until it is switched on or plugged in again
    cut: set[str] = field(default_factory=set)

    def well(self) -> list[Host]:
        """The hosts that run and can be reached."""
        hosts = self.cluster.network.hosts.values()
        return [h for h in hosts if h.pid is not None and h.name not in self.cut]


def _kill(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        process.kill()
        return True
    return False


def _any(scene: Scene, rng: random.Random, words: str, not_words: tuple[str, ...] = ()) -> tuple[Host, int] | None:
    """Kill a process whose command line holds `words`; gives its host and its number there."""
    found = [
        (host, process)
        for host in scene.well()
        for process in host.named(words)
        if not any(word in words_of(process) for word in not_words)
    ]
    if not found:
        return None
    host, process = rng.choice(found)
    with suppress(OSError):  # it has ended since
        number = host.number_of(process)
        return (host, number) if _kill(process) else None
    return None


def worker(scene: Scene, rng: random.Random) -> Struck | None:
    hit = _any(scene, rng, "ray::", (*OWN, "ray::Writer"))
    return hit and Struck("worker process", hit[0].name, hit[0].name, hit[1])


def agent(scene: Scene, rng: random.Random) -> Struck | None:
    hit = _any(scene, rng, rng.choice(OWN[1:]))
    return hit and Struck("agent", hit[0].name, None if hit[0] is scene.cluster.head else hit[0].name)


def raylet(scene: Scene, rng: random.Random) -> Struck | None:
    hit = _any(scene, rng, "/raylet/raylet")
    return hit and Struck("raylet", hit[0].name, None if hit[0] is scene.cluster.head else hit[0].name)


def writer(scene: Scene, rng: random.Random) -> Struck | None:
    hit = _any(scene, rng, "ray::Writer")
    return hit and Struck("writer", hit[0].name)


def gcs(scene: Scene, rng: random.Random) -> Struck | None:
    hit = _any(scene, rng, "gcs/gcs_server")
    return hit and Struck("GCS", hit[0].name)


def driver(scene: Scene, rng: random.Random) -> Struck | None:
    del rng
    if scene.driver.ended or scene.driver.host.name in scene.cut:
        return None
    name = scene.driver.host.name
    scene.driver.kill()
    return Struck("driver", name)


def host(scene: Scene, rng: random.Random) -> Struck | None:
    victim = rng.choice(scene.well())
    everything = victim is scene.cluster.head or victim is scene.driver.host
    victim.crash()
    scene.off[victim.name] = rng.uniform(0.5, 4)
    return Struck("whole host", victim.name, None if everything else victim.name)


def partition(scene: Scene, rng: random.Random) -> Struck | None:
    victim = rng.choice(scene.well())
    everything = victim is scene.cluster.head or victim is scene.driver.host
    victim.cut()
    scene.cut.add(victim.name)
    scene.off[victim.name] = rng.uniform(1, LONGEST_CUT)
    return Struck("partition", victim.name, None if everything else victim.name)


Blow = Callable[[Scene, random.Random], Struck | None]
BLOWS: tuple[tuple[Blow, int], ...] = (  # with how often it comes, relative to the others
    (worker, 8),
    (raylet, 3),
    (agent, 1),
    (writer, 5),
    (gcs, 1),
    (driver, 4),
    (host, 3),
    (partition, 3),
)


def strike(scene: Scene, rng: random.Random) -> Struck | None:
    """Deal one blow. None where its kind finds no victim just now."""
    blows, weights = zip(*BLOWS, strict=True)
    blow: Blow = rng.choices(blows, weights)[0]
    return blow(scene, rng)
