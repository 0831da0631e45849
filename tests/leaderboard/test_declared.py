"""Constraints that the sweep itself declares, on the board of a small sweep and on that of a large one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BadInput
from bench.store.asked import understand, why_missing
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
from leaderboard.review.nearest import nearest
from leaderboard.review.question import question
from leaderboard.review.shortlist import Shortlist
from leaderboard.rows import Board
from leaderboard.table import payload
from leaderboard.where import with_constraints
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, SCOPE, TASK, VARIANTS, Variant

COUNTED = tuple(replace(v, flops=1e9 * (i + 1)) for i, v in enumerate(VARIANTS[:4]))


def declared(metric: str, scope: str, operator: str, bound: float) -> dict[str, Any]:
    text = f"{metric} {operator} {bound:g}"
    return {"metric": metric, "scope": scope, "operator": operator, "bound": bound, "text": text}


@contextmanager
def boards(
    root: Path, variants: tuple[Variant, ...], *constraints: dict[str, Any], built: tuple[Variant, ...] = ()
) -> Iterator[list[Snapshot]]:
    """The snapshot of a store that is made in `root`, and the same as that of a large sweep.

    Of those that are `built` nothing else is delivered.
    """
    with sample.writing(root) as writer:
        told = [Entry.of(d) for d in sample.deliveries([v for v in variants if v not in built])]
        told += [Entry.of(sample.build(v)) for v in built]
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


class Unchanged(Variant):
    """A variant whose step changes nothing: it has the base's very bytes."""

    @property
    def artefact_id(self) -> str:
        return VARIANTS[0].artefact_id


UNCHANGED = Unchanged(f"{BASE}: unchanged", (("cast", {"dtype": "float32"}),), megabytes=1625.0)
TIGHT = declared("accuracy_difference", TASK, ">=", -0.001)
LOOSE = f"agreement:{TASK} >= 90%"


@contextmanager
def with_unchanged(root: Path, *constraints: dict[str, Any]) -> Iterator[list[Snapshot]]:
    """As `boards`; what no step has changed is neither evaluated nor timed again."""
    variants = (*VARIANTS[:4], UNCHANGED)
    with boards(root, variants, *constraints, built=(UNCHANGED,)) as both:
        yield both


def test_the_bytes_of_the_base_are_as_good_as_it_and_are_no_open_case(tmp_path: Path) -> None:
    with with_unchanged(tmp_path / "store", TIGHT) as both:
        for snapshot in both:
            case = read_case(snapshot, None, constraints=[LOOSE])
            row = next(row for row in case.board.rows if row.name == UNCHANGED.name)
            assert (row.artefact_id, row.is_base, row.as_base) == (VARIANTS[0].artefact_id, False, True)
            assert [kept.state for kept in row.kept] == ["met"]
            assert proposed(case.found) == {f"{BASE}: base", UNCHANGED.name}
            assert UNCHANGED.name not in {each.name for each in case.found.open}
            assert some_met(case.board)
            board = with_constraints(snapshot, case.board, [LOOSE])
            assert UNCHANGED.name in {each.name for each in board.rows}
            assert some_met(board)
            none = with_constraints(snapshot, case.board, [f"flips_gained:{TASK} > 0.1%"])
            assert UNCHANGED.name not in {each.name for each in none.rows}
            assert not some_met(none)


def test_the_bytes_of_the_base_may_be_nearest(tmp_path: Path) -> None:
    with with_unchanged(tmp_path / "store", TIGHT) as (snapshot, _):
        board = board_in(snapshot, None)
        alone = replace(board, rows=tuple(row for row in board.rows if row.name == UNCHANGED.name))
        said = nearest(alone, question(board, None, ["size <= 100 MB"]), 0, has_met=False)
        assert f"loosened to 1.63 GB it would be kept by {UNCHANGED.name}" in said


def test_the_table_says_that_it_has_the_base_s_bytes(tmp_path: Path) -> None:
    with with_unchanged(tmp_path / "store") as both:
        for snapshot in both:
            board = board_in(snapshot, None)
            view = look(board, Choice(), board.objectives, {})
            told = payload(view, tuple(board.rows), [("agreement", TASK)], None)["rows"]
            below = {row["title"]: row["cells"][0]["below"] for row in told}
            assert below[f"{BASE}: base"] == "the base itself"
            assert below[UNCHANGED.name] == "the base's very bytes"
            asked = next(s for s in snapshot.sweeps() if s["sweep_id"] == board.sweep_id)
            sentence = why_missing(snapshot, understand(snapshot, asked, UNCHANGED.name, "agreement", None))
            assert sentence == "It has the very bytes of its base, and there is nothing to compare it with."


def test_what_contradicts_a_declared_constraint_is_refused(tmp_path: Path) -> None:
    """Those that are declared are never refused themselves: the board is there to be read."""
    against = declared("size", "", "<=", 1.0), declared("size", "", ">=", 2e9)
    with boards(tmp_path / "store", COUNTED, declared("flops", "", "<=", 2.5e9), *against) as both:
        for snapshot in both:
            board = board_in(snapshot, None)
            with pytest.raises(BadInput, match=r"meet both 'flops <= 2.5e\+09' and 'flops > 3G'"):
                with_constraints(snapshot, board, ["accuracy >= 50%", "flops > 3G"])
            with pytest.raises(BadInput, match="meet both 'size <= 1' and 'size >= 1 MB'"):
                read_case(snapshot, None, constraints=["size >= 1 MB"])
            with pytest.raises(BadInput, match="meet both"):
                shown(snapshot, None, where=["flops >= 2.6G"])
            assert with_constraints(snapshot, board, ["flops >= 2G", "accuracy >= 50%"]).among is not None
            assert read_case(snapshot, None).found.candidates == ()
