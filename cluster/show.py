"""Tables for the terminal, and the same rows as JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
import json
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


@dataclass(frozen=True, slots=True)
class Printable:
    """A table in two forms: cells for people, in one or several lines, and records for programs."""

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
        writer.writerows([_one_line(cell) for cell in row] for row in table.rows)
        console.file.write(buffer.getvalue())
    elif form == "md":
        lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
        lines += ["| " + " | ".join(_one_line(cell).replace("|", "\\|") for cell in row) + " |" for row in table.rows]
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


def _one_line(cell: str) -> str:
    return cell.replace("\n", "; ")


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
