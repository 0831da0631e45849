"""Small tables of evidence as text: for the page and for the command."""

from __future__ import annotations

import re

from bench.store.sheets import Cell, Sheet
from leaderboard import markup
from leaderboard.format import without_folders
from leaderboard.glossary import meaning_of

HASH = re.compile(r"\b([0-9a-f]{10})[0-9a-f]{54}\b")
MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d+\+00:00")  # UTC
MOST_ROWS = 60  # that a page shows of one sheet


def cell_text(cell: Cell) -> str:
    """As `plain_text`, moments to the second."""
    return plain_text(MOMENT.sub(r"\1 \2", cell) if isinstance(cell, str) else cell)


def plain_text(cell: Cell) -> str:
    """A cell as people read it: whole numbers with commas, others with six digits, hashes by their beginning."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:.6g}"
    return shortened(cell)


def shortened(text: str) -> str:
    """Hashes by their beginning, all on one line."""
    return " ".join(HASH.sub(r"\1", text).split())


def sheet_html(sheet: Sheet) -> str:
    """A sheet with its title and notes, its first rows where there are many."""
    rows = [[without_folders(cell_text(cell)) for cell in row] for row in sheet.rows[:MOST_ROWS]]
    numeric = frozenset(
        place
        for place in range(len(sheet.columns))
        if rows and all(isinstance(row[place], int | float | None) for row in sheet.rows)
    )
    # Columns that are named by the data, as labels are, mean what the sheet is about.
    told = {name: f"{sheet.title}." for name in sheet.columns if not meaning_of(name)}
    left_out = len(sheet.rows) - len(rows)
    shown = markup.line(markup.text("Nothing."), css="quiet")
    if rows:
        shown = markup.table(sheet.columns, rows, numeric, told)
    return (
        markup.heading(sheet.title, 3)
        + shown
        + "".join(markup.line(markup.text(shortened(note)), css="quiet small") for note in sheet.notes)
        + (markup.line(markup.text(f"{left_out:,} more rows."), css="quiet small") if left_out else "")
    )
