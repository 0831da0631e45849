"""Logs beside a bucket are collected in it, whatever becomes of a single file."""

import json
from pathlib import Path

import pytest

from bench.errors import BadInput
from bench.record import Finished, Record
from bench.store.places import Local
from cluster import attempts as module
from cluster.attempts import AttemptLog, Begun, attempts
from cluster.ray_work import Logs

RECORD = Record(
    key="a" * 64, kind="study", attempt=1, outcome=Finished(), job={}, started="2026-01-01", seconds=1.0, worker="n1:7"
)
BEGUN = Begun("id", "n1", 7, 0.0)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "here" / "logs").mkdir(parents=True)
    (tmp_path / "there" / "logs").mkdir(parents=True)
    return tmp_path / "here" / "logs"


def test_lines_and_output_end_up_in_the_bucket(logs: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    log = AttemptLog(logs, Local(there))
    begun = log.keep(RECORD, "what it said", BEGUN)
    log.note(RECORD, "some job", begun)
    (logs / "worker-n1-7-1.log").touch()
    (logs / "acknowledged-7.log").write_text("for proofs of what was lost")
    assert not list(there.rglob("*.jsonl"))  # a minute has not passed
    log.close()
    (line,) = attempts(there / "logs")
    assert (line["title"], line["outcome"]) == ("some job", "finished")
    assert (there / "logs" / line["log"]).read_text(encoding="utf-8") == "what it said"
    assert len(list((there / "logs").iterdir())) == 2


def test_only_what_has_grown_goes_again(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COLLECTED_EVERY", 0.0)
    put: list[str] = []

    class Noted(Local):
        def replace(self, name: str, data: bytes) -> None:
            put.append(name)
            super().replace(name, data)

    log = AttemptLog(logs, Noted(tmp_path / "there"))
    log.keep(RECORD, "what it said", BEGUN)
    for _ in range(3):
        log.note(RECORD, "some job", BEGUN)
    log.close()
    assert [name.split("-")[0] for name in put] == ["logs/attempts", "logs/handed", "logs/attempts", "logs/attempts"]
    assert len(attempts(tmp_path / "there" / "logs")) == 3


def test_a_bucket_that_refuses_costs_no_attempt(logs: Path, tmp_path: Path) -> None:
    class Refusing(Local):
        def replace(self, name: str, data: bytes) -> None:
            raise BadInput("The bucket is forbidden.")

    log = AttemptLog(logs, Refusing(tmp_path / "there"))
    log.note(RECORD, "some job", None)
    log.close()
    assert json.loads(next(logs.glob("attempts-*.jsonl")).read_text())["key"] == RECORD.key


def test_a_folder_that_is_not_shared_is_one_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "n1")
    assert Logs(tmp_path).here() == Logs(tmp_path, "n1").here() == tmp_path
    assert Logs(tmp_path, "n2").here() is None
