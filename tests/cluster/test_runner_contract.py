"""What a runner promises, proven once for each runner: Ray adds speed, never meaning."""

from __future__ import annotations

import multiprocessing
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from bench.errors import DiskFull, StaleLease
from bench.record import Failed, Record
from bench.store.folder import open_folder, take_lease
from bench.store.reader import current_name, open_snapshot
from cluster.drive import drive
from cluster.plan import Plan
from cluster.runner_local import Limits
from cluster.runner_ray import KILL_SECONDS
from tests.cluster.conftest import Cluster
from tests.cluster.jobs import Act, FreshAct, GpuAct, LoneAct, meetings, note, pid_of, sleeps
from tests.cluster.listed import Listed
from tests.cluster.places import NO_LIMITS, Opens, Place, acknowledged, finished_keys, journal, local_place, ray_place
from tests.cluster.processes import all_gone, until
from tests.cluster.small_disk import SmallDisk

DRIVER = os.getpid()
ATTEMPTS = 2


def one(name: str, **changes: Any) -> Act:
    return Act(name=name, driver=DRIVER, does=name, **changes)


def watch(plan: Plan, use: object) -> dict[str, Any]:
    return {status: plan.count(status) for status in ("done", "running", "failed", "ready")}


def driven(place: Place, jobs: Sequence[Act], attempts: int = ATTEMPTS) -> Iterator[Record]:
    return drive(Listed(jobs, attempts), place.known, place, watch)


@dataclass(frozen=True)
class BadDay:
    """A sweep in which nearly everything goes wrong that can go wrong quickly."""

    root: Path
    jobs: tuple[Act, ...]
    records: tuple[Record, ...]
    durable: tuple[bool, ...]  # for each record, whether the journal held it when it was handed on
    place: Place

    def of(self, name: str) -> list[Record]:
        (key,) = [job.key for job in self.jobs if job.name == name]
        return [r for r in self.records if r.key == key]

    def failures(self, name: str) -> list[Failed]:
        outcomes = [r.outcome for r in self.of(name)]
        found = [o for o in outcomes if isinstance(o, Failed)]
        assert len(found) == len(outcomes)
        return found


