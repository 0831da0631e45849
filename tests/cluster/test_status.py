"""`paredown status`: counts, who holds the store, and causes, in words and as records."""

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.store.folder import open_folder, take_lease
from bench.store.reader import Snapshot
from cluster.cli import app
from cluster.progress import of_the_run
from tests.leaderboard.sample import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("status") / "store")


def said(store: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["status", "--store", str(store), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_work_and_failures_by_cause(store: Path) -> None:
    text = said(store)
    assert "Nobody is running this store." in text
    assert "Failures by cause" in text
    assert "after `paredown retry`" in text
    found = json.loads(said(store, "--json"))
    assert found["held_by"] is None
    assert {"build", "evaluate"} <= {each["kind"] for each in found["work"]}
    assert all(each["finished"] + each["failed"] for each in found["work"])
    assert sum(each["count"] for each in found["failures"]) == sum(each["failed"] for each in found["work"])


def test_who_is_at_it(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = take_lease(open_folder(store))
    try:
        assert f"It is being run by process {os.getpid()} on " in said(store)
        assert json.loads(said(store, "--json"))["held_by"]["pid"] == os.getpid()
        began = [
            ["far-away", "build <b>", time.time() - 75],
            ["near", "evaluate [/x]", time.time() + 9],
        ]  # clocks differ
        published(monkeypatch, done=1, failed=0, open=2, running=3, where=began)
        text = " ".join(said(store).split())
        assert "On far-away for 1:15: build <b>." in text
        assert "On near for 0:00: evaluate [/x]." in text
        assert "1 more run or are about to." in text
    finally:
        lease.release()


def published(monkeypatch: pytest.MonkeyPatch, **progress: object) -> None:
    """The store's last run as one that said this of itself."""
    monkeypatch.setattr(Snapshot, "progress", lambda *_: progress)


def test_counts_of_the_run(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(monkeypatch, done=90, failed=2, open=1)
    assert "90 done, 2 failed, 1 to come." in said(store)
    assert "The sweep's own run" not in said(store)
    published(monkeypatch, done=90, failed=2, open=1, running=2)  # nobody runs it: what was cut off is to come
    assert "90 done, 2 failed, 3 to come." in said(store)


def test_what_came_after_a_run_counts_its_own_jobs_and_the_runs_counts_stay(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {"done": 90, "failed": 2, "open": 0}
    for verb in ("settle", "confirm"):
        published(monkeypatch, verb=verb, done=3, failed=1, open=0, run=run)
        assert "The sweep's own run: 90 done, 2 failed, 0 to come." in said(store)
        assert f"`paredown {verb}` since: 3 done, 1 failed, 0 to come." in said(store)
        assert json.loads(said(store, "--json"))["progress"]["run"] == run
    published(monkeypatch, verb="settle", done=3, failed=1, open=0, run={})  # nothing was known of it
    assert "The sweep's own run" not in said(store)


def test_the_counts_of_a_run_outlive_what_comes_after_it() -> None:
    run = {"done": 90, "failed": 2, "open": 0}
    told = {**run, "running": 0, "now": [], "sweep": "s"}
    assert of_the_run(told) == run
    assert of_the_run({**told, "running": 2}) == {**run, "open": 2}
    assert of_the_run({}) == {}
    assert of_the_run({"done": 3, "verb": "settle", "run": of_the_run(told)}) == run
    assert of_the_run({}) == of_the_run({"done": 3, "verb": "settle", "run": {}}) == {}


def test_a_sweep_or_store_that_is_not_there(store: Path, tmp_path: Path) -> None:
    for options, words in ((["nothing", "--store", str(store)], "nothing"), (["--store", str(tmp_path)], "store")):
        result = CliRunner().invoke(app, ["status", *options])
        assert result.exit_code != 0
        assert words in str(result.exception)
