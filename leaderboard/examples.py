"""Per-example outcomes of a few variants: which examples changed sides, with their texts, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from bench.store.outcomes import Answer, Change, Line
from leaderboard import markup
from leaderboard.format import number
from leaderboard.reading import A_PAGE, Examples, Shown, examples, outcomes_file
from leaderboard.rows import Row
from leaderboard.source import StoreError, version

OF_BASE: dict[str, Change] = {
    "all": "all",
    "lost: better in the base": "lost",
    "gained: better here": "gained",
}
OF_ONE: dict[str, Change] = {"all": "all"}
OF_SEVERAL: dict[str, Change] = {"where they differ": "differ", "all": "all"}
LONG = 280  # characters of a text before the rest is folded away


def draw_examples(
    sweep_id: str, rows: Sequence[Row], names: Sequence[str], base: Row, tasks: Sequence[Mapping[str, Any]]
) -> None:
    """Filters, counts and a page of examples. `rows` are the variants, the one that is compared with first."""
    artefacts = tuple(str(row.artefact_id) for row in rows if row.artefact_id)
    if not tasks:
        st.html(markup.box("This sweep scores no task: there are no outcomes to show."))
        return
    if len(artefacts) < len(rows) or not base.artefact_id:
        failed = [name for row, name in zip(rows, names, strict=True) if row.status == "failed"]
        said = f"{', '.join(failed)} could not be built: the tab Attempts of its page says why." if failed else ""
        waits = "Not all of these variants are built: their outcomes come once the sweep has run on."
        st.html(markup.box(said or waits))
        return
    choices = OF_ONE if len(rows) == 1 else OF_BASE if rows[0].is_base and len(rows) == 2 else OF_SEVERAL
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        task = st.selectbox("Task", [t["name"] for t in tasks], key="data", bind="query-params", width=200)
        told = st.selectbox("Examples", list(choices), key="change", bind="query-params", width=300)
        change = choices[str(told)]
        asked = Examples(sweep_id, artefacts, str(base.artefact_id), str(task), change)
        try:
            shown = examples(asked, version())
        except StoreError as error:
            st.html(markup.box(str(error)))
            return
        parts = [count.part for count in shown.counts if count.part]
        part = None
        if parts:
            part = st.selectbox(
                "Part of the data", parts, index=None, placeholder="all", key="part", bind="query-params", width=200
            )
        asked, shown = _page(asked, shown, part)
        st.download_button(
            "Download (Parquet)",
            lambda: outcomes_file(asked),
            file_name="outcomes.parquet",
            on_click="ignore",
            help="Every example that the filters keep, with all predictions and scores.",
        )
    cards = "".join(_card(line, shown, names) for line in shown.lines)
    st.html(markup.block(_counts(shown, names), f'<div class="cards">{cards}</div>'))


def _page(asked: Examples, shown: Shown, part: str | None) -> tuple[Examples, Shown]:
    """The page that is asked for, of the chosen part of the data."""
    if part is not None:
        asked = Examples(asked.sweep_id, asked.artefact_ids, asked.base_id, asked.task, asked.change, part)
        shown = examples(asked, version())
    last = max(1, -(-shown.matching // A_PAGE))
    if last > 1:
        page = int(st.number_input(f"Page of {last:,}", 1, last, key="examples", bind="query-params", width=160))
        if page > 1:
            asked = Examples(
                asked.sweep_id, asked.artefact_ids, asked.base_id, asked.task, asked.change, asked.part, page
            )
            shown = examples(asked, version())
    return asked, shown


def count_rows(shown: Shown) -> list[tuple[str, ...]]:
    """(part, examples, lost, gained, mean score of each variant) for each part of the data."""
    return [
        (
            count.part or "all",
            f"{count.n:,}",
            f"{count.lost:,}",
            f"{count.gained:,}",
            *(f"{mean:.4g}" for mean in count.means),
        )
        for count in shown.counts
    ]


def _counts(shown: Shown, names: Sequence[str]) -> str:
    head = ("part", "examples", "examples lost", "examples gained", *(f"mean score: {name}" for name in names))
    none = "" if shown.lines else markup.line(markup.text("No example is like that."), css="quiet")
    first = markup.line(markup.text(f"{shown.matching:,} examples match. Lost and gained: against {names[0]}."))
    if shown.lines and not any(shown.texts.values()):
        first += markup.line(
            markup.text("Their words cannot be read here: the data are not where they were."), css="small"
        )
    told = dict.fromkeys(head[4:], "Mean over these examples of what each counts for.")
    return markup.table(head, count_rows(shown), frozenset(range(1, len(head))), told) + first + none


def _card(line: Line, shown: Shown, names: Sequence[str]) -> str:
    """One example: its text, the right answer, and what each variant said."""
    part = f" · {line.part}" if line.part else ""
    answers = "".join(_answer(name, answer) for name, answer in zip(names, line.answers, strict=True))
    return (
        f'<article class="example"><div class="quiet small">example {line.index}{escape(part)}</div>'
        f"{_folded(shown.texts.get(line.index, ''))}"
        f'<div class="answers"><span class="answer"><i>right answer</i><bdi>{_folded(line.label)}</bdi></span>'
        f"{answers}</div></article>"
    )


def _answer(name: str, answer: Answer) -> str:
    if answer.score in (0.0, 1.0):
        css, mark = ("right", "✓ right") if answer.score else ("wrong", "✗ wrong")
    else:
        css, mark = "", f"score {answer.score:.4g}"
    sure = f", {number(answer.confidence, '1')} sure" if 0 < answer.confidence <= 1 else ""
    said = _folded(answer.prediction) if answer.prediction else ""
    return (
        f'<span class="answer {css}"><i>{escape(name)}</i><bdi>{said}</bdi><b>{escape(mark)}</b>'
        f'<span class="quiet small">{escape(sure)}</span></span>'
    )


def _folded(text: str) -> str:
    """Text as text, whatever is in it and whichever way it runs; a long one opens on a click."""
    if not text:
        return ""
    if len(text) <= LONG:
        return f'<div class="words" dir="auto">{escape(text)}</div>'
    return (
        f'<details class="words" dir="auto"><summary>{escape(text[:LONG])} … ({len(text):,} characters)</summary>'
        f"{escape(text[LONG:])}</details>"
    )
