"""Placement: nothing is promised twice, everything that fits goes somewhere, what does not is told what is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.placement import (
    MOST_ON_A_CARD,
    FitsNowhere,
    Lease,
    Need,
    Node,
    Room,
    claim_on,
    fair_bound,
    larger,
    measuring_nodes,
    missing_on,
    place,
)

GB = 10**9
CLASSES = ("fast", "slow")


def node(name: str = "n1", **changes: object) -> Node:
    found = Node(node_id=name, host=f"host-{name}", cpus=4, memory=16 * GB, hardware=frozenset({"fast"}))
    return replace(found, **changes)  # type: ignore[arg-type]


def rooms(*nodes: Node, ahead: float = 1.0) -> dict[str, Room]:
    return {n.node_id: Room(n, ahead) for n in nodes}


def put(need: Need, into: dict[str, Room], reserved: frozenset[str] = frozenset()) -> Lease | None:
    """Place a job and take what it got."""
    measuring = measuring_nodes(room.node for room in into.values())
    lease = place(need, into, measuring=measuring, reserved=reserved)
    if lease is not None:
        into[lease.node_id].take(lease)
    return lease


def names(leases: list[Lease | None]) -> list[str | None]:
    return [None if lease is None else lease.node_id for lease in leases]


NODES = st.lists(
    st.builds(
        Node,
        node_id=st.uuids().map(str),
        host=st.just("host"),
        cpus=st.integers(0, 16).map(float),
        memory=st.integers(0, 64 * GB),
        gpus=st.integers(0, 4),
        gpu_memory=st.sampled_from([0, 8 * GB, 80 * GB]),
        hardware=st.sampled_from(CLASSES).map(lambda c: frozenset({c})),
        measures=st.booleans(),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda n: n.node_id,
)
NEEDS = st.builds(
    Need,
    cpus=st.sampled_from([0.5, 1.0, 2.0, 8.0]),
    memory=st.integers(0, 80 * GB),
    least=st.sampled_from([0, GB, 40 * GB]),
    gpu=st.booleans(),
    gpu_memory=st.integers(0, 200 * GB),
    gpu_least=st.sampled_from([0, GB, 100 * GB]),
    shares_gpu=st.booleans(),
    exclusive=st.booleans(),
    hardware=st.sampled_from([None, *CLASSES]),
)


@settings(max_examples=100, deadline=None)
@given(NODES, st.lists(NEEDS, max_size=25), st.data())
def test_nodes_are_never_over_committed_and_leases_can_be_given_back(
    nodes: list[Node], needs: list[Need], data: Any
) -> None:
    into = rooms(*nodes)
    held: list[tuple[Lease, Need]] = []
    for need in needs:
        try:
            lease = put(need, into)
        except FitsNowhere:
            assert all(missing_on(need, n) for n in nodes)
            continue
        if lease is not None:
            held.append((lease, need))
            assert need.hardware is None or need.hardware in into[lease.node_id].node.hardware
            assert bool(lease.cards) == need.gpu
        for room in into.values():
            mine = [lease for lease, _ in held if lease.node_id == room.node.node_id]
            assert sum(lease.cpus for lease in mine) <= room.node.cpus + 1e-6
            assert sum(lease.memory for lease in mine) <= room.node.memory
            for card in range(room.node.gpus):
                assert sum(lease.share for lease in mine if card in lease.cards) <= 1 + 1e-6
        if held and data.draw(st.booleans()):  # one of them ends: rooms are counted anew
            held.pop(data.draw(st.integers(0, len(held) - 1)))
            into = rooms(*nodes)
            for lease, _ in held:
                into[lease.node_id].take(lease)


@settings(max_examples=100, deadline=None)
@given(NODES, NEEDS, st.frozensets(st.sampled_from(["x", "y"])))
def test_every_job_that_fits_an_empty_cluster_is_placed_and_any_other_is_told_why(
    nodes: list[Node], need: Need, elsewhere: frozenset[str]
) -> None:
    avoiding = replace(need, avoids=elsewhere | {n.node_id for n in nodes})  # having failed everywhere is no refusal
    for asked in (need, avoiding):
        if all(missing_on(asked, n) for n in nodes):
            with pytest.raises(FitsNowhere, match="lacks"):
                put(asked, rooms(*nodes))
        else:
            assert put(asked, rooms(*nodes)) is not None


@settings(max_examples=60, deadline=None)
@given(NODES, NEEDS)
def test_an_exclusive_job_has_a_whole_node_or_a_whole_device(nodes: list[Node], need: Need) -> None:
    into = rooms(*nodes)
    try:
        lease = put(replace(need, exclusive=True), into)
    except FitsNowhere:
        return
    assert lease is not None
    if need.gpu:
        assert lease.share == 1.0
    else:
        assert into[lease.node_id].cpus == 0


def test_two_nodes_of_a_class_measure_while_the_others_work() -> None:
    into = rooms(node("a"), node("b"), node("d"), node("c", hardware=frozenset({"slow"})))
    shared = [put(Need(), into) for _ in range(4)]
    assert set(names(shared)) == {"d"}  # a, b and c measure
    exclusive = Need(exclusive=True, hardware="fast")
    assert names([put(exclusive, into) for _ in range(3)]) == ["a", "b", None]
    assert set(names([put(Need(), into) for _ in range(4)])) == {"c"}  # busy rather than idle
    assert put(Need(), into) is None


def test_a_second_lease_is_taken_on_another_node_if_there_is_one() -> None:
    again = Need(exclusive=True, hardware="fast", timed=frozenset({"a"}))
    assert names([put(again, rooms(node("a"), node("b"), node("c")))]) == ["b"]
    busy = rooms(node("a"), node("b"), node("c"))
    busy["b"].take(Lease("b", 4.0))
    assert put(again, busy) is None  # it waits for it
    assert names([put(again, rooms(node("a")))]) == ["a"]
    assert names([put(again, rooms(node("a", measures=True), node("b")))]) == ["a"]  # the only one that is to measure
    assert names([put(replace(again, avoids=frozenset({"b"})), rooms(node("a"), node("b")))]) == ["a"]
    both = replace(again, timed=frozenset({"a", "b"}))  # a third
    assert names([put(both, rooms(node("a"), node("b")))]) == ["a"]
    cards = rooms(node("a", gpus=2, gpu_memory=80 * GB), node("b", gpus=2, gpu_memory=80 * GB))
    assert names([put(replace(again, gpu=True), cards) for _ in range(3)]) == ["b", "b", None]


def test_a_node_that_is_emptied_for_a_measurement_takes_nothing_else() -> None:
    into = rooms(node("a"))
    first = put(Need(), into)
    assert first is not None
    measuring = frozenset({"a"})
    assert put(Need(exclusive=True), into) is None
    assert put(Need(), into, reserved=measuring) is None
    into = rooms(node("a"))
    assert put(Need(exclusive=True), into, reserved=measuring) == Lease("a", 4.0)


def test_declared_measuring_nodes_come_first_and_a_choice_once_made_stays() -> None:
    nodes = [node("b"), node("c")]
    assert measuring_nodes(nodes) == {"b", "c"}
    assert measuring_nodes([node("a"), *nodes], before={"b", "c"}) == {"b", "c"}
    assert measuring_nodes([node("a"), *nodes], before={"c"}) == {"a", "c"}
    assert measuring_nodes([node("a"), node("b"), node("c", measures=True)], before={"b"}) == {"c"}
    every = [node(name, measures=True) for name in "abc"]
    assert measuring_nodes(every, before={"b"}) == {"a", "b", "c"}


def test_jobs_go_where_their_data_is_and_where_they_have_not_failed() -> None:
    nodes = (node("a", measures=True), node("b"), node("c"), node("d"))
    assert put(Need(prefers=frozenset({"d"})), rooms(*nodes)) == Lease("d", 1.0)
    assert put(Need(prefers=frozenset({"d"}), avoids=frozenset({"d"})), rooms(*nodes)) == Lease("b", 1.0)
    full = rooms(*nodes)
    full["d"].take(Lease("d", 4.0))
    assert put(Need(prefers=frozenset({"d"})), full) == Lease("b", 1.0)


def test_small_evaluations_share_a_card_and_large_models_have_several() -> None:
    machine = node("g", gpus=2, gpu_memory=80 * GB)
    small = Need(gpu=True, gpu_memory=10 * GB, shares_gpu=True)
    into = rooms(replace(machine, cpus=64))
    leases = [put(small, into) for _ in range(14)]
    assert [lease.cards for lease in leases if lease] == [(0,)] * 7 + [(1,)] * 7
    assert all(lease and lease.share == pytest.approx(1 / 7, abs=1e-3) for lease in leases)
    assert put(small, into) is None
    tiny = claim_on(replace(small, gpu_memory=1), machine)
    assert round(1 / tiny.share) == MOST_ON_A_CARD
    large = put(Need(gpu=True, gpu_memory=100 * GB, gpu_least=90 * GB), rooms(machine))
    assert large == Lease("g", 1.0, 0, (0, 1), 1.0)
    assert large.gpus == 2
    with pytest.raises(FitsNowhere, match=r"host-g lacks 200\.0 GB of memory on GPUs \(one has 80\.0 GB\)"):
        put(Need(gpu=True, gpu_memory=250 * GB, gpu_least=200 * GB), rooms(machine))


def test_a_node_with_less_than_predicted_gives_all_that_it_has() -> None:
    """A prediction may be too large, and a wrong refusal costs a row."""
    assert put(Need(memory=40 * GB, least=10 * GB), rooms(node())) == Lease("n1", 4.0 / 4, 16 * GB)
    machine = node("g", gpus=1, gpu_memory=80 * GB)
    assert put(Need(gpu=True, gpu_memory=100 * GB, gpu_least=50 * GB), rooms(machine)) == Lease("g", 1.0, 0, (0,), 1.0)


def test_idle_nodes_come_before_a_queue_where_the_data_is() -> None:
    into = rooms(node("a", measures=True), node("b", cpus=1), node("c"), ahead=2.0)
    preferring = Need(prefers=frozenset({"b"}))
    assert names([put(preferring, into) for _ in range(6)]) == ["b", "c", "c", "c", "c", "a"]


def test_a_measurement_on_a_gpu_takes_one_device_with_its_cores() -> None:
    into = rooms(node("g", cpus=16, gpus=4, gpu_memory=80 * GB))
    exclusive = Need(gpu=True, exclusive=True, gpu_memory=10 * GB)
    assert put(exclusive, into) == Lease("g", 4.0, 0, (0,), 1.0)
    assert put(Need(gpu=True), into) == Lease("g", 1.0, 0, (1,), 1.0)


def test_what_is_missing_is_said_of_each_node() -> None:
    with pytest.raises(FitsNowhere) as refused:
        place(Need(least=40 * GB, hardware="fast"), rooms(node(), node("s", hardware=frozenset({"slow"}))),
              measuring=frozenset(), title="build b")  # fmt: skip
    assert str(refused.value) == (
        "No node of the cluster can run 'build b': host-n1 lacks 40.0 GB of memory; host-s lacks a node of the class "
        "'fast'. Add a node that has it, or change what is asked for."
    )
    with pytest.raises(FitsNowhere, match="there is none"):
        put(Need(), {})


def test_jobs_may_wait_for_a_node_ahead_of_their_turn() -> None:
    into = rooms(node("a", cpus=2), ahead=2.0)
    assert [lease is not None for lease in (put(Need(), into) for _ in range(5))] == [True] * 4 + [False]


def test_a_second_attempt_after_running_out_of_memory_has_more_and_still_fits() -> None:
    nodes = [node(), node("m", memory=20 * GB)]
    assert larger(Need(memory=4 * GB), nodes).memory == 8 * GB
    assert larger(Need(memory=15 * GB), nodes).memory == 20 * GB
    assert larger(Need(), nodes).memory == 20 * GB
    assert larger(Need(gpu=True, gpu_memory=GB, shares_gpu=True), nodes).shares_gpu is False


def test_drivers_share_alike() -> None:
    assert [fair_bound(8, n) for n in (0, 1, 2, 3, 100)] == [8, 8, 4, 3, 1]
