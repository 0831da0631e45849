"""What is open of a large sweep, told among those that nothing beats, beside the same sweep in memory."""

from __future__ import annotations

import pytest

from bench.statistics import pruned
from bench.store.reader import Snapshot
from leaderboard import candidates
from leaderboard.contests import open_contests
from leaderboard.large import judge_field
from leaderboard.listing import VERDICTS, Listing
from leaderboard.rows import Board, find_sweep
from leaderboard.running import contested


def test_what_is_open_is_told_of_those_that_nothing_beats(
    snapshot: Snapshot, large: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With intervals over the pairs of all, so that contested are those of the same field judged so."""
    assert isinstance(large.rows, Listing)
    (here,) = open_contests(snapshot, find_sweep(snapshot))
    monkeypatch.setattr(pruned, "MOST_CANDIDATES", len(here.rows) - 1)
    with large.rows.source.snapshot() as indexed:
        (there,) = open_contests(indexed, find_sweep(indexed))
    table = judge_field(large, large.rows, large.objectives).table
    judged = table["place"].to_numpy()[table["standing"].to_numpy() == VERDICTS.index("contested")]
    assert [row.recipe_id for row in there.contested] == [row.recipe_id for row in large.rows.read(judged.tolist())]
    assert 1 < len(there.contested) < len(there.rows) < len(here.rows)
    assert there.rows[0].is_base
    ours = {row.recipe_id: leases for row, leases in zip(here.rows, here.leases, strict=True)}
    assert [ours[row.recipe_id] for row in there.rows] == list(there.leases)
    assert there.rounds == here.rounds
    assert there.lease_seconds == pytest.approx(here.lease_seconds)
    # What is told apart there is told apart here, where intervals are no wider.
    assert {row.recipe_id for row in here.contested} <= {row.recipe_id for row in there.contested}


def test_of_a_base_with_few_variants_all_are_compared(snapshot: Snapshot, large: Board) -> None:
    """As the store judged them, though the sweep's bases together have many."""
    assert isinstance(large.rows, Listing)
    (here,) = open_contests(snapshot, find_sweep(snapshot))
    with large.rows.source.snapshot() as indexed:
        (there,) = open_contests(indexed, find_sweep(indexed))
    assert {row.recipe_id for row in there.rows} == {row.recipe_id for row in here.rows}
    assert {row.recipe_id for row in there.contested} == {row.recipe_id for row in here.contested}
    assert {row.recipe_id for row in here.contested} == {r.recipe_id for r in here.rows if r.verdict == "contested"}
    assert there.others == 0


def test_those_that_are_not_compared_are_counted(large: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(large.rows, Listing)
    monkeypatch.setattr(pruned, "MOST_CANDIDATES", 2)
    with large.rows.source.snapshot() as indexed:
        (few,) = open_contests(indexed, find_sweep(indexed))
        said = contested(indexed, large.sweep_id).sentence
    assert len(few.rows) <= 3
    assert few.others > 0
    assert f" {few.others:,} more that may be on the frontier are farther from it" in said


def test_a_base_that_is_beaten_keeps_nobody_contested(large: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(large.rows, Listing)
    monkeypatch.setattr(pruned, "MOST_CANDIDATES", len(large.rows) - 1)
    with large.rows.source.snapshot() as indexed:
        (with_base,) = open_contests(indexed, find_sweep(indexed))
        monkeypatch.setattr(candidates, "nearest", lambda found, _: (found[found > 0], found[:0]))
        (without,) = open_contests(indexed, find_sweep(indexed))
    assert with_base.rows == without.rows  # the base first, for it is in every lease
    assert with_base.rows[0].is_base
    assert 0 in with_base.pairs.of
    assert 0 not in without.pairs.of
    assert 0 not in without.pairs.other
    apart = (with_base.pairs.of > 0) & (with_base.pairs.other > 0)
    assert without.pairs.better.tolist() == with_base.pairs.better[apart].tolist()
