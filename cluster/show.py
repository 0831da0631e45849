"""Tables for the terminal, and the same rows as JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.errors import unknown
from bench.job import StudyJob
from bench.methods import METHODS
from bench.metrics import METRICS
from bench.recipe import step_class
from bench.sweep import Sweep
from bench.sweep_file import SHIPPED
from bench.tasks import TASKS
from cluster.estimates import Estimate, Estimates
from cluster.forecast import forecast
from cluster.needs import largest_guess
from cluster.plan import Plan
from cluster.raceable import why_not


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


def plan_table(sweep: Sweep, plan: Plan, estimates: Estimates, slots: int) -> Printable:
    """Jobs of a plan, each with where it stands; expected ones by kind; what the rest will take on `slots` CPUs."""
    each = [(p, estimates.of(p.of, p.examples)) for p in plan.jobs]
    rows: list[tuple[str, ...]] = []
    for (kind, title, status), alike in groupby(each, lambda one: (one[0].kind, one[0].of.title, one[0].status)):
        times = [estimate for _, estimate in alike]
        rows.append((kind, title, f"{len(times)}", status, "" if status == "done" else _time(*times)))
    for e in plan.expected:
        rows.append((e.kind, "", f"{e.count}", "expected", _time(*[estimates.usual(e.kind)] * e.count)))
    ahead, memory = forecast(plan, estimates, slots), largest_guess(sweep)
    shared = sum(len(r.stages) + 1 for r in sweep.recipes) - len({p for r in sweep.recipes for p in _prefixes(r)})
    notes: tuple[str, ...] = (
        f"{len(sweep.recipes)} variants of {len(sweep.bases)} base model{'s' * (len(sweep.bases) != 1)} on "
        f"{len(sweep.tasks)} task{'s' * (len(sweep.tasks) != 1)}; {shared} builds saved by shared beginnings; "
        f"{plan.count('done')} jobs known already; {_studies(plan)}about {ahead.seconds / 60:.0f} min on {slots} CPUs"
        + (f" and {ahead.gpu_seconds / 3600:.1f} GPU hours" if ahead.gpu_seconds else "")
        + f", at most about {memory / 1e9:.1f} GB of memory a job"
        + (f", {ahead.learned} of {ahead.jobs} times learned from such jobs here" if ahead.jobs else "")
        + ".",
    )
    jobs: list[dict[str, Any]] = [
        {"kind": p.kind, "job": p.of.title, "status": p.status, **asdict(found)} for p, found in each
    ]
    for e in plan.expected:
        usual = asdict(estimates.usual(e.kind))
        jobs.append({"kind": e.kind, "job": None, "count": e.count, "status": "expected", **usual})
    reason = why_not(sweep) if sweep.file.race.on else None
    if reason is not None:
        notes += (f"Nothing is raced, every variant runs to its end: {reason}.",)
    records = {
        "race": reason,
        "jobs": jobs,
        "minutes": round(ahead.seconds / 60, 1),
        "memory_bytes": memory,
        "gpu_hours": round(ahead.gpu_seconds / 3600, 2),
        "learned": ahead.learned,
        "open": ahead.jobs,
    }
    names = ("kind", "job", "jobs", "status", "time")
    return Printable(f"Plan of {sweep.name}", names, tuple(rows), records, notes, right=frozenset({"jobs", "time"}))


def _time(*found: Estimate) -> str:
    """Seconds of all together, with a tilde where they rest on a guess."""
    return f"{'' if all(each.learned for each in found) else '~'}{sum(each.seconds for each in found):,.0f} s"


def _studies(plan: Plan) -> str:
    """How many builds share the answers to questions that were asked once."""
    asked = [p.of for p in plan.jobs if isinstance(p.of, StudyJob)]
    spared = sum(len(job.asking) for job in asked) - len(asked)
    return f"{spared} studies saved by shared questions; " if spared else ""


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
