"""A raced sweep on real models: what is stopped, what the store says of it, and that it can be completed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.methods.layer_copy import with_layers
from bench.models import Loaded, load
from bench.store.journal import parts, read_entries
from bench.store.reader import Snapshot, open_snapshot
from bench.store.verify import verify
from bench.sweep import Sweep, load_sweep
from bench.tasks.spec import TaskSpec
from cluster.known import known_without_writing
from cluster.plan import Planner
from cluster.session import Options, machine_here, run_sweep
from leaderboard.judging import with_objectives
from leaderboard.rows import Board, read_board
from tests import tiny
from tests.cluster.processes import until

EXAMPLES = 1100  # three windows: looks after 1, 2 and 3
BROKEN = "fine-tuned"  # at a rate that leaves nothing of the model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose base is always right, because the labels are its predictions."""
    folder = tmp_path_factory.mktemp("race")
    path = tiny.sweep_file(folder)
    pair = {"text": "premise", "pair": "hypothesis", "label": "label"}
    rows = tiny.data_file(folder / "many.jsonl", EXAMPLES, seed=3)
    data = {"train": {"source": "train.jsonl", **pair}, "test": {"source": "many.jsonl", **pair}}
    path = tiny.sweep_file(
        folder,
        name="raced",
        data=data,
        recipes=[["int8_dynamic"], [{"finetune": {"data": "train", "learning_rate": 5.0, "max_steps": 3}}]],
        objectives=["quality", "parameters"],
        latency={"leases": 0},
        memory={"repeats": 0},
    )
    (task,) = load_sweep(str(path)).tasks
    make_right(load(folder / "model"), task, rows)
    return folder


def make_right(model: Loaded, task: TaskSpec, rows: Path) -> None:
    """Write the predictions of a model on a task into its data as labels."""
    from bench.execute import outcomes

    found = outcomes(model, task)
    told = dict(zip(found.index.tolist(), found.prediction, strict=True))
    lines = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    rows.write_text("".join(json.dumps({**row, "label": told[i]}) + "\n" for i, row in enumerate(lines)), "utf-8")


@pytest.fixture
def heavy(tmp_path: Path) -> Path:
    """A sweep whose student is always right, lighter and faster than the base and than what tuning has broken."""
    tiny.saved(tiny.bart(decoder_layers=4, width=512), tmp_path / "model")
    tiny.data_file(tmp_path / "train.jsonl", 96, seed=1)
    rows = tiny.data_file(tmp_path / "test.jsonl", 40, seed=2)
    path = tiny.sweep_file(
        tmp_path,
        name="timed",
        recipes=[
            [{"layer_copy": {"decoder": 1}}],
            [{"finetune": {"data": "train", "learning_rate": 5.0, "max_steps": 3}}],
        ],
        quality="recovery",
        objectives=["quality", "latency", "memory"],
        # Timing has to be dearer than scoring for leases to be raced, and so few repeats to be enough for memory.
        latency={"length": [16], "first_rounds": 20, "max_rounds": 20, "burst_ms": 150, "leases": 2},
        memory={"repeats": 3},
        race={"alpha": 0.4},
    )
    (task,) = load_sweep(str(path)).tasks
    student = load(tmp_path / "model")
    student.model = with_layers(student.model, {"decoder": (0,)})
    make_right(student, task, rows)
    return tmp_path


def sweep(folder: Path, *overrides: str) -> Sweep:
    return load_sweep(str(folder / "sweep.yaml"), overrides)


def finish(asked: Sweep, store: Path) -> None:
    for _ in run_sweep(asked, Options(store, "local", workers=1), lambda *_: {}, lambda *_: None):
        pass


def finished(store: Path) -> int:
    """How many records a store's journal holds by now."""
    journal = store / "journal"
    return (
        sum(entry == "record" for part in parts(journal) for entry, *_ in read_entries(part)) if journal.exists() else 0
    )


