"""One sweep under blows: it is struck again and again until it ends, and what every blow cost is noted."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.blows import Scene, Struck, strike
from tests.cluster.places import acknowledged, finished_keys, journal
from tests.hosts.clusters import Cluster
from tests.hosts.driver import notes_of
from tests.hosts.work import Begun, begun, sweep

JOBS = 100
LONGEST = 1.0  # seconds of a job
TOGETHER = (1, 1, 2, 3)  # blows that fall at once
PATIENCE = 300.0  # seconds after which a blow counts as one that the sweep has not recovered from
MISSED = 4.0  # seconds without contact after which somebody starts a driver elsewhere


class NotRecovered(Exception):  # noqa: N818
    """The sweep stands still after a blow: which one, and what the last driver said."""


@dataclass
class Blown:
    """A blow and what it cost."""

    seed: int
    kind: str
    victim: str
    after: int  # acknowledged records when it fell
    together: int  # how many fell at the same moment
    lost: int  # attempts that they ended
    recovered: float  # seconds until all of them had begun again and a further record was acknowledged


@dataclass
class Under:
    """A sweep and all that is known about it from outside: the workers' own notes and the journal."""

    cluster: Cluster
    root: Path
    seed: int
    blows: list[Blown] = field(default_factory=list)
    _finished: set[str] = field(default_factory=set)
    _read: float = 0.0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.notes = notes_of(self.root)
        self.jobs = sweep(JOBS, self.seed, LONGEST, self.notes)
        self.scene = Scene(self.cluster, self.start(self.cluster.head.name))
        self.silent = 0.0  # since when the driver cannot be reached

    def start(self, host: str) -> Any:
        return self.cluster.drive(self.root, JOBS, self.seed, LONGEST, "--take-over", on=self.cluster.host(host))

    def finished(self) -> set[str]:
        """Keys of finished jobs; the journal is asked at most twice a second, the workers' notes each time."""
        self._finished |= acknowledged(self.root) & {job.key for job in self.jobs}
        if time.monotonic() - self._read > 0.5 and (self.root / "journal").is_dir():
            self._finished |= set(finished_keys(self.root))
            self._read = time.monotonic()
        return self._finished

    def tend(self, passed: float) -> None:
        """What people and supervisors do: switch hosts on, plug cables in, start a driver where there is none."""
        scene = self.scene
        for name in list(scene.off):
            scene.off[name] -= passed
            if scene.off[name] > 0:
                continue
            del scene.off[name]
            if name in scene.cut:
                scene.cut.discard(name)
                self.cluster.host(name).heal()
            else:
                self.cluster.restart(self.cluster.host(name))
        unreachable = scene.driver.host.name in scene.cut
        self.silent = self.silent + passed if unreachable else 0.0
        if (scene.driver.ended and len(self.finished()) < JOBS) or self.silent > MISSED:
            if self.cluster.head not in scene.well():
                return
            scene.driver = self.start(self.rng.choice(sorted(h.name for h in scene.well())))
            self.silent = 0.0

    def wait(self, *, until_more_than: int, lost: list[Begun], since: float) -> None:
        """Tend until so many have finished and what a blow has ended has begun again, or the sweep is complete."""
        last, deadline = time.monotonic(), time.monotonic() + PATIENCE
        open_keys = {attempt.key for attempt in lost}
        while True:
            time.sleep(0.05)
            now = time.monotonic()
            self.tend(now - last)
            last = now
            finished = self.finished()
            open_keys -= finished
            if open_keys:
                away = self.scene.cut  # what begins behind a cut cable is lost as well
                open_keys -= {a.key for a in begun(self.notes) if a.at > since and a.host not in away}
            if len(finished) == JOBS or (not open_keys and len(finished) > until_more_than):
                return
            if now > deadline:
                said = self.scene.driver.said()[-1500:]  # the last driver's, which may tell why
                raise NotRecovered(f"seed {self.seed}: {self.blows[-1:]}, {len(finished)} of {JOBS}", said)

    def blow(self) -> None:
        """Strike, once or several times at once, and wait until the sweep is under way again."""
        before = self.finished().copy()
        under_way = [attempt for attempt in begun(self.notes) if attempt.key not in before]
        dealt = [strike(self.scene, self.rng) for _ in range(self.rng.choice(TOGETHER))]
        struck = [one for one in dealt if one is not None]
        if not struck:
            time.sleep(0.05)
            self.tend(0.05)
            return
        at = time.time()
        lost = [attempt for attempt in _newest(under_way) if any(_hits(one, attempt) for one in struck)]
        new = [Blown(self.seed, one.kind, one.victim, len(before), len(struck), len(lost), PATIENCE) for one in struck]
        self.blows += new
        self.wait(until_more_than=len(before), lost=lost, since=at)
        for blown in new:
            blown.recovered = round(time.time() - at, 2)
        print(*new, sep="\n", flush=True)

    def run(self, most: int) -> dict[str, Any]:
        """Strike until the sweep or the blows are at an end; gives what was found in the store."""
        self.wait(until_more_than=0, lost=[], since=0.0)
        while len(self.finished()) < JOBS:
            if len(self.blows) >= most:
                self.wait(until_more_than=JOBS - 1, lost=[], since=0.0)
                break
            pause = self.rng.randint(2, 6)
            self.wait(until_more_than=len(self.finished()) + pause, lost=[], since=0.0)
            time.sleep(self.rng.uniform(0, 0.5))
            if len(self.finished()) < JOBS:
                self.blow()
        self.settle()
        return self.found()

    def settle(self) -> None:
        """Let the driver end, with every host in its place."""
        deadline = time.monotonic() + PATIENCE
        while self.scene.off or not self.scene.driver.ended:
            time.sleep(0.1)
            self.tend(0.1)
            if time.monotonic() > deadline:
                raise NotRecovered(f"seed {self.seed}: the driver does not end", self.scene.driver.said()[-1500:])

    def found(self) -> dict[str, Any]:
        """Of the promises that workers noted, how many the journal does not keep; and how much was done twice."""
        promised, lines = acknowledged(self.root), [record.identity for record in journal(self.root)]
        attempts = list(begun(self.notes))
        return {
            "seed": self.seed,
            "jobs": JOBS,
            "acknowledged": len(promised),
            "lost": len(promised - set(lines)),
            "doubled": sum(n - 1 for n in Counter(lines).values()),
            "missing": len({job.key for job in self.jobs} - set(finished_keys(self.root))),
            "attempts": len(attempts),
            "blows": [asdict(blow) for blow in self.blows],
        }


def _newest(attempts: list[Begun]) -> list[Begun]:
    """The last attempt at each job."""
    return list({a.key: a for a in sorted(attempts, key=lambda a: a.at)}.values())


def _hits(struck: Struck, attempt: Begun) -> bool:
    return (struck.host in (None, attempt.host)) and (struck.pid in (None, attempt.pid))
