"""A driver in a process of its own, to be killed: `python -m tests.cluster.driver STORE local|ray [ADDRESS]`.

Says "ready" and whose code it runs when everything is imported and connected, and takes the store when it is told to go
on. Ends with 0 when the sweep is finished, which takes seconds until the file `hurried` is there; 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import bench
from cluster import ray_settings

ray_settings.apply()

from cluster.drive import drive  # noqa: E402
from cluster.plan import Plan  # noqa: E402
from tests.cluster.jobs import Act  # noqa: E402
from tests.cluster.listed import Listed  # noqa: E402
from tests.cluster.places import local_place, ray_place  # noqa: E402

JOBS = 80  # of which most are left, however late a blow falls
ATTEMPTS = 8  # three workers are killed, and it may be the same job's each time


def hurried(root: Path) -> Path:
    """The file that, once it is there, has what is left of a store's sweep done at once."""
    return root.with_name("hurried")


def jobs(root: Path, count: int = JOBS) -> list[Act]:
    """The sweep: jobs of a fifth of a second or so."""
    rng = random.Random(20)
    told: dict[str, Any] = {"driver": os.getpid(), "does": "sleep until told", "notes": str(hurried(root))}
    return [Act(name=f"job {i:03d}", seconds=rng.uniform(0.08, 0.32), **told) for i in range(count)]


def watch(plan: Plan, use: object) -> dict[str, Any]:
    return {"done": plan.count("done")}


def main() -> None:
    root, runner, *address = sys.argv[1:]
    if runner == "ray":
        from cluster import runner_ray

        runner_ray.start(address[0])
    print(f"ready {Path(bench.__file__).parents[1]}", flush=True)
    sys.stdin.readline()
    opens = ray_place if runner == "ray" else local_place
    try:
        with opens(Path(root)) as place:
            for record in drive(Listed(jobs(Path(root)), ATTEMPTS), place.known, place, watch):
                if runner == "local":  # where this process is the writer, a record in its hands is an acknowledged one
                    note_acknowledged(Path(root), record.identity)
    except KeyboardInterrupt:
        sys.exit(130)


def note_acknowledged(root: Path, identity: str) -> None:
    with (root / "logs" / f"acknowledged-{os.getpid()}.log").open("a") as log:
        log.write(f"{identity}\n")


if __name__ == "__main__":
    main()
