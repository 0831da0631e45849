"""Keys of evaluations and measurements: the same key always means the same question."""

from pathlib import Path
from typing import Any

import pytest

from bench import job as jobs
from bench.data import DataSpec
from bench.identity import digest
from bench.job import BuildJob, EvaluateJob, LatencyJob, MemoryJob
from bench.record import Finished, Record
from bench.sweep import load_sweep
from bench.sweep_file import TaskSection
from bench.tasks.classification import Classification
from bench.tasks.spec import TaskSpec, bind_task
from cluster.plan import Planner
from cluster.standing import Known, Machine
from tests import tiny

A, B = "a" * 64, "b" * 64
VERSIONS = {"torch": "2.13.0", "transformers": "5.23.0"}


@pytest.fixture
def task(data: dict[str, DataSpec]) -> TaskSpec:
    return bind_task("pairs", TaskSection(data="test"), data)


def evaluation(task: TaskSpec, **changes: Any) -> str:
    values: dict[str, Any] = {
        "artefact_id": A,
        "name": "x",
        "task": task,
        "first": 0,
        "last": 1,
        "versions": VERSIONS,
        **changes,
    }
    return EvaluateJob(**values).key


def test_evaluation_key(task: TaskSpec, data: dict[str, DataSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = evaluation(task)
    assert evaluation(task, name="another title") == plain
    assert evaluation(task.model_copy(update={"name": "renamed"})) == plain
    section = TaskSection.model_validate({"data": "test", "max_length": 128})
    assert evaluation(bind_task("pairs", section, data)) == plain  # a default written out
    other = {
        "bytes": evaluation(task, artefact_id=B),
        "windows": evaluation(task, last=2),
        "start": evaluation(task, first=1, last=2),
        "torch": evaluation(task, versions={**VERSIONS, "torch": "2.14.0"}),
        "transformers": evaluation(task, versions={**VERSIONS, "transformers": "5.24.0"}),
        "device": evaluation(task, device="cuda"),
        "length": evaluation(bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": 64}), data)),
        "batches": evaluation(
            bind_task("pairs", TaskSection.model_validate({"data": "test", "batch_tokens": 512}), data)
        ),
        "data": evaluation(bind_task("pairs", TaskSection(data="train"), data)),
    }
    monkeypatch.setattr(Classification, "version", Classification.version + 1)
    other["version"] = evaluation(bind_task("pairs", TaskSection(data="test"), data))
    monkeypatch.undo()
    monkeypatch.setattr("bench.tasks.spec.WINDOW", 256)
    other["window"] = evaluation(task.model_copy())  # another task of the same fields
    assert len({plain, *other.values()}) == 1 + len(other)


def latency(task: TaskSpec, **changes: Any) -> str:
    values: dict[str, Any] = {
        "artefact_ids": (A, B),
        "names": ("base", "x"),
        "hardware_class": "cpu one",
        "inputs": task,
        "versions": VERSIONS,
        "shapes": ((1, 16),),
        "first_rounds": 40,
        "max_rounds": 320,
        "half_width": 0.02,
        "burst_ms": 50.0,
        "threads": 1,
        **changes,
    }
    return LatencyJob(**values).key


def test_latency_key(task: TaskSpec, data: dict[str, DataSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = latency(task)
    assert latency(task, names=("one", "two")) == plain
    other = {
        "bytes": latency(task, artefact_ids=(A, "c" * 64)),
        "base": latency(task, artefact_ids=(B, A)),
        "hardware": latency(task, hardware_class="cpu two"),
        "versions": latency(task, versions={**VERSIONS, "torch": "2.14.0"}),
        "shape": latency(task, shapes=((1, 32),)),
        "batch": latency(task, shapes=((16, 1),)),
        "shapes": latency(task, shapes=((1, 16), (4, 16))),
        "threads": latency(task, threads=2),
        "lease": latency(task, lease=1),
        "rounds": latency(task, max_rounds=640),
        "first": latency(task, first_rounds=80),
        "width": latency(task, half_width=0.01),
        "burst": latency(task, burst_ms=25.0),
        "inputs": latency(bind_task("x", TaskSection(data="train"), data)),
    }
    monkeypatch.setattr(jobs, "LATENCY_PROTOCOL", jobs.LATENCY_PROTOCOL + 1)
    other["protocol"] = latency(task)
    assert len({plain, *other.values()}) == 1 + len(other)


def test_memory_key(task: TaskSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(**changes: Any) -> str:
        values: dict[str, Any] = {
            "artefact_ids": (A,),
            "names": ("base",),
            "hardware_class": "cpu one",
            "inputs": task,
            "versions": VERSIONS,
            "shape": (1, 16),
            "repeats": 3,
            **changes,
        }
        return MemoryJob(**values).key

    plain = key()
    other = [key(shape=(1, 32)), key(hardware_class="x"), key(repeats=1), key(artefact_ids=(B,)), key(versions={})]
    other.append(key(new_tokens=8))
    assert key(new_tokens=None) == plain
    monkeypatch.setattr(jobs, "MEMORY_PROTOCOL", jobs.MEMORY_PROTOCOL + 1)
    other.append(key())
    assert len({plain, *other, latency(task)}) == 9


def test_build_key_is_the_recipe(task: TaskSpec) -> None:
    first = BuildJob(recipe_id=A, name="x", folder="/one")
    assert first.key == BuildJob(recipe_id=A, name="y", folder="/two", seed=3).key
    assert first.key != BuildJob(recipe_id=B, name="x", folder="/one").key
    assert first.key != digest({"recipe_id": A})  # a job's type is part of its key
    assert first.key != evaluation(task)


def record(job: Any, **outcome: Any) -> Record:
    return Record(
        key=job.key,
        kind=job.kind,
        attempt=1,
        outcome=Finished(**outcome),
        job={"type": type(job).__name__, **job.model_dump(mode="json")},
        started="2026-01-01T00:00:00.000+00:00",
        seconds=1.0,
        worker="here",
    )


def test_a_rebuild_with_other_bytes_starts_with_no_records(tmp_path: Path) -> None:
    """Two nodes may give one recipe different bytes: what is known of the first says nothing about the second."""
    sweep = load_sweep(str(tiny.sweep_file(tmp_path, recipes=[])))
    planner = Planner(sweep, Machine("cpu one", VERSIONS))
    build = planner(Known(), frozenset()).ready()[0].job

    def known(artefact_id: str, evaluated: bool) -> Known:
        found = Known()
        found.add(record(build, artefact_id=artefact_id))
        if evaluated:
            for planned in planner(found, frozenset()).ready():
                if planned.job.kind == "evaluate":
                    found.add(record(planned.job))
        return found

    first = known(A, evaluated=True)
    assert not [p for p in planner(first, frozenset()).ready() if p.job.kind == "evaluate"]
    second = known(B, evaluated=False)
    second.finished.update({k: r for k, r in first.finished.items() if r.kind == "evaluate"})
    again = [p.job for p in planner(second, frozenset()).ready() if p.job.kind == "evaluate"]
    assert [job.artefact_id for job in again if isinstance(job, EvaluateJob)] == [B]