def kill_after(records: int, folder: Path, store: Path, environment: dict[str, str]) -> None:
    """Run the sweep as a user does, and kill every process of it once so many records are acknowledged."""
    command = [sys.executable, "-c", "from cluster.cli import main; main()", "run", str(folder / "sweep.yaml")]
    command += ["--store", str(store), "--runner", "local", "--workers", "1"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as driver:
        try:
            assert until(lambda: finished(store) >= records, 300)
        finally:
            os.killpg(driver.pid, signal.SIGKILL)
    assert driver.returncode == -signal.SIGKILL


def board_and_stops(store: Path) -> tuple[Board, list[dict[str, Any]]]:
    with open_snapshot(store) as snapshot:
        return read_board(snapshot), snapshot.rows("select * from stops order by artefact_id")


def raced_again(snapshot: Snapshot) -> int:
    """How many eliminations are found again from raw material, where nothing differs and nothing is remarked."""
    found = verify(snapshot, snapshot.sweeps(), deep=False, tell=lambda _: None)
    assert found.differences == ()
    races = next(check for check in found.checks if check.name == "races")
    assert races.notes == []
    return races.compared


def test_a_raced_sweep_ends_with_an_audit_row_and_can_be_completed(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    finish(sweep(folder), store)
    board, stops = board_and_stops(store)
    rows = {row.name: row for row in board.rows}
    broken = next(row for name, row in rows.items() if BROKEN in name)
    base = next(row for row in board.rows if row.is_base)
    assert (broken.status, broken.verdict, broken.dominated_by) == ("stopped", "dominated", base.recipe_id)
    assert "stopped at look 1 of 2" in broken.verdict_reason
    assert base.verdict == "certain"
    (stop,) = stops
    assert (stop["artefact_id"], stop["beaten_by"]) == (broken.artefact_id, base.artefact_id)
    score = broken.cells["accuracy", "pairs"]
    assert score.n == json.loads(stop["examples"])["pairs"] == 512
    assert broken.cells["accuracy_difference", "pairs"].n == 512
    assert score.low < score.high
    with open_snapshot(store) as snapshot:
        assert raced_again(snapshot) == 1
        whole = with_objectives(snapshot, board, ["accuracy", "size"])
        again = with_objectives(snapshot, board, ["accuracy", "parameters"])
        part = with_objectives(snapshot, board, ["accuracy"])
        names = [
            r["name"] for r in snapshot.rows("select * from variants where artefact_id = ?", [stop["artefact_id"]])
        ]
    assert names == [broken.name]
    assert next(r for r in part.rows if r.name == broken.name).verdict == "dominated"
    assert next(r for r in whole.rows if r.name == broken.name).verdict == "not evaluated"
    # What is exact is known of it too: it has a rank there, the same whoever judges.
    assert broken.places["parameters", ""].rank is not None
    assert broken.places["accuracy", "pairs"].rank is None
    assert {row.name: row.places for row in again.rows} == {row.name: row.places for row in board.rows}

    finish(sweep(folder, "race.on=false"), store)
    completed, still = board_and_stops(store)
    row = next(row for row in completed.rows if BROKEN in row.name)
    assert (row.status, row.verdict, row.cells["accuracy", "pairs"].n) == ("complete", "dominated", EXAMPLES)
    assert still == stops  # what was decided stays on record
    with open_snapshot(store) as snapshot:
        assert raced_again(snapshot) == 1  # from what it had seen by then


def test_a_driver_that_is_killed_is_followed_by_one_that_decides_the_same(
    folder: Path, tmp_path: Path, project_environment: dict[str, str]
) -> None:
    kill_after(6, folder, tmp_path / "store", project_environment)
    before = finished(tmp_path / "store")
    finish(sweep(folder), tmp_path / "store")
    assert finished(tmp_path / "store") > before
    _, (stop,) = board_and_stops(tmp_path / "store")
    known = known_without_writing(tmp_path / "store")
    planner = Planner(sweep(folder), machine_here(sweep(folder).file))
    (again,) = planner(known, frozenset()).stopped
    assert (again.artefact_id, again.by, again.reason) == (stop["artefact_id"], stop["beaten_by"], stop["reason"])


def test_a_race_over_leases_is_found_again_from_what_it_saw(heavy: Path, tmp_path: Path) -> None:
    """Stopped by scores of every task, rounds of one lease and repetitions of memory; so is it once it is completed."""
    store = tmp_path / "store"
    finish(sweep(heavy), store)
    board, (stop,) = board_and_stops(store)
    rows = {row.artefact_id: row for row in board.rows}
    assert (BROKEN in rows[stop["artefact_id"]].name, "decoder 4 to 1" in rows[stop["beaten_by"]].name) == (True, True)
    assert (stop["raced"], stop["look"], rows[stop["artefact_id"]].status) == ("leases", 1, "stopped")
    assert [name for name, _ in json.loads(stop["objectives"])] == ["recovery", "latency_ratio", "host_peak"]
    with open_snapshot(store) as snapshot:
        assert raced_again(snapshot) == 1
    finish(sweep(heavy, "race.on=false"), store)
    with open_snapshot(store) as snapshot:
        assert raced_again(snapshot) == 1
