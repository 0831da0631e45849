"""What becomes of attempts that fail, of what they started and of what they said; for each runner."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.record import Failed, Record
from cluster.attempts import attempts
from cluster.drive import drive
from cluster.retry import pause_after
from cluster.runner_local import Limits
from tests.cluster.conftest import Cluster
from tests.cluster.jobs import Act, FreshAct, sleeps
from tests.cluster.listed import Listed
from tests.cluster.places import NO_LIMITS, Opens, local_place, ray_place
from tests.cluster.processes import all_gone

DRIVER = os.getpid()


def one(does: str, name: str = "", of: type[Act] = Act, **changes: Any) -> Act:
    return of(name=name or does, driver=DRIVER, does=does, **changes)


def run(
    opens: Opens, root: Path, jobs: list[Act], limits: Limits = NO_LIMITS, most: int = 3
) -> dict[str, list[Record]]:
    """Every record of a sweep of these jobs, by the job's name."""
    found: dict[str, list[Record]] = {job.name: [] for job in jobs}
    with opens(root, limits=limits) as place:
        for record in drive(Listed(jobs, most), place.known, place, lambda plan, _: {"done": plan.count("done")}):
            found[record.job["name"]].append(record)
    return found


def failure(record: Record) -> Failed:
    assert isinstance(record.outcome, Failed)
    return record.outcome


class FaultsContract(ABC):
    """The tests. A subclass says where jobs run."""

    @pytest.fixture(scope="class")
    @classmethod
    @abstractmethod
    def opens(cls) -> Opens:
        """How a pool of two workers is opened over a store."""

    @pytest.fixture(scope="class")
    @classmethod
    def day(cls, opens: Opens, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Record]]]:
        """A sweep of jobs that speak, take workers down and leave processes behind."""
        folder = tmp_path_factory.mktemp("faults")
        jobs = [
            one("speak"),
            one("speak", "speak afresh", FreshAct),
            one("speak and exit"),
            one("escape", notes=str(folder / "pids")),
            one("escape and exit", notes=str(folder / "pids")),
            one("full once", notes=str(folder / "full"), seconds=0.3),
            *sleeps(6, 0.1),
        ]
        return folder, run(opens, folder / "store", jobs, replace(NO_LIMITS, deaths=2), most=9)

    def test_what_takes_worker_after_worker_down_is_poison_and_its_neighbours_go_on(
        self, day: tuple[Path, dict[str, list[Record]]]
    ) -> None:
        for name in ("speak and exit", "escape and exit"):
            kinds = [failure(record).kind for record in day[1][name]]
            assert kinds == ["lost worker", "poison"]
            assert failure(day[1][name][-1]).reason.startswith("It took down 2 workers on ")
        assert [r.finished for n, records in day[1].items() if n.startswith("sleep") for r in records] == [True] * 6

    def test_a_failed_record_keeps_the_end_of_what_its_worker_said(
        self, day: tuple[Path, dict[str, list[Record]]]
    ) -> None:
        for name in ("speak", "speak afresh"):
            (record,) = day[1][name]
            log = failure(record).log
            assert "LookupError: the third layer" in log
            assert all(words in log for words in ("from Python", "from a descriptor", "from a child"))
        assert all("its last words" in failure(record).log for record in day[1]["speak and exit"])

    def test_nothing_that_an_attempt_started_is_left(self, day: tuple[Path, dict[str, list[Record]]]) -> None:
        pids = (day[0] / "pids").read_text().split()
        assert len(pids) == 3
        assert all_gone(int(pid) for pid in pids)

    def test_out_of_memory_is_tried_once_more_and_records_say_where(
        self, day: tuple[Path, dict[str, list[Record]]]
    ) -> None:
        first, second = day[1]["full once"]
        assert failure(first).kind == "out of memory"
        assert second.finished
        for records in day[1].values():
            assert [r for r in records if not (r.node and r.device == "cpu")] == []

    def test_every_attempt_has_its_line_and_its_output(self, day: tuple[Path, dict[str, list[Record]]]) -> None:
        logs = day[0] / "store" / "logs"
        lines = attempts(logs)
        records = [record for some in day[1].values() for record in some]
        assert sorted((x["key"], x["attempt"], x["started"]) for x in lines) == sorted(
            (r.key, r.attempt, r.started) for r in records
        )
        by_title: dict[str, dict[str, Any]] = {line["title"]: line for line in lines}
        spoken = by_title["act speak"]
        text = (logs / spoken["log"]).read_bytes()[spoken["from"] : spoken["to"]].decode()
        assert text.count("from a child") == 1
        assert spoken["outcome"] == "bug"
        assert by_title["act sleep 0"]["outcome"] == "finished"
        assert all(line["node"] and line["ended"] >= line["started"] for line in lines)
        assert all(file.stat().st_size for file in logs.glob("worker-*.log"))

    def test_what_hangs_is_ended_with_what_has_left_its_session(self, opens: Opens, tmp_path: Path) -> None:
        notes = tmp_path / "pids"
        jobs = [one("escape and hang", notes=str(notes)), *sleeps(3, 0.5)]
        found = run(opens, tmp_path / "store", jobs, Limits(5.0), most=1)
        (hung,) = found["escape and hang"]
        assert failure(hung).kind == "timeout"
        assert all_gone(int(pid) for pid in notes.read_text().split())
        assert all(record.finished for name, (record,) in found.items() if name.startswith("sleep"))

    def test_attempts_keep_their_pauses_and_nobody_waits_for_them(self, opens: Opens, tmp_path: Path) -> None:
        jobs = [one("exit"), *sleeps(4, 0.1)]
        found = run(opens, tmp_path / "store", jobs, most=4)
        attempts_made = found["exit"]
        assert len(attempts_made) == 4
        for number, (before, after) in enumerate(pairwise(attempts_made), start=1):
            ended = datetime.fromisoformat(before.started) + timedelta(seconds=before.seconds)
            gap = datetime.fromisoformat(after.started) - ended
            assert gap.total_seconds() >= pause_after("lost worker", number) - 0.05
        assert [r.finished for name, records in found.items() if name != "exit" for r in records] == [True] * 4


class TestLocalFaults(FaultsContract):
    @pytest.fixture(scope="class")
    @classmethod
    def opens(cls) -> Opens:
        return local_place


@pytest.mark.cluster
class TestRayFaults(FaultsContract):
    @pytest.fixture(scope="class")
    @classmethod
    def opens(cls, cluster: Cluster) -> Opens:
        return ray_place
