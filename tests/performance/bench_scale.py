"""What does a job cost the driver, and how much memory, in sweeps of 1,000 to 100,000 jobs?

`python -m tests.performance.bench_scale [jobs ...]`. The plan is the real one, of a real sweep file over a tiny model;
workers are replaced by a pool whose jobs end at once, so what is left is what the driver does. A run is timed without
what the pool itself spends on making up records. Each size runs in a process of its own; memory is what it grew by.
"""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench.identity import digest
from bench.job import BuildJob, Job, MeasureJob
from bench.record import Conditions, Finished, Record, Value
from bench.store.journal import Entry
from bench.sweep import Sweep, load_sweep
from bench.tasks.spec import WINDOW
from cluster.drive import Running, drive
from cluster.estimates import Estimates
from cluster.plan import Planner
from cluster.progress import Progress, Use
from cluster.standing import Known, Machine
from tests import tiny
from tests.performance.bench_int8_linear import cpu_name

SIZES = (1_000, 10_000, 100_000)
WINDOWS = 64  # of the task: 8 jobs a variant after the looks of a race
IN_FLIGHT = 128  # two for each of 64 CPUs
MACHINE = Machine("a class | 1 of 2", {"torch": "2", "transformers": "5"})
CONDITIONS = Conditions(hardware_class=MACHINE.hardware_class, device="cpu", host="h", threads=1, versions={})


def sweep_of(jobs: int, folder: Path, **changes: object) -> tuple[Sweep, float]:
    """A sweep of about so many jobs, and the seconds that reading it took. `changes` replace keys of the file."""
    variants = max(2, jobs // 13)
    file = tiny.sweep_file(
        folder,
        recipes=[[{"finetune": {"data": "train", "learning_rate": 1e-3}}]],
        seeds=list(range(variants)),
        memory={"repeats": 1},
        race={"on": False},
        **changes,
    )
    begin = time.perf_counter()
    sweep = load_sweep(str(file))
    seconds = time.perf_counter() - begin
    tasks = tuple(task.model_copy(update={"examples": WINDOWS * WINDOW}) for task in sweep.tasks)
    return replace(sweep, tasks=tasks), seconds


class AtOnce:
    """A pool whose jobs end at once; counts the seconds that it spends itself."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.jobs = 0
        self._ended: list[tuple[Job, int]] = []

    def takes(self, job: Job) -> bool:
        return len(self._ended) < (1 if job.exclusive else IN_FLIGHT)

    def submit(self, job: Job, attempt: int) -> None:
        self._ended.append((job, attempt))

    def wait(self, seconds: float) -> list[Record]:
        begin = time.perf_counter()
        ended, self._ended = self._ended, []
        self.jobs += len(ended)
        records = [finished(job, attempt) for job, attempt in ended]
        self.spent += time.perf_counter() - begin
        return records

    def utilisation(self) -> Use:
        return {}

    def running(self) -> list[Running]:
        return []

    def state(self, entries: list[Entry]) -> None:
        pass

    def report(self, progress: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


def finished(job: Job, attempt: int) -> Record:
    """A record as a worker would give it, with a ratio where two leases must agree."""
    values: tuple[Value, ...] = ()
    if isinstance(job, MeasureJob):
        values = tuple(Value.exact(a, "latency_ratio", 1.0, "batch 1 x 16 tokens") for a in job.artefact_ids)
    return Record.model_construct(
        key=job.key,
        kind=job.kind,
        attempt=attempt,
        outcome=Finished(
            artefact_id=digest(job.key) if isinstance(job, BuildJob) else None,
            values=values,
            notes={"examples": WINDOW, "seconds": 1.0},
        ),
        job=job.described(),
        started="2026-01-01T00:00:00.000+00:00",
        seconds=1.0,
        worker="host:1",
        conditions=CONDITIONS,
    )


def conditions() -> str:
    """The day, the machine and how busy it is, for the line above a table."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; CPU {cpu_name()}, {os.cpu_count()} CPUs; Python {platform.python_version()}; "
        f"load average before {os.getloadavg()[0]:.1f}"
    )


def resident() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


def one(jobs: int) -> None:
    """Measure one size; prints a row."""
    with tempfile.TemporaryDirectory() as folder:
        sweep, reading = sweep_of(jobs, Path(folder))
        before = resident()
        begin = time.perf_counter()
        planner, known = Planner(sweep, MACHINE), Known()
        first = planner(known, frozenset())
        cold = time.perf_counter() - begin
        del first
        from rich.console import Console

        pool, progress = AtOnce(), Progress(Console(quiet=True), slots=64)
        progress.started(planner(known, frozenset()), Estimates())
        begin = time.perf_counter()
        for _ in drive(planner, known, pool, progress.watch):
            pass
        driving = time.perf_counter() - begin - pool.spent
        grown = resident() - before
        begin = time.perf_counter()
        plan = planner(known, frozenset())
        hot = time.perf_counter() - begin
        begin = time.perf_counter()
        again = Planner(sweep, MACHINE)(known, frozenset())
        resumed = time.perf_counter() - begin
        assert plan.count("done") == len(plan.jobs) == pool.jobs == len(again.jobs)
        print(
            f"| {pool.jobs:,} | {len(sweep.recipes):,} | {reading:.1f} | {cold:.2f} | {resumed:.2f} "
            f"| {hot * 1e3:.0f} | {driving / pool.jobs * 1e3:.3f} | {grown / pool.jobs / 1e3:.2f} |",
            flush=True,
        )


def main() -> None:
    """Print the table; arguments are numbers of jobs."""
    if sys.argv[1:2] == ["--one"]:
        one(int(sys.argv[2]))
        return
    sizes = [int(a) for a in sys.argv[1:]] or SIZES
    print(
        f"{conditions()}\n\n| jobs | variants | reading the sweep, s | first plan, s | plan of a resumed sweep, s "
        "| plan with all done, ms | driver, ms a job | memory, kB a job |\n|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for size in sizes:
        subprocess.run([sys.executable, "-m", "tests.performance.bench_scale", "--one", str(size)], check=True)


if __name__ == "__main__":
    main()
