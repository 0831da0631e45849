"""What a cluster says of itself: `python -m tests.hosts.look ADDRESS`, on one of its hosts.

Answers every line that it reads with one line of JSON, until there are no more.
"""

from __future__ import annotations

import json
import sys

from cluster import ray_settings

ray_settings.apply()


def main() -> None:
    import ray

    from cluster import runner_ray

    runner_ray.start(sys.argv[1])
    for _ in sys.stdin:
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        found = {
            "alive": sorted(node["NodeManagerHostname"] for node in nodes if node["Alive"]),
            "total": ray.cluster_resources(),  # type: ignore[no-untyped-call]
            "free": ray.available_resources(),  # type: ignore[no-untyped-call]
            "actors": [a["name"] for a in ray.util.list_named_actors(all_namespaces=True)],
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
