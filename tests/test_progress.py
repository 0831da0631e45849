"""The progress display: counts and time left from the plan alone, and names that are drawn as they are written."""

import io

import pytest
from rich.console import Console

from bench.job import BuildJob, LatencyJob, MemoryJob
from bench.record import Finished, Record
from bench.tasks.spec import TaskSpec
from cluster.plan import Expected, Plan
from cluster.progress import Progress, clock, job_kind
from cluster.standing import Planned, Status

BUILD = BuildJob(recipe_id="a" * 64, name="x [/] [red]y[/red] [b", folder="/x")


def terminal(width: int = 120) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=width, force_terminal=False), text


def plan(*statuses: Status, expected: tuple[Expected, ...] = ()) -> Plan:
    jobs = tuple(Planned(BUILD, status) for status in statuses)
    return Plan(jobs, expected)


def record(seconds: float) -> Record:
    return Record(
        key=BUILD.key,
        kind="build",
        attempt=1,
        outcome=Finished(),
        job={"type": "BuildJob"},
        started="2026-01-01T00:00:00.000+00:00",
        seconds=seconds,
        worker="here",
    )


def test_names_are_no_markup() -> None:
    """A variant may be called anything; a bracket must neither vanish nor end the run."""
    console, text = terminal()
    with Progress(console, slots=1) as progress:
        progress.started(plan("running"))
    assert BUILD.title in text.getvalue()
    assert "x [/] [red]y[/red] [b" in BUILD.title


def test_a_run_that_never_began_leaves_nothing() -> None:
    console, text = terminal()
    with pytest.raises(ValueError, match="wrong"), Progress(console, slots=1):
        raise ValueError("wrong")
    assert text.getvalue() == ""


def test_counts_and_what_is_published() -> None:
    progress = Progress(terminal()[0], slots=2)
    found = progress.watch(plan("done", "running", "ready", "waiting", "failed", expected=(Expected("evaluate", 3),)))
    assert (found["done"], found["running"], found["failed"], found["open"]) == (1, 1, 1, 5)
    assert found["now"] == [BUILD.title]
    assert found["seconds_left"] % 5 == 0


def test_time_left_is_learnt() -> None:
    progress = Progress(terminal()[0], slots=2)
    guess = progress.seconds_left(plan("ready", "ready"))
    for seconds in (2.0, 4.0):
        progress.took(record(seconds))
    assert progress.seconds_left(plan("ready", "ready")) == pytest.approx(3.0) != guess
    assert progress.seconds_left(plan("ready", "ready", "running")) == pytest.approx(3.75)
    assert progress.seconds_left(plan("done", "failed")) == 0
    alone = Plan((), (Expected("latency", 2), Expected("evaluate", 2)))
    assert progress.seconds_left(alone) == 2 * 60 + 10  # latency has its node for itself


def test_kinds_and_clock() -> None:
    assert job_kind(BUILD) == "build"
    empty = TaskSpec.model_construct()
    assert job_kind(LatencyJob.model_construct(inputs=empty)) == "latency"
    assert job_kind(MemoryJob.model_construct(inputs=empty)) == "memory"
    assert [clock(s) for s in (0, 59.9, 61, 3600, 7325)] == ["0:00", "0:59", "1:01", "1:00:00", "2:02:05"]
