"""Times are learned from jobs that are alike on machines that are alike, the closest likeness first."""

from __future__ import annotations

import pytest

from bench.data import DataSpec
from bench.job import BuildJob, EvaluateJob, Job, LatencyJob, MemoryJob, StudyJob
from bench.record import Conditions, Failed, Finished, Record
from bench.tasks.spec import TaskSpec
from cluster.estimates import FIRST_GUESS, Estimate, Estimates, Times, kind_of
from cluster.forecast import forecast
from cluster.plan import Expected, Plan
from cluster.standing import Planned, Slice

HERE, THERE = "CPU A | avx2 | 1 of 2 CPUs | torch 2.13", "CPU B | avx2 | 1 of 2 CPUs | torch 2.13"
TASK = TaskSpec(
    name="nli",
    kind="classification",
    settings={"batch_tokens": 512},
    data=DataSpec(source="zoo://entailment"),
    data_id="d",
    version=1,
    labels=("a", "b"),
    examples=1200,
)


def build(step: str | None = "cast", **settings: object) -> BuildJob:
    return BuildJob(recipe_id="r", name="n", step=step, settings=settings)


def evaluate(artefact: str = "a", first: int = 0, last: int = 2) -> EvaluateJob:
    return EvaluateJob(artefact_id=artefact, name="n", task=TASK, first=first, last=last, versions={})


def lease(models: int = 2, rounds: int = 40) -> LatencyJob:
    return LatencyJob(
        artefact_ids=tuple(map(str, range(models))),
        names=tuple(map(str, range(models))),
        hardware_class=HERE,
        inputs=TASK,
        versions={},
        shapes=((1, 32),),
        first_rounds=rounds,
        max_rounds=320,
        half_width=0.02,
        burst_ms=50.0,
        threads=1,
    )


def took(job: Job, seconds: float, where: str = HERE, **notes: int) -> Record:
    return Record(
        key=job.key,
        kind=job.kind,
        attempt=1,
        outcome=Finished(notes=dict(notes)),
        job=job.described(),
        started="2026-01-01",
        seconds=seconds,
        worker="w",
        conditions=Conditions(hardware_class=where, device="cpu", host="h", threads=1, versions={}),
    )


def test_before_anything_is_seen_there_are_guesses() -> None:
    found = Times().on(HERE)
    assert found.of(build()) == Estimate(FIRST_GUESS["build"], learned=False)
    assert found.usual("memory") == Estimate(FIRST_GUESS["memory"], learned=False)
    assert found.of(lease(4)).seconds > found.of(lease(2)).seconds > 2 * 40 * 2 * 0.05


def test_the_closest_likeness_counts() -> None:
    times = Times()
    for seconds in (9.0, 10.0, 50.0):
        times.learn(took(build("cast", dtype="bf16"), seconds))
    times.learn(took(build("cast", dtype="fp16"), 100.0))
    found = times.on(HERE)
    assert found.of(build("cast", dtype="bf16")) == Estimate(10.0, learned=True)
    assert found.of(build("cast", dtype="fp16")) == Estimate(100.0, learned=True)
    assert found.of(build("cast", dtype="fp8")) == Estimate(30.0, learned=True)  # the median of the step's
    assert not found.of(build("finetune")).learned
    assert found.usual("build") == Estimate(30.0, learned=True)


def test_an_evaluation_is_counted_in_examples() -> None:
    times = Times()
    times.learn(took(evaluate("a", 0, 1), 5.12, examples=512))
    found = times.on(HERE)
    assert found.of(evaluate("a", 1, 2)) == Estimate(5.12, learned=True)
    assert found.of(evaluate("other", 0, 2)).seconds == pytest.approx(10.24)
    assert found.of(evaluate("a", 0, 9)).seconds == pytest.approx(12.0)  # the task has no more


def test_a_lease_is_counted_in_bursts_and_memory_in_models() -> None:
    times = Times()
    times.learn(took(lease(2, 40), 16.0))
    found = times.on(HERE)
    assert found.of(lease(4, 80)) == Estimate(64.0, learned=True)
    memory = MemoryJob(
        artefact_ids=("a", "b"),
        names=("a", "b"),
        hardware_class=HERE,
        inputs=TASK,
        versions={},
        shape=(1, 8),
        repeats=3,
    )
    times.learn(took(memory, 12.0))
    assert found.of(memory.model_copy(update={"repeats": 6})).seconds == pytest.approx(24.0)


def test_another_machine_teaches_nothing_and_another_count_of_threads_does() -> None:
    times = Times()
    times.learn(took(build(), 40.0, THERE))
    assert not times.on(HERE).of(build()).learned
    assert times.on(HERE.replace("1 of 2", "2 of 2"), THERE).of(build()) == Estimate(40.0, learned=True)


def test_what_cannot_be_learned_from_is_left_aside() -> None:
    times = Times()
    record = took(build(), 40.0)
    failed = Failed(stage="build", kind="bug", reason="r")
    times.learn(record.model_copy(update={"outcome": failed}))
    times.learn(record.model_copy(update={"conditions": None}))
    times.learn(record.model_copy(update={"job": {"type": "OldJob"}}))
    assert not times.on(HERE).of(build()).learned


def test_kinds() -> None:
    study = StudyJob(
        artefact_id="a",
        name="n",
        step="s",
        version=1,
        settings={},
        question="q",
        asked={},
        data={},
        tasks={},
        versions={},
    )
    jobs: list[Job] = [build(), study, evaluate(), lease()]
    assert [kind_of(job) for job in jobs] == ["build", "study", "evaluate", "latency"]


def test_a_forecast_shares_cpus_but_not_for_leases() -> None:
    times = Times()
    times.learn(took(build(), 10.0))
    times.learn(took(evaluate("a", 0, 1), 5.12, examples=512))
    times.learn(took(lease(), 30.0))
    found = times.on(HERE)
    half = Slice(0, 1, "k" * 64)
    jobs = (
        Planned(build(), "ready"),
        Planned(build(), "running"),
        Planned(build(), "done"),
        Planned(evaluate(), "waiting", 1, half),
        Planned(lease(), "waiting"),
    )
    ahead = forecast(Plan(jobs, ()), found, slots=2)
    assert ahead.seconds == pytest.approx((10 + 5 + 5.12) / 2 + 30)
    assert (ahead.jobs, ahead.learned, ahead.gpu_seconds) == (4, 4, 0.0)
    more = forecast(
        Plan((), (Expected("latency", 2), Expected("evaluate", 3, gpu=True), Expected("memory", 1))), found, 1
    )
    assert more.seconds == pytest.approx(60 + 3 * 5.12 + FIRST_GUESS["memory"])
    assert (more.jobs, more.learned) == (6, 5)
    assert more.gpu_seconds == pytest.approx(3 * 5.12)


def test_jobs_on_a_gpu_are_counted_apart() -> None:
    job = evaluate().model_copy(update={"device": "cuda"})
    assert forecast(Plan((Planned(job, "ready"),), ()), Estimates(), 4).gpu_seconds == FIRST_GUESS["evaluate"]
