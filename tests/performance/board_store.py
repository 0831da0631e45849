"""Writes a large store for the page: `python -m tests.performance.board_store FOLDER [--variants 100000]`.

Three sweeps of grids of recipes over four decoder-only base models: layers kept, weights' type, learning rate, epochs
and seed, with perplexity on 100 documents, latency relative to the base and size; per-example outcomes are the scores
of each document, from which each perplexity and its resamples are worked out. 2% failed, 1% wait, 2% were stopped by a
race. The same arguments always give the same numbers.

The outcomes go into parts of the journal. Through the writer the rest would take hours, as one record a job would be
checked and summarised; so the snapshot is written as the writer publishes it, by its own schema, with verdicts by the
statistics that the writer uses.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bench.metrics import METRICS
from bench.statistics.objectives import Evidence, Objective
from bench.statistics.standings import Standing, stand_among_many
from bench.store.folder import POINTER, SNAPSHOT_VERSION, Folder, open_folder
from bench.store.journal import part_name
from bench.store.publish import SEGMENT, SEGMENTS, STORAGE, summarised_by
from tests.performance.board_records import outcomes_of, records_of
from tests.performance.board_variants import (
    BASES,
    BLOCKS,
    DOCUMENTS,
    DRAWS,
    LATENCY,
    QUALITY,
    SCOPE,
    SIZE,
    SWEEPS,
    TASK,
    Base,
    base_of,
    body_of,
    declared,
    numbers_of,
    resamples,
    variants_of,
)

SNAPSHOT = "000001-00000000"
STANDING: tuple[str, ...] = (
    "sweep_id",
    "recipe_id",
    "metric",
    "scope",
    "rank_low",
    "rank_high",
    "tie",
    "relation",
    "difference",
)
STANDING += ("low", "high")
STOP = ("sweep_id", "artefact_id", "beaten_by", "raced", "look", "looks", "examples", "level", "objectives", "reason")


def stood(base: Base, quality: NDArray[Any], latency: NDArray[Any]) -> tuple[pa.Table, pa.Table]:
    """Verdicts and standings on the declared objectives, by the project's own statistics."""
    there = base.fate == "complete"
    mean = np.where(there, np.exp(base.losses.mean(axis=1)), np.nan)
    sized = np.where(np.isin(base.fate, ["complete", "stopped"]), base.size, np.nan)
    evidence = (
        Evidence(
            Objective(f"perplexity, {TASK}", "lower"),
            mean,
            quality.astype(np.float64),
            freedom=np.full(mean.size, DOCUMENTS - 1.0),
        ),
        Evidence(
            Objective(f"latency relative to base, {SCOPE}", "lower"),
            np.where(there, base.ratio, np.nan),
            latency.astype(np.float64),
            freedom=np.full(mean.size, BLOCKS - 1.0),
        ),
        Evidence(Objective("size on disk", "lower"), sized),
    )
    verdicts, places = stand_among_many(evidence, 0)
    rows = []
    for recipe_id, fate, verdict in zip(base.recipes, base.fate, verdicts, strict=True):
        by = None if verdict.dominated_by is None else base.recipes[verdict.dominated_by]
        told = (verdict.state, verdict.share, by, verdict.reason)
        if fate == "stopped":
            told = ("dominated", 0.0, base.recipes[0], "stopped at look 1 of 4: beaten on every objective of the race")
        rows.append((base.sweep_id, recipe_id, *told))
    names = ("sweep_id", "recipe_id", "verdict", "share", "dominated_by", "reason")
    stands = []
    for key, column in zip((QUALITY, LATENCY, SIZE), places, strict=True):
        both = zip(base.recipes, column, strict=True)
        stands += [(base.sweep_id, recipe_id, *key, *_standing(each)) for recipe_id, each in both]
    return _table(names, rows), _table(STANDING, stands)


def _standing(each: Standing) -> tuple[Any, ...]:
    other = each.against
    told: tuple[float | None, ...] = (None, None, None)
    if other is not None and np.isfinite(other.low):
        told = (other.difference, other.low, other.high)
    return (*(each.rank or (None, None)), each.tie, other.relation if other else None, *told)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    return pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})


def draws_of(base: Base, key: tuple[str, str], draws: NDArray[Any]) -> pa.Table:
    """The resamples of one number of all that are complete."""
    complete = np.flatnonzero(base.fate == "complete")
    flat = pa.array(np.ascontiguousarray(draws[:, complete].T).ravel())
    return pa.table(
        {
            "sweep_id": [base.sweep_id] * len(complete),
            "recipe_id": pa.array(base.recipes).take(pa.array(complete)),
            "metric": [key[0]] * len(complete),
            "scope": [key[1]] * len(complete),
            "draws": pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, DRAWS), pa.int32()), flat),
        }
    )


