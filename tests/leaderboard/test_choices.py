"""Filters: who competes, who is listed, in which order."""

from dataclasses import replace

import pytest

from leaderboard.choices import Choice, look, several_seeds, with_bases, with_seeds_together
from leaderboard.choices import in_order as ordered
from leaderboard.rows import Board, Draws
from tests.leaderboard.sample import BASE, HTML, MARKDOWN, SCOPE, SQL, TASK


def test_without_filters_the_published_verdicts_stand(board: Board, draws: Draws) -> None:
    view = look(board, Choice(), board.objectives, draws)
    assert view.rows == board.rows
    assert not view.narrowed
    assert view.matching == 10


def test_a_filter_recomputes_the_frontier_among_the_shown_and_the_base(board: Board, draws: Draws) -> None:
    view = look(board, Choice(text="decoder"), board.objectives, draws)
    found = {row.name: row.verdict for row in view.rows}
    assert view.narrowed
    assert view.matching == 4
    assert next(iter(found)) == f"{BASE}: base"
    assert found[f"{BASE}: decoder 12 to 1"] == "certain"  # the faster ones are not among them
    assert next(r for r in board.rows if r.name == f"{BASE}: decoder 12 to 1").verdict == "dominated"


def test_a_method_filter_keeps_recipes_with_that_step(board: Board, draws: Draws) -> None:
    view = look(board, Choice(methods=("int8_dynamic",)), board.objectives, draws)
    assert {row.name for row in view.rows} == {f"{BASE}: base", f"{BASE}: int8", SQL}


def test_a_verdict_filter_lists_rows_without_judging_them_anew(board: Board, draws: Draws) -> None:
    view = look(board, Choice(standings=("dominated",)), board.objectives, draws)
    assert not view.narrowed
    assert {row.name for row in view.rows if not row.is_base} == {
        HTML,
        MARKDOWN,
        f"{BASE}: decoder 12 to 6",
        f"{BASE}: decoder 12 to 1",
    }
    assert {row.verdict for row in view.rows if not row.is_base} == {"dominated"}


@pytest.mark.parametrize("text", ["'; DROP table", "[link](http", "<img SRC", "$x^2$ bold"])
def test_search_takes_every_sign_for_a_letter(board: Board, draws: Draws, text: str) -> None:
    view = look(board, Choice(text=text), board.objectives, draws)
    assert view.matching == 1


def test_nothing_matches_leaves_the_base(board: Board, draws: Draws) -> None:
    view = look(board, Choice(text="no such thing"), board.objectives, draws)
    assert [row.is_base for row in view.rows] == [True]
    assert view.rows[0].verdict == "certain"


def test_sorting_keeps_the_base_on_top_and_missing_numbers_last(board: Board) -> None:
    for descending in (False, True):
        rows = ordered(board.rows, ("size", ""), descending=descending)
        sizes = [row.cells["size", ""].estimate for row in rows[1:] if row.cells]
        assert rows[0].is_base
        assert sizes == sorted(sizes, reverse=descending)
        assert [bool(row.cells) for row in rows] == [True] * 9 + [False] * 2


def test_sorting_by_name_and_by_verdict(board: Board) -> None:
    names = [row.name.casefold() for row in ordered(board.rows, "name", descending=True)[1:]]
    assert names == sorted(names, reverse=True)
    assert [row.verdict for row in ordered(board.rows, "verdict", descending=False)[1:3]] == ["certain", "certain"]
    assert ordered(board.rows, None, descending=False) == list(board.rows)


def test_a_variant_is_found_by_the_beginning_of_its_id(board: Board, draws: Draws) -> None:
    view = look(board, Choice(text="int8"), board.objectives, draws)
    outside = next(row for row in board.rows if row.name == HTML)
    assert view.find(outside.recipe_id[:16]) is outside
    assert view.find(outside.recipe_id[:3]) is None
    assert view.find(None) is None
    assert view.keys == (("accuracy", TASK), ("latency_ratio", SCOPE))


def test_seeds_of_a_recipe_stand_together(board: Board) -> None:
    a, b, c = board.rows[:3]
    rows = [a, replace(b, group="g", seed=1), c, replace(b, group="g", seed=2, recipe_id="f" * 64)]
    assert [row.seed for row in with_seeds_together(rows)] == [a.seed, 1, 2, c.seed]
    assert several_seeds(rows) == {"g": 2}
    assert several_seeds(board.rows) == {}


def test_a_part_has_the_base_of_each_variant_above_it(board: Board, draws: Draws) -> None:
    rows = (*board.rows, *(replace(row, base="other", recipe_id=f"o{row.recipe_id}") for row in board.rows))
    two = replace(board, rows=rows)
    view = look(two, Choice(text="decoder"), board.objectives, draws)
    assert with_bases(view, view.rows) == list(view.rows)
    for first in range(1, len(view.rows)):
        part = with_bases(view, view.rows[first : first + 3])
        assert [row for row in part if not row.is_base] == [r for r in view.rows[first : first + 3] if not r.is_base]
        for row in part:
            above = [other for other in part if other.is_base and other.base == row.base]
            assert above == [other for other in view.rows if other.is_base and other.base == row.base]
            assert part.index(above[0]) <= part.index(row)
    assert with_bases(view, []) == []
