"""The leaderboard and its frontier as one HTML file: no script, nothing from outside, small enough for a mail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from leaderboard.choices import View
from leaderboard.drawing import plot_svg
from leaderboard.format import SIGNS, interval, number
from leaderboard.glossary import help_html, meaning_of
from leaderboard.rows import Axis, Board, Draws, Row
from leaderboard.table import VERDICT, column_meaning, full_name, label, notes, share, usual_columns
from leaderboard.wording import OBJECTIVES, objective_rows, settings_text

MOST_BYTES = 4_500_000  # of 5 MB: a mail adds a third, and the frame needs some
NEVER = "default-src 'none'; style-src 'unsafe-inline'"  # whatever stands in a name, the file loads and runs nothing


def report_html(board: Board, draws: Draws, count: int | None = None) -> str:
    """The whole file. Rows come as ranked, and as many as fit; what is left out of `count` in all is said."""
    view = View(board, board.objectives, board.rows, board.rows, narrowed=board.among is not None)
    columns = [board.axes[key] for key in usual_columns(board)]
    plot = plot_svg(view, draws)
    room = MOST_BYTES - len(plot.encode())
    lines, room = _fitting((_line(row, board, columns) for row in board.rows), room)
    told, _ = _fitting((_details(row, board) for row in board.rows[: len(lines)]), room)
    left_out = (count or len(board.rows)) - len(lines)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{NEVER}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(board.name)}: leaderboard</title><style>{_style()}</style></head><body>"
        f"{_head(board)}<h2>Frontier</h2>{plot}{_legend(plot)}"
        f'<h2>Leaderboard</h2><div class="scroll"><table><thead><tr>{_heading(board, columns)}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{_left_out(left_out, 'variants')}"
        f"<h2>Variants</h2>{_objectives_legend()}{''.join(told)}{_left_out(len(lines) - len(told), 'recipes')}"
        "</body></html>\n"
    )


def _fitting(pieces: Iterator[str], room: int) -> tuple[list[str], int]:
    """As many pieces as fit into so many bytes, and what is left of them."""
    found = []
    for piece in pieces:
        size = len(piece.encode())
        if size > room:
            break
        found.append(piece)
        room -= size
    return found, room


def _left_out(count: int, what: str) -> str:
    if not count:
        return ""
    return f'<p class="quiet">{count:,} more {what} did not fit: `paredown show` and the page have them all.</p>'


def _style() -> str:
    return files("leaderboard").joinpath("report.css").read_text(encoding="utf-8")


def _head(board: Board) -> str:
    objectives = "; ".join(full_name(board.axes[key]) for key in board.objectives)
    lines = [
        f"Measured on {board.hardware_class} · as of {board.published[:19].replace('T', ' ')} UTC",
        f"Verdicts on: {objectives}.",
    ]
    lines += [f"Constraint: {required.text}." for required in board.constraints]
    if board.among is not None:
        lines.append(f"Frontier among {board.among[0]} shown of {board.among[1]} variants, and the base.")
    about = f'<p class="quiet">{escape(board.description)}</p>' if board.description else ""
    told = "".join(f'<div class="quiet small">{escape(line)}</div>' for line in lines)
    return f"<h1>{escape(board.name)}</h1>{about}{told}"


def _legend(plot: str) -> str:
    """The marks that the plot has, and no others."""
    marks = {"certain": "circle", "contested": "diamond", "dominated": "cross"}
    words = {
        "certain": "against every other variant it is better beyond the interval on some objective",
        "contested": "neither shown to be beaten nor shown to be unbeaten",
        "dominated": "one other is better on every objective beyond the interval",
    }
    told = "; ".join(f"<b>{SIGNS[word]} {word}</b> ({marks[word]}): {words[word]}" for word in marks)
    drawn = {
        '<path class="whisker"': "Whiskers: 95% intervals.",
        '<path class="front"': "Dotted: estimates that no other beats.",
        '<path class="bound"': "Dashed: a constraint.",
        '<path class="band"': "Shaded: along any one direction 95% of the resampled frontiers cross inside it.",
        '<circle class="ring"': "Ring: the base.",
        '<rect class="ring"': "Large square: the knee.",
        '<g class="not-evaluated"': "Small square: no verdict; the row says which number is missing.",
    }
    said = " ".join(words for mark, words in drawn.items() if mark in plot)
    return (
        f'<p class="small">{told}.</p><p class="small quiet">{said} An interval speaks of this artefact, not of the '
        "method.</p>"
    )


def _heading(board: Board, columns: Sequence[Axis]) -> str:
    numbers = "".join(f'<th class="n">{help_html(full_name(axis), column_meaning(axis))}</th>' for axis in columns)
    verdict = help_html("verdict, share on the frontier", VERDICT)
    name, note = (f"<th>{help_html(each, meaning_of(each))}</th>" for each in ("variant", "notes"))
    return f"{name}<th>{verdict}</th>{numbers}{note}"


def _objectives_legend() -> str:
    """What the columns below every variant mean: once, as thousands of variants would repeat it."""
    told = " ".join(f"<b>{escape(name)}</b>: {escape(meaning_of(name))}" for name in OBJECTIVES)
    return f'<p class="small quiet">{told}</p>'


def _line(row: Row, board: Board, columns: Sequence[Axis]) -> str:
    verdict = f"{SIGNS[row.verdict]} {row.verdict}"
    told = "" if row.verdict == "not evaluated" else f"<small>{share(row)}</small>"
    recipe = " → ".join(row.methods) or "the base model itself"
    return (
        f'<tr{" class=base" if row.is_base else ""}><td class="name">{escape(label(row, board))}'
        f'<small>{escape(recipe)}</small></td><td class="{row.verdict.replace(" ", "-")}">{verdict}{told}</td>'
        f"{''.join(_cell(row, axis) for axis in columns)}<td>{escape('; '.join(notes(row, board)))}</td></tr>"
    )


def _cell(row: Row, axis: Axis) -> str:
    cell = row.cells.get(axis.key)
    if cell is None:
        return '<td class="n">–</td>'
    text = escape(number(cell.estimate, axis.unit, axis.metric))
    if cell.low == cell.high:
        return f'<td class="n">{text}</td>'
    return f'<td class="n">{text}<small>{escape(interval(cell.low, cell.high, axis.unit, axis.metric))}</small></td>'


def _details(row: Row, board: Board) -> str:
    steps = "".join(
        f"<li><b>{escape(step.name)}</b> {escape(settings_text(step.settings))}"
        f"{'' if step.seed is None else f'; seed {step.seed}'}</li>"
        for step in row.steps
    )
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in objective_rows(row, board)
    )
    artefact = f" · artefact {row.artefact_id}" if row.artefact_id else ""
    return (
        f"<details><summary>{escape(row.name)}</summary>"
        f'<div class="small quiet">recipe {row.recipe_id}{artefact}</div>'
        f"<div>{escape(SIGNS[row.verdict])} {row.verdict}: {escape(row.verdict_reason)}</div>"
        f"{f'<ol>{steps}</ol>' if steps else '<p>The base model itself: no step.</p>'}"
        f'<div class="scroll"><table><thead><tr>{"".join(f"<th>{name}</th>" for name in OBJECTIVES)}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div></details>"
    )
