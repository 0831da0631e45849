"""Pieces of HTML for the page. Every argument is text and is escaped here; nothing else on the page writes HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from types import MappingProxyType

from leaderboard.glossary import help_html, meaning_of

STANDS_FOR = MappingProxyType(  # in commands
    {
        " STORE": "STORE stands for the folder or bucket of this store.",
        "…/": "… stands for a folder: name the file where it lies.",
    }
)


def style() -> str:
    """The style sheet of everything below."""
    return f"<style>{files('leaderboard').joinpath('page.css').read_text(encoding='utf-8')}</style>"


def text(value: object, css: str = "") -> str:
    """A word or sentence."""
    return f'<span class="{css}">{escape(str(value))}</span>' if css else escape(str(value))


def line(*parts: str, css: str = "") -> str:
    """Pieces of HTML on a line of their own."""
    return f'<div class="{css}">{"".join(parts)}</div>'


def heading(value: object, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(str(value))}</h{level}>"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    numeric: frozenset[int] = frozenset(),
    told: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A table of text; columns in `numeric` do not wrap. `told` are meanings of columns, those of the glossary else."""
    top = "".join(f"<th>{help_html(cell, told.get(cell) or meaning_of(cell))}</th>" for cell in head)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=n' if i in numeric else ''}>{escape(str(cell))}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def steps(items: Iterable[tuple[str, str]]) -> str:
    """A numbered list of (name, settings)."""
    inside = "".join(
        f'<li><b>{escape(name)}</b> <span class="quiet">{escape(what)}</span></li>' for name, what in items
    )
    return f"<ol>{inside}</ol>"


def track(done: float, failed: float) -> str:
    """A thin bar of progress; both are shares of the whole."""
    widths = [100 * min(1.0, max(0.0, share)) for share in (done, failed)]
    return f'<div class="track"><i style="width:{widths[0]:.2f}%"></i><u style="width:{widths[1]:.2f}%"></u></div>'


def strip(pieces: Iterable[tuple[float, int, str]], mark: float) -> str:
    """A bar from 0 to 1 in pieces of (width, hue, name), with a mark on it; the names stand in what fits."""
    inside = "".join(
        f'<span class="h{hue}" style="width:{100 * width:.3f}%" title="{escape(name)}">{escape(name)}</span>'
        for width, hue, name in pieces
    )
    at = 100 * min(1.0, max(0.0, mark))
    return f'<div class="strip" aria-hidden="true">{inside}<i style="left:{at:.3f}%"></i></div>'


def block(*parts: str) -> str:
    """The whole of what one call puts on the page."""
    return f'<div class="pd">{"".join(parts)}</div>'


def command(text_: str) -> str:
    """Something to run: a click selects all of it. Streamlit's own element loads 1.5 MB to colour words.

    What stands for a path, of which pages tell none, is explained below it.
    """
    told = (line(escape(said), css="quiet small") for mark, said in STANDS_FOR.items() if mark in text_)
    return block(f'<pre class="command" title="A click selects all of it">{escape(text_)}</pre>', *told)


def box(sentence: str) -> str:
    """A sentence that stands where content would."""
    return block(line(escape(sentence), css="box"))


def claim(css: str, mark: str, said: str, published: str, found: str, reason: str, source: str) -> str:
    """A published number beside the measured one, with the verdict, the reason and where it was published."""
    facts = "".join(
        f'<span class="fact"><i>{name}</i>{escape(value) or "–"}</span>'
        for name, value in (("published", published), ("measured", found))
    )
    return (
        f'<article class="claim {escape(css)}"><span class="mark">{escape(mark)}</span><b>{escape(said)}</b>{facts}'
        f'<span>{escape(reason)}</span><span class="source quiet small">{escape(source)}</span></article>'
    )


def as_label(name: str) -> str:
    """A name for a link or button: these read Markdown, so that every sign of it is escaped."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!~>|$:<&])", r"\\\1", " ".join(name.split()))
