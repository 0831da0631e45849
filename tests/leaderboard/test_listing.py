"""A large sweep's rows, read from DuckDB a page at a time, are those of a small one: the sample read both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import BadInput
from bench.store.journal import Entry
from bench.store.reader import Snapshot, open_snapshot
from cluster.shown import shown
from leaderboard import against
from leaderboard import index as index_module
from leaderboard.choices import (
    Choice,
    in_order,
    look,
    several_seeds,
    some_met,
    unfinished,
    variants_in,
    with_bases,
    with_seeds_together,
)
from leaderboard.decisions import read_decisions
from leaderboard.dossier import read_attempts, read_dossier
from leaderboard.downloads import as_csv, as_json, as_parquet
from leaderboard.format import rank, tied_with
from leaderboard.index import Index, open_index
from leaderboard.large import board_in
from leaderboard.listing import Listing
from leaderboard.rows import Board, Draws, Key, Row, read_board, read_draws
from leaderboard.running import bars, causes, work
from leaderboard.table import payload, usual_columns
from leaderboard.ties import ties_of, with_ties
from leaderboard.where import kept_under
from leaderboard.wording import group_rows
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, SCOPE, TASK, VARIANTS

SEEDED = tuple(
    replace(v, name=f"{v.name}, seed {seed}", seed=seed, lost=v.lost + 0.01 * seed)
    for v in VARIANTS[2:5]
    for seed in (0, 1, 2)
)
KEYS: tuple[tuple[Key, ...], ...] = (
    (("accuracy", TASK), ("latency_ratio", SCOPE)),
    (("accuracy", TASK), ("size", "")),
    (("size", ""), ("parameters", "")),
    (("host_peak", SCOPE), ("latency_ms", SCOPE)),
)
CHOICES = (
    Choice(),
    Choice(text="decoder"),
    Choice(text="DECODER 12 fine"),
    Choice(text="'; DROP table"),
    Choice(text="no such thing"),
    Choice(methods=("int8_dynamic", "cast")),
    Choice(base=BASE),
    Choice(standings=("certain", "not evaluated"), statuses=("complete", "failed")),
    Choice(task=TASK),
    Choice(task="another"),
    Choice(base="another"),
)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Declared with one lease, so that most variants were measured twice as long as planned."""
    root, variants = tmp_path_factory.mktemp("seeded") / "store", (*VARIANTS, *SEEDED)
    with sample.writing(root) as writer:
        writer.append([sample.declaration(variants, leases=1), *map(Entry.of, sample.deliveries(variants))])
        writer.report(sample.PROGRESS)
    return root


@pytest.fixture(scope="module")
def small(seeded: Path) -> Iterator[tuple[Snapshot, Board]]:
    with open_snapshot(seeded) as found:
        yield found, read_board(found)


@pytest.fixture(scope="module")
def index(seeded: Path) -> Index:
    with pytest.MonkeyPatch.context() as patch, open_snapshot(seeded) as found:
        patch.setattr(index_module, "LARGE", 1)
        made = open_index(found)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def large(index: Index) -> Board:
    with index.snapshot() as found:
        board = board_in(found, None)
    assert isinstance(board.rows, Listing)
    return board


@pytest.fixture(autouse=True)
def no_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a sweep that is really large."""
    for module in ("cluster.shown", "leaderboard.table"):
        monkeypatch.setattr(f"{module}.ties_among", lambda _: {})


def plain(row: Row) -> Row:
    """Without what only a large sweep's row knows by itself."""
    return replace(row, seeds=None)


def test_every_row_is_the_same_in_the_same_order(small: tuple[Snapshot, Board], large: Board) -> None:
    assert [plain(row) for row in large.rows] == list(small[1].rows)
    assert len(large.rows) == len(small[1].rows) == 20
    assert {row.cells["latency_ratio", SCOPE].extended for row in large.rows if row.verdict == "contested"} >= {2.0}
    assert plain(large.rows[-1]) == small[1].rows[-1]
    assert [plain(row) for row in large.rows[3:7]] == list(small[1].rows[3:7])
    assert replace(large, rows=small[1].rows, facts=None) == small[1]
    with pytest.raises(IndexError):
        large.rows[20]


