"""The truth: immutable Parquet parts, each durable under a name of its own before it is acknowledged."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bench.errors import DiskFull, StaleLease, is_disk_full
from bench.record import Delivery, Examples, Samples
from bench.store.folder import Folder, Lease
from bench.store.places import Place

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


def part_name(epoch: int, number: int) -> str:
    return f"journal/{epoch:06d}-{number:08d}.parquet"


def parts(journal: Folder | Path) -> list[Path]:
    """Every part of a store's journal, oldest epoch first, where it can be read here; or of a folder of parts."""
    folder = journal if isinstance(journal, Path) else journal.place.gather("journal")
    return sorted(folder.glob("[0-9]*-[0-9]*.parquet"))


class Journal:
    """Appends parts under one lease.

    Two drivers may both believe for a moment that the store is theirs: one that was cut off, and one that took over. So
    a writer numbers its parts without gaps, and each is created under a name that can be taken once. A new writer takes
    the next name of each earlier epoch with an empty part, then reads the journal: what the earlier writer had
    acknowledged is in it, and nothing more of it can ever be. Neither clocks nor the order of checks decide.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._place = lease.folder.place
        self._place.tidy("journal")
        with _without_room(lease):
            _close_earlier(lease)
        self._next = _next_numbers(self._place, lease.epoch)[lease.epoch]
        self._schema = PART.with_metadata({"writer": uuid4().hex})  # tells our own part, written twice, from another's

    def append(self, entries: Sequence[Entry]) -> Path:
        """Write one part. When this returns, its entries survive the loss of any process.

        Raises StaleLease when another driver holds the store, DiskFull when there is no room or no answer. Nothing that
        is not acknowledged may be counted on; it may still be there.
        """
        return self.write(_bytes(entries, self._schema))

    def write(self, data: bytes) -> Path:
        """Write a part that is a file already; otherwise as `append`."""
        name = part_name(self._lease.epoch, self._next)
        self._lease.check()
        try:
            with _without_room(self._lease):
                self._place.create(name, data)
        except FileExistsError as error:
            self._lease.check()
            raise StaleLease(
                f"another writer of {self._lease.folder.location} has come in its place: run the same command again"
            ) from error
        except FileNotFoundError:
            self._lease.check()  # a newer writer has tidied up while we wrote
            raise
        self._next += 1
        return self._place.near(name)


@contextmanager
def _without_room(lease: Lease) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"no room under {lease.folder.location}") from error
        raise


def _next_numbers(place: Place, least: int) -> Counter[int]:
    """The number of the next part of each epoch from `least` on."""
    found: Counter[int] = Counter()
    for name in place.names("journal"):
        epoch, dash, number = name.removesuffix(".parquet").partition("-")
        if dash and name.endswith(".parquet") and epoch.isdigit() and number.isdigit() and int(epoch) >= least:
            found[int(epoch)] = max(found[int(epoch)], int(number) + 1)
    return found


def _close_earlier(lease: Lease) -> None:
    """See to it that no writer of an earlier epoch can append any more. Those that ended in good order do not."""
    folder, place = lease.folder, lease.folder.place
    if lease.told().get("fenced"):  # this writer was started again
        return
    open_epochs = []
    for epoch in range(lease.epoch - 1, 0, -1):
        told = Lease(folder, epoch).told()
        if not told.get("released"):
            open_epochs.append(epoch)
        if told.get("fenced"):
            break  # it has closed all before it
    numbers = _next_numbers(place, min(open_epochs)) if open_epochs else Counter()
    empty = _bytes((), PART)
    for epoch in reversed(open_epochs):
        while True:
            try:
                place.create(part_name(epoch, numbers[epoch]), empty)
            except FileExistsError:
                numbers[epoch] += 1  # it has just written this one, or a newer writer than we has closed it
                lease.check()
            else:
                break
    with suppress(OSError):
        lease.mark(fenced=True)


def _bytes(entries: Sequence[Entry], schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(_table(entries).replace_schema_metadata(schema.metadata), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


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
    table = pq.ParquetFile(path).read(columns=["entry", "identity", "body"])
    yield from zip(*(table.column(name).to_pylist() for name in ("entry", "identity", "body")), strict=True)


def entries_in(folder: Folder) -> Iterator[tuple[str, str]]:
    """(entry, body) of every acknowledged line, in the order of acknowledgement, each once; a part at a time."""
    seen: set[str] = set()
    for part in parts(folder):
        for entry, identity, body in read_entries(part):
            if identity not in seen:
                seen.add(identity)
                yield entry, body
