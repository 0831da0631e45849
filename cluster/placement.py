"""Where a job runs: from what it needs, what the nodes have and what is leased of them. Pure.

Nodes are filled one lease after another, never beyond what they have. What is measured alone on a CPU takes every CPU
of one of its class's measuring nodes; on a machine with GPUs it takes one device with its share of the CPUs. What has
been timed is timed again on another node, if there is one. Everything else goes where there is most room, away from the
measuring nodes while there is a choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.errors import BadInput

CARD_SHARE = 0.9  # of a card's memory that models may fill: the driver and the kernels' scratch space need some
MOST_ON_A_CARD = 8
MEASURING = 2  # nodes of a class that measure, where none is declared: another one for the second lease
EXACT = 1e-9  # shares of cards are added up as floats


class FitsNowhere(BadInput):
    """A job that no node of the cluster could run even if nothing else ran, in one sentence with what is missing."""


@dataclass(frozen=True, slots=True)
class Node:
    """What one machine of the cluster offers to jobs."""

    node_id: str
    host: str
    cpus: float
    memory: int  # bytes
    gpus: int = 0
    gpu_memory: int = 0  # bytes of one card; 0 where nobody could say
    hardware: frozenset[str] = frozenset()  # hardware classes of its CPU and of its cards, by what each job declares
    measures: bool = False  # declared to be a measuring node of its class


@dataclass(frozen=True, slots=True)
class Need:
    """What one job takes. Bytes are predicted, 0 where they could not be; without those of `least` it cannot run.

    Between the two a prediction may be wrong: a node with less than predicted gives all that it has.
    """

    cpus: float = 1.0  # a node with fewer gives all that it has
    memory: int = 0
    least: int = 0
    gpu: bool = False
    gpu_memory: int = 0  # of all its cards together
    gpu_least: int = 0
    shares_gpu: bool = False  # several such jobs may have one card
    exclusive: bool = False
    hardware: str | None = None  # the class that it must run on
    prefers: frozenset[str] = frozenset()  # nodes that have what it reads
    avoids: frozenset[str] = frozenset()  # nodes on which it has failed
    timed: frozenset[str] = frozenset()  # nodes on which a lease of what it times was taken before


@dataclass(frozen=True, slots=True)
class Lease:
    """What a job has of a node. `cards` are numbers of cards, of each of which it has `share`."""

    node_id: str
    cpus: float
    memory: int = 0
    cards: tuple[int, ...] = ()
    share: float = 0.0

    @property
    def gpus(self) -> float:
        """Cards, as Ray counts them: a fraction, or a whole number."""
        return len(self.cards) * self.share


@dataclass
class Room:
    """What is left of a node. `ahead` is how many times its CPUs jobs may wait for."""

    node: Node
    ahead: float = 1.0
    cpus: float = field(init=False)
    memory: int = field(init=False)
    cards: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.cpus = self.node.cpus * self.ahead
        self.memory = int(self.node.memory * self.ahead)
        self.cards = [1.0] * self.node.gpus

    def take(self, lease: Lease) -> None:
        self.cpus -= lease.cpus
        self.memory -= lease.memory
        for card in lease.cards:
            self.cards[card] -= lease.share

    def give(self, lease: Lease) -> None:
        """Have back what a job has left."""
        self.cpus += lease.cpus
        self.memory += lease.memory
        for card in lease.cards:
            self.cards[card] += lease.share

    @property
    def free_cpus(self) -> float:
        """CPUs that nobody uses or waits for; below 0 where jobs wait."""
        return self.cpus - self.node.cpus * (self.ahead - 1)

    def lease(self, need: Need) -> Lease | None:
        """What the job would get here now; None where there is no room. The job must fit the node."""
        claim = claim_on(need, self.node)
        if need.exclusive and not need.gpu and self.free_cpus < self.node.cpus - EXACT:
            return None  # what is to be alone does not queue behind others
        free = [i for i, left in enumerate(self.cards) if left + EXACT >= claim.share]
        # The fullest card first, so that whole ones stay whole.
        chosen = sorted(free, key=lambda i: (self.cards[i], i))[: len(claim.cards)]
        lacks = claim.cpus > self.cpus + EXACT or claim.memory > self.memory or len(chosen) < len(claim.cards)
        return None if lacks else replace(claim, cards=tuple(chosen))


def claim_on(need: Need, node: Node) -> Lease:
    """What the job takes of a node of this kind, whatever runs there: CPUs, bytes, cards and the share of each."""
    memory = max(need.least, min(need.memory, node.memory))
    if not need.gpu:
        return Lease(node.node_id, node.cpus if need.exclusive else min(need.cpus, node.cpus), memory)
    usable = CARD_SHARE * node.gpu_memory
    cards, share = 1, 1.0
    if usable and need.gpu_memory:
        wanted = min(max(1, node.gpus), math.ceil(need.gpu_memory / usable))
        cards = max(1, wanted, math.ceil(need.gpu_least / usable))
        if need.shares_gpu and need.gpu_memory <= usable and not need.exclusive:
            share = math.floor(1e4 / min(MOST_ON_A_CARD, int(usable // need.gpu_memory))) / 1e4  # Ray counts these
    cpus = min(need.cpus, node.cpus)
    if need.exclusive:  # the cores beside its cards
        cpus = max(cpus, math.floor(node.cpus * cards / max(1, node.gpus)))
    return Lease(node.node_id, cpus, memory, tuple(range(cards)), share)


def missing_on(need: Need, node: Node) -> str | None:
    """What a node lacks for a job even when nothing else runs there; None where nothing."""
    if need.hardware is not None and need.hardware not in node.hardware:
        return f"a node of the class {need.hardware!r}"
    if need.gpu and not node.gpus:
        return "a GPU"
    claim = claim_on(need, node)
    if len(claim.cards) > node.gpus:
        return f"{need.gpu_least / 1e9:.1f} GB of memory on GPUs (one has {node.gpu_memory / 1e9:.1f} GB)"
    if claim.cpus > node.cpus:
        return f"{claim.cpus:g} CPUs"
    if claim.memory > node.memory:
        return f"{claim.memory / 1e9:.1f} GB of memory"
    return None


def check_place(need: Need, nodes: Sequence[Node], title: str) -> None:
    """Raise FitsNowhere where no node could run the job. A cluster without nodes can run nothing."""
    lacks = [missing_on(need, node) for node in nodes]
    if None in lacks:
        return
    each = "; ".join(f"{node.host} lacks {lack}" for node, lack in list(zip(nodes, lacks, strict=True))[:4])
    more = f"; and {len(nodes) - 4} more" if len(nodes) > 4 else ""
    raise FitsNowhere(
        f"No node of the cluster can run {title!r}: {each or 'there is none'}{more}. Add a node that has it, or change "
        "what is asked for."
    )


def measuring_nodes(nodes: Iterable[Node], before: Iterable[str] = ()) -> frozenset[str]:
    """The nodes of each hardware class that measure alone: those declared, else `MEASURING`, as before or the first.

    Nodes are of one class if they share every class. One that has GPUs measures a device, not the node, and its other
    devices go on: it is named as well, for what is measured on its CPU.
    """
    kept = frozenset(before)
    classes: dict[frozenset[str], list[Node]] = {}
    for node in nodes:
        classes.setdefault(node.hardware, []).append(node)
    found: list[Node] = []
    for members in classes.values():
        declared = [node for node in members if node.measures]
        found += declared or sorted(members, key=lambda n: (n.node_id not in kept, n.node_id))[:MEASURING]
    return frozenset(node.node_id for node in found)


def place(
    need: Need,
    rooms: Mapping[str, Room],
    *,
    measuring: frozenset[str],
    reserved: frozenset[str] = frozenset(),
    title: str = "a job",
) -> Lease | None:
    """The lease that a job gets now; None where it must wait for room.

    Args:
        need: of the job.
        rooms: what is left of each node that takes jobs, by node_id.
        measuring: nodes on which CPUs measure alone.
        reserved: measuring nodes that are being emptied for a measurement; nothing else may begin there.
        title: of the job, for the sentence.

    Raises:
        FitsNowhere: no node could run it even if it were empty.
    """
    check_place(need, [room.node for room in rooms.values()], title)
    fitting = choice(need, rooms, measuring)
    if not need.exclusive or need.gpu:
        fitting = [r for r in fitting if r.node.node_id not in reserved]
    found = [(room, lease) for room in fitting if (lease := room.lease(need)) is not None]
    if not found:
        return None
    return min(found, key=lambda pair: _rank(need, pair[0], pair[1], measuring))[1]


def choice(need: Need, rooms: Mapping[str, Room], measuring: frozenset[str]) -> list[Room]:
    """The nodes on one of which a job is to run, whether or not there is room by now."""
    fitting = [room for room in rooms.values() if missing_on(need, room.node) is None]
    if need.exclusive and not need.gpu:
        # Where the class's measuring nodes cannot run it, another may.
        fitting = [r for r in fitting if r.node.node_id in measuring] or fitting
    fitting = [r for r in fitting if r.node.node_id not in need.avoids] or fitting
    return [r for r in fitting if r.node.node_id not in need.timed] or fitting


def _rank(need: Need, room: Room, lease: Lease, measuring: frozenset[str]) -> tuple[bool, bool, bool, float, str]:
    """Smallest first: where it need not wait, off the measuring node, where the data is, where most is free."""
    node = room.node
    waits = room.free_cpus + EXACT < lease.cpus
    busy = 1 - room.cpus / (node.cpus * room.ahead) if node.cpus else 0.0
    apart = node.node_id in measuring and not need.exclusive
    return waits, apart, node.node_id not in need.prefers, busy, lease.node_id


def larger(need: Need, nodes: Iterable[Node]) -> Need:
    """What a job needs that has run out of memory once: twice the bytes, or a node's all where they were not known.

    Never more than the largest node has: the second attempt is to be made, not refused.
    """
    most = max((node.memory for node in nodes), default=0)
    asked = 2 * need.memory if need.memory else most
    return replace(need, memory=max(need.memory, min(asked, most)), gpu_memory=2 * need.gpu_memory, shares_gpu=False)


def fair_bound(slots: int, drivers: int) -> int:
    """How many jobs one of several drivers may have in flight where all together may have so many."""
    return max(1, math.ceil(slots / max(1, drivers)))
