"""What a driver keeps account of while jobs run: leases, failures of this run, where data lies. Says where a job goes.

No Ray in it, and no clock but the one that it is given: tests and simulations keep the same book.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.job import Job, LatencyJob
from bench.record import Delivery, Failed, Finished, Record
from cluster.needs import artefacts_of
from cluster.placement import Lease, Need, Node, Room, choice, larger, measuring_nodes, place
from cluster.retry import Next, is_poison, next_attempt, poison_reason

AHEAD = 2.0  # times a node's CPUs: what waits there begins the moment that something ends
KEPT_RESERVED = 2.0  # seconds that a node is kept free after it was last asked for
MOST_KNOWN = 10_000  # artefacts of which it is known where they are

NeedOf = Callable[[Job, int, int], Need]  # of a job, bytes of a CPU's share of memory and of a card's


@dataclass(frozen=True, slots=True)
class Held:
    """A job that waits for its time, or for a node that can take it."""

    job: Job
    attempt: int
    until: float  # on the clock


class History:
    """The attempts of this run that failed, and when the next ones may begin, on the clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, list[Record]] = {}
        self._failed_at: dict[str, float] = {}

    def failures(self, key: str) -> list[Record]:
        """Of one job, oldest first."""
        return self._failures.get(key, [])

    def next(self, job: Job) -> Next:
        """How the next attempt at a job is to be made."""
        return next_attempt(self.failures(job.key))

    def pause(self, job: Job) -> float:
        """Seconds until the next attempt at a job may begin; 0 where it may."""
        if job.key not in self._failures:
            return 0.0
        return max(0.0, self._failed_at[job.key] + self.next(job).pause - self._clock())

    def learn(self, record: Record) -> None:
        """Take in how an attempt went."""
        if record.finished:
            self._failures.pop(record.key, None)
        else:
            self._failures.setdefault(record.key, []).append(record)
            self._failed_at[record.key] = self._clock()

    def judged(self, delivery: Delivery, deaths: int | None) -> Delivery:
        """The delivery of an attempt, or that of poison where with it the job has taken down so many workers."""
        record = delivery.record
        outcome = record.outcome
        failures = [*self.failures(record.key), record]
        if not isinstance(outcome, Failed) or outcome.kind != "lost worker" or not is_poison(failures, deaths):
            return delivery
        reason = poison_reason(failures, outcome.reason)
        poisoned = outcome.model_copy(update={"kind": "poison", "reason": reason})
        return Delivery(record.model_copy(update={"outcome": poisoned}))


