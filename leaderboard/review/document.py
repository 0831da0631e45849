"""A review as a document: to read offline, to mail, to keep. Markdown and HTML come from the same parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from bench.store.reviews import History
from leaderboard.glossary import help_html
from leaderboard.held_back import CONFIRMED, confirmed_rows
from leaderboard.markdown import Code, Heading, Paragraph, Part, Table, plain
from leaderboard.report import MOST_BYTES, NEVER
from leaderboard.review import words
from leaderboard.review.case import Case, find_row, licences_of, on_held_back, weights_text
from leaderboard.rows import Row
from leaderboard.wording import SHORT, TAKEN, export_command

MOST_CANDIDATES = 200


def document(case: Case, history: History | None, reasons: Sequence[str] = ()) -> list[Part]:
    """The parts of a review, or of a question that nobody has opened a review on yet."""
    return [*_head(case, history, reasons), *_evidence(case), *_subject(case, history), *_history(history)]


def _head(case: Case, history: History | None, reasons: Sequence[str]) -> Iterator[Part]:
    found, board = case.found, case.board
    first = history.opened if history else None
    yield Heading(1, first.title if first else f"Shortlist of {board.name}")
    if history is not None:
        yield Paragraph(words.state_sentence(history, reasons))
        for reason in reasons:
            yield Paragraph(f"To look at again: {reason}")
        if history.state == "approved" and history.choice is not None:
            yield Code(export_command(history.choice.recipe_id, board.sweep_id[:SHORT]))
            yield Paragraph(TAKEN, quiet=True)
        for problem in history.problems:
            yield Paragraph(f"The history is damaged: {problem}")
    rows = [
        ("sweep", board.name),
        ("hardware class", board.hardware_class),
        ("base", found.question.base),
        ("constraints", ", ".join(r.text for r in found.board.constraints) or "none"),
        ("weights", weights_text(found.question.weights)),
        ("data as of", f"{case.seen.published[:19].replace('T', ' ')} UTC, snapshot {case.seen.snapshot}"),
        ("SHA-256 of the data", case.seen.digest),
    ]
    if history is not None:
        rows.append(("review", history.review))
        rows.append(("SHA-256 of the last event", history.hashes[-1] if history.hashes else "none"))
    yield Table(("", ""), rows)


def _evidence(case: Case) -> Iterator[Part]:
    found = case.found
    yield Heading(2, "Shortlist")
    yield Paragraph(words.constraints_sentence(found))
    yield Paragraph(words.choice_sentence(found))
    if found.candidates:
        listed = words.shortlist_rows(case, MOST_CANDIDATES)
        yield Table(words.shortlist_head(found), listed, words.meanings(found))
        if len(found.candidates) > MOST_CANDIDATES:
            yield Paragraph(f"{len(found.candidates) - MOST_CANDIDATES:,} more with higher scores are left out here.")
        yield Paragraph(f"{words.METHOD} {words.SHARES}", quiet=True)
        yield Table(("scale", "loss 0", "loss 1"), words.scale_rows(found))
    if found.open:
        yield Paragraph(f"Open to keep the constraints: {', '.join(row.name for row in found.open[:MOST_CANDIDATES])}.")
    if len(found.candidates) > 1:
        yield Heading(2, "Sensitivity")
        for sentence in words.sensitivity_sentences(found):
            yield Paragraph(sentence)
        yield Table(words.SENSITIVITY, words.sensitivity_rows(found))


def _subject(case: Case, history: History | None) -> Iterator[Part]:
    """What is known of the variant that was decided on, or else of the first of the shortlist."""
    row = subject(case, history)
    if row is None:
        return
    yield Heading(2, f"Evidence for {row.name}")
    yield Paragraph(f"Recipe {row.recipe_id}, artefact {row.artefact_id or 'none'}.")
    yield Table(words.EVIDENCE, words.evidence_rows(row, case.found))
    yield Heading(3, "Licences")
    licences = licences_of(case, row.recipe_id)
    yield Table(words.LICENCES, licences)
    if words.missing_licences(licences):
        yield Paragraph(words.missing_licences(licences))
    yield Heading(3, "Unopened data")
    sentence, command = on_held_back(case, row)
    yield Paragraph(sentence)
    if command:
        yield Code(command)
    confirmed = confirmed_rows(case.held_back, case.board, row.recipe_id)
    if confirmed:
        yield Table(CONFIRMED, confirmed)


def subject(case: Case, history: History | None) -> Row | None:
    """The variant that a review is about: the approved one, the one decided on last, or the first of the shortlist."""
    decided = (history.choice or history.decisions[-1]) if history is not None and history.decisions else None
    if decided is not None:
        candidate = case.found.find(decided.recipe_id)
        row = candidate.row if candidate else find_row(case.board, decided.recipe_id)
        if row is not None:
            return row
    return case.found.choice.row if case.found.choice else None


def _history(history: History | None) -> Iterator[Part]:
    if history is None:
        return
    yield Heading(2, "History")
    rows = [(*line[:-1], hashed) for line, hashed in zip(words.history_rows(history), history.hashes, strict=True)]
    yield Table(words.HISTORY, rows)
    yield Paragraph(words.SIGNED, quiet=True)
    if any(event.person.how == "local" for event in history.events):
        yield Paragraph("Some events are marked “local, identity not verified”: nobody checked who wrote them.")


def as_html(parts: Sequence[Part], title: str) -> str:
    """The document as one HTML file: no script, nothing from outside, under 5 MB."""
    body: list[str] = []
    room = MOST_BYTES
    for part in parts:
        piece = _html(part)
        room -= len(piece.encode())
        if room < 0:
            body.append("<p>The rest did not fit: `paredown review` prints it.</p>")
            break
        body.append(piece)
    style = files("leaderboard").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{NEVER}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(plain(title))}</title><style>{style}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _html(part: Part) -> str:
    if isinstance(part, Heading):
        return f'<h{part.level} dir="auto">{escape(plain(part.text))}</h{part.level}>'
    if isinstance(part, Paragraph):
        css = ' class="quiet small"' if part.quiet else ""
        return f'<p{css} dir="auto">{escape(plain(part.text))}</p>'
    if isinstance(part, Code):
        return f"<pre>{escape(plain(part.text))}</pre>"
    told = part.meanings()
    head = "".join(f"<th>{help_html(plain(cell), plain(told.get(cell, '')))}</th>" for cell in part.head)
    rows = "".join(
        "<tr>" + "".join(f'<td dir="auto">{escape(plain(cell))}</td>' for cell in row) + "</tr>" for row in part.rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
