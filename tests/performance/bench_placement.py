"""How does a sweep grow with the cluster? The real plan, drive and ledger, replayed in simulated time on 1 to 64 nodes.

`python -m tests.performance.bench_placement [variants]`. Jobs take what jobs of their kind took in a recorded sweep
(`recorded_seconds.json`), drawn with a seed; one in fifty straggles, and a node is lost now and then and comes back.
Nothing is claimed of Ray, disks or networks: what is shown is what planning and placing leave of a cluster, the
processor time of the driver included, and what stands in the way first.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import platform
import random
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from bench.job import Job
from bench.record import Failed, Record
from bench.store.journal import Entry
from bench.sweep import Sweep
from cluster import drive as driving
from cluster.drive import Running
from cluster.estimates import kind_of
from cluster.ledger import Ledger
from cluster.placement import MEASURING, Lease, Need, Node
from cluster.plan import Planner
from cluster.progress import Use
from cluster.standing import Known
from tests.performance.bench_int8_linear import cpu_name
from tests.performance.bench_scale import MACHINE, finished, sweep_of

RECORDED: dict[str, list[float]] = json.loads(Path(__file__).with_name("recorded_seconds.json").read_text())
NODES = (1, 2, 4, 8, 16, 32, 64)
CPUS = 8.0  # of each node
VARIANTS = 240
JOBS_A_VARIANT = 13
STRAGGLERS, STRETCH = 0.02, (3.0, 10.0)  # share of jobs, and how many times longer they take
HOURS_BETWEEN_LOSSES = 24.0  # of one node, on average
BACK_AFTER = 120.0  # seconds until a lost node is there again


class Clock:
    """Simulated seconds, to which the driver's own processor time is added."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self._began = time.process_time()

    def monotonic(self) -> float:
        return self.skipped + time.process_time() - self._began

    def sleep(self, seconds: float) -> None:
        self.skipped += seconds

    def until(self, moment: float) -> None:
        self.skipped += max(0.0, moment - self.monotonic())

    @property
    def busy(self) -> float:
        """Seconds of processor time so far."""
        return time.process_time() - self._began


@dataclass(order=True)
class Event:
    """An attempt ends, or a node is lost or comes back."""

    at: float
    number: int
    what: str = field(compare=False)  # end | lost | back
    node: str = field(compare=False)
    mark: str = field(compare=False, default="")


@dataclass
class Attempt:
    """A job on a node, waiting for its CPUs or running."""

    job: Job
    number: int
    lease: Lease
    seconds: float
    runs: bool = False


