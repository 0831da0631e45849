"""Looking at every node of a Ray cluster at once: one small actor on each, which takes no CPU and ends with the look.

Imports Ray only when it is called; the caller is connected.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.store.places import Place
from cluster.examine import Facts, Sign, answer, examine, free_bytes, place_of

PATIENCE = 90.0  # seconds for a node to start a process that has our code, and look
PINGS = 5
SENT_BYTES = 1 << 20  # too large to travel with the answer: one node must fetch it from the other


@dataclass(frozen=True, slots=True)
class Visit:
    """A node, seen from outside and from inside. None where it did not get that far."""

    name: str
    address: str
    resources: Mapping[str, float]
    facts: Facts | None
    silence: str | None = None  # why there are no facts
    skew: float | None = None  # seconds that its clock is ahead of this process's, at least; 0 within the round trip
    skew_bound: float | None = None  # half the shortest round trip
    folder: str | None = None  # what is wrong with the results folder there
    folder_free: int | None = None  # bytes; None of a bucket
    fetch: str | None = None  # why it cannot fetch from the node before it


class Examiner:
    """Runs on a node."""

    def facts(self) -> Facts:
        return examine()

    def now(self) -> float:
        return time.time()

    def answer(self, store: str, sign: str, name: str) -> tuple[str | None, int | None]:
        place = place_of(store)
        if place.location != store:  # that folder is not there: a sign in one above it would prove nothing
            return f"there is no {store}", None
        return answer(place, sign, name), free_bytes(place)

    def give(self) -> npt.NDArray[np.uint8]:
        return np.zeros(SENT_BYTES, dtype=np.uint8)

    def take(self, sent: npt.NDArray[np.uint8]) -> int:
        return int(sent.nbytes)


def visit_nodes(place: Place | None) -> list[Visit]:
    """Visit every living node; with a place, see whether all mean the same one by it.

    Raises one of REFUSED where this process itself cannot write there.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes: list[dict[str, Any]] = [n for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
    nodes.sort(key=lambda n: (n["NodeManagerHostname"], n["NodeID"]))
    names = _names(nodes)
    remote: Any = ray.remote(Examiner)
    actors = [
        remote.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in nodes
    ]
    try:
        found = _ask([actor.facts.remote() for actor in actors], PATIENCE)
        alive = [i for i, facts in enumerate(found) if isinstance(facts, Facts)]
        skews = {i: _skew(actors[i]) for i in alive}
        fetched = _ring([actors[i] for i in alive])
        shared = _shared(place, {names[i]: actors[i] for i in alive})
    finally:
        for actor in actors:
            with suppress(Exception):
                ray.kill(actor)
    visits = []
    for i, (node, facts) in enumerate(zip(nodes, found, strict=True)):
        known: dict[str, Any] = {"name": names[i], "address": node["NodeManagerAddress"]}
        known["resources"] = node["Resources"]
        if isinstance(facts, Facts):
            wrong, free = shared.get(names[i], (None, None))
            known |= {"facts": facts, "skew": skews[i][0], "skew_bound": skews[i][1], "folder": wrong}
            known |= {"folder_free": free, "fetch": fetched[alive.index(i)]}
        else:
            known |= {"facts": None, "silence": facts}
        visits.append(Visit(**known))
    return visits


def _names(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The hosts' names, with a part of the id where two nodes share one."""
    hosts = [str(node["NodeManagerHostname"]) for node in nodes]
    return [
        f"{host}/{str(node['NodeID'])[:8]}" if hosts.count(host) > 1 else host
        for host, node in zip(hosts, nodes, strict=True)
    ]


def _ask(answers: Sequence[Any], seconds: float) -> list[Any]:
    """Each answer, or a sentence about why there is none; all are given `seconds` together."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    deadline = time.monotonic() + seconds
    found: list[Any] = []
    for asked in answers:
        try:
            found.append(ray.get(asked, timeout=max(0.1, deadline - time.monotonic())))
        except GetTimeoutError:
            found.append(f"it does not answer within {seconds:.0f} s")
        except RayError as error:
            found.append(f"{type(error).__name__}: {' '.join(str(error).split())[-200:]}")
    return found


def _skew(actor: Any) -> tuple[float | None, float | None]:
    """How far a node's clock is from this process's beyond doubt, and the doubt: half the shortest round trip."""
    best: tuple[float, float] | None = None
    for _ in range(PINGS):
        began = time.time()
        (there,) = _ask([actor.now.remote()], 10)
        ended = time.time()
        if isinstance(there, float) and (best is None or ended - began < 2 * best[1]):
            best = there - (began + ended) / 2, (ended - began) / 2
    if best is None:
        return None, None
    offset, doubt = best
    return (0.0 if abs(offset) <= doubt else offset - doubt if offset > 0 else offset + doubt), doubt


def _ring(actors: Sequence[Any]) -> list[str | None]:
    """Have each node fetch something from the one before it. Gives what went wrong for each."""
    if len(actors) < 2:
        return [None] * len(actors)
    given = [actor.give.remote() for actor in actors]
    taken = [actor.take.remote(given[i - 1]) for i, actor in enumerate(actors)]
    return [None if got == SENT_BYTES else str(got) for got in _ask(taken, 30)]


def _shared(place: Place | None, actors: Mapping[str, Any]) -> dict[str, tuple[str | None, int | None]]:
    """For each node what is wrong with the place there, and the room on its disk."""
    if place is None:
        return {}
    sign = Sign(place)
    names = {f"{number}": name for number, name in enumerate(actors)}
    try:
        asked = [actors[name].answer.remote(place.location, sign.name, number) for number, name in names.items()]
        said = dict(zip(names, _ask(asked, 30), strict=True))
        seen = sign.answered({n for n, what in said.items() if isinstance(what, tuple) and what[0] is None})
        found: dict[str, tuple[str | None, int | None]] = {}
        for number, what in said.items():
            wrong, free = what if isinstance(what, tuple) else (str(what), None)
            if wrong is None and number not in seen:
                wrong = "what it writes is not seen here"
            found[names[number]] = wrong, free
        return found
    finally:
        sign.remove(names)
