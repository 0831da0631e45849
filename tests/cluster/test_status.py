"""`paredown status`: counts, who holds the store, and causes, in words and as records."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.store.folder import open_folder, take_lease
from cluster.cli import app
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


def test_who_is_at_it(store: Path) -> None:
    lease = take_lease(open_folder(store))
    try:
        assert f"It is being run by process {os.getpid()} on " in said(store)
        assert json.loads(said(store, "--json"))["held_by"]["pid"] == os.getpid()
    finally:
        lease.release()


def test_a_sweep_or_store_that_is_not_there(store: Path, tmp_path: Path) -> None:
    for options, words in ((["nothing", "--store", str(store)], "nothing"), (["--store", str(tmp_path)], "store")):
        result = CliRunner().invoke(app, ["status", *options])
        assert result.exit_code != 0
        assert words in str(result.exception)
