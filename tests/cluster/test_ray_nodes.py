"""Nodes that join, are drained, die or cannot be used, and two sweeps on one cluster: processes of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import ray

from bench.errors import BadInput
from bench.execute import Site
from bench.job import Job
from bench.record import Failed, Record
from cluster import ray_nodes, ray_writer, runner_ray
from cluster.attempts import Begun
from cluster.drive import drive
from cluster.placement import Lease
from cluster.ray_nodes import Nodes, of_site
from cluster.ray_work import WORK, Orders
from cluster.runner_ray import RayPool
from tests.cluster.conftest import Cluster, free_ports
from tests.cluster.jobs import Act, GpuAct, LoneAct, note, sleeps, sleeps_until
from tests.cluster.listed import Listed
from tests.cluster.places import Place, ray_place
from tests.cluster.processes import end_family, end_with_parent, until

pytestmark = pytest.mark.cluster
DRIVER = os.getpid()


@contextmanager
def joined(cluster: Cluster, environment: dict[str, str], cpus: int = 1) -> Iterator[int]:
    """Another node of the cluster, as a process; gives its pid once Ray counts on it."""
    folder = Path(tempfile.mkdtemp(prefix="pd-"))
    (agent,) = free_ports(1)
    before = len(alive())
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--address={cluster.address}"]
    command += [f"--num-cpus={cpus}", f"--dashboard-agent-listen-port={agent}", "--object-store-memory=100000000"]
    with (folder / "log").open("w") as log:
        node = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True, preexec_fn=end_with_parent
        )
    try:
        assert until(lambda: len(alive()) > before, 120), (folder / "log").read_text()
        yield node.pid
    finally:
        end_family(node.pid)
        node.wait()
        assert until(lambda: len(alive()) == before, 60)
        shutil.rmtree(folder, ignore_errors=True)


def alive() -> list[str]:
    return [row["NodeID"] for row in ray.nodes() if row["Alive"]]  # type: ignore[no-untyped-call]


def newest(before: list[str]) -> str:
    (found,) = set(alive()) - set(before)
    return found


def driven(place: Place, jobs: list[Act]) -> Iterator[Record]:
    return drive(Listed(jobs, 3), place.known, place, lambda plan, _: {"done": plan.count("done")})


def drain(node_id: str) -> None:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import autoscaler_pb2

    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    table: Any = autoscaler_pb2
    reason = table.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, why = client.drain_node(node_id, reason, "a test", 0)
    assert accepted, why


def pool_of(place: Place) -> RayPool:
    assert isinstance(place.inner, RayPool)
    return place.inner


def works_on(place: Place, node_id: str) -> bool:
    """Whether the driver knows of a job that a node is at."""
    return any(flight.begun and flight.node_id == node_id for flight in pool_of(place)._flights.values())


def test_a_node_that_joins_is_used_within_seconds_and_its_loss_costs_one_attempt(
    cluster: Cluster, project_environment: dict[str, str], tmp_path: Path
) -> None:
    jobs = sleeps_until(tmp_path / "lost", 240, 1.0)  # some are left however long the new node takes
    records: list[Record] = []
    joining, used, lost = 0.0, 0.0, False
    with ray_place(tmp_path / "store") as place:
        assert len(pool_of(place).utilisation()) == 1
        sweep = driven(place, jobs)
        records.append(next(sweep))
        before = alive()
        with joined(cluster, project_environment, cpus=2):
            joining, node_id = time.time(), newest(before)
            for record in sweep:
                records.append(record)
                if not used and len({r.node for r in records if r.finished}) == 2:
                    used = note(record, "began")
                # Once drivers that earlier tests killed are forgotten, and there is something to lose.
                if used and pool_of(place).bound == 8 and works_on(place, node_id):
                    break
            assert len(pool_of(place).utilisation()) == 2
            assert pool_of(place).bound == 8
        for record in sweep:  # the node is gone, with what ran on it
            records.append(record)
            if isinstance(record.outcome, Failed) and record.outcome.kind == "lost node":
                lost = True
                (tmp_path / "lost").touch()
    assert 0 < used - joining < 60
    assert lost
    assert sum(r.finished for r in records) == 240
    assert {r.outcome.kind for r in records if isinstance(r.outcome, Failed)} == {"lost node"}
    assert len({r.node for r in records if r.finished}) == 2  # what only waited on the lost node names none


def test_what_waited_as_a_node_was_lost_is_submitted_again(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray may forget it: here it waits for CPUs that no node has."""
    del cluster
    place_task, forgotten = RayPool._task, list[str]()

    def task(self: RayPool, job: Job, lease: Lease, mark: str) -> Any:
        if isinstance(job, Act) and job.name in ("job 1", "job 2") and job.name not in forgotten:
            forgotten.append(job.name)
            return WORK.options(num_cpus=1000)
        return place_task(self, job, lease, mark)

    monkeypatch.setattr(RayPool, "_task", task)
    monkeypatch.setattr(runner_ray, "STRANDED_SECONDS", 1.0)
    monkeypatch.setattr(runner_ray, "NOTICED_SECONDS", 0.0)
    records = []
    with ray_place(tmp_path / "store") as place:
        for record in driven(place, sleeps(8, 0.1, "job")):
            records.append(record)
            if len(records) == 6:
                pool_of(place)._nodes.lost_at = time.monotonic()
    assert len(forgotten) == 2
    assert [record.attempt for record in records] == [1] * 8
    assert len({record.key for record in records if record.finished}) == 8