class Ledger:
    """The book of one driver.

    Args:
        needs: what a job needs (`cluster.needs.Needs`).
        clock: monotonic seconds.
        known: what has finished before.
    """

    def __init__(
        self, needs: NeedOf, clock: Callable[[], float] = time.monotonic, known: Iterable[Record] = ()
    ) -> None:
        self._needs, self._clock = needs, clock
        self.history = History(clock)
        self.rooms: dict[str, Room] = {}
        self.measuring: frozenset[str] = frozenset()
        self._leases: dict[str, Lease] = {}  # by mark of the attempt
        self._reserved: dict[str, float] = {}  # node -> until when nothing else begins there
        self._places: dict[str, set[str]] = {}  # artefact -> nodes that have read or made it
        self._timed: dict[str, set[str]] = {}  # artefact -> names of nodes that have timed it
        self._slot = self._card = 0
        for record in known:
            self._remember(record)

    @property
    def slots(self) -> int:
        """Jobs that may be in flight: as many again as there are CPUs wait."""
        return int(AHEAD * max(1.0, sum(room.node.cpus for room in self.rooms.values())))

    @property
    def emptying(self) -> bool:
        """Whether a node is kept for a measurement."""
        now = self._clock()
        self._reserved = {node: until for node, until in self._reserved.items() if until > now}
        return bool(self._reserved)

    def use(self, nodes: Mapping[str, Node]) -> None:
        """Count on these nodes from now on, less what is leased of them."""
        self.measuring = measuring_nodes(nodes.values(), self.measuring)
        self.rooms = {node_id: Room(node, AHEAD) for node_id, node in nodes.items()}
        self._slot = min((int(n.memory / n.cpus) for n in nodes.values() if n.cpus), default=0)
        self._card = min((int(n.gpu_memory / max(1.0, n.cpus / n.gpus)) for n in nodes.values() if n.gpus), default=0)
        for lease in self._leases.values():
            if lease.node_id in self.rooms:
                self.rooms[lease.node_id].take(lease)

    def need(self, job: Job) -> Need:
        """What the next attempt at a job needs, after those that failed."""
        need = self._needs(job, self._slot, self._card)
        wanted = self.history.next(job)
        avoids = frozenset(i for i, room in self.rooms.items() if room.node.host in wanted.avoids)
        prefers = frozenset(i for name in artefacts_of(job) for i in self._places.get(name, ()))
        need = replace(need, avoids=avoids, prefers=prefers, timed=self._where_timed(job))
        return larger(need, (room.node for room in self.rooms.values())) if wanted.larger else need

    def lease(self, job: Job) -> Lease | None:
        """What the job would get now; None where it must wait. A node that it needs to itself is emptied for it.

        Raises FitsNowhere where no node could run it.
        """
        need = self.need(job)
        reserved = frozenset(self._reserved) if self.emptying else frozenset()
        found = place(need, self.rooms, measuring=self.measuring, reserved=reserved, title=job.title)
        if found is None and need.exclusive and not need.gpu:
            # The one that is emptied already has most room, unless a measurement has it.
            next_one = max(choice(need, self.rooms, self.measuring), key=lambda room: room.free_cpus)
            self._reserved[next_one.node.node_id] = self._clock() + KEPT_RESERVED
        return found

    def take(self, mark: str, lease: Lease) -> None:
        """An attempt has begun, or has turned out to be on another node than was meant."""
        self.give(mark)
        self._leases[mark] = lease
        if lease.node_id in self.rooms:
            self.rooms[lease.node_id].take(lease)

    def give(self, mark: str) -> None:
        """An attempt has ended; nothing where it held no lease."""
        lease = self._leases.pop(mark, None)
        if lease is not None and lease.node_id in self.rooms:
            self.rooms[lease.node_id].give(lease)

    def learn(self, job: Job, record: Record, node_id: str) -> None:
        """Take in an attempt's record: when to try again, or where its artefacts are now."""
        self.history.learn(record)
        if not record.finished:
            return
        self._remember(record)
        made = record.outcome.artefact_id if isinstance(record.outcome, Finished) else None
        for name in (*artefacts_of(job), *([made] if made else [])):
            self._places.setdefault(name, set()).add(node_id)
        while len(self._places) > MOST_KNOWN:
            self._places.pop(next(iter(self._places)))

    def _remember(self, record: Record) -> None:
        if record.finished and record.job.get("type") == "LatencyJob":
            for name in _timed_in(record.job["artefact_ids"]):
                self._timed.setdefault(name, set()).add(record.node)

    def _where_timed(self, job: Job) -> frozenset[str]:
        variants = _timed_in(job.artefact_ids) if isinstance(job, LatencyJob) else ()
        names = {node for name in variants for node in self._timed.get(name, ())}
        gone = names - {room.node.host for room in self.rooms.values()}
        hosts = {host for name in gone if (host := name.rpartition("/")[0])}  # a node that comes back has another name
        return frozenset(
            i
            for i, room in self.rooms.items()
            if names and (room.node.host in names or room.node.host.rpartition("/")[0] in hosts)
        )

    def use_of(self, marks: set[str]) -> dict[str, tuple[float, float]]:
        """CPUs in use by these attempts, and all CPUs, of each node by its name."""
        busy = dict.fromkeys(self.rooms, 0.0)
        for mark in marks & self._leases.keys():
            lease = self._leases[mark]
            if lease.node_id in busy:
                busy[lease.node_id] += lease.cpus
        return {room.node.host: (busy[node_id], room.node.cpus) for node_id, room in self.rooms.items()}


def _timed_in(artefact_ids: Sequence[str]) -> Sequence[str]:
    """The artefacts that a lease is about: the base is in all of them."""
    return artefact_ids[1:] or artefact_ids
