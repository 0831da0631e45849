"""The report: one file, offline, whole, and nothing in it runs whatever a name says."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.errors import BadInput
from cluster.cli import app
from leaderboard import report
from leaderboard.choices import View
from leaderboard.drawing import plot_svg, ticks
from leaderboard.glossary import meaning_of
from leaderboard.report import report_html
from leaderboard.rows import Board, Draws
from leaderboard.table import payload, usual_columns
from leaderboard.where import kept_under
from tests.leaderboard.sample import HTML, TASK, VARIANTS


class Tags(HTMLParser):
    """The elements and attributes of a file, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def text(board: Board, draws: Draws) -> str:
    return report_html(board, draws)


def test_every_variant_is_in_it_with_its_name_as_text(text: str) -> None:
    found = Tags(text)
    words = " ".join(found.words)
    for variant in VARIANTS:
        assert variant.name in words
    assert HTML in words
    assert "img" not in found.tags
    assert "failed: build: bad spec" in words


def test_every_heading_says_what_its_column_means(board: Board, text: str) -> None:
    """In the words of the page: by pointing at it, and by opening it where there is nothing to point with."""
    board_table, variants = text.split("<h2>Variants</h2>")
    heads = re.findall(r"<th[^>]*>(.*?)</th>", board_table)
    assert len(heads) == 3 + len(usual_columns(board))
    for head in heads:
        summary, _, said = head.partition("</summary><span>")
        meaning = summary.partition('title="')[2].partition('"')[0]
        assert meaning, head
        assert said == f"{meaning}</span></details>"
    for name in set(re.findall(r"<th>(.*?)</th>", variants)):
        assert f"<b>{name}</b>: {escape(meaning_of(name))}" in variants
    on_page = payload(
        View(board, board.objectives, board.rows, board.rows, False), board.rows, usual_columns(board), None
    )
    for column in on_page["columns"]:
        assert any(escape(column["meaning"]).startswith(re.findall('title="(.*?)"', head)[0]) for head in heads)


def test_nothing_is_loaded_and_nothing_runs(text: str) -> None:
    found = Tags(text)
    assert not {"script", "link", "iframe", "object", "embed", "form", "a", "img"} & set(found.tags)
    names = {name for name, _ in found.attributes}
    assert not {"src", "href", "srcset"} & names
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text.replace("&#x27;", "'")


def test_the_plot_has_a_mark_for_every_row_with_both_numbers(board: Board, draws: Draws) -> None:
    drawn = plot_svg(View(board, board.objectives, board.rows, board.rows, narrowed=False), draws)
    assert drawn.count('class="mark') == 9
    assert drawn.count('class="whisker"') == 9
    assert 'class="front"' in drawn
    assert 'class="band"' in drawn
    assert not re.search(r"nan|inf", drawn.split("<title>")[1].split("</svg>")[0].partition("d=")[2][:200])


def test_the_legend_names_only_what_is_drawn(board: Board, draws: Draws, text: str) -> None:
    said = ("Whiskers: 95% intervals.", "Dotted:", "Shaded:", "Ring: the base.", "Large square: the knee.")
    marks = ('<path class="whisker"', '<path class="front"', '<path class="band"', '<circle class="ring"')
    empty = report_html(replace(board, rows=tuple(replace(row, cells={}) for row in board.rows)), draws)
    assert not any(words in empty for words in said)
    for told in (text, report_html(board, {}), empty):
        plot = told.partition("<svg")[2].partition("</svg>")[0]
        assert [words in told for words in said[:4]] == [mark in plot for mark in marks]
        assert (said[4] in told) is ('<rect class="ring"' in plot)
    assert said[2] in text
    assert said[2] not in report_html(board, {})


def test_bounds_near_the_points_are_drawn(board: Board, draws: Draws) -> None:
    of_size = replace(board, objectives=(("accuracy", TASK), ("size", "")))
    for bound, near in (("size <= 1 GB", True), ("accuracy >= 70%", True), ("size <= 90 GB", False)):
        drawn = report_html(kept_under(of_size, [bound]), draws)
        assert ('<path class="bound"' in drawn) is near
        assert (f">{escape(bound)}</text>" in drawn) is near
        assert ("Dashed: a constraint." in drawn) is near
        assert f"Constraint: {escape(bound)}." in drawn
    drawn = report_html(kept_under(of_size, ["size <= 1 GB"]), draws)
    (tick,) = re.findall('<text class="tick" x="([0-9.]+)" [^>]*>1,000 MB<', drawn)
    assert f'<path class="bound" d="M{tick} ' in drawn


def test_a_board_without_numbers_says_so(board: Board, draws: Draws) -> None:
    empty = replace(board, rows=tuple(replace(row, cells={}) for row in board.rows))
    assert "nothing to draw" in report_html(empty, draws)


def test_what_does_not_fit_is_counted(board: Board, draws: Draws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_BYTES", 140_000)
    many = tuple(replace(board.rows[1], recipe_id=f"{i:064x}") for i in range(300))
    told = report_html(replace(board, rows=(board.rows[0], *many)), draws)
    assert len(told.encode()) < 155_000
    assert re.search(r"\d+ more variants did not fit", told)


def test_ticks_are_round_and_within() -> None:
    assert ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(37.4, 66.7) == [40, 45, 50, 55, 60, 65]
    assert ticks(3.0, 3.0) == [3.0]
    assert len(ticks(0.0, 12_345_678.0)) <= 7


def test_the_command_writes_it(store: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", "--store", str(store), "--out", str(tmp_path / "r.html")])
    assert done.exit_code == 0
    assert "11 variants" in done.output
    assert (tmp_path / "r.html").stat().st_size < 5_000_000
    some = ["report", "--store", str(store), "--out", str(tmp_path / "s.html"), "--where", "size <= 1 GB"]
    assert CliRunner().invoke(app, some).exit_code == 0
    assert "Constraint: size &lt;= 1 GB." in (tmp_path / "s.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "s.html"]


@pytest.mark.parametrize(
    ("name", "sentence"), [("r.pdf", "ends in .html"), ("no such folder/r.html", "cannot be written")]
)
def test_a_file_that_cannot_be_is_one_sentence(store: Path, tmp_path: Path, name: str, sentence: str) -> None:
    done = CliRunner().invoke(app, ["report", "--store", str(store), "--out", str(tmp_path / name)])
    assert isinstance(done.exception, BadInput)
    assert sentence in str(done.exception)
