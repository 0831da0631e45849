"""The end of `paredown run`: its exit code and its last lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bench.record import Record
from bench.store.reader import open_snapshot
from cluster import follow
from cluster.cli import app
from cluster.plan import Plan
from tests import tiny
from tests.leaderboard.sample import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("concluding") / "store")


@pytest.fixture
def ended(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], Result]:
    """Runs a sweep of which every number is known and these artefacts cannot be had again."""
    with open_snapshot(store) as snapshot:
        sweep_id = snapshot.sweeps()[0]["sweep_id"]
    monkeypatch.setattr("leaderboard.choices.unfinished", lambda _: [])

    def run(gone: dict[str, str]) -> Result:
        def nothing_to_do(
            sweep: object, options: object, watch: Any, started: object, declared: Callable[[str], None]
        ) -> Iterator[Record]:
            declared(sweep_id)
            watch(Plan((), (), gone=gone), {})
            yield from ()

        monkeypatch.setattr("cluster.session.run_sweep", nothing_to_do)
        asked = ["run", str(tiny.sweep_file(tmp_path)), "--store", str(store), "--runner", "local"]
        return CliRunner().invoke(app, asked)

    return run


def test_a_whole_board_is_exit_code_0(ended: Callable[[dict[str, str]], Result]) -> None:
    result = ended({})
    assert result.exit_code == 0, result.output
    assert "Not rebuilt" not in result.stderr


def test_what_could_not_be_built_again_is_named_last_and_changes_the_exit_code(
    ended: Callable[[dict[str, str]], Result],
) -> None:
    many = {f"m: int8 {number}": "The disk is read-only." for number in range(follow.MOST_NAMED + 2)}
    result = ended({"m: base": "Other [bytes] came.", **many})
    assert result.exit_code == 1, result.output
    one, others, what_to_do, where = result.stderr.splitlines()[-4:]
    assert one == "Not rebuilt: m: base: gone from the store. Other [bytes] came."
    assert others.startswith("Not rebuilt: m: int8 0, m: int8 1, ")
    assert others.endswith("m: int8 5 and 2 more: gone from the store. The disk is read-only.")
    assert "paredown retry" in what_to_do
    assert where.startswith("The store is ")
