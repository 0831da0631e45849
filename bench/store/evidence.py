"""What a number was made from: the sheets of raw material, the records that hold it, and how it was summarised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from bench.measure.repeats import KEPT, TOLD
from bench.store.asked import Asked, Row
from bench.store.reader import Snapshot
from bench.store.sheets import Sheet

Connection = duckdb.DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Evidence:
    """The raw material behind one number. `everything` makes the sheet with all of it."""

    sheets: tuple[Sheet, ...]
    identities: tuple[str, ...]  # of the records that hold it
    formula: tuple[str, ...]
    everything: Callable[[], Sheet]


def counted(snapshot: Snapshot, asked: Asked, builds: Sequence[Row]) -> Evidence:
    """An exact number and the files that it was counted from.

    Args:
        snapshot: whose artefacts are looked at.
        asked: a metric that is exact.
        builds: records of the build, the one that counts first.
    """
    artefact_id = str(asked.variant["artefact_id"])
    artefacts = snapshot.folder.open_artefacts()
    identities = tuple(row["key"] for row in builds[:1])
    formula = (f"Counted once, by the build, and stated in its record. {asked.metric['meaning']}",)
    if artefact_id not in artefacts:
        gone = Sheet("Files", ("file", "bytes"), (), ("The artefact is not in the store any more.",))
        return Evidence((gone,), identities, formula, lambda: gone)
    folder = artefacts.path(artefact_id)
    every = _tensors(folder)
    sheets = [_files(folder)]
    if asked.name == "parameters":
        sheets.append(_by_type(every))
    elif asked.name == "layers":
        sheets.append(_config(folder))
    facts = _facts(builds)
    return Evidence((*sheets, *facts), identities, formula, lambda: every)


def _files(folder: Path) -> Sheet:
    rows = sorted((path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file())
    weights = sum(size for name, size in rows if name.endswith(".safetensors"))
    return Sheet("Files of the artefact", ("file", "bytes"), tuple(rows), (f"Weights: {weights:,} bytes.",))


def _tensors(folder: Path) -> Sheet:
    """Every saved tensor, read from the heads of the files: eight bytes of length, then JSON."""
    rows: list[tuple[str, str, str, str, int]] = []
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, told in head.items():
            if name != "__metadata__":
                count = 1
                for size in told["shape"]:
                    count *= size
                rows.append((path.name, name, told["dtype"], "x".join(map(str, told["shape"])), count))
    return Sheet("Saved tensors", ("file", "tensor", "type", "shape", "numbers"), tuple(rows))


def _by_type(tensors: Sheet) -> Sheet:
    counts: dict[str, list[int]] = {}
    for row in tensors.rows:
        counts.setdefault(str(row[2]), []).append(int(row[4] or 0))
    rows = tuple((kind, len(numbers), sum(numbers)) for kind, numbers in counts.items())
    total = sum(row[2] for row in rows)
    note = f"{total:,} numbers are saved; scales and zero points of int8 weights are among them."
    return Sheet("Saved tensors by type", ("type", "tensors", "numbers"), rows, (note,))


def _config(folder: Path) -> Sheet:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rows = tuple((key, str(value)) for key, value in sorted(config.items()) if "layer" in key and "norm" not in key)
    return Sheet("config.json", ("setting", "value"), rows)


def _facts(builds: Sequence[Row]) -> tuple[Sheet, ...]:
    """What was promised of the build's step and what was found."""
    answer = json.loads(builds[0]["answer"]) if builds and builds[0]["answer"] else {}
    told = answer.get("delivered")
    if not isinstance(told, dict):
        return ()
    before, after = (told.get(side) or {} for side in ("before", "after"))
    rows = tuple(
        (name, *(side.get(name) if isinstance(side.get(name), int | float) else None for side in (before, after)))
        for name in after
        if isinstance(after[name], int | float)
    )
    note = f"{told.get('verdict')}: {told.get('reason')}"
    return (Sheet("Before and after the last step", ("count", "before", "after"), rows, (note,)),)


def stated(connection: Connection, asked: Asked, identities: Sequence[str]) -> Evidence:
    """A number that a record states itself, such as the peak memory of fresh processes.

    Args:
        connection: tables that hold the records.
        asked: what is asked.
        identities: of finished measurements that count, in order of acknowledgement; the first that states it counts.
    """
    rows = connection.execute(
        "select n.identity, n.estimate, n.low, n.high, n.n, n.method, r.started, r.answer from numbers n "
        "join records r using (identity) where list_contains(?, n.identity) and n.artefact_id = ? and n.metric = ? "
        "and n.scope = ? order by list_position(?, n.identity)",
        [list(identities), asked.variant["artefact_id"], asked.name, asked.scope, list(identities)],
    ).fetchall()
    columns = ("record", "started", "lowest", "median", "highest", "repeats", "method")
    sheet = Sheet(
        "What the records state",
        columns,
        tuple(
            (identity, started, low, middle, high, n, method)
            for identity, middle, low, high, n, method, started, _ in rows
        ),
        (_told(int(rows[0][4])),) if rows else (),
    )
    every = _repeats(asked, json.loads(rows[0][7] or "{}")) if rows else None
    formula = (
        f"{asked.metric['meaning']}",
        "The median of the repeats, each in a process of its own; of several records that state it the first counts.",
    )
    sheets = (sheet,) if every is None else (sheet, every)
    return Evidence(sheets, tuple(row[0] for row in rows[:1]), formula, lambda: sheets[-1])


def _told(repeats: int) -> str:
    all_of_them = "these are all the samples that there are" if repeats <= TOLD else "each stands below"
    return f"Lowest, median and highest of {repeats}: {all_of_them}."


def _repeats(asked: Asked, answer: Mapping[str, Any]) -> Sheet | None:
    """Every repeat of the number, None where lowest, median and highest are all."""
    numbers = answer.get(KEPT, {}).get(str(asked.variant["artefact_id"]), {}).get(asked.name)
    if numbers is None:
        return None
    return Sheet("Every repeat", ("repeat", asked.metric["unit"] or "value"), tuple(enumerate(numbers, start=1)))
