"""What do a journal, a plan and a record a job cost beside plain Ray? Jobs that do nothing, on one machine.

`python -m tests.performance.bench_ray [jobs]`. Plain Ray: tasks that return at once, as many in flight as our pool
keeps, and then all at once. Ours: the same through the Ray runner and through the local one, where each job's record
is durable in the store before it counts. In turns, medians of three; a cluster of this machine's CPUs.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from cluster import ray_settings

ray_settings.apply()

import ray  # noqa: E402 - reads its settings when it is imported

from cluster import runner_ray  # noqa: E402
from cluster.drive import drive  # noqa: E402
from tests.cluster.jobs import sleeps  # noqa: E402
from tests.cluster.listed import Listed  # noqa: E402
from tests.cluster.places import Opens, local_place, ray_place  # noqa: E402
from tests.performance.bench_int8_linear import cpu_name  # noqa: E402

JOBS = 1000
TURNS = 3
IN_FLIGHT = 2 * (os.cpu_count() or 1)


def nothing() -> None:
    """A task that is over when it begins."""


def plain(jobs: int, most: int) -> float:
    """Seconds for so many tasks of plain Ray, at most so many in flight."""
    task = ray.remote(nothing)
    begin = time.perf_counter()
    flying: list[Any] = []
    for _ in range(jobs):
        if len(flying) >= most:
            _, flying = ray.wait(flying, num_returns=1)
        flying.append(task.remote())
    ray.get(flying)
    return time.perf_counter() - begin


def ours(opens: Opens, folder: Path, jobs: int) -> float:
    """Seconds for so many jobs through a runner, the writer's start and end left out."""
    with opens(folder / f"store-{time.time_ns()}") as place:
        begin = time.perf_counter()
        count = sum(r.finished for r in drive(Listed(sleeps(jobs, 0.0)), place.known, place, lambda *_: {}))
        seconds = time.perf_counter() - begin
    assert count == jobs
    return seconds


def main() -> None:
    """Print the table; the argument is the number of jobs."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    print(
        f"{datetime.now(UTC):%Y-%m-%d}; CPU {cpu_name()}, {os.cpu_count()} CPUs; Python {platform.python_version()}; "
        f"ray {version('ray')}; load average before {os.getloadavg()[0]:.1f}; {jobs:,} jobs, {TURNS} turns\n",
        flush=True,
    )
    runner_ray.start(None)
    with tempfile.TemporaryDirectory() as folder:
        sides: dict[str, Callable[[], float]] = {
            f"plain Ray, {IN_FLIGHT} in flight": partial(plain, jobs, IN_FLIGHT),
            "plain Ray, all at once": partial(plain, jobs, jobs),
            "the Ray runner": partial(ours, ray_place, Path(folder), jobs),
            "the local runner": partial(ours, local_place, Path(folder), jobs),
        }
        plain(100, 100)  # workers start
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(TURNS):
            for name, side in sides.items():
                found[name].append(side())
    ray.shutdown()
    first = next(iter(found.values()))
    print("| side | jobs a second | ms a job | times plain Ray's |\n|---|---|---|---|")
    for name, seconds in found.items():
        ratio = median(mine / theirs for mine, theirs in zip(seconds, first, strict=True))
        middle = median(seconds)
        print(f"| {name} | {jobs / middle:,.0f} | {1e3 * middle / jobs:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
