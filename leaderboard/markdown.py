"""Documents of headings, text, tables and code, and the same as Markdown in which all text stays text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leaderboard.glossary import meaning_of

CONTROLS = re.compile("[\u0000-\u0008\u000b-\u001f\u007f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# What Markdown, its dialect of GitHub or HTML would read as more than text: anywhere, and where a line begins.
SPECIAL = re.compile(
    r"([\\`*\[\]~|$<>&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=\w)@(?=\w)|:(?=//|[\w+-]+:)|(?<=www)\.|(?<=mailto):"
    r"|^#(?=#*(?: |$))|^[+-](?=[ -]|$)|^=(?==*$))"
)
NUMBERED = re.compile(r"^(\d+)([.)])(?= |$)")  # the beginning of a list


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 1, 2 or 3."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text; `quiet` where it only explains."""

    text: str
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """A command or hash, as it is; in a named language what stays on its lines and holds nothing from data."""

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below their headings; `told` are meanings of headings, those of the glossary else."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    told: Mapping[str, str] = field(default_factory=dict)

    def meanings(self) -> dict[str, str]:
        """What its headings mean, as far as that is known."""
        every = {heading: self.told.get(heading) or meaning_of(heading) for heading in self.head}
        return {heading: meaning for heading, meaning in every.items() if meaning}


Part = Heading | Paragraph | Code | Table


def plain(text: str) -> str:
    """The text with control characters, also those that turn the direction of writing, told by their numbers."""
    return CONTROLS.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", text)


def as_markdown(parts: Sequence[Part]) -> str:
    """The document as Markdown; what its columns mean stands at the end."""
    told: dict[str, str] = {}
    for part in parts:
        told |= part.meanings() if isinstance(part, Table) else {}
    legend: list[Part] = []
    if told:
        legend = [Heading(2, "What the columns mean"), Table(("column", "meaning"), list(told.items()))]
    return "\n\n".join(_markdown(part) for part in (*parts, *legend)) + "\n"


def _markdown(part: Part) -> str:
    if isinstance(part, Heading):
        return f"{'#' * part.level} {_inert(part.text)}"
    if isinstance(part, Paragraph):
        return _inert(part.text)
    if isinstance(part, Code) and part.language:
        return f"```{part.language}\n{plain(part.text)}\n```"
    if isinstance(part, Code):
        return "\n".join(f"    {line}" for line in plain(part.text).splitlines())
    lines = [_cells(part.head), "|" + " --- |" * len(part.head), *(_cells(row) for row in part.rows)]
    return "\n".join(lines)


def _cells(row: Sequence[str]) -> str:
    return "| " + " | ".join(_inert(cell) for cell in row) + " |"


def _inert(text: str) -> str:
    """On one line, with every sign escaped that Markdown or HTML would read."""
    escaped = SPECIAL.sub(r"\\\1", plain(" ".join(text.split())))
    return NUMBERED.sub(r"\1\\\2", escaped)
