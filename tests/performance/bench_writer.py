"""What does a record cost the writer, and how much memory, in sweeps of 1,000 to 100,000 jobs?

`python -m tests.performance.bench_writer [records ...]`. Records of evaluations are appended as fast as they become
durable, so many to a part of the journal, and a snapshot is published whenever the writer would. Each line is a process
and a store of its own; processor seconds say what the work costs, memory is what the process grew by.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.store.folder import open_folder, take_lease
from bench.store.writer import Writer
from tests.bench.store.entries import entry
from tests.performance.bench_scale import conditions, resident

SIZES = (1_000, 10_000, 100_000)
PARTS = (1, 16, 500)  # records that arrive together: one by one, from 16 busy workers, and as many as a part may hold
MOST_PARTS = 20_000  # more are left out: each takes as much as before


def one(records: int, together: int) -> None:
    """Measure one store; prints a row."""
    with tempfile.TemporaryDirectory() as name:
        folder = open_folder(Path(name) / "store", create=True)
        lease = take_lease(folder)
        writer = Writer(folder, lease.epoch)
        entry("first")
        before = resident()
        spent = publishing = wall = 0.0
        for start in range(0, records, together):
            batch = [entry(f"job {number}") for number in range(start, min(start + together, records))]
            began, used = time.perf_counter(), time.process_time()
            writer.append(batch)
            appended = time.process_time()
            writer.publish()
            publishing += time.process_time() - appended
            spent += time.process_time() - used
            wall += time.perf_counter() - began
        grown = resident() - before
        assert writer.count() == records
        writer.close()
        lease.release()
    print(
        f"| {records:,} | {together} | {wall / records * 1e3:.2f} | {spent / records * 1e3:.2f} "
        f"| {publishing / records * 1e3:.2f} | {grown / records / 1e3:.2f} |",
        flush=True,
    )


def main() -> None:
    """Print the table; arguments are numbers of records."""
    if sys.argv[1:2] == ["--one"]:
        one(int(sys.argv[2]), int(sys.argv[3]))
        return
    sizes = [int(a) for a in sys.argv[1:]] or SIZES
    print(
        f"{conditions()}\n\n| records | in a part | seconds, ms a record | of the processor, ms a record "
        "| … of which publishing | memory, kB a record |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for size in sizes:
        for together in PARTS:
            if size // together <= MOST_PARTS:
                command = [sys.executable, "-m", "tests.performance.bench_writer", "--one", str(size), str(together)]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
