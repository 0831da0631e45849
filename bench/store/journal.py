"""The truth: immutable Parquet parts, each written beside, synced and linked into place before it is acknowledged."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bench.errors import DiskFull, is_disk_full
from bench.record import Delivery, Examples, Samples
from bench.store.folder import Lease

EXAMPLE = pa.struct(
    [
        ("index", pa.int64()),
        ("label", pa.string()),
        ("prediction", pa.string()),
        ("score", pa.float64()),
        ("confidence", pa.float64()),
        ("slice", pa.string()),
        ("columns", pa.map_(pa.string(), pa.float64())),
    ]
)
SAMPLE = pa.struct(
    [
        ("artefact_id", pa.string()),
        ("scope", pa.string()),
        ("round", pa.int32()),
        ("position", pa.int16()),
        ("calls", pa.int32()),
        ("seconds", pa.float64()),
        ("first", pa.float64()),
        ("each", pa.list_(pa.float32())),
        ("joules", pa.float64()),
    ]
)
PART = pa.schema(
    [
        ("entry", pa.string()),  # record | sweep | retry | claims | stop
        ("identity", pa.string()),
        ("body", pa.string()),  # JSON
        ("artefact_id", pa.string()),  # of the examples
        ("task", pa.string()),  # fingerprint of the examples' task
        ("examples", pa.list_(EXAMPLE)),
        ("lease", pa.int32()),  # of the samples
        ("samples", pa.list_(SAMPLE)),
    ]
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: a delivery, or a statement such as the declaration of a sweep."""

    entry: str
    identity: str
    body: str
    delivery: Delivery | None = None

    @staticmethod
    def of(delivery: Delivery) -> Entry:
        return Entry("record", delivery.record.identity, delivery.record.model_dump_json(), delivery)

    @staticmethod
    def statement(entry: str, identity: str, body: dict[str, Any]) -> Entry:
        return Entry(entry, identity, json.dumps(body, sort_keys=True, allow_nan=False))


def parts(folder: Path) -> list[Path]:
    """Every part of a journal, oldest epoch first."""
    return sorted(folder.glob("[0-9]*-[0-9]*.parquet"))


class Journal:
    """Appends parts under one lease."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._folder = lease.folder.journal
        for left in self._folder.glob(".*.part"):  # by a writer that was killed
            left.unlink(missing_ok=True)
        mine = self._folder.glob(f"{lease.epoch:06d}-*.parquet")
        self._next = max((int(p.stem.partition("-")[2]) for p in mine), default=-1) + 1

    def append(self, entries: Sequence[Entry]) -> Path:
        """Write one part. When this returns, its entries survive the loss of any process.

        Raises StaleLease when another driver holds the store, DiskFull when there is no room: nothing is written then.
        """
        path = self._folder / f"{self._lease.epoch:06d}-{self._next:08d}.parquet"
        draft = self._folder / f".{uuid4().hex}.part"
        try:
            pq.write_table(_table(entries), draft, compression="zstd")
            _sync(draft)
            self._lease.check()  # as late as possible: the newer driver has read what was here when it came
            os.link(draft, path)
            _sync(self._folder)
        except OSError as error:
            if is_disk_full(error):
                raise DiskFull(f"no room under {self._folder}") from error
            raise
        finally:
            draft.unlink(missing_ok=True)
        self._next += 1
        return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _table(entries: Sequence[Entry]) -> pa.Table:
    rows = []
    for entry in entries:
        examples = entry.delivery.examples if entry.delivery else None
        samples = entry.delivery.samples if entry.delivery else None
        rows.append(
            {
                "entry": entry.entry,
                "identity": entry.identity,
                "body": entry.body,
                "artefact_id": examples.artefact_id if examples else None,
                "task": examples.task if examples else None,
                "examples": _examples(examples) if examples else None,
                "lease": samples.lease if samples else None,
                "samples": _samples(samples) if samples else None,
            }
        )
    return pa.Table.from_pylist(rows, schema=PART)


def _examples(found: Examples) -> list[dict[str, Any]]:
    count = len(found.index)
    named = zip(
        *([(name, value) for value in values.tolist()] for name, values in sorted(found.columns.items())), strict=True
    )
    columns = (
        found.index.tolist(),
        found.label,
        found.prediction,
        found.score.tolist(),
        found.confidence.tolist(),
        found.slice or ("",) * count,
        [list(row) for row in named] if found.columns else [[]] * count,
    )
    names = [field.name for field in EXAMPLE]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _samples(found: Samples) -> list[dict[str, Any]]:
    columns = (
        found.artefact_id,
        found.scope,
        found.round.tolist(),
        found.position.tolist(),
        found.calls.tolist(),
        found.seconds.tolist(),
        found.first.tolist(),
        found.each,
        [None if math.isnan(joules) else joules for joules in found.joules.tolist()],
    )
    names = [field.name for field in SAMPLE]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def read_entries(path: Path) -> Iterator[tuple[str, str, str]]:
    """(entry, identity, body) of each line of a part, without the raw material."""
    table = pq.read_table(path, columns=["entry", "identity", "body"])
    for row in table.to_pylist():
        yield row["entry"], row["identity"], row["body"]
