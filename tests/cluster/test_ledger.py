"""The driver's book: leases come back, failures change what comes next, data draws jobs, measurements get room."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import pytest

from bench.data import DataSpec
from bench.identity import digest
from bench.job import BuildJob, Job, LatencyJob
from bench.record import Delivery, Failed, FailureKind, Finished, Record
from bench.tasks.spec import TaskSpec
from cluster.ledger import KEPT_RESERVED, Ledger
from cluster.placement import FitsNowhere, Lease, Need, Node
from tests.cluster.jobs import Act, LoneAct

GB = 10**9
TASK = TaskSpec(
    name="nli",
    kind="classification",
    settings={},
    data=DataSpec(source="zoo://entailment"),
    data_id="d",
    version=1,
    labels=("a", "b"),
    examples=8,
)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def node(name: str, **changes: object) -> Node:
    return replace(Node(name, f"host-{name}", 2.0, 8 * GB), **changes)  # type: ignore[arg-type]


def needs(job: Job, slot: int, card: int) -> Need:
    del slot, card
    return Need(memory=GB, exclusive=job.exclusive)


def ledger(*nodes: Node, clock: Clock | None = None) -> Ledger:
    found = Ledger(needs, clock or Clock())
    found.use({n.node_id: n for n in nodes})
    return found


def job(name: str = "one", of: type[Act] = Act) -> Act:
    return of(name=name, driver=os.getpid())


def record(of: Job, kind: FailureKind | None = None, node_name: str = "", artefact: str | None = None) -> Record:
    outcome = Finished(artefact_id=artefact) if kind is None else Failed(stage="x", kind=kind, reason="because")
    return Record(
        key=of.key,
        kind=of.kind,
        attempt=1,
        outcome=outcome,
        job={},
        started="",
        seconds=1.0,
        worker="w:1",
        node=node_name,
    )


def submitted(book: Ledger, of: Job, mark: str = "") -> str | None:
    lease = book.lease(of)
    if lease is None:
        return None
    book.take(mark or f"{of.key}{len(book._leases)}", lease)
    return lease.node_id


def test_as_many_again_as_there_are_cpus_wait_and_leases_come_back() -> None:
    book = ledger(node("a"))
    assert book.slots == 4
    assert [submitted(book, job(), str(i)) for i in range(5)] == ["a"] * 4 + [None]
    book.give("2")
    book.give("2")  # nothing is given back twice
    book.give("never taken")
    assert [submitted(book, job(), str(i)) for i in (5, 6)] == ["a", None]


def test_leases_survive_a_new_count_of_nodes_and_move_with_their_job() -> None:
    book = ledger(node("a", measures=True), node("b"))
    assert submitted(book, job(), "x") == "b"  # a measures
    book.take("x", Lease("a", 1.0, GB))  # it turned out to run there
    book.use({"a": node("a"), "c": node("c")})
    assert {i: room.cpus for i, room in book.rooms.items()} == {"a": 3.0, "c": 4.0}
    assert book.use_of({"x"}) == {"host-a": (1.0, 2.0), "host-c": (0.0, 2.0)}
    assert book.use_of(set()) == {"host-a": (0.0, 2.0), "host-c": (0.0, 2.0)}
    book.use({"c": node("c")})
    book.give("x")  # its node has gone
    assert book.rooms["c"].cpus == 4.0


def test_a_failure_sends_the_next_attempt_elsewhere_later_or_into_more_room() -> None:
    clock = Clock()
    book = ledger(node("a"), node("b"), clock=clock)
    one = job()
    assert book.history.pause(one) == 0
    book.learn(one, record(one, "lost worker", "host-b"), "b")
    assert book.history.pause(one) == pytest.approx(0.25)
    clock.now += 0.2
    assert book.history.pause(one) == pytest.approx(0.05)
    clock.now += 10
    assert book.history.pause(one) == 0
    assert submitted(book, one) == "a"
    assert submitted(book, job("two")) == "b"
    book.learn(one, record(one, "out of memory", "host-a"), "a")
    assert book.need(one).memory == 2 * GB
    book.learn(one, record(one), "a")
    assert book.need(one) == Need(memory=GB)
    assert book.history.failures(one.key) == []


def test_poison_is_judged_by_the_deaths_of_this_run() -> None:
    book = ledger(node("a"))
    one = job()
    death = Delivery(record(one, "lost worker", "host-a"))
    assert book.history.judged(death, 2) is death
    book.learn(one, death.record, "a")
    assert book.history.judged(death, None) is death
    assert book.history.judged(death, 3) is death
    outcome = book.history.judged(death, 2).record.outcome
    assert isinstance(outcome, Failed)
    assert outcome.kind == "poison"
    lost = Delivery(record(one, "lost node", "host-a"))
    assert book.history.judged(lost, 1) is lost


def test_jobs_follow_their_artefacts() -> None:
    book = ledger(node("a"), node("b"), node("c"))
    made = digest("artefact")
    book.learn(job(), record(job(), artefact=made), "c")
    reading = BuildJob(recipe_id=digest("recipe"), name="n", parent=made, step="cast")
    assert book.need(reading).prefers == {"c"}
    assert submitted(book, reading, "x") == "c"


def test_the_measuring_node_is_emptied_while_others_work_and_given_back_when_nobody_asks() -> None:
    clock = Clock()
    book = ledger(node("a", measures=True), node("b"), clock=clock)
    marks = [f"{i}" for i in range(8)]
    assert [submitted(book, job(), mark) for mark in marks] == ["b", "b", "a", "a", "b", "b", "a", "a"]
    lone = job("lone", LoneAct)
    assert book.lease(lone) is None
    assert book.emptying
    for mark in marks:
        book.give(mark)
    assert book.lease(lone) == Lease("a", 2.0, GB)
    assert [submitted(book, job(), mark) for mark in marks] == ["b"] * 4 + [None] * 4  # a is kept
    clock.now += KEPT_RESERVED + 1
    assert submitted(book, job(), "later") == "a"


def lease_of(number: int, *variants: str) -> LatencyJob:
    return LatencyJob(
        artefact_ids=("base", *variants),
        names=("base", *variants),
        hardware_class="fast",
        inputs=TASK,
        versions={},
        lease=number,
        shapes=((1, 16),),
        first_rounds=20,
        max_rounds=20,
        half_width=0.02,
        burst_ms=50.0,
        threads=1,
    )


def test_each_lease_of_a_group_has_a_node_of_its_own_while_there_are_some() -> None:
    """In one run and after a restart: who has timed a variant is in the records."""
    nodes = [node(name, hardware=frozenset({"fast"})) for name in "abc"]
    book = ledger(*nodes)
    assert [submitted(book, lease_of(0, "v"), "0"), submitted(book, lease_of(0, "w"), "1")] == ["a", "b"]
    done = record(job(), node_name="host-a").model_copy(
        update={"job": {"type": "LatencyJob", "artefact_ids": ["base", "v"]}}
    )
    book.learn(lease_of(0, "v"), done, "a")
    book.give("0")
    assert submitted(book, lease_of(1, "v"), "2") is None  # b is busy, and a has timed it
    assert submitted(book, lease_of(0, "u"), "3") == "a"
    book.give("1")
    assert submitted(book, lease_of(1, "v"), "4") == "b"
    later = Ledger(needs, Clock(), [done])
    later.use({n.node_id: n for n in nodes})
    assert submitted(later, lease_of(1, "v"), "0") == "b"
    assert submitted(later, lease_of(1, "w"), "1") == "a"
    # A cluster that was started anew gives its nodes other names; machines keep theirs.
    before = done.model_copy(update={"node": "m1/0123abcd"})
    renamed = Ledger(needs, Clock(), [before])
    renamed.use({"a": replace(nodes[0], host="m1/4567cdef"), "b": replace(nodes[1], host="m2/89abcdef")})
    assert submitted(renamed, lease_of(1, "v"), "0") == "b"
    alone = Ledger(needs, Clock(), [done])
    alone.use({"a": nodes[0]})
    assert submitted(alone, lease_of(1, "v"), "0") == "a"


def test_one_of_two_measuring_nodes_is_emptied_while_the_other_works() -> None:
    book = ledger(node("a"), node("b"))
    marks = [f"{i}" for i in range(8)]
    assert {submitted(book, job(), mark) for mark in marks} == {"a", "b"}
    lone = job("lone", LoneAct)
    assert book.lease(lone) is None
    for mark in marks:
        book.give(mark)
    assert {submitted(book, job(), mark) for mark in marks} == {"b", None}


def test_what_fits_nowhere_is_told_what_is_missing() -> None:
    book = Ledger(lambda job, slot, card: Need(least=9 * GB), Clock())
    book.use({"a": node("a")})
    with pytest.raises(FitsNowhere, match=r"'act one': host-a lacks 9\.0 GB of memory"):
        book.lease(job())
