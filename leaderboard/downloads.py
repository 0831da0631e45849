"""What people take along: the listed rows as CSV, Parquet or JSON, and all that is known of one variant."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from leaderboard.dossier import Dossier
from leaderboard.format import without_folders
from leaderboard.rows import Board, Key, Row
from leaderboard.table import column_name, notes

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def records(board: Board, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows at full precision with everything that the board says of them, one record a variant."""
    return [row_record(row, board) for row in rows]


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
        "reason": _reason(row),
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
            for key, cell in row.cells.items()
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


def as_json(board: Board, rows: Sequence[Row]) -> str:
    """The rows as one JSON document, with what the numbers are about."""
    head = {"sweep": board.name, "published": board.published, "hardware_class": board.hardware_class}
    return json.dumps({**head, "variants": records(board, rows)}, indent=1, ensure_ascii=False, allow_nan=False)


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
        line += ["; ".join(row.methods), row.status, _reason(row), "; ".join(notes(row, board))]
        line += [row.verdict, row.share, row.verdict_reason, board.hardware_class]
        for key in keys:
            cell = row.cells.get(key)
            line += [cell.estimate, cell.low, cell.high, cell.n] if cell else [None] * 4
        writer.writerow(_inert(x) for x in line)
    return buffer.getvalue()


def as_parquet(board: Board, rows: Sequence[Row]) -> bytes:
    """The rows as a Parquet file: one line a variant, four columns a number."""
    columns: dict[str, Any] = {
        "variant": [row.name for row in rows],
        "recipe_id": [row.recipe_id for row in rows],
        "artefact_id": pa.array([row.artefact_id for row in rows], pa.string()),
        "base": [row.base for row in rows],
        "is_base": [row.is_base for row in rows],
        "seed": pa.array([row.seed for row in rows], pa.int64()),
        "recipe": [list(row.methods) for row in rows],
        "status": [row.status for row in rows],
        "reason": pa.array([_reason(row) for row in rows], pa.string()),
        "notes": pa.array([list(notes(row, board)) for row in rows], pa.list_(pa.string())),
        "verdict": [row.verdict for row in rows],
        "share": [row.share for row in rows],
        "verdict_reason": [row.verdict_reason for row in rows],
        "hardware_class": [board.hardware_class] * len(rows),
    }
    for key in _keys(board, rows):
        cells = [row.cells.get(key) for row in rows]
        name = column_name(key)
        columns[name] = pa.array([None if c is None else c.estimate for c in cells], pa.float64())
        columns[f"{name} low"] = pa.array([None if c is None else c.low for c in cells], pa.float64())
        columns[f"{name} high"] = pa.array([None if c is None else c.high for c in cells], pa.float64())
        columns[f"{name} n"] = pa.array([None if c is None else c.n for c in cells], pa.int64())
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _keys(board: Board, rows: Sequence[Row]) -> list[Key]:
    return [key for key in board.axes if any(key in row.cells for row in rows)]


def _reason(row: Row) -> str | None:
    """Why it has no number, as visitors may read it."""
    return None if row.reason is None else without_folders(row.reason)


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
