"""Tables for the terminal, and the same rows as JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.errors import unknown
from bench.methods import METHODS
from bench.metrics import METRICS
from bench.recipe import step_class
from bench.sweep import Sweep
from bench.sweep_file import SHIPPED
from bench.tasks import TASKS
from cluster.plan import Plan
from cluster.progress import Progress, job_kind
from leaderboard.format import SIGNS, interval, number
from leaderboard.rows import Axis, Board, Row, comparisons


@dataclass(frozen=True, slots=True)
class Printable:
    """A table in two forms: cells for people, records for programs."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    records: Any
    notes: tuple[str, ...] = ()
    right: frozenset[str] = frozenset()


def print_table(table: Printable, form: str, console: Console) -> None:
    """Print in the asked form. JSON carries full precision and everything the table leaves out."""
    if form == "json":
        console.print_json(json.dumps(table.records))
    elif form == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows(table.rows)
        console.file.write(buffer.getvalue())
    elif form == "md":
        lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table.rows]
        console.file.write("\n".join([*lines, "", *table.notes]) + "\n")
    else:
        drawn = Table(title=Text(table.title), title_justify="left", pad_edge=False, show_lines=False, box=SIMPLE_HEAD)
        first = min(28, max(len(row[0]) for row in ((table.columns[0],), *table.rows)))
        for place, column in enumerate(table.columns):
            # An interval goes below its estimate, a scope below its metric: columns stay narrow, nothing is cut off.
            drawn.add_column(
                column.replace(", ", ",\n", 1),
                justify="right" if column in table.right else "left",
                overflow="fold",
                width=first if place == 0 else None,  # a least width would push the last column over the edge
            )
        for row in table.rows:
            drawn.add_row(Text(row[0]), *(Text(cell.replace(" (", "\n(", 1)) for cell in row[1:]))
        console.print(drawn)
        for note in table.notes:
            console.print(Text(note))


def plan_table(sweep: Sweep, plan: Plan) -> Printable:
    """Jobs of a plan, each with where it stands; expected ones by kind."""
    rows: list[tuple[str, str, str]] = [(job_kind(p.job), p.job.title, p.status) for p in plan.jobs]
    rows += [(e.kind, f"{e.count} jobs", "expected") for e in plan.expected]
    progress = Progress(Console(quiet=True), slots=2)
    minutes = progress.seconds_left(plan) / 60
    shared = sum(len(r.stages) + 1 for r in sweep.recipes) - len({p for r in sweep.recipes for p in _prefixes(r)})
    notes = (
        f"{len(sweep.recipes)} variants of {len(sweep.bases)} base model{'s' * (len(sweep.bases) != 1)} on "
        f"{len(sweep.tasks)} task{'s' * (len(sweep.tasks) != 1)}; {shared} builds saved by shared beginnings; "
        f"{plan.count('done')} jobs known already; about {minutes:.0f} min on 2 cores.",
    )
    records = {
        "jobs": [dict(zip(("kind", "job", "status"), row, strict=True)) for row in rows],
        "minutes": round(minutes, 1),
    }
    return Printable(f"Plan of {sweep.name}", ("kind", "job", "status"), tuple(rows), records, notes)


def _prefixes(recipe: Any) -> list[str]:
    return [recipe.prefix(n).recipe_id for n in range(len(recipe.stages) + 1)]