class RunnerContract(ABC):
    """The tests. A subclass says where jobs run."""

    bound: int  # most jobs in flight

    @pytest.fixture(scope="class")
    @classmethod
    @abstractmethod
    def opens(cls) -> Opens:
        """How a pool of two workers is opened over a store."""

    @pytest.fixture(scope="class")
    @classmethod
    def bad_day(cls, opens: Opens, tmp_path_factory: pytest.TempPathFactory) -> BadDay:
        folder = tmp_path_factory.mktemp("bad-day")
        bad = [one(n) for n in ("exit", "kill", "segfault", "refuse", "stumble", "odd", "mute")]
        once = one("crash once", notes=str(folder / "crashed"))
        jobs = (*bad, once, *sleeps(8, 0.15), *meetings(folder / "met"))
        records, durable = [], []
        with opens(folder / "store") as place:
            for record in driven(place, jobs):
                records.append(record)
                durable.append(record.identity in {r.identity for r in journal(folder / "store")})
        return BadDay(folder / "store", jobs, tuple(records), tuple(durable), place)

    def test_every_good_job_gives_one_finished_record(self, bad_day: BadDay) -> None:
        good = {job.key for job in bad_day.jobs if job.does in ("sleep", "crash once", "meet")}
        assert Counter(r.key for r in bad_day.records if r.finished) == dict.fromkeys(good, 1)

    def test_work_is_spread_over_two_workers_and_never_done_by_the_driver(self, bad_day: BadDay) -> None:
        pids = {pid_of(r) for r in bad_day.records if r.finished}
        assert len({pid_of(r) for r in bad_day.records if r.finished and r.job["does"] == "meet"}) == 2
        assert DRIVER not in pids
        assert not any(note(r, "torch") for r in bad_day.records if r.finished)

    def test_what_runs_is_told_with_its_node(self, bad_day: BadDay) -> None:
        title = {job.key: job.title for job in bad_day.jobs}
        assert bad_day.place.seen >= {(r.node, title[r.key]) for r in bad_day.records if r.finished}

    def test_records_are_in_the_journal_when_they_are_handed_on(self, bad_day: BadDay) -> None:
        assert bad_day.durable == (True,) * len(bad_day.records)
        assert sorted(r.identity for r in journal(bad_day.root)) == sorted(r.identity for r in bad_day.records)

    @pytest.mark.parametrize("death", ["exit", "kill", "segfault"])
    def test_a_job_that_kills_its_worker_is_tried_again_and_then_given_up(self, bad_day: BadDay, death: str) -> None:
        assert [f.kind for f in bad_day.failures(death)] == ["lost worker"] * ATTEMPTS
        assert [r.attempt for r in bad_day.of(death)] == [1, 2]

    def test_a_job_whose_worker_died_once_finishes_at_the_second_attempt(self, bad_day: BadDay) -> None:
        first, second = bad_day.of("crash once")
        assert isinstance(first.outcome, Failed)
        assert first.outcome.kind == "lost worker"
        assert second.finished
        assert second.attempt == 2

    def test_a_request_that_cannot_be_met_is_said_once(self, bad_day: BadDay) -> None:
        (failure,) = bad_day.failures("refuse")
        assert failure.kind == "bad spec"
        assert failure.reason == "decoder keeps 9 layers but the parent has 6: choose fewer."

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("stumble", "LookupError: the third layer"),
            ("odd", "OddError: leftright"),
            ("mute", "MuteError: (it has no text)"),
        ],
    )
    def test_a_bug_is_recorded_once_with_its_traceback(self, bad_day: BadDay, name: str, reason: str) -> None:
        (failure,) = bad_day.failures(name)
        assert (failure.kind, failure.reason) == ("bug", reason)
        assert f"in _{name}" in failure.log

    def test_work_in_flight_is_bounded(self, opens: Opens, tmp_path: Path) -> None:
        jobs = [*meetings(tmp_path / "met"), *sleeps(22)]  # one quick worker could do all others
        with opens(tmp_path / "store") as place:
            records = list(driven(place, jobs))
        assert len(records) == 24
        assert place.most_inside == self.bound
        times = [(note(r, "began"), note(r, "ended")) for r in records]
        assert max(sum(b <= began < e for b, e in times) for began, _ in times) == 2

    def test_the_last_published_progress_is_the_end_of_the_sweep(self, bad_day: BadDay) -> None:
        with open_snapshot(bad_day.root) as snapshot:
            assert snapshot.info()["progress"] == '{"done": 11, "running": 0, "failed": 7, "ready": 0, "where": []}'
            (count,) = snapshot.rows("select count(*) as n from records")
        assert count["n"] == len(bad_day.records)

    def test_a_second_run_repeats_nothing_finished(self, opens: Opens, bad_day: BadDay) -> None:
        """Failures that may pass get a new chance with every run; the rest stays."""
        with opens(bad_day.root) as place:
            again = list(driven(place, bad_day.jobs, attempts=1))
        assert sorted(r.job["name"] for r in again) == ["exit", "kill", "segfault"]

    def test_a_job_that_hangs_is_ended_with_its_children(self, opens: Opens, tmp_path: Path) -> None:
        """Its neighbours, which wait longer than the limit for their turn, are none the worse."""
        notes = tmp_path / "pids"
        jobs = [one("hang", notes=str(notes)), *sleeps(3, 2.5)]
        with opens(tmp_path / "store", limits=Limits(7.0)) as place:
            found: dict[str, list[Record]] = {}
            for record in driven(place, jobs, attempts=1):
                found.setdefault(record.job["does"], []).append(record)
            (hung,) = found["hang"]
            assert isinstance(hung.outcome, Failed)
            assert hung.outcome.kind == "timeout"
            assert "7 s" in hung.outcome.reason
            assert all_gone(int(pid) for pid in notes.read_text().split())
        assert [r.finished for r in found["sleep"]] == [True] * 3
        assert 7.0 <= hung.seconds < 7.0 + 2 * KILL_SECONDS  # after which it would be given up

    def test_a_job_that_runs_out_of_memory_says_so_and_its_worker_lives_on(self, opens: Opens, tmp_path: Path) -> None:
        greedy = [one("fill memory"), one("fill memory").model_copy(update={"name": "again"})]
        with opens(tmp_path / "store", limits=replace(NO_LIMITS, memory_bytes=3 * 10**9)) as place:
            records = list(driven(place, [*greedy, *sleeps(6)], attempts=1))
        failed = [r for r in records if not r.finished]
        assert [r.outcome.kind for r in failed if isinstance(r.outcome, Failed)] == ["out of memory"] * 2
        assert len(records) == 8
        assert {pid_of(r) for r in failed} & {pid_of(r) for r in records if r.finished}

    def test_lone_jobs_have_the_node_and_fresh_ones_a_process_to_themselves(self, opens: Opens, tmp_path: Path) -> None:
        jobs: list[Act] = sleeps(4, 0.1)
        jobs.insert(2, LoneAct(name="lone", driver=DRIVER, seconds=0.2))
        jobs.insert(3, FreshAct(name="fresh", driver=DRIVER, seconds=0.1))
        with opens(tmp_path / "store") as place:
            records = {r.job["name"]: r for r in driven(place, jobs)}
        assert len(records) == 6
        lone = records.pop("lone")
        for other in records.values():
            assert note(other, "ended") <= note(lone, "began") or note(lone, "ended") <= note(other, "began")
        fresh = {pid_of(lone), pid_of(records.pop("fresh"))}
        assert len(fresh) == 2
        assert not fresh & {pid_of(r) for r in records.values()}
        assert all_gone(fresh)

    def test_a_sweep_that_stops_half_way_is_resumed_without_repeating(self, opens: Opens, tmp_path: Path) -> None:
        root, jobs = tmp_path / "store", sleeps(12, 0.05)
        with opens(root) as place:
            sweep = driven(place, jobs)
            first = [next(sweep).key for _ in range(3)]
        before = finished_keys(root)
        assert set(first) <= set(before)
        with opens(root) as place:
            rest = [r.key for r in driven(place, jobs)]
        assert not set(rest) & set(before)
        assert sorted(finished_keys(root)) == sorted(job.key for job in jobs)

    def test_a_driver_that_was_taken_over_stops(self, opens: Opens, tmp_path: Path) -> None:
        root = tmp_path / "store"
        with opens(root) as place:
            sweep = driven(place, sleeps(400, 0.05))
            next(sweep)
            take_lease(open_folder(root), take_over=True)
            with pytest.raises(StaleLease, match="taken over"):
                list(sweep)
        assert len(finished_keys(root)) < 20

    def test_a_full_disk_stops_the_sweep_and_loses_nothing(self, opens: Opens, small_disk: SmallDisk) -> None:
        root, jobs = small_disk.folder / "store", sleeps(40, 0.1)
        with opens(root) as place:
            sweep = driven(place, jobs)
            known = [next(sweep).key for _ in range(3)]
            small_disk.fill()
            with pytest.raises(DiskFull):
                known.extend(small_disk.filled(r.key) for r in sweep)
            submitted = len(place.inside) + len(known)
        assert submitted < 20
        assert set(known) <= set(finished_keys(root))
        assert acknowledged(root) <= set(finished_keys(root))
        small_disk.free()
        before = finished_keys(root)
        with opens(root) as place:
            rest = [r.key for r in driven(place, jobs)]
        assert not set(rest) & set(before)
        assert sorted(finished_keys(root)) == sorted(job.key for job in jobs)


