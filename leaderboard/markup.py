"""Pieces of HTML for the page. Every argument is text and is escaped here; nothing else on the page writes HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
<style>
.pd { --line: color-mix(in srgb, currentColor 14%, transparent); --quiet: color-mix(in srgb, currentColor 66%, transparent);
  font-size: 14px; line-height: 1.45; overflow-wrap: anywhere; }
.pd h1, .pd h2, .pd h3 { padding: 0; margin: 0; line-height: 1.25; }
.pd h1 { font-size: 26px; } .pd h2 { font-size: 19px; } .pd h3 { font-size: 14px; margin: 14px 0 4px; }
.pd .quiet { color: var(--quiet); } .pd .small { font-size: 12.5px; }
.pd table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin: 0; }
.pd th, .pd td { padding: 5px 10px 5px 0; text-align: left; vertical-align: top; border: 0; border-bottom: 1px solid var(--line); }
.pd th { font-weight: 600; color: var(--quiet); font-size: 12.5px; } .pd td.n { white-space: nowrap; }
.pd ol { margin: 0; padding-left: 20px; } .pd code { font-size: 12.5px; background: none; color: inherit; padding: 0; }
.pd .certain { color: #2b7bba; } .pd .contested { color: #d97706; } .pd .dominated { color: var(--quiet); }
.pd .failed { color: color-mix(in srgb, #d1242f 78%, currentColor); }
.pd .track { height: 5px; border-radius: 3px; background: var(--line); margin: 6px 0; overflow: hidden; display: flex; }
.pd .track i { background: #2b7bba; } .pd .track u { background: #d1242f; }
.pd .box { border: 1px solid var(--line); border-left: 4px solid #2b7bba; border-radius: 6px; padding: 12px 16px; font-size: 15px; }
.pd .scroll { overflow-x: auto; }
div[data-testid="stMainBlockContainer"] { padding: 4.2rem 2rem 3rem; max-width: 1680px; }
@media (max-width: 700px) { div[data-testid="stMainBlockContainer"] { padding: 4rem 1rem 2rem; } }
</style>
"""


def text(value: object, css: str = "") -> str:
    """A word or sentence."""
    return f'<span class="{css}">{escape(str(value))}</span>' if css else escape(str(value))


def line(*parts: str, css: str = "") -> str:
    """Pieces of HTML on a line of their own."""
    return f'<div class="{css}">{"".join(parts)}</div>'


def heading(value: object, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(str(value))}</h{level}>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], numeric: frozenset[int] = frozenset()) -> str:
    """A table of text; columns in `numeric` do not wrap."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
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


def block(*parts: str) -> str:
    """The whole of what one call puts on the page."""
    return f'<div class="pd">{"".join(parts)}</div>'


def box(sentence: str) -> str:
    """A sentence that stands where content would."""
    return block(line(escape(sentence), css="box"))
