"""The wait for a GPU's memory to come back, on readings that are made up."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from bench import execute
from bench.errors import Contaminated
from bench.execute import Done, Site
from bench.job import BuildJob, EvaluateJob, Job, LatencyJob, MemoryJob
from bench.measure import baseline, nvml, pinning
from bench.measure.baseline import (
    PATIENCE,
    PAUSE,
    SLACK,
    STEADY,
    await_baseline,
    await_given_back,
    await_predecessors,
    returns_to_baseline,
)
from bench.record import Finished
from tests.bench.measure.readings import QUIET, ScriptedGpu

BEFORE = 500 * 2**20


class Clock:
    """Moves only when someone sleeps."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def waited(*readings: int | None) -> float:
    clock = Clock()
    following: Iterator[int | None] = iter(readings)
    return await_baseline(lambda: next(following), BEFORE, "cuda:1", clock.now, clock.sleep)


def test_memory_that_is_back_ends_the_lease_at_once() -> None:
    assert waited(BEFORE) == 0
    assert waited(BEFORE + SLACK) == 0
    assert waited(BEFORE - SLACK) == 0


def test_a_process_that_is_still_being_cleaned_up_is_waited_for() -> None:
    assert waited(BEFORE + 2**34, BEFORE + SLACK + 1, BEFORE) == pytest.approx(2 * PAUSE)


def test_a_device_that_no_longer_tells_ends_the_wait() -> None:
    assert waited(BEFORE + 2**34, None) == pytest.approx(PAUSE)


def test_memory_that_stays_away_spoils_the_measurement() -> None:
    clock = Clock()
    with pytest.raises(Contaminated, match=r"^30 s after the measurement cuda:1 still holds 1,074 MB more than before"):
        await_baseline(lambda: BEFORE + 2**30, BEFORE, "cuda:1", clock.now, clock.sleep)
    assert PATIENCE < clock.time - 100.0 < PATIENCE + 3 * PAUSE


def test_the_cpu_needs_no_wait() -> None:
    with returns_to_baseline("cpu"):
        pass


def given_back(*readings: int | None) -> tuple[int, float]:
    """What the wait for others ends with, on readings of which the last stays, and the seconds that it took."""
    clock = Clock()
    left = list(readings)
    found = await_given_back(lambda: left.pop(0) if len(left) > 1 else left[0], BEFORE, clock.now, clock.sleep)
    return found, clock.time - 100.0


def test_a_device_at_its_baseline_is_taken_at_once() -> None:
    assert given_back(BEFORE + SLACK) == (BEFORE, 0)
    assert given_back(BEFORE - 1) == (BEFORE - 1, 0)  # which is the baseline from now on
    assert given_back(None) == (BEFORE, 0)


def test_memory_of_a_process_that_has_ended_is_waited_for() -> None:
    found, seconds = given_back(BEFORE + 2**34, BEFORE + 2**33, BEFORE)
    assert (found, round(seconds, 6)) == (BEFORE, 2 * PAUSE)
    slow = [BEFORE + 2**34 - n * 2**30 // 2 for n in range(4 * int(STEADY / PAUSE))]  # it falls for longer than STEADY
    assert given_back(*slow, BEFORE)[1] == pytest.approx(len(slow) * PAUSE)


def test_memory_of_the_living_is_not_waited_for() -> None:
    """Other evaluations on the same card, or a stranger: what stays is theirs, and small falls are no cleaning up."""
    _, seconds = given_back(BEFORE + 2**34)
    assert STEADY <= seconds < STEADY + 2 * PAUSE
    restless = [BEFORE + 2**34 - n * SLACK // 16 for n in range(200)]
    assert given_back(*restless)[1] < 3 * STEADY


def test_what_falls_for_ever_is_waited_for_until_patience_ends() -> None:
    endless = [BEFORE + 2**40 - n * 2 * SLACK for n in range(1000)]
    assert PATIENCE <= given_back(*endless)[1] < PATIENCE + 2 * PAUSE


def test_the_least_that_was_read_is_the_baseline_of_the_jobs_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAREDOWN_CACHE", str(tmp_path))
    monkeypatch.setattr(baseline, "PAUSE", 0.0)
    monkeypatch.setattr(baseline, "STEADY", 0.05)

    def looks(*used: int | None) -> int:
        """How often a job looks at a device that holds so much."""
        gpu = ScriptedGpu([replace(QUIET, used_bytes=each) for each in used])
        monkeypatch.setattr(nvml, "open_gpu", lambda device: gpu)
        await_predecessors("cuda:0")
        return gpu.asked

    assert looks(BEFORE) == 2  # nothing is known yet: what is there is taken for the baseline
    assert looks(BEFORE + 2**34, BEFORE + 2**33, BEFORE) == 3
    assert looks(BEFORE // 2) == 2
    assert looks(BEFORE) > 2  # which is above it now: somebody has come to stay
    assert looks(None) == 1
    (note,) = (tmp_path / "devices").iterdir()
    assert int(note.read_text()) == BEFORE // 2
    monkeypatch.setattr(baseline, "BOOT", tmp_path / "another")  # the machine was started anew
    assert looks(BEFORE) == 2
    note.with_name("damaged").write_text("x")
    monkeypatch.setattr(baseline, "_note_of", lambda uuid: note.with_name("damaged"))
    assert looks(BEFORE) == 2
    monkeypatch.setattr(baseline, "_note_of", lambda uuid: note / "below a file")
    assert looks(BEFORE) == 2  # nothing can be kept there


@pytest.mark.parametrize("kind", [EvaluateJob, LatencyJob, MemoryJob])
def test_every_job_on_a_gpu_waits_before_it_begins(
    kind: type[Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the one place that both runners go through; jobs of the CPU look at no device."""
    seen: list[str] = []

    def begin(job: Job, site: Site) -> Done:
        del job, site
        seen.append("begins")
        return Done(Finished())

    monkeypatch.setattr(pinning, "beside", lambda *_: nullcontext())
    monkeypatch.setattr(baseline, "await_predecessors", seen.append)
    monkeypatch.setattr(execute, "_execute", begin)
    execute.execute(kind.model_construct(device="cuda:1"), Site(tmp_path))
    execute.execute(kind.model_construct(device="cpu"), Site(tmp_path))
    execute.execute(BuildJob(recipe_id="r", name="n"), Site(tmp_path))
    assert seen == ["cuda:1", "begins", "begins", "begins"]