class TestLocalRunner(RunnerContract):
    bound = 2

    @pytest.fixture(scope="class")
    @classmethod
    def opens(cls) -> Opens:
        return local_place

    def test_a_worker_that_dies_between_two_jobs_is_replaced(self, tmp_path: Path) -> None:
        with local_place(tmp_path / "store") as place:
            (first,) = driven(place, sleeps(1, prefix="first"))
            psutil.Process(pid_of(first)).kill()
            assert until(lambda: pid_of(first) not in {p.pid for p in multiprocessing.active_children()}, 30)
            records = list(driven(place, sleeps(4, prefix="second")))
        assert [r.finished for r in records] == [True] * 4
        assert pid_of(first) not in {pid_of(r) for r in records}

    def test_a_gpu_is_one_jobs_at_a_time_in_a_process_that_ends(self, tmp_path: Path) -> None:
        jobs: list[Act] = [GpuAct(name=f"gpu {i}", driver=DRIVER, seconds=0.2) for i in range(3)]
        with local_place(tmp_path / "store") as place:
            records = {r.job["name"]: r for r in driven(place, [*jobs, *sleeps(3, 0.2)])}
            on_gpu = [records[job.name] for job in jobs]
            pids = {pid_of(r) for r in on_gpu}
            assert len(pids) == 3
            assert not pids & {pid_of(r) for name, r in records.items() if not name.startswith("gpu")}
            assert all_gone(pids)
        times = sorted((note(r, "began"), note(r, "ended")) for r in on_gpu)
        assert all(ended <= began for (_, ended), (began, _) in pairwise(times))
        assert place.most_inside == 2  # the CPUs' jobs ran beside


@pytest.mark.cluster
class TestRayRunner(RunnerContract):
    bound = 4  # as many again as there are CPUs wait in Ray's queue

    @pytest.fixture(scope="class")
    @classmethod
    def opens(cls, cluster: Cluster) -> Opens:
        return ray_place

    def test_workers_write_down_what_was_acknowledged(self, bad_day: BadDay) -> None:
        alive = {r.identity for r in bad_day.records if r.worker != "unknown"}
        assert acknowledged(bad_day.root) == alive
        assert len(alive) >= 13

    def test_a_writer_that_was_restarted_goes_on_publishing(self, opens: Opens, tmp_path: Path) -> None:
        root = tmp_path / "store"

        def published(count: int) -> bool:
            if current_name(open_folder(root)) is None:
                return False
            with open_snapshot(root) as snapshot:
                return snapshot.rows("select count(*) as n from records") == [{"n": count}]

        with opens(root) as place:
            list(driven(place, sleeps(1)))
            assert until(lambda: published(1), 60)
            ray.kill(place.writer, no_restart=False)
            list(driven(place, sleeps(1, prefix="after the restart")))
            assert until(lambda: published(2), 60)
