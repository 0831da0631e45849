"""Which form should a published snapshot have: one DuckDB file, or one Parquet file a table?

`python -m tests.performance.bench_snapshot` times writing and reading both for boards of several sizes and prints a
Markdown table: medians of interleaved repeats, milliseconds, smallest and largest.
"""

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

VARIANTS = (12, 200, 2000)
METRICS = 12
DRAWS = 1000
REPEATS = 9
TABLES = ("variants", "numbers", "verdicts", "draws")


def make(connection: duckdb.DuckDBPyConnection, variants: int) -> None:
    """Tables of the snapshot's own schema in memory, with plausible contents."""
    schema = files("bench.store").joinpath("snapshot.sql").read_text(encoding="utf-8").replace("snapshot.", "")
    connection.execute(schema)
    rng = np.random.default_rng(0)
    ids = [f"{i:064x}" for i in range(variants)]
    connection.execute(
        "insert into variants by name select 's' as sweep_id, i as recipe_id, 0 as position, "
        "'bart: decoder 12 to 9, fine-tuned' as name, 'bart' as base, false as is_base, 0 as seed, i as recipe_group, "
        "'[]' as steps, i as artefact_id, 'complete' as status from (select unnest(?) as i)",
        [ids],
    )
    connection.execute(
        "insert into verdicts by name select 's' as sweep_id, i as recipe_id, 'contested' as verdict, 0.5 as share, "
        "'r' as reason from (select unnest(?) as i)",
        [ids],
    )
    connection.execute(
        "insert into numbers by name select 's' as sweep_id, i as recipe_id, 'metric' || m as metric, "
        "'scope' as scope, random() as estimate, 0 as low, 1 as high, 100 as n, 'wilson' as method, "
        "'class' as hardware_class from (select unnest(?) as i), range(?) t(m)",
        [ids, METRICS],
    )
    rows = [{"recipe_id": i, "draws": rng.normal(size=DRAWS).astype(np.float32)} for i in ids for _ in range(4)]
    incoming = pa.Table.from_pylist(rows)
    connection.register("incoming", incoming)
    connection.execute("insert into draws select 's', recipe_id, 'accuracy', 'task', draws from incoming")


def write_duckdb(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    path = folder / "snapshot.duckdb"
    path.unlink(missing_ok=True)
    connection.execute(f"attach '{path}' as snapshot (storage_version 'v1.5.0')")
    for table in TABLES:
        connection.execute(f"create table snapshot.{table} as select * from {table}")
    connection.execute("detach snapshot")


def write_parquet(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    for table in TABLES:
        connection.execute(f"copy {table} to '{folder / table}.part' (format parquet)")
        (folder / f"{table}.part").replace(folder / f"{table}.parquet")


def read_duckdb(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    with duckdb.connect(str(folder / "snapshot.duckdb"), read_only=True) as reader:
        for table in TABLES[:3]:
            reader.execute(f"select * from {table}").fetchall()


def read_parquet(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    with duckdb.connect() as reader:
        for table in TABLES[:3]:
            reader.execute(f"select * from '{folder / table}.parquet'").fetchall()


def main() -> None:
    work: tuple[Callable[[duckdb.DuckDBPyConnection, Path], None], ...] = (
        write_duckdb,
        write_parquet,
        read_duckdb,
        read_parquet,
    )
    out = sys.stdout
    out.write(f"{platform.machine()}, {os.cpu_count()} CPUs, duckdb {duckdb.__version__}, {REPEATS} repeats\n\n")
    out.write("| variants | " + " | ".join(w.__name__.replace("_", " ") + ", ms" for w in work) + " |\n")
    out.write("|" + " --- |" * (1 + len(work)) + "\n")
    for variants in VARIANTS:
        with tempfile.TemporaryDirectory() as name, duckdb.connect() as connection:
            connection.execute("set threads to 1")
            make(connection, variants)
            times: dict[str, list[float]] = {w.__name__: [] for w in work}
            for _ in range(REPEATS):
                for action in work:
                    begin = time.perf_counter()
                    action(connection, Path(name))
                    times[action.__name__].append(1e3 * (time.perf_counter() - begin))
            cells = [f"{median(t):.1f} ({min(t):.1f} to {max(t):.1f})" for t in times.values()]
            out.write(f"| {variants:,} | " + " | ".join(cells) + " |\n")


if __name__ == "__main__":
    main()
