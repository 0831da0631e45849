"""What a card says of a variant's numbers: verdict, objectives, every number, and under which conditions."""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard.card.subject import Subject
from leaderboard.format import SIGNS, interval, number, without_folders
from leaderboard.glossary import VERDICTS
from leaderboard.held_back import CONFIRMED, confirmed_rows, sentences
from leaderboard.markdown import Code, Heading, Paragraph, Part, Table
from leaderboard.rows import Axis, Cell
from leaderboard.sheets import cell_text
from leaderboard.table import column_meaning, notes
from leaderboard.wording import OBJECTIVES, objective_rows, verdict_sentence

NUMBERS = ("number", "value", "95% interval", "n", "how")
TOLD = {
    "number": "What was measured or counted, and on which data or shape.",
    "how": "The method of the interval, and what is odd about the number.",
    "n": "Examples, rounds or repeats behind the number; 1 where it was counted.",
}


def measured(about: Subject) -> Iterator[Part]:
    """All of it."""
    row, board = about.row, about.board
    yield Heading(2, "What was measured")
    yield Paragraph(f"{SIGNS[row.verdict]} {row.verdict}. {VERDICTS.get(row.verdict, '')}")
    yield Paragraph(without_folders(verdict_sentence(row, about.view)))
    yield Paragraph("All verdicts of one base's variants hold together at 95%; they speak of this sweep's alone.")
    for note in notes(row, board):
        yield Paragraph(f"Note: {without_folders(note)}")
    yield Table(OBJECTIVES, objective_rows(row, board))
    if about.ties:
        yield Paragraph(about.ties)
    if board.constraints:
        kept = [(r.text, k.state) for r, k in zip(board.constraints, row.kept, strict=True)]
        yield Table(("constraint", "state"), kept, {"state": "Met only where the whole interval keeps it."})
    yield Heading(3, "Every number")
    yield Paragraph(f"Times and memory hold for {board.hardware_class}. numbers.json has the same in full precision.")
    told = [axis for key, axis in board.axes.items() if key in row.cells]
    yield Table(NUMBERS, [_line(axis, row.cells[axis.key]) for axis in told], TOLD)
    yield from _confirmed(about)


def conditions(about: Subject) -> Iterator[Part]:
    """Under which conditions the numbers were had, and what each says."""
    yield Heading(2, "Conditions")
    rows = [[without_folders(cell_text(cell)) for cell in line] for line in about.conditions.rows]
    yield Table(about.conditions.columns, rows, {"built": "While its last step was done."})
    yield Heading(2, "What the numbers mean")
    told = [axis for key, axis in about.board.axes.items() if key in about.row.cells]
    meanings = {axis.title.removesuffix(f", {axis.scope}"): column_meaning(axis) for axis in told}
    yield Table(("number", "meaning"), list(meanings.items()), TOLD)


def _line(axis: Axis, cell: Cell) -> tuple[str, str, str, str, str]:
    between = "" if cell.low == cell.high else interval(cell.low, cell.high, axis.unit, axis.metric)
    how = "; ".join([cell.method, *([cell.note] if cell.note else ())])
    return axis.title, number(cell.estimate, axis.unit, axis.metric), between, f"{cell.n:,}", how


def _confirmed(about: Subject) -> Iterator[Part]:
    yield Heading(3, "On examples that nobody chose by")
    sentence, command = sentences(about.known.held_back, about.board, about.row, [])
    yield Paragraph(sentence)
    if command:
        yield Code(command)
    confirmed = confirmed_rows(about.known.held_back, about.board, about.row.recipe_id)
    if confirmed:
        yield Table(CONFIRMED, confirmed)