def test_what_is_pinned_to_a_lost_node_goes_elsewhere_at_once(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure costs an attempt: they must not all be made before the driver looks at the nodes again."""
    del cluster
    monkeypatch.setattr(ray_nodes, "LOOK_SECONDS", 1e9)
    with ray_place(tmp_path / "store") as place:
        pool = pool_of(place)
        (there,) = pool._nodes.fit.values()
        lost = replace(there, node_id="ab" * 28, host="lost/abababab", cpus=64.0, measures=True)
        pool._nodes._known[lost.node_id] = lost  # as Ray listed it a moment ago
        pool._nodes.fit = {lost.node_id: lost}
        pool._ledger.use(pool._nodes.fit)
        first, second = driven(place, [LoneAct(name="lone", driver=DRIVER)])
    assert isinstance(first.outcome, Failed)
    assert (first.outcome.kind, second.finished) == ("lost node", True)
    assert "lost/abababab" not in second.node


def test_a_node_that_was_lost_is_none_though_it_is_listed_and_is_asked_anew_when_it_stays(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cluster
    nodes = Nodes()
    nodes.begin()
    (node_id,) = nodes.fit
    nodes.lose(node_id)
    assert (nodes.fit, nodes.in_trouble()) == ({}, True)
    monkeypatch.setattr(ray_nodes, "GONE_SECONDS", 0.0)
    nodes.begin()
    assert list(nodes.fit) == [node_id]


def test_of_what_died_before_the_driver_heard_of_it_the_writer_knows_where_it_was(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cluster

    def dies_unheard(job: Job, number: int, orders: Orders, mark: str, environments: object) -> Iterator[Begun]:
        ray.get(orders.writer.begin.remote(mark, Begun("", "the node", os.getpid(), 0.0)))
        os._exit(3)
        yield

    place_task, tasks = RayPool._task, [ray.remote(max_retries=0, num_returns="streaming")(dies_unheard)]

    def task(self: RayPool, job: Job, lease: Lease, mark: str) -> Any:
        return tasks.pop() if tasks else place_task(self, job, lease, mark)

    monkeypatch.setattr(RayPool, "_task", task)
    monkeypatch.setattr(ray_writer, "BEGIN_SECONDS", 60.0)
    with ray_place(tmp_path / "store") as place:
        first, second = driven(place, sleeps(1))
    assert isinstance(first.outcome, Failed)
    assert (first.node, second.finished) == ("the node", True)


def test_a_draining_node_gets_no_more_jobs_and_what_is_lost_there_is_no_failure(
    cluster: Cluster, project_environment: dict[str, str], tmp_path: Path
) -> None:
    # Some are left however long the new node takes; the long one may be there, and is lost with it.
    jobs = sleeps_until(tmp_path / "drained", 1, 45.0, "long") + sleeps_until(tmp_path / "drained", 240, 0.5)
    records: list[Record] = []
    with ray_place(tmp_path / "store") as place:
        before = alive()
        with joined(cluster, project_environment, cpus=2):
            node_id = newest(before)
            assert until(lambda: pool_of(place)._nodes.look(force=True) or len(pool_of(place)._nodes.fit) == 2, 120)
            pool_of(place)._ledger.use(pool_of(place)._nodes.fit)
            sweep = driven(place, jobs)
            while not any(r.node.endswith(node_id[:8]) for r in records):
                records.append(next(sweep))
            drain(node_id)
            while node_id not in pool_of(place)._nodes.taken_back and node_id in alive():  # an idle one goes at once
                records.append(next(sweep))
            submitted, known = {flight.job.key for flight in pool_of(place)._flights.values()}, len(records)
            records += islice(sweep, 12)  # of which the node, were it given any, would have done half
        (tmp_path / "drained").touch()
        records += sweep
    late = [r for r in records[known:] if r.node.endswith(node_id[:8]) and r.finished and r.key not in submitted]
    assert late == []
    kinds = [r.outcome.kind for r in records if isinstance(r.outcome, Failed)]
    assert set(kinds) <= {"preempted"}
    assert sum(r.finished for r in records) == 241


def test_a_measurement_has_its_node_alone_while_jobs_go_on_elsewhere(
    cluster: Cluster, project_environment: dict[str, str], tmp_path: Path
) -> None:
    jobs = sleeps_until(tmp_path / "told", 300, 0.4)
    lone, records = LoneAct(name="lone", driver=DRIVER, seconds=2.0), dict[str, Record]()
    with joined(cluster, project_environment, cpus=2), ray_place(tmp_path / "store") as place:
        for record in driven(place, jobs):
            records[record.job["name"]] = record
            if len({r.node for r in records.values()}) == 2 and lone not in jobs:  # both have workers that work
                jobs.insert(0, lone)
            if "lone" in records and works_after(record, records["lone"]):
                (tmp_path / "told").touch()
    alone = records.pop("lone")
    beside = [r for r in records.values() if overlap(r, alone)]
    assert beside
    assert alone.node not in {r.node for r in beside}
    assert (tmp_path / "told").exists()  # afterwards, it worked as the others


def works_after(one: Record, other: Record) -> bool:
    return one.node == other.node and note(one, "began") > note(other, "ended")


def overlap(one: Record, other: Record) -> bool:
    return note(one, "began") < note(other, "ended") and note(other, "began") < note(one, "ended")


def test_a_job_that_fits_no_node_fails_with_what_is_missing_and_others_go_on(cluster: Cluster, tmp_path: Path) -> None:
    del cluster
    jobs: list[Act] = [GpuAct(name="gpu", driver=DRIVER), *sleeps(3)]
    with ray_place(tmp_path / "store") as place:
        assert until(lambda: not pool_of(place)._nodes.in_trouble(), 90)
        records = {r.job["name"]: r for r in driven(place, jobs)}
    outcome = records["gpu"].outcome
    assert isinstance(outcome, Failed)
    assert outcome.kind == "no place"
    assert "'act gpu'" in outcome.reason
    assert "lacks a GPU" in outcome.reason
    assert sum(r.finished for r in records.values()) == 3


def test_what_a_worker_did_while_its_node_lost_the_cluster_is_done_again(cluster: Cluster, tmp_path: Path) -> None:
    del cluster
    job = Act(name="cut off", driver=DRIVER, does="cut off once", notes=str(tmp_path / "cut"))
    with ray_place(tmp_path / "store") as place:
        first, second = driven(place, [job])
    assert isinstance(first.outcome, Failed)
    assert (first.outcome.kind, second.finished) == ("lost node", True)
    assert "could not report its outcome: ClusterLost" in first.outcome.reason


def test_a_store_that_a_node_does_not_see_is_refused_with_the_nodes_name(cluster: Cluster, tmp_path: Path) -> None:
    del cluster
    store = tmp_path / "store"
    with ray_place(store):
        folder, store_id = of_site(Site(store / "artefacts"))
    Nodes(folder, store_id).begin()
    with pytest.raises(BadInput, match=rf"The node \S+/[0-9a-f]{{8}} does not see the results folder {store}"):
        Nodes(folder, "another").begin()
    with pytest.raises(BadInput, match="does not see the results folder"):
        Nodes(tmp_path / "elsewhere", store_id).begin()


def test_a_node_of_other_code_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    del cluster
    monkeypatch.setattr(ray_nodes, "our_code", lambda: "f" * 64)
    with pytest.raises(BadInput, match=r"runs version [0-9a-f]{10} of paredown and this driver ffffffffff"):
        Nodes().begin()


def test_a_node_with_other_libraries_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its results would stand under the driver's versions. What torch was built for may differ."""
    del cluster
    mine = ray_nodes.released()
    assert all("+" not in version for version in mine.values())
    monkeypatch.setattr(ray_nodes, "released", lambda: {**mine, "transformers": "0.0.1"})
    with pytest.raises(BadInput, match=rf"has transformers {mine['transformers']} \(here 0.0.1\).* install the same"):
        Nodes().begin()


def test_a_node_that_does_not_see_what_the_sweep_reads_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    del cluster
    Nodes(paths=[str(tmp_path)]).begin()
    gone = tmp_path / "rows.jsonl"
    with pytest.raises(BadInput, match=rf"does not see {gone}, which the sweep reads: put it into a folder"):
        Nodes(paths=[str(tmp_path), str(gone)]).begin()


def test_two_sweeps_share_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """Each in its turn: with both hungry, neither has more than half in flight, and both end."""
    del cluster
    with ray_place(tmp_path / "one") as one, ray_place(tmp_path / "two") as two:
        assert pool_of(one).bound == pool_of(two).bound == 4
        sweeps = [driven(place, sleeps(30, 0.2, f"of {i}")) for i, place in enumerate((one, two))]
        records: list[list[Record]] = [[], []]
        shared = False
        for _ in range(20):
            for sweep, found in zip(sweeps, records, strict=True):
                found.append(next(sweep))
            shared = shared or (len(one.inside) <= 2 and len(two.inside) <= 2)
        assert shared
        assert pool_of(one).bound == pool_of(two).bound == 2
        for sweep, found in zip(sweeps, records, strict=True):
            found += sweep
    assert [len(found) for found in records] == [30, 30]
