"""Random kills in seeded sweeps on a cluster of hosts: `python -m tests.chaos [--blows 200] [--folder F] [--out FILE]`.

Wants root and the machine for itself for about an hour. Sweeps that are in the folder already are not run again, so an
interrupted run goes on where it was. Ends with 1 where a record was lost or doubled, or a sweep stood still for good.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.report import PROMISES, markdown
from tests.chaos.sweeps import NotRecovered, Under
from tests.hosts.clusters import cluster_of
from tests.hosts.machines import why_not

WORKERS = ("w1", "w2")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blows", type=int, default=200, help="how many at least")
    parser.add_argument(
        "--folder", type=Path, default=Path("results/scratch/chaos"), help="where sweeps and notes are kept"
    )
    parser.add_argument("--out", type=Path, default=None, help="write the table here too")
    asked = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"Chaos needs hosts, and {reason}.", file=sys.stderr)
        return 2
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    done, failures = folder / "sweeps.jsonl", folder / "failures.jsonl"
    while sum(len(sweep["blows"]) for sweep in read(done)) < asked.blows:
        strike_on_a_cluster(folder, done, failures, asked.blows)
    sweeps, failed = read(done), [failure["what"] for failure in read(failures)]
    page = markdown(sweeps, failed, commit=commit(), date=f"{datetime.now(UTC):%Y-%m-%d}")
    print(page)
    if asked.out:
        asked.out.write_text(page, encoding="utf-8")
    return 1 if failed or any(sweep[name] for sweep in sweeps for name in PROMISES) else 0


def strike_on_a_cluster(folder: Path, done: Path, failures: Path, most: int) -> None:
    """Sweep after sweep on one cluster, until the blows are enough or a sweep stands still."""
    hosts = folder / "hosts"
    shutil.rmtree(hosts, ignore_errors=True)
    hosts.mkdir()
    with cluster_of(hosts, WORKERS) as cluster:
        while True:
            left = most - sum(len(sweep["blows"]) for sweep in read(done))
            if left <= 0:
                return
            seed = 1 + len(read(done)) + len(read(failures))
            root = folder / f"store-{seed}"
            for old in (root, root.with_name(f"{root.name}-begun")):
                shutil.rmtree(old, ignore_errors=True)
            under = Under(cluster, root, seed)
            try:
                found = under.run(left)
            except NotRecovered as error:
                what, said = error.args
                write(failures, {"seed": seed, "what": what, "driver": said, "logs": cluster.logs()})
                print(what, flush=True)
                return
            write(done, found)
            said = {name: value for name, value in found.items() if name != "blows"}
            print(f"{datetime.now(UTC):%H:%M:%S} {len(found['blows'])} blows, {said}", flush=True)


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def write(file: Path, line: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
