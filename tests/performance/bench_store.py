"""What a store of many records costs: rebuilding its query form, publishing, opening, asking, and the driver's start.

`python -m tests.performance.bench_store [--records 10000 100000 1000000] [--folder DIR]` makes a store of each size and
prints a Markdown table. Each figure is of one pass in a process of its own; memory is that process's highest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from bench.identity import digest
from bench.record import Conditions, Delivery, Finished, Record, Value
from bench.store.folder import open_folder, take_lease
from bench.store.journal import Entry, Journal, parts
from bench.store.reader import open_snapshot
from bench.store.upkeep import rebuild
from bench.store.writer import Writer
from cluster.known import known_in

SIZES = (10_000, 100_000, 1_000_000)
TOGETHER = 500  # entries of a part, as the writer gathers at most
CONDITIONS = Conditions(
    hardware_class="x86_64, 2 threads, avx512",
    device="cpu",
    host="node-1",
    threads=1,
    versions={"torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.7"},
    details={"load": 0.5, "quota": 2.0, "governor": "performance"},
)


def record(number: int) -> Record:
    """A plausible record: every fourth a build with four numbers, the others evaluations of a window."""
    artefact_id = digest(["artefact", number // 4])
    build = number % 4 == 0
    recipe: dict[str, Any] = {"type": "BuildJob", "recipe_id": digest(["recipe", number // 4]), "step": "layer_copy"}
    window = {"type": "EvaluateJob", "artefact_id": artefact_id, "first": number % 4, "last": number % 4 + 1}
    values = [Value.exact(artefact_id, metric, float(number)) for metric in ("size", "parameters", "layers", "flops")]
    return Record(
        key=digest(["job", number]),
        kind="build" if build else "evaluate",
        attempt=1,
        outcome=Finished(
            artefact_id=artefact_id if build else None,
            values=tuple(values) if build else (),
            notes={"examples": 512, "seconds": 1.5},
        ),
        job=recipe | {"settings": {"decoder": 6}} if build else {**window, "task": {"kind": "classification"}},
        started="2026-01-01T00:00:00.000",
        seconds=1.5,
        worker="node-1:4711",
        conditions=CONDITIONS,
    )


def delivery(number: int) -> Entry:
    return Entry.of(Delivery(record(number)))


@cache
def template(rest: int) -> tuple[tuple[str, ...], str]:
    """(what differs between records of a kind, the text of one)."""
    return differing(rest), record(rest).model_dump_json()


def differing(number: int) -> tuple[str, ...]:
    return digest(["artefact", number // 4]), digest(["recipe", number // 4]), digest(["job", number])


def copied(number: int) -> Entry:
    """As `delivery`, made faster than a million times a model is checked."""
    before, text = template(number % 4)
    for old, new in zip(before, differing(number), strict=True):
        text = text.replace(old, new)
    return Entry("record", digest(["job", number]), text)


def make(root: Path, count: int) -> None:
    """A journal of `count` records."""
    lease = take_lease(open_folder(root, create=True))
    journal = Journal(lease)
    for first in range(0, count, TOGETHER):
        journal.append([copied(number) for number in range(first, min(first + TOGETHER, count))])
    lease.release()


@contextmanager
def writing(root: Path) -> Iterator[Writer]:
    """A writer that is let go of without publishing."""
    lease = take_lease(open_folder(root))
    writer = Writer(lease.folder, lease.epoch)
    try:
        yield writer
    finally:
        writer._connection.close()
        lease.release()


def timed(action: Callable[[], object]) -> None:
    """Both clocks: on a machine that others use too, the processor's time says what the work costs."""
    begin, worked = time.perf_counter(), time.process_time()
    action()
    say(time.process_time() - worked, time.perf_counter() - begin)


def say(*numbers: float) -> None:
    """What the process that is measured tells the one that asks."""
    sys.stdout.write(f"{json.dumps(numbers)}\n")


def rebuilding(root: Path) -> None:
    timed(lambda: rebuild(open_folder(root)))


def publishing(root: Path) -> None:
    """The next snapshot of a store that is open, after one more record: the first has filled what is kept."""
    with writing(root) as writer:
        writer.append([delivery(-1)])
        writer.publish(now=True)
        writer.append([delivery(-2)])
        timed(lambda: writer.publish(now=True))


def starting(root: Path) -> None:
    """What a driver reads before its first job."""
    folder = open_folder(root)
    timed(lambda: known_in(folder))


def opening(root: Path) -> None:
    """Make a writer of a store whose query form is there."""
    lease = take_lease(open_folder(root))
    found: list[Writer] = []
    timed(lambda: found.append(Writer(lease.folder, lease.epoch)))
    found[0]._connection.close()
    lease.release()


def asking(root: Path) -> None:
    """Open the snapshot and count its records by kind and status."""

    def ask() -> None:
        with open_snapshot(root) as snapshot:
            snapshot.rows("select kind, status, count(*), avg(seconds) from records group by all")

    timed(ask)


def appending(root: Path) -> None:
    """A hundred parts of one record each, every one durable."""
    entries = [delivery(-number - 10) for number in range(100)]
    with writing(root) as writer:
        timed(lambda: list(map(writer.append, ([entry] for entry in entries))))


WORK: dict[str, Callable[[Path], None]] = {
    "rebuild": rebuilding,
    "open the writer": opening,
    "read all records": starting,
    "append 100": appending,
    "publish": publishing,
    "open and query": asking,
}


def measured(name: str, root: Path) -> str:
    """Processor seconds / seconds (MB of memory at most) of one piece of work in a process of its own."""
    command = [sys.executable, "-m", "tests.performance.bench_store", "--work", name, "--folder", str(root)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    (worked, seconds), (peak,) = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    return f"{worked:.3g} / {seconds:.3g} ({peak / 1e3:.0f})"


def table(sizes: list[int], folder: Path) -> None:
    out = sys.stdout
    out.write(f"{platform.machine()}, {os.cpu_count()} CPUs, duckdb {duckdb.__version__}\n\n")
    out.write(
        "| records | journal, MB | " + " | ".join(f"{name}: CPU s / s (MB)" for name in WORK) + " | snapshot, MB |\n"
    )
    out.write("|" + " --- |" * (3 + len(WORK)) + "\n")
    for count in sizes:
        root = folder / str(count)
        make(root, count)
        journal = sum(part.stat().st_size for part in parts(open_folder(root)))
        cells = [measured(name, root) for name in WORK]
        snapshot = max(p.stat().st_size for p in (root / "published").glob("*.duckdb"))
        out.write(f"| {count:,} | {journal / 1e6:.1f} | {' | '.join(cells)} | {snapshot / 1e6:.1f} |\n")
        out.flush()
        shutil.rmtree(root)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--work", choices=WORK, help="Used by the benchmark itself.")
    asked = parser.parse_args()
    if asked.work:
        WORK[asked.work](asked.folder)
        say(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        table(asked.records, Path(name))


if __name__ == "__main__":
    main()
