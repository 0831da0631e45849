"""Where memory does not hold the batches of a model that depends on batch-mates, the plan goes on in smaller ones."""

from pathlib import Path
from typing import Any

import pytest
from transformers import BartForSequenceClassification

from bench.job import BuildJob, EvaluateJob, Job
from bench.record import Finished
from bench.store.policies import note, settle
from bench.store.reader import open_snapshot
from bench.sweep import Sweep, load_sweep
from bench.tasks.spec import HALVINGS, TaskSpec
from cluster.plan import Planner
from cluster.standing import Known, Planned
from tests import tiny
from tests.cluster.test_builds import run_here
from tests.cluster.test_plan import MACHINE, NOTHING, failed, finished

ATTEMPTS = 2


def sweep_of(folder: Path, *activations: str, batch_tokens: int = 256, **changes: object) -> Sweep:
    task = {"kind": "classification", "data": "test", "max_length": 32, "batch_tokens": batch_tokens}
    recipes = [[{"int8_dynamic": {"activations": a}}] for a in activations]
    limits = {"attempts": ATTEMPTS}
    return load_sweep(
        str(tiny.sweep_file(folder, recipes=recipes, tasks={"pairs": task}, limits=limits, **changes)),
    )


def evaluations(sweep: Sweep, known: Known) -> list[Planned]:
    """The evaluations of the one variant."""
    return [
        p
        for p in Planner(sweep, MACHINE)(known, NOTHING).jobs
        if isinstance(p.job, EvaluateJob) and "int8" in p.job.name
    ]


def tokens_of(job: Job) -> int:
    assert isinstance(job, EvaluateJob)
    return int(job.task.settings["batch_tokens"])


def built(sweep: Sweep) -> Known:
    known = Known()
    while jobs := [p.job for p in Planner(sweep, MACHINE)(known, NOTHING).ready() if isinstance(p.job, BuildJob)]:
        for job in jobs:
            known.add(finished(job))
    return known


def refuse(sweep: Sweep, known: Known, fits: int) -> list[tuple[int, str]]:
    """Attempt what is ready until nothing is: batches of more than `fits` tokens are out of memory."""
    tried: list[tuple[int, str]] = []
    while jobs := [p.job for p in evaluations(sweep, known) if p.status == "ready"]:
        for job in jobs:
            outcome = finished(job) if tokens_of(job) <= fits else failed(job, "out of memory")
            tried.append((tokens_of(job), outcome.outcome.status))
            known.add(outcome)
    return tried


def test_the_plan_halves_the_batches_of_a_model_that_depends_on_them(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "tensor")
    known = built(sweep)
    assert refuse(sweep, known, fits=100) == [(n, "failed") for n in (256, 256, 128, 128)] + [(64, "finished")]
    assert [(tokens_of(p.job), p.status) for p in evaluations(sweep, known)] == [(64, "done")]


def test_a_later_run_begins_where_the_last_one_ended(tmp_path: Path) -> None:
    """Failures that may pass are forgotten between runs; what was finished in smaller batches is not."""
    sweep = sweep_of(tmp_path, "tensor")
    known = built(sweep)
    refuse(sweep, known, fits=100)
    known.failed.clear()
    assert [(tokens_of(p.job), p.status) for p in evaluations(sweep, known)] == [(64, "done")]


def test_the_largest_batches_that_are_done_count(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "tensor")
    known = built(sweep)
    refuse(sweep, known, fits=100)
    job = evaluations(sweep, known)[0].job
    assert isinstance(job, EvaluateJob)
    known.add(finished(job.model_copy(update={"task": sweep.tasks[0]})))
    assert [(tokens_of(p.job), p.status) for p in evaluations(sweep, known)] == [(256, "done")]


def test_it_ends_with_a_failure_where_no_batch_fits(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "tensor")
    known = built(sweep)
    assert [n for n, _ in refuse(sweep, known, fits=0)] == [256 >> n for n in range(HALVINGS + 1) for _ in range(2)]
    assert [p.status for p in evaluations(sweep, known)] == ["failed"]


