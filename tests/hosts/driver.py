"""A driver on a host: `python -m tests.hosts.driver STORE ADDRESS COUNT SEED LONGEST [--take-over]`.

Runs `tests.hosts.work.sweep` on the cluster at ADDRESS. Exit code 0 when the sweep is finished, 2 after a sentence.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cluster import ray_settings

ray_settings.apply()

from bench.errors import BadInput, ClusterLost, DiskFull, StaleLease  # noqa: E402
from cluster.drive import drive  # noqa: E402
from cluster.plan import Plan  # noqa: E402
from tests.cluster.listed import Listed  # noqa: E402
from tests.cluster.places import ray_place  # noqa: E402
from tests.hosts.work import sweep, visit  # noqa: E402

ATTEMPTS = 12  # many blows may fall on the same job


def main() -> int:
    store, address, count, seed, longest, *options = sys.argv[1:]
    from cluster import runner_ray

    root = Path(store)
    jobs = sweep(int(count), int(seed), float(longest), notes_of(root))
    try:
        runner_ray.start(address)
        with ray_place(root, run=visit, take_over="--take-over" in options) as place:
            for record in drive(Listed(jobs, ATTEMPTS), place.known, place, _progress):
                print(record.key, record.outcome.status, flush=True)
    except (BadInput, ClusterLost, DiskFull, StaleLease) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


def notes_of(root: Path) -> Path:
    """The folder in which the jobs of a store's sweep say that they begin."""
    folder = root.with_name(f"{root.name}-begun")
    folder.mkdir(exist_ok=True)
    return folder


def _progress(plan: Plan, use: object) -> dict[str, int]:
    return {"done": plan.count("done")}


if __name__ == "__main__":
    sys.exit(main())
