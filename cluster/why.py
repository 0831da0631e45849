"""What `paredown why` prints: the number, how it came about, its raw material, and what would change it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.store.sheets import Sheet
from bench.store.why import Why
from leaderboard.format import interval, number
from leaderboard.sheets import plain_text, shortened


def print_why(why: Why, form: str, console: Console) -> None:
    """Print in the asked form: sections of text and tables, Markdown, or JSON with everything in full."""
    if form == "json":
        console.print_json(json.dumps(records(why)))
        return
    for title, lines, sheets in sections(why):
        if form == "md":
            console.file.write("\n".join([f"## {title}", "", *(f"- {line}" for line in lines), ""]) + "\n")
            for sheet in sheets:
                console.file.write(_markdown(sheet, title) + "\n")
            continue
        console.print(Text(title, style="bold"))
        for line in lines:
            console.print(Text(f"  {line}"))
        for sheet in sheets:
            console.print(_table(sheet, title))
            for note in sheet.notes:
                console.print(Text(f"  {shortened(note)}"))
        console.print()


def print_raw(why: Why, form: str, console: Console) -> None:
    """All raw material as CSV, or as JSON with a record a row."""
    sheet = why.everything or Sheet("nothing", (), ())
    if form == "json":
        rows = [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]
        console.file.write(json.dumps(rows) + "\n")
        return
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(sheet.columns)
    writer.writerows(sheet.rows)
    console.file.write(buffer.getvalue())


def sections(why: Why) -> Iterator[tuple[str, tuple[str, ...], tuple[Sheet, ...]]]:
    """Title, sentences and tables of each section."""
    asked = why.asked
    title = str(asked.metric["title"]) + (f", {asked.scope}" if asked.scope else "")
    yield f"{asked.variant['name']}: {title}", _head(why), ()
    if why.missing is None:
        yield "How it was summarised", (*why.formula, *why.interval), ()
        yield "Raw material", (), why.raw
        yield "Conditions", (), (why.conditions,)
    yield "Artefact", _artefact(why), (why.lineage,)
    if why.missing is None:
        yield "Records", (), (why.records,)
    yield "To have it again", (why.command, why.command_note), ()
    if why.missing is None:
        yield "What enters the key", (), (why.key,)
        yield "What does not", why.outside, ()


def _head(why: Why) -> tuple[str, ...]:
    asked = why.asked
    if why.missing is not None or asked.number is None:
        return ("There is no such number.", str(why.missing))
    of, unit = asked.number, str(asked.metric["unit"])
    shown = number(of["estimate"], unit, asked.name)
    if of["low"] != of["high"]:
        shown += f" ({interval(of['low'], of['high'], unit, asked.name)})"
    lines = [shown, f"in full {of['estimate']!r}, from {of['low']!r} to {of['high']!r}; n = {of['n']:,}"]
    lines.append(f"sweep {asked.sweep['name']}; {asked.metric['better']} is better")
    if of["hardware_class"]:
        lines.append(f"hardware class: {of['hardware_class']}")
    if asked.others:
        lines.append(f"other scopes: {', '.join(asked.others)}")
    return tuple(lines)


def _artefact(why: Why) -> tuple[str, ...]:
    artefact_id = why.asked.variant["artefact_id"]
    if artefact_id is None:
        return ("not built",)
    return (f"id {artefact_id}", why.artefact_folder or "its folder is not in the store any more")


def _table(sheet: Sheet, section: str) -> Table:
    drawn = Table(
        title=Text(sheet.title) if sheet.title != section else None,
        title_justify="left",
        pad_edge=False,
        box=SIMPLE_HEAD,
    )
    for place, column in enumerate(sheet.columns):
        numeric = bool(sheet.rows) and all(isinstance(row[place], int | float | None) for row in sheet.rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in sheet.rows:
        drawn.add_row(*(Text(plain_text(cell)) for cell in row))
    return drawn


def _markdown(sheet: Sheet, section: str) -> str:
    lines = [f"### {sheet.title}", ""] if sheet.title != section else []
    lines += ["| " + " | ".join(sheet.columns) + " |", "|" + " --- |" * len(sheet.columns)]
    lines += ["| " + " | ".join(plain_text(cell).replace("|", "\\|") for cell in row) + " |" for row in sheet.rows]
    return "\n".join([*lines, "", *(f"{note}\n" for note in sheet.notes)])


def records(why: Why) -> dict[str, Any]:
    """Everything in full, for programs."""
    asked = why.asked
    of = asked.number
    fields = ("estimate", "low", "high", "n", "method", "evidence", "hardware_class", "note")
    return {
        "sweep": asked.sweep["name"],
        "variant": asked.variant["name"],
        "recipe_id": asked.variant["recipe_id"],
        "artefact_id": asked.variant["artefact_id"],
        "artefact_folder": why.artefact_folder,
        "metric": asked.name,
        "scope": asked.scope,
        "unit": asked.metric["unit"],
        "better": asked.metric["better"],
        "number": None if of is None else {name: of[name] for name in fields},
        "missing": why.missing,
        "formula": list(why.formula),
        "interval": list(why.interval),
        "raw": [asdict(sheet) for sheet in why.raw],
        "conditions": asdict(why.conditions),
        "lineage": asdict(why.lineage),
        "records": asdict(why.records),
        "command": why.command,
        "command_note": why.command_note,
        "enters_the_key": asdict(why.key),
        "enters_no_key": list(why.outside),
    }