def stops_of(base: Base) -> list[tuple[Any, ...]]:
    """The audit of a race that stopped some."""
    told = (base.artefacts[0], "examples", 1, 4, json.dumps({TASK: 25}), 0.001, json.dumps([QUALITY, LATENCY]))
    stopped = np.flatnonzero(base.fate == "stopped")
    return [(base.sweep_id, base.artefacts[i], *told, "beaten on every objective of the race") for i in stopped]


class Snapshot:
    """A snapshot that is being written, and the parts of the journal behind it."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.parts = self.records = 0
        self.segments: list[str] = []
        self._held: list[pa.Table] = []
        self._connection = duckdb.connect()
        path = folder.published / f"{SNAPSHOT}.duckdb"
        self._connection.execute(f"attach '{path}' as snapshot (storage_version '{STORAGE}')")
        self._connection.execute(files("bench.store").joinpath("snapshot.sql").read_text(encoding="utf-8"))

    def insert(self, table: str, rows: pa.Table) -> None:
        self._connection.register("incoming", rows)
        self._connection.execute(f"insert into snapshot.{table} by name select * from incoming")
        self._connection.unregister("incoming")

    def add(self, base: Base, rng: np.random.Generator) -> None:
        """Everything about the variants of one base."""
        draws = resamples(base, rng)
        self.insert("variants", variants_of(base))
        self.insert("numbers", numbers_of(base, *draws))
        for table, rows in zip(("verdicts", "standings"), stood(base, *draws), strict=True):
            self.insert(table, rows)
        for key, each in zip((QUALITY, LATENCY), draws, strict=True):
            self.insert("draws", draws_of(base, key, each))
        if stops := stops_of(base):
            self.insert("stops", _table(STOP, stops))
        keys, jobs, self.parts = outcomes_of(base, self.parts, self.folder)
        rows = records_of(base, keys, jobs)
        self._held.append(rows.append_column("ordinal", pa.array(range(self.records, self.records + rows.num_rows))))
        self.records += rows.num_rows
        self._close_segments()

    def declare(self, body: dict[str, Any]) -> None:
        """A sweep."""
        told = [body["sweep_id"], body["name"], body["declared"], json.dumps(body, sort_keys=True)]
        self._connection.execute("insert into snapshot.sweeps values (?, ?, ?, ?)", told)

    def _close_segments(self) -> None:
        rows = pa.concat_tables(self._held)
        while rows.num_rows >= SEGMENT:
            named = f"records-{SNAPSHOT}-{len(self.segments):06d}.parquet"
            pq.write_table(rows.slice(0, SEGMENT), self.folder.published / named, compression="zstd")
            self.segments.append(named)
            rows = rows.slice(SEGMENT)
        self._held = [rows]

    def publish(self) -> None:
        """Finish it and let the pointer name it."""
        self.insert("records", pa.concat_tables(self._held))
        metrics = [[m.name, m.title, m.unit, m.better, m.exact, m.meaning] for m in METRICS.values()]
        self._connection.executemany("insert into snapshot.metrics values (?, ?, ?, ?, ?, ?)", metrics)
        info = {
            "schema": str(SNAPSHOT_VERSION),
            "published": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "progress": json.dumps({"done": self.records, "running": 0, "failed": 0, "open": 0}),
            "parts": json.dumps([part_name(1, i).partition("/")[2] for i in range(self.parts)]),
            "summarised_by": json.dumps(summarised_by()),
            SEGMENTS: json.dumps(self.segments),
        }
        self._connection.executemany("insert into snapshot.info values (?, ?)", [list(item) for item in info.items()])
        self._connection.execute("detach snapshot")
        self.folder.place.replace(POINTER, f"{json.dumps({'snapshot': f'{SNAPSHOT}.duckdb'})}\n".encode())


def make_store(root: Path, variants: int = 100_000, seed: int = 0) -> Path:
    """Write the store into an empty folder. Returns it."""
    snapshot = Snapshot(open_folder(root, create=True))
    for number, (sweep, share, hardware) in enumerate(SWEEPS):
        count = max(2 * len(BASES), round(variants * share)) // len(BASES)
        described: list[dict[str, Any]] = []
        for place, name in enumerate(BASES):
            begin = time.perf_counter()
            rng = np.random.default_rng([seed, number, place])
            base = base_of(sweep, name, count, place * count, rng)
            snapshot.add(base, rng)
            described += declared(base)
            sys.stderr.write(f"{sweep}, {name}: {count:,} variants in {time.perf_counter() - begin:.1f} s\n")
        snapshot.declare(body_of(sweep, hardware, 20 - number, described))
    snapshot.publish()
    return root


def main() -> None:
    """Write it and say how long that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variants", type=int, default=100_000)
    given = parser.parse_args()
    begin = time.perf_counter()
    make_store(given.folder, given.variants)
    size = sum(path.stat().st_size for path in given.folder.rglob("*") if path.is_file())
    sys.stdout.write(f"{given.variants:,} variants in {time.perf_counter() - begin:.0f} s, {size / 1e6:,.0f} MB.\n")


if __name__ == "__main__":
    main()
