"""Constraints that the sweep itself declares, on the board of a small sweep and on that of a large one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from bench.store.journal import Entry
from bench.store.reader import Snapshot, open_snapshot
from cluster.shown import shown
from leaderboard import index as index_module
from leaderboard.charts import figure
from leaderboard.choices import Choice, look, some_met
from leaderboard.index import open_index
from leaderboard.large import board_in
from leaderboard.listing import Listing
from leaderboard.review.case import read_case
from leaderboard.review.shortlist import Shortlist
from leaderboard.rows import Board
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, SCOPE, VARIANTS, Variant

COUNTED = tuple(replace(v, flops=1e9 * (i + 1)) for i, v in enumerate(VARIANTS[:4]))


def declared(metric: str, scope: str, operator: str, bound: float) -> dict[str, Any]:
    text = f"{metric} {operator} {bound:g}"
    return {"metric": metric, "scope": scope, "operator": operator, "bound": bound, "text": text}


@contextmanager
def boards(root: Path, variants: tuple[Variant, ...], *constraints: dict[str, Any]) -> Iterator[list[Snapshot]]:
    """The snapshot of a store that is made in `root`, and the same as that of a large sweep."""
    with sample.writing(root) as writer:
        told = (Entry.of(d) for d in sample.deliveries(variants))
        writer.append([sample.declaration(variants, constraints=constraints), *told])
    with ExitStack() as stack:
        small = stack.enter_context(open_snapshot(root))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(index_module, "LARGE", 1)
            index = open_index(small)
        assert index is not None
        yield [small, stack.enter_context(index.snapshot())]


def proposed(found: Shortlist) -> set[str]:
    return {each.row.name for each in found.candidates}


def test_flops_are_bounded_in_the_one_shape_that_they_are_counted_in(tmp_path: Path) -> None:
    """The declaration cannot know that shape, and names none."""
    with boards(tmp_path / "store", COUNTED, declared("flops", "", "<=", 2.5e9)) as both:
        for snapshot in both:
            case = read_case(snapshot, None)
            assert isinstance(case.board.rows, Listing) == (snapshot is both[1])
            assert [r.constraint.scope for r in case.board.constraints] == [SCOPE]
            assert [r.text for r in case.board.constraints] == ["flops <= 2.5e+09"]
            assert proposed(case.found) == {f"{BASE}: base", f"{BASE}: int8"}
            assert case.found.counts["not met"] == 2
            assert some_met(case.board)
            assert drawn_bounds(case.board) == ["flops <= 2.5e+09"]
            assert "flops <= 2.5e+09" in shown(snapshot, None).columns


def drawn_bounds(board: Board) -> list[str]:
    """What the lines at bounds are called."""
    view = look(replace(board, rows=tuple(board.rows)), Choice(), board.objectives, {})
    axes = board.axes["flops", SCOPE], board.axes["size", ""]
    every = (unescape(each.text) for each in figure(view, *axes, selected=None).layout.annotations)
    return [text for text in every if text.startswith("flops ")]


def test_advice_names_the_flops_that_would_do(tmp_path: Path) -> None:
    with boards(tmp_path / "store", COUNTED, declared("flops", "", "<=", 1e6)) as both:
        for snapshot in both:
            case = read_case(snapshot, None)
            assert case.found.counts["not met"] == 4
            assert case.found.advice is not None
            assert "loosened to 1,000 M it would be kept by bart-large: base" in case.found.advice
            assert not some_met(board_in(snapshot, None))