def test_the_terminal_shows_the_same(
    small: tuple[Snapshot, Board], index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    with index.snapshot() as found:
        table, expected = shown(found, None), shown(small[0], None)
        assert table == expected
        for asked in ({"objectives": "size,parameters"}, {"where": ["size <= 1GB"], "objectives": "accuracy,size"}):
            verdicts, same = (
                {r["name"]: (r["verdict"], r["share"]) for r in shown(snapshot, None, **asked).records["variants"]}
                for snapshot in (found, small[0])
            )
            assert verdicts == same
        some = shown(found, None, limit=3)
        assert some.rows == shown(small[0], None).rows[:3]
        assert some.notes[-1].startswith("17 more rows are not shown")
        assert shown(found, None, against="int8") == shown(small[0], None, against="int8")
        monkeypatch.setattr(against, "LARGE", 5)
        with pytest.raises(BadInput, match="at most 5 variants, and 20 are asked for: narrow them with --where"):
            shown(found, None, against="int8")
        with pytest.raises(BadInput, match="All 18 variants with a number have the same layers"):
            shown(found, None, objectives="accuracy,layers")


def test_what_is_unfinished_is_the_same(small: tuple[Snapshot, Board], large: Board) -> None:
    assert [plain(row) for row in unfinished(large)] == unfinished(small[1])
    assert unfinished(large)


def test_the_whole_is_known_without_its_rows(small: tuple[Snapshot, Board], large: Board) -> None:
    assert large.about == small[1].about
    assert large.bases == small[1].bases
    assert several_seeds(large.rows) == several_seeds(small[1].rows)
    row = next(row for row in large.rows if row.seed == 2)
    assert group_rows(row, large) == group_rows(plain(row), small[1])


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("keys", KEYS, ids=lambda keys: "-".join(metric for metric, _ in keys))
def test_filters_and_axes_give_the_same_rows_and_verdicts(
    small: tuple[Snapshot, Board], large: Board, choice: Choice, keys: tuple[Key, ...]
) -> None:
    draws: Draws = read_draws(*small, keys)
    here, there = look(small[1], choice, keys, draws), look(large, choice, keys, {})
    assert there.narrowed == here.narrowed
    assert there.matching == here.matching
    assert [row.recipe_id for row in there.rows] == [row.recipe_id for row in here.rows]
    assert variants_in(there.rows) == variants_in(here.rows)
    # Among so few the small board's intervals come from the bootstrap of the largest deviation: a little narrower, and
    # more so where two leases leave few degrees of freedom.
    states = [(row.verdict, mine.verdict) for row, mine in zip(here.rows, there.rows, strict=True)]
    assert all(a == b or b == "contested" for a, b in states)
    assert sum(a != b for a, b in states) <= (8 if any(metric.startswith("latency") for metric, _ in keys) else 3)
    assert [row.share for row in there.rows] == pytest.approx([row.share for row in here.rows])
    for row in there.rows:
        assert (row.dominated_by is not None) == (row.verdict == "dominated")
        assert row.verdict_reason


@pytest.mark.parametrize("by", [None, "name", "verdict", ("size", ""), ("accuracy", TASK)])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_orders_are_the_same(
    small: tuple[Snapshot, Board], large: Board, by: Key | str | None, descending: bool, together: bool
) -> None:
    rows = [in_order(board.rows, by, descending=descending) for board in (small[1], large)]
    if together:
        rows = [with_seeds_together(each) for each in rows]
    here, there = ([row.recipe_id for row in each] for each in rows)
    assert there == here
    assert [row.recipe_id for row in rows[1][4:9]] == here[4:9]


def test_constraints_leave_out_the_same(small: tuple[Snapshot, Board], large: Board) -> None:
    for texts in (["size <= 1 GB"], ["latency_ratio <= 0.7", "accuracy >= 80%"], ["size <= 1 B"]):
        here, there = (kept_under(board, texts) for board in (small[1], large))
        assert there.among == here.among
        assert there.constraints == here.constraints
        assert [row.recipe_id for row in there.rows] == [row.recipe_id for row in here.rows]
        assert [row.kept for row in there.rows] == [row.kept for row in here.rows]
        assert some_met(there) == some_met(here)


def test_the_table_and_the_downloads_are_the_same(
    small: tuple[Snapshot, Board], large: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [look(board, Choice(), board.objectives, {}) for board in (small[1], large)]
    tables = [payload(view, view.rows[:12], usual_columns(view.board), None) for view in views]
    assert tables[0] == tables[1]
    read: list[int] = []
    whole = Listing.read

    def counted(listing: Listing, places: Sequence[int]) -> list[Row]:
        read.extend(places)
        return whole(listing, places)

    monkeypatch.setattr(Listing, "read", counted)
    for written in (as_csv, as_json, as_parquet):
        read.clear()
        assert written(views[0].board, views[0].rows) == written(views[1].board, views[1].rows)
        assert len(read) == len(set(read)) == 20  # rows of a large sweep are read once


@pytest.mark.parametrize("choice", [Choice(), Choice(text="decoder")], ids=str)
@pytest.mark.parametrize("keys", KEYS[:2], ids=lambda keys: "-".join(metric for metric, _ in keys))
def test_ties_are_told_among_those_that_are_not_dominated(
    small: tuple[Snapshot, Board], large: Board, choice: Choice, keys: tuple[Key, ...]
) -> None:
    here, there = look(small[1], choice, keys, read_draws(*small, keys)), look(large, choice, keys, {})
    found = ties_of(there, None)
    assert found is not None
    rows, said = with_ties(there, there.rows[:])
    unbeaten = {row.recipe_id for row in rows if row.verdict in ("certain", "contested")}
    assert found.compared == len(unbeaten) > 3
    assert f"among the {len(unbeaten)} that are not dominated" in said
    for row, mine in zip(here.rows, rows, strict=True):
        others = [other for other in here.rows if other.recipe_id in unbeaten - {row.recipe_id}]
        for key in keys:
            place, told = mine.places.get(key), row.places.get(key)
            tied = None if place is None else place.tied
            assert (tied is not None) == (row.recipe_id in unbeaten)
            if place is None or told is None or place.rank is None or told.rank is None or tied is None:
                continue
            # Intervals are as wide or wider there: ranks and ties are the same or more.
            assert place.rank[0] <= told.rank[0] <= told.rank[1] <= place.rank[1]
            assert tied >= sum(bool(other.places[key].letters & told.letters) for other in others)
            if key == ("size", ""):
                assert tied == sum(other.cells[key].estimate == row.cells[key].estimate for other in others)
                assert rank(place.rank, place.tie, tied).endswith(
                    f", {tied_with(tied)}" if tied else f"{place.rank[1]:,}"
                )


def test_every_page_has_the_base_as_it_was_judged(small: tuple[Snapshot, Board], large: Board) -> None:
    for choice in (Choice(), Choice(text="decoder")):
        views = [
            look(board, choice, board.objectives, read_draws(*small, board.objectives)) for board in (small[1], large)
        ]
        for first in (0, 3, 6):
            here, there = (with_bases(view, view.rows[first : first + 3]) for view in views)
            assert [row.recipe_id for row in there] == [row.recipe_id for row in here]
            assert [row.is_base for row in there] == [True, *[False] * (len(there) - 1)]
            assert there[0].share == views[1].rows[0].share
            assert here[0] == views[0].rows[0]


def test_variants_are_found_by_the_beginning_of_their_id(large: Board) -> None:
    view = look(large, Choice(text="int8"), large.objectives, {})
    outside = next(row for row in large.rows if row.name == f"{BASE}: bf16")
    found = view.find(outside.recipe_id[:16])
    assert found == outside
    assert not view.competes(outside)
    assert view.find(outside.recipe_id[:3]) is None
    assert view.find("%_%_%_%_%") is None
    base = view.base_of(outside)
    assert base is not None
    assert base.is_base


def test_what_ran_is_the_same_by_an_index(small: tuple[Snapshot, Board], index: Index) -> None:
    sweep_id = small[1].sweep_id
    with index.snapshot() as found:
        assert work(found, sweep_id) == work(small[0], sweep_id)
        assert bars(found, sweep_id) == bars(small[0], sweep_id)
        assert causes(found, sweep_id) == causes(small[0], sweep_id)
        recipe_id = small[1].rows[3].recipe_id
        assert read_dossier(found, sweep_id, recipe_id) == read_dossier(small[0], sweep_id, recipe_id)
        assert read_attempts(found, sweep_id, recipe_id) == read_attempts(small[0], sweep_id, recipe_id)
        assert read_decisions(found, sweep_id, recipe_id) == read_decisions(small[0], sweep_id, recipe_id)