class Simulated:
    """A pool whose nodes are simulated. Each runs what it holds in order, as far as its CPUs go."""

    def __init__(self, nodes: int, clock: Clock, losses: bool, seed: int) -> None:
        self._clock, self._random = clock, random.Random(seed)
        self._nodes = {
            f"n{i:02d}": Node(f"n{i:02d}", f"n{i:02d}", CPUS, 64 * 10**9, hardware=frozenset({MACHINE.hardware_class}))
            for i in range(nodes)
        }
        self._ledger = Ledger(self._need, clock.monotonic)
        self._ledger.use(self._nodes)
        self._attempts: dict[str, Attempt] = {}
        self._queues: dict[str, deque[str]] = {name: deque() for name in self._nodes}
        self._free = dict.fromkeys(self._nodes, CPUS)
        self._events: list[Event] = []
        self._count = 0
        self.work = self.lost = 0.0  # CPU seconds of jobs, and those of attempts that were lost
        self.leases = 0.0  # seconds on measuring nodes
        for name in self._nodes if losses else ():
            self._later(self._lifetime(), "lost", name)

    @staticmethod
    def _need(job: Job, slot: int, card: int) -> Need:
        del slot, card
        return Need(cpus=1.0, exclusive=job.exclusive, hardware=MACHINE.hardware_class if job.exclusive else None)

    def _lifetime(self) -> float:
        return self._random.expovariate(1 / (3600 * HOURS_BETWEEN_LOSSES))

    def _later(self, seconds: float, what: str, node: str, mark: str = "") -> None:
        self._count += 1
        heapq.heappush(self._events, Event(self._clock.monotonic() + seconds, self._count, what, node, mark))

    def takes(self, job: Job) -> bool:
        return len(self._attempts) < self._ledger.slots and self._ledger.lease(job) is not None

    def submit(self, job: Job, attempt: int) -> None:
        lease = self._ledger.lease(job)
        assert lease is not None
        seconds = self._random.choice(RECORDED[kind_of(job)])
        if self._random.random() < STRAGGLERS:
            seconds *= self._random.uniform(*STRETCH)
        mark = f"{job.key}-{attempt}"
        self._attempts[mark] = Attempt(job, attempt, lease, seconds)
        self._ledger.take(mark, lease)
        self._queues[lease.node_id].append(mark)
        self._begin(lease.node_id)

    def _begin(self, node: str) -> None:
        queue = self._queues[node]
        while queue and self._attempts[queue[0]].lease.cpus <= self._free[node]:
            mark = queue.popleft()
            attempt = self._attempts[mark]
            attempt.runs = True
            self._free[node] -= attempt.lease.cpus
            self._later(attempt.seconds, "end", node, mark)

    def wait(self, seconds: float) -> list[Record]:
        if not self._events:
            self._clock.sleep(seconds)
            return []
        self._clock.until(self._events[0].at)
        records: list[Record] = []
        while self._events and self._events[0].at <= self._clock.monotonic():
            records += self._happen(heapq.heappop(self._events))
        return records

    def _happen(self, event: Event) -> list[Record]:
        if event.what == "back":
            self._use({*self._ledger.rooms, event.node})
            self._later(self._lifetime(), "lost", event.node)
            return []
        if event.what == "lost":
            self._use({*self._ledger.rooms} - {event.node})
            self._later(BACK_AFTER, "back", event.node)
            marks = [mark for mark, attempt in self._attempts.items() if attempt.lease.node_id == event.node]
            self._queues[event.node].clear()
            self._free[event.node] = CPUS
            self._events = [e for e in self._events if e.mark not in marks]
            heapq.heapify(self._events)
            return [self._ended(mark, event.node, lost=True) for mark in marks]
        self._free[event.node] += self._attempts[event.mark].lease.cpus
        record = self._ended(event.mark, event.node, lost=False)
        self._begin(event.node)
        return [record]

    def _use(self, names: set[str]) -> None:
        self._ledger.use({name: node for name, node in self._nodes.items() if name in names})

    def _ended(self, mark: str, node: str, *, lost: bool) -> Record:
        attempt = self._attempts.pop(mark)
        self._ledger.give(mark)
        record = finished(attempt.job, attempt.number).model_copy(update={"node": node})
        spent = attempt.seconds * attempt.lease.cpus * attempt.runs
        if lost:
            self.lost += spent
            failed = Failed(stage=attempt.job.kind, kind="lost node", reason="The node was lost.")
            record = record.model_copy(update={"outcome": failed, "node": node})
        else:
            self.work += attempt.seconds * (1 if not attempt.job.exclusive else CPUS)
            self.leases += attempt.seconds * attempt.job.exclusive
        self._ledger.learn(attempt.job, record, node)
        return record

    def utilisation(self) -> Use:
        return {}

    def running(self) -> list[Running]:
        return []

    def state(self, entries: list[Entry]) -> None:
        pass

    def report(self, progress: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Replay:
    """What a sweep came to."""

    jobs: int
    seconds: float
    driver: float  # seconds of processor time
    work: float
    lost: float
    leases: float


def replay(sweep: Sweep, nodes: int, *, losses: bool, seed: int = 1) -> Replay:
    """Run a sweep to its end on simulated nodes."""
    clock = Clock()
    pool = Simulated(nodes, clock, losses, seed)
    with mock.patch.object(driving, "time", clock):
        planner, known = Planner(sweep, MACHINE), Known()
        jobs = sum(record.finished for record in driving.drive(planner, known, pool, lambda *_: {}))
    assert planner(known, frozenset()).count("done") == jobs
    return Replay(jobs, clock.monotonic(), clock.busy, pool.work, pool.lost, pool.leases)


def bounds(found: Replay, nodes: int) -> dict[str, float]:
    """Seconds below which no placement could end, by what forbids it."""
    return {
        "CPUs": found.work / (nodes * CPUS),
        "the measuring nodes": found.leases / min(nodes, MEASURING),
        "the driver": found.driver,
    }


def table(title: str, sweep: Sweep) -> None:
    """Replay a sweep on ever more nodes, a row each."""
    print(
        f"\n{title}\n\n| nodes | jobs | hours | speed-up | efficiency | longest bound | ended above it | driver busy "
        "| hours where nodes are lost | work lost |\n|---|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    alone = math.nan
    for nodes in NODES:
        found, broken = replay(sweep, nodes, losses=False), replay(sweep, nodes, losses=True)
        alone = found.seconds if nodes == 1 else alone
        name, bound = max(bounds(found, nodes).items(), key=lambda item: item[1])
        print(
            f"| {nodes} | {found.jobs:,} | {found.seconds / 3600:.2f} | {alone / found.seconds:.1f} "
            f"| {100 * alone / found.seconds / nodes:.0f}% | {name}, {bound / 3600:.2f} h "
            f"| {100 * (found.seconds / bound - 1):.0f}% | {100 * found.driver / found.seconds:.1f}% "
            f"| {broken.seconds / 3600:.2f} | {100 * broken.lost / broken.work:.1f}% |",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    variants = int(sys.argv[1]) if len(sys.argv) > 1 else VARIANTS
    print(
        f"{datetime.now(UTC):%Y-%m-%d}; CPU {cpu_name()}; Python {platform.python_version()}; load average before "
        f"{os.getloadavg()[0]:.1f}; nodes of {CPUS:g} CPUs"
    )
    untimed = {"latency": {"length": [16], "leases": 0}, "objectives": ["quality", "size"]}
    with tempfile.TemporaryDirectory() as folder:
        table(f"With two leases, on {MEASURING} measuring nodes:", sweep_of(variants * JOBS_A_VARIANT, Path(folder))[0])
        table("Without:", sweep_of(variants * JOBS_A_VARIANT, Path(folder), **untimed)[0])


if __name__ == "__main__":
    main()
