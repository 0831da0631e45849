"""Jobs that say when and where they begin, in a folder that all hosts share: what is run twice is seen."""

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.execute import Done, Site
from bench.job import Job
from tests.cluster.jobs import Act, act


@dataclass(frozen=True)
class Begun:
    """An attempt at a job that a worker has begun."""

    key: str
    host: str
    pid: int  # as its host numbers it
    at: float  # seconds since the epoch


def sweep(count: int, seed: int, longest: float, notes: Path) -> list[Act]:
    """Jobs of up to `longest` seconds, a fifth of it at least; they note in the folder `notes` that they begin."""
    rng = random.Random(seed)
    return [
        Act(name=f"job {i:04d}", driver=0, seconds=rng.uniform(longest / 5, longest), notes=str(notes))
        for i in range(count)
    ]


def hurried(notes: Path) -> Path:
    """The file that, once it is there, has what is left of a sweep done at once."""
    return notes / "hurried"


def visit(job: Job, site: Site) -> Done:
    """Say that the job has begun, then do it: at once where the sweep is to end."""
    assert isinstance(job, Act)
    if hurried(Path(job.notes)).exists():
        job = job.model_copy(update={"seconds": 0.0})
    host, pid = socket.gethostname(), os.getpid()
    with (Path(job.notes) / f"begun-{host}-{pid}.log").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"key": job.key, "host": host, "pid": pid, "at": time.time()}) + "\n")
    return act(job, site)


def begun(notes: Path) -> Iterator[Begun]:
    """Every attempt that has begun so far, in no order."""
    from tests.cluster.places import whole_lines  # which brings planning along, and workers import this file

    for log in notes.glob("begun-*.log"):
        yield from (Begun(**json.loads(line)) for line in whole_lines(log))
