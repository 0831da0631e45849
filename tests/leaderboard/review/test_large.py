"""The shortlist of a sweep whose rows stay in DuckDB is that of the same sweep in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.store.reader import Snapshot, open_snapshot
from leaderboard import index as index_module
from leaderboard.index import Index, open_index
from leaderboard.listing import Listing
from leaderboard.markdown import as_markdown
from leaderboard.review import large, words
from leaderboard.review.case import Case, find_row, licences_of, read_case, weighable
from leaderboard.review.document import document
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, SCOPE, VARIANTS

SPEED = ("latency_ratio", SCOPE)

QUESTIONS = [
    ((), None),
    (("size <= 600 MB",), None),
    (("size <= 1 GB", "accuracy >= 80%"), {"accuracy": 2.0, "size": 1.0}),
    (("accuracy >= 84.5%",), {"accuracy": 1.0, "latency_ratio": 3.0, "host_peak": 1.0}),
    (("accuracy_difference >= -2 pts",), None),
    (("size <= 100 MB",), None),
    (("size <= 350 MB", "accuracy >= 75%"), None),
    (("size <= 100 MB", "accuracy >= 99%"), None),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Snapshot, Index]]:
    """The same store, read in both ways."""
    store: Path = sample.make_store(tmp_path_factory.mktemp("both") / "store")
    with open_snapshot(store) as found:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(index_module, "LARGE", 1)
            index = open_index(found)
        assert index is not None
        yield found, index


def told(case: Case) -> dict[str, object]:
    found = case.found
    return {
        "candidates": [(each.row.name, each.row.verdict, round(each.score, 6)) for each in found.candidates],
        "shares": [(round(each.resampled, 6), round(each.anyhow, 6)) for each in found.candidates],
        "open": sorted(row.name for row in found.open),
        "counts": dict(found.counts),
        "advice": found.advice,
        "kept": [[kept.state for kept in each.row.kept] for each in found.candidates],
    }


@pytest.mark.parametrize(("constraints", "weights"), QUESTIONS)
def test_it_is_the_same_shortlist(
    both: tuple[Snapshot, Index], constraints: tuple[str, ...], weights: dict[str, float] | None
) -> None:
    small = read_case(both[0], None, constraints=constraints, weights=weights)
    with both[1].snapshot() as indexed:
        large = read_case(indexed, None, constraints=constraints, weights=weights)
    assert isinstance(large.board.rows, Listing)
    assert told(large) == told(small)
    assert small.hashed
    assert large.seen == small.seen
    assert large.hashed
    if small.found.choice is not None:
        recipe_id = small.found.choice.row.recipe_id
        assert licences_of(large, recipe_id) == licences_of(small, recipe_id)
        # Differences from the base have the sweep's wider intervals there, and only objectives have them.
        mine, theirs = (as_markdown(document(case, None)).splitlines() for case in (large, small))
        compared = {line for line in mine if " pts" in line or "−" in line or "| – |" in line}
        assert {a for a, b in zip(mine, theirs, strict=True) if a != b} <= compared


def test_the_same_numbers_are_offered_and_rows_found(both: tuple[Snapshot, Index]) -> None:
    small = read_case(both[0], None)
    with both[1].snapshot() as indexed:
        large = read_case(indexed, None)
    assert set(weighable(large.board)) == set(weighable(small.board))
    wanted = VARIANTS[2].recipe_id
    mine, theirs = find_row(large.board, wanted), find_row(small.board, wanted)
    assert mine is not None
    assert theirs is not None
    assert mine.name == theirs.name


def test_a_variant_that_was_decided_on_is_told_of(both: tuple[Snapshot, Index]) -> None:
    """Dominated: by whom. Kept out by a constraint: its row is there all the same."""
    beaten = next(v.recipe_id for v in VARIANTS if v.name == f"{BASE}: decoder 12 to 1")
    with both[1].snapshot() as indexed:
        case = read_case(indexed, None, watched=beaten)
        assert beaten in case.found.beaten_by
        assert beaten in {row.recipe_id for row in case.found.board.rows}
        out = read_case(indexed, None, watched=beaten, constraints=["size <= 600 MB"])
    row = next(row for row in out.found.board.rows if row.recipe_id == beaten)
    assert [kept.state for kept in row.kept] == ["not met"]
    assert out.found.find(beaten) is None


def test_the_best_are_scored_where_there_are_too_many(
    both: tuple[Snapshot, Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (large, words):
        monkeypatch.setattr(module, "MOST_CANDIDATES", 2)
    with both[1].snapshot() as indexed:
        case = read_case(indexed, None, weights={"accuracy": 1.5, "latency_ratio": 1.25})
        every = read_case(both[0], None, weights={"accuracy": 1.5, "latency_ratio": 1.25})
        last = every.found.candidates[-1].row
        watching = read_case(indexed, None, weights={"accuracy": 1.5, "latency_ratio": 1.25}, watched=last.recipe_id)
        fast = read_case(indexed, None, weights={"accuracy": 0.1, "latency_ratio": 9.0})
    assert len(case.found.candidates) == 2
    more = len(every.found.candidates) - 2
    assert (case.found.counts["unscored"], every.found.counts["unscored"]) == (more, 0)
    said = f"{more} more are not dominated and not listed: their scores are worse than the best 2."
    assert said in words.constraints_sentence(case.found)
    # The scale is that of all: who is listed, or watched, changes no score.
    of_all = {each.row.recipe_id: each.score for each in every.found.candidates}
    for each in (*case.found.candidates, *watching.found.candidates):
        assert each.score == pytest.approx(of_all[each.row.recipe_id])
    for key, ends in every.found.scale.items():
        assert case.found.scale[key] == pytest.approx(ends)
        assert watching.found.scale[key] == pytest.approx(ends)
    # Whoever was decided on is among them; so is whoever is best by the weights that are stated.
    assert watching.found.find(last.recipe_id) is not None
    assert fast.found.choice is not None
    assert fast.found.choice.row.cells[SPEED].estimate == min(
        c.row.cells[SPEED].estimate for c in every.found.candidates
    )


def test_whoever_was_decided_on_is_listed_though_others_are_open_too(
    both: tuple[Snapshot, Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may keep the constraints can be approved: more of them than are listed must not make a refusal of it."""
    every = read_case(both[0], None, constraints=["accuracy >= 84%"]).found.open
    monkeypatch.setattr(large, "MOST_OPEN", 1)
    with both[1].snapshot() as indexed:
        case = read_case(indexed, None, constraints=["accuracy >= 84%"], watched=every[-1].recipe_id)
    assert len(every) > 2
    assert {row.recipe_id for row in case.found.open} >= {every[-1].recipe_id}
    assert case.found.counts["open"] == len(every)