@pytest.mark.parametrize(("activations", "kind"), [("token", "out of memory"), ("tensor", "bug")])
def test_others_and_other_failures_keep_their_batches(tmp_path: Path, activations: str, kind: Any) -> None:
    """A model without batch-mates has split its batches down to one row by then."""
    sweep = sweep_of(tmp_path, activations)
    known = built(sweep)
    (planned,) = evaluations(sweep, known)
    for _ in range(ATTEMPTS):
        known.add(failed(planned.job, kind))
    assert [(tokens_of(p.job), p.status) for p in evaluations(sweep, known)] == [(256, "failed")]


def test_smaller_batches_are_the_task_that_asks_for_them(tmp_path: Path) -> None:
    """So a sweep that asks for them shares the records."""
    (task,) = sweep_of(tmp_path, batch_tokens=256).tasks
    (half,) = sweep_of(tmp_path, batch_tokens=128).tasks
    found = task.smaller_batches
    assert found[0].fingerprint == half.fingerprint != task.fingerprint
    assert [t.settings["batch_tokens"] for t in found] == [128, 64, 32, 16, 8]
    assert half.smaller_batches[-1].settings["batch_tokens"] == 8


def declared(task: TaskSpec) -> dict[str, Any]:
    smaller = [[t.fingerprint, t.settings["batch_tokens"]] for t in task.smaller_batches]
    return {"fingerprint": task.fingerprint, "examples": 1200, "smaller_batches": smaller}


def test_only_whole_runs_in_smaller_batches_stand_for_the_task(tmp_path: Path) -> None:
    (spec,) = sweep_of(tmp_path).tasks
    task = declared(spec)
    whole, half, quarter = task["fingerprint"], task["smaller_batches"][0][0], task["smaller_batches"][1][0]
    windows = {"a": (0, 2), "b": (2, 3), "c": (0, 3), "d": (0, 2)}
    partial = {("x", whole): ["a"], ("x", half): ["d"], ("y", half): ["c"]}
    known = dict(partial)
    settle(known, [task], ["x"], windows)
    assert known == partial  # nothing covers all three windows of "x", and "y" does not depend on batch-mates
    known[("x", quarter)] = ["c"]
    settle(known, [task], ["x"], windows)
    assert known["x", whole] == ["c"]
    assert "batches of 64 tokens" in str(note(known, "x", task))
    known = {("x", whole): ["a", "b"], ("x", half): ["c"]}
    settle(known, [task], ["x"], windows)
    assert known["x", whole] == ["a", "b"]
    assert note(known, "x", task) is None
    assert note({}, "x", task) is None


def test_a_real_run_ends_with_numbers_that_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unmeasured: dict[str, Any] = {"memory": {"repeats": 0}, "latency": {"leases": 0, "length": [16]}}
    sweep = sweep_of(tmp_path, "token", "tensor", **unmeasured, objectives=["quality", "size"])
    inner = BartForSequenceClassification.forward

    def forward(self: Any, **inputs: Any) -> Any:
        if len(inputs["input_ids"]) > 6:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.")
        return inner(self, **inputs)

    monkeypatch.setattr(BartForSequenceClassification, "forward", forward)
    records = [r for r in run_here(sweep, tmp_path / "store") if r.kind == "evaluate"]
    outcomes = {"tensor": [r.outcome for r in records if "per tensor" in r.job["name"]]}
    outcomes["others"] = [r.outcome for r in records if "per tensor" not in r.job["name"]]
    kinds = [getattr(o, "kind", o.status) for o in outcomes["tensor"]]
    assert kinds == ["out of memory"] * (len(kinds) - 1) + ["finished"]
    assert len(kinds) % ATTEMPTS == 1
    assert len(kinds) > 1
    notes = [o.notes["batches_split"] for o in (*outcomes["others"], outcomes["tensor"][-1]) if isinstance(o, Finished)]
    assert [n != 0 for n in notes] == [True, True, False]  # base and variant per token were split, the other never
    with open_snapshot(tmp_path / "store") as snapshot:
        rows = snapshot.rows(
            "select v.name, v.status, n.note from variants v join numbers n using (recipe_id) "
            "where n.metric = 'accuracy' order by v.position"
        )
    assert [row["status"] for row in rows] == ["complete"] * 3
    assert [row["note"] is None for row in rows] == [True, True, False]
    assert "tokens, for memory did not hold those asked for" in rows[-1]["note"]