def board_table(board: Board) -> Printable:
    """The leaderboard: verdict and declared objectives first, then size and memory."""
    keys = [*board.objectives]
    keys += [key for key in comparisons(board) if key not in keys]
    for extra in ("size", "host_peak", "latency_ms"):
        # Of several scopes, the one that an objective has.
        scopes = {scope for _, scope in board.objectives}
        found = sorted((k for k in board.axes if k[0] == extra and k not in keys), key=lambda k: k[1] not in scopes)
        keys += found[:1]
    axes = [board.axes[k] for k in keys]
    columns: tuple[str, ...] = ("variant", "verdict", "share", *(axis.title for axis in axes))
    rows = tuple(_cells(row, axes) for row in board.rows)
    marked = [row for row in board.rows if row.undelivered]
    if marked:
        columns += ("notes",)
        rows = tuple((*c, "did not deliver" if row in marked else "") for c, row in zip(rows, board.rows, strict=True))
    notes = (
        f"Hardware class: {board.hardware_class}.",
        "Intervals: 95%. Verdicts are simultaneous over all pairs on the objectives "
        f"{', '.join(board.axes[k].title for k in board.objectives)}. "
        "Share: part of resamples in which the variant is on the frontier; not a probability.",
        "An interval over examples and rounds speaks of this artefact; a recipe with one seed says so: one seed.",
        *(f"{row.name} was {row.stopped.reason}; --no-race completes it." for row in board.rows if row.stopped),
        *(f"{row.name} did not deliver: {'; '.join(row.undelivered)}." for row in marked),
    )
    right = frozenset({"share", *(axis.title for axis in axes)})
    return Printable(f"{board.name}: leaderboard", columns, rows, board_records(board), notes, right)


def _cells(row: Row, axes: Sequence[Axis]) -> tuple[str, ...]:
    share = f"{100 * row.share:.0f}%" if row.verdict != "not evaluated" else "–"
    return (row.name, f"{SIGNS[row.verdict]} {row.verdict}", share, *(_cell(row, axis) for axis in axes))


def _cell(row: Row, axis: Axis) -> str:
    cell = row.cells.get(axis.key)
    if cell is None:
        return "–"
    text = number(cell.estimate, axis.unit, axis.metric)
    if cell.low != cell.high:
        text += f" ({interval(cell.low, cell.high, axis.unit, axis.metric)})"
    return f"{text} {cell.note}" if cell.note else text


def board_records(board: Board) -> dict[str, Any]:
    """Everything the board holds, for programs."""
    return {
        "sweep": board.name,
        "sweep_id": board.sweep_id,
        "hardware_class": board.hardware_class,
        "published": board.published,
        "objectives": [{"metric": m, "scope": s} for m, s in board.objectives],
        "variants": [
            {
                "name": row.name,
                "recipe_id": row.recipe_id,
                "artefact_id": row.artefact_id,
                "base": row.base,
                "is_base": row.is_base,
                "seed": row.seed,
                "status": row.status,
                "reason": row.reason,
                "verdict": row.verdict,
                "share": row.share,
                "verdict_reason": row.verdict_reason,
                "undelivered": list(row.undelivered),
                "stopped": row.stopped is not None,
                "numbers": [
                    {
                        "metric": metric,
                        "scope": scope,
                        "estimate": cell.estimate,
                        "low": cell.low,
                        "high": cell.high,
                        "n": cell.n,
                        "method": cell.method,
                        "hardware_class": cell.hardware_class,
                        "note": cell.note,
                    }
                    for (metric, scope), cell in row.cells.items()
                ],
            }
            for row in board.rows
        ],
    }


def known_table(what: str) -> Printable:
    """What a sweep can name."""
    if what == "methods":
        rows = [(name, _first_line(step_class(name))) for name in sorted(METHODS)]
    elif what == "metrics":
        rows = [(m.name, f"{m.meaning} Unit {m.unit}, {m.better} is better.") for m in METRICS.values()]
    elif what == "tasks":
        from bench.tasks.spec import task_class

        rows = [(name, _first_line(task_class(name))) for name in sorted(TASKS)]
    elif what == "sweeps":
        rows = [(path.stem, str(path.name)) for path in sorted(SHIPPED.glob("*.yaml"))]
    elif what == "models":
        from bench import zoo

        rows = [(f"zoo://{name}", path.name) for name, path in sorted(zoo.MODELS.items())]
    else:
        raise unknown("list", what, ("methods", "metrics", "tasks", "sweeps", "models"))
    records = [{"name": name, "meaning": meaning} for name, meaning in rows]
    return Printable(what, ("name", "meaning"), tuple(rows), records)


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]
