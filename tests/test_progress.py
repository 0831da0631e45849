"""The progress display: counts and time left from the plan alone, and names that are drawn as they are written."""

import io

import pytest
from rich.console import Console

from bench.job import BuildJob
from bench.record import Conditions, Finished, Record
from cluster.estimates import Estimates, Times
from cluster.plan import Expected, Plan
from cluster.progress import Progress, clock
from cluster.standing import Planned, Status

BUILD = BuildJob(recipe_id="a" * 64, name="x [/] [red]y[/red] [b", folder="/x")


def terminal(width: int = 120) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=width, force_terminal=False), text


def plan(*statuses: Status, expected: tuple[Expected, ...] = ()) -> Plan:
    jobs = tuple(Planned(BUILD, status) for status in statuses)
    return Plan(jobs, expected)


def ready(count: int) -> Plan:
    return Plan(tuple(Planned(BUILD, "ready") for _ in range(count)), ())


def record(seconds: float) -> Record:
    return Record(
        key=BUILD.key,
        kind="build",
        attempt=1,
        outcome=Finished(),
        job=BUILD.described(),
        started="2026-01-01T00:00:00.000+00:00",
        seconds=seconds,
        worker="here",
        conditions=Conditions(hardware_class="a CPU | 1 of 2", device="cpu", host="h", threads=1, versions={}),
    )


def test_names_are_no_markup() -> None:
    """A variant may be called anything; a bracket must neither vanish nor end the run."""
    console, text = terminal()
    with Progress(console, slots=1) as progress:
        progress.started(plan("running"), Estimates())
    assert BUILD.title in text.getvalue()
    assert "x [/] [red]y[/red] [b" in BUILD.title


def test_a_run_that_never_began_leaves_nothing() -> None:
    console, text = terminal()
    with pytest.raises(ValueError, match="wrong"), Progress(console, slots=1):
        raise ValueError("wrong")
    assert text.getvalue() == ""


def test_counts_and_what_is_published() -> None:
    progress = Progress(terminal()[0], slots=2)
    found = progress.watch(
        plan("done", "running", "ready", "waiting", "failed", expected=(Expected("evaluate", 3),)), {}
    )
    assert (found["done"], found["running"], found["failed"], found["open"]) == (1, 1, 1, 5)
    assert found["now"] == [BUILD.title]
    assert found["seconds_left"] % 5 == 0


def test_time_left_follows_the_estimates() -> None:
    times = Times()
    progress = Progress(terminal()[0], slots=2)
    progress.started(plan("ready"), times.on("a CPU | 1 of 2"))
    guess = progress.watch(ready(20), {})["seconds_left"]
    times.learn(record(40.0))
    assert progress.watch(ready(20), {})["seconds_left"] == 400 != guess


def test_nodes_are_named_while_they_are_few_and_their_cpus_share_the_work() -> None:
    console, text = terminal()
    use = {"a": (1.5, 2.0), "b": (0.0, 2.0)}
    with Progress(console, slots=1) as progress:
        progress.started(ready(4), Estimates())
        alone = progress.watch(ready(4), {})["seconds_left"]
        found = progress.watch(ready(4), use)
    assert found["nodes"] == {"a": [1.5, 2.0], "b": [0.0, 2.0]}
    assert found["seconds_left"] == alone / 4
    assert "a 1.5/2  b 0/2" in text.getvalue()
    console, text = terminal()
    with Progress(console, slots=1) as progress:
        progress.started(ready(1), Estimates())
        progress.watch(ready(1), {f"n{i}": (1.0, 4.0) for i in range(64)})
    assert "64 nodes, 64 of 256 CPUs" in text.getvalue()


def test_pace_is_counted_over_the_last_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [0.0]
    monkeypatch.setattr("cluster.progress.time.monotonic", lambda: moment[0])
    progress = Progress(terminal()[0], slots=1)
    progress.started(plan("ready"), Estimates())
    found = []
    for done, now in ((10, 60.0), (10, 120.0), (10, 240.0), (40, 300.0)):
        moment[0] = now
        ended = Plan(tuple(Planned(BUILD, "done") for _ in range(done)), ())
        found.append(progress.watch(ended, {})["a_minute"])
    assert found == [10.0, 5.0, 0.0, 10.0]


def test_clock() -> None:
    assert [clock(s) for s in (0, 59.9, 61, 3600, 7325)] == ["0:00", "0:59", "1:01", "1:00:00", "2:02:05"]
