"""What people take along: the listed rows as CSV, Parquet or JSON, and all that is known of one variant."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from leaderboard.dossier import Dossier
from leaderboard.listing import AT_ONCE, Listing
from leaderboard.rows import Board, Key, Row
from leaderboard.table import column_name, notes

TYPES = {name: pa.string() for name in ("variant", "recipe_id", "artefact_id", "base")}
TYPES |= {"is_base": pa.bool_(), "seed": pa.int64(), "recipe": pa.list_(pa.string()), "status": pa.string()}
TYPES |= {"reason": pa.string(), "notes": pa.list_(pa.string()), "verdict": pa.string(), "share": pa.float64()}
TYPES |= {"verdict_reason": pa.string(), "hardware_class": pa.string()}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def row_record(row: Row, board: Board) -> dict[str, Any]:
    """One variant as plain data."""
    return {
        "variant": row.name,
        "recipe_id": row.recipe_id,
        "artefact_id": row.artefact_id,
        "base": row.base,
        "is_base": row.is_base,
        "seed": row.seed,
        "recipe": [{"step": s.name, "settings": dict(s.settings), "seed": s.seed} for s in row.steps],
        "status": row.status,
        "reason": row.reason,
        "notes": list(notes(row, board)),
        "verdict": row.verdict,
        "share": row.share,
        "verdict_reason": row.verdict_reason,
        "dominated_by": row.dominated_by,
        "hardware_class": board.hardware_class,
        "constraints": [
            {"text": required.text, "state": kept.state}
            for required, kept in zip(board.constraints, row.kept, strict=True)
        ],
        "numbers": [
            {"metric": key[0], "scope": key[1], "unit": board.axes[key].unit, "better": board.axes[key].better}
            | {"estimate": cell.estimate, "low": cell.low, "high": cell.high, "n": cell.n, "method": cell.method}
            | {"note": cell.note}
            for key in board.axes
            if (cell := row.cells.get(key)) is not None
        ],
    }


def variant_json(row: Row, board: Board, known: Dossier) -> dict[str, Any]:
    """Everything that the variant's page shows, as plain data."""
    return {
        "sweep": board.name,
        "published": board.published,
        **row_record(row, board),
        "base_model": known.model,
        "licence": known.licence,
        "lineage": [dict(zip(known.lineage.columns, line, strict=True)) for line in known.lineage.rows],
        "layers": [asdict(stack) | {"dropped": stack.dropped} for stack in known.stacks],
        "command": known.command,
    }


def as_json(board: Board, rows: Sequence[Row]) -> bytes:
    """The rows as one JSON document, a variant a line, with what the numbers are about."""
    head = {"sweep": board.name, "published": board.published, "hardware_class": board.hardware_class}
    buffer = io.BytesIO()
    buffer.write(json.dumps(head, ensure_ascii=False).removesuffix("}").encode() + b', "variants": [')
    for number, row in enumerate(rows):
        line = json.dumps(row_record(row, board), ensure_ascii=False, allow_nan=False)
        buffer.write(f"{',' if number else ''}\n{line}".encode())
    buffer.write(b"\n]}\n")
    return buffer.getvalue()


def as_csv(board: Board, rows: Sequence[Row]) -> str:
    """The rows at full precision, one line a variant; cells that a spreadsheet would run are quoted as text."""
    keys = _keys(board, rows)
    head = ["variant", "recipe_id", "artefact_id", "base", "is_base", "seed", "recipe", "status", "reason", "notes"]
    head += ["verdict", "share", "verdict_reason", "hardware_class"]
    for key in keys:
        name = board.axes[key].title
        head += [f"{name} [{board.axes[key].unit}]", f"{name}: low", f"{name}: high", f"{name}: n"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_inert(x) for x in head)
    for row in rows:
        line: list[Any] = [row.name, row.recipe_id, row.artefact_id, row.base, row.is_base, row.seed]
        line += ["; ".join(row.methods), row.status, row.reason, "; ".join(notes(row, board))]
        line += [row.verdict, row.share, row.verdict_reason, board.hardware_class]
        for key in keys:
            cell = row.cells.get(key)
            line += [cell.estimate, cell.low, cell.high, cell.n] if cell else [None] * 4
        writer.writerow(_inert(x) for x in line)
    return buffer.getvalue()


def as_parquet(board: Board, rows: Sequence[Row]) -> bytes:
    """The rows as a Parquet file: one line a variant, four columns a number."""
    keys = _keys(board, rows)
    types = dict(TYPES)
    for name in map(column_name, keys):
        types |= {
            name: pa.float64(),
            f"{name} low": pa.float64(),
            f"{name} high": pa.float64(),
            f"{name} n": pa.int64(),
        }
    schema = pa.schema(types.items())
    buffer = io.BytesIO()
    every = iter(rows)
    with pq.ParquetWriter(buffer, schema) as writer:
        while some := [_columns(row, board, keys) for row in islice(every, AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(some, schema=schema))
    return buffer.getvalue()


def _columns(row: Row, board: Board, keys: Sequence[Key]) -> dict[str, Any]:
    """One variant, by the names of `TYPES` and four for each number that it has."""
    found: dict[str, Any] = {name: getattr(row, name) for name in TYPES if hasattr(row, name)}
    found |= {"variant": row.name, "recipe": row.methods, "notes": notes(row, board)}
    found["hardware_class"] = board.hardware_class
    for key in keys:
        cell, name = row.cells.get(key), column_name(key)
        if cell is not None:
            found |= {name: cell.estimate, f"{name} low": cell.low, f"{name} high": cell.high, f"{name} n": cell.n}
    return found


def _keys(board: Board, rows: Sequence[Row]) -> list[Key]:
    """The numbers that some row has; of a large sweep asked at once, as every look at its rows reads them anew."""
    have = rows.numbers() if isinstance(rows, Listing) else {key for row in rows for key in row.cells}
    return [key for key in board.axes if key in have]


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
