"""Every variant beside one of them: differences from the draws, exact tests from the outcomes themselves."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.errors import BadInput
from bench.statistics.paired import flips, holm, mcnemar_exact
from bench.store.reader import Snapshot
from leaderboard import against
from leaderboard.against import beside
from leaderboard.rows import Board, Draws
from leaderboard.where import with_constraints
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, HTML, SCOPE, SQL, TASK

ACCURACY = ("accuracy", TASK)
INT8 = f"{BASE}: int8"


def scores(name: str) -> NDArray[np.float64]:
    (variant,) = (v for v in sample.measured() if v.name == name)
    examples = sample.evaluation(variant).examples
    assert examples is not None
    return examples.score


def test_tests_are_those_of_the_outcomes_adjusted_for_all_variants(snapshot: Snapshot, board: Board) -> None:
    """Ten variants and one 0/1 metric: ten tests, eight of which can be made."""
    reference, others = beside(snapshot, board, "int8")
    assert reference.name == INT8
    measured = [v.name for v in sample.measured() if v.name != INT8]
    pvalues = {name: mcnemar_exact(scores(name), scores(INT8)) for name in measured}
    adjusted = dict(zip(pvalues, holm([*pvalues.values(), 1.0, 1.0]), strict=False))
    found = {other.row.name: other.tests.get(ACCURACY) for other in others}
    assert len(found) == 10
    for name in measured:
        test = found[name]
        assert test is not None
        assert (test.gained, test.lost) == flips(scores(INT8), scores(name))
        assert test.n == sample.EXAMPLES
        assert test.p == pytest.approx(pvalues[name])
        assert test.p_holm == pytest.approx(adjusted[name])
    assert {name for name, test in found.items() if test is None} == set(found) - set(measured)


def test_the_family_does_not_shrink_with_what_is_shown(snapshot: Snapshot, board: Board) -> None:
    few = with_constraints(snapshot, board, ["size <= 1.3GB, accuracy_difference >= -3pts"])
    _, some = beside(snapshot, few, "int8")
    _, every = beside(snapshot, board, "int8")
    whole = {other.row.name: other.tests for other in every}
    assert 0 < len(some) < len(every)
    assert all(other.tests == whole[other.row.name] for other in some)


def test_of_a_large_sweep_only_those_shown_are_tested(
    snapshot: Snapshot, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test takes a tenth of a millisecond, and a page of 90,000 variants would make all of them for each it shows."""
    _, every = beside(snapshot, board, "int8")
    whole = {other.row.name: other.tests for other in every}
    made = []

    def counted(*scores: NDArray[np.uint8]) -> float:
        made.append(scores)
        return mcnemar_exact(*scores)

    monkeypatch.setattr(against, "LARGE", 5)
    monkeypatch.setattr(against, "mcnemar_exact", counted)
    few = replace(board, rows=tuple(row for row in board.rows if row.name in (INT8, SQL, f"{BASE}: base")))
    _, some = beside(snapshot, few, "int8")
    assert len(made) == len(some) == 2
    for other in some:
        test, told = other.tests[ACCURACY], whole[other.row.name][ACCURACY]
        assert (test.p, test.gained, test.lost) == (told.p, told.gained, told.lost)
        assert told.p_holm <= test.p_holm <= 10 * test.p


def test_differences_agree_with_the_verdicts(snapshot: Snapshot, board: Board, draws: Draws) -> None:
    _, others = beside(snapshot, board, "base")
    for other in others:
        for key, each in zip(board.objectives, other.comparisons, strict=True):
            place = other.row.places[key]
            assert each.relation == place.relation
            if place.difference is not None:
                assert each.difference == pytest.approx(place.difference, abs=1e-6)
                assert each.low == pytest.approx(place.low, abs=1e-4)  # draws are kept in single precision
    beaten = next(row for row in board.rows if row.name == HTML)
    by = next(row for row in board.rows if row.recipe_id == beaten.dominated_by)
    _, others = beside(snapshot, board, by.name)
    (found,) = (other for other in others if other.row.name == HTML)
    assert [each.relation for each in found.comparisons] == ["worse", "worse"]
    assert set(draws)  # the same draws that verdicts rest on


def test_one_against_another_is_the_other_way_round(snapshot: Snapshot, board: Board) -> None:
    _, mine = beside(snapshot, board, SQL)
    _, theirs = beside(snapshot, board, INT8)
    (a,) = (other for other in mine if other.row.name == INT8)
    (b,) = (other for other in theirs if other.row.name == SQL)
    turned = {"better": "worse", "worse": "better"}
    for first, second in zip(a.comparisons, b.comparisons, strict=True):
        assert first.relation == turned.get(second.relation, second.relation)
        assert (first.difference, first.low) == pytest.approx((-second.difference, -second.high))
    assert (a.tests[ACCURACY].gained, a.tests[ACCURACY].p) == (b.tests[ACCURACY].lost, b.tests[ACCURACY].p)


def test_what_is_refused(snapshot: Snapshot, board: Board) -> None:
    with pytest.raises(BadInput, match=r"no variant called 'in8'.*Did you mean 'bart-large: int8'"):
        beside(snapshot, board, "in8")
    with pytest.raises(BadInput, match="may mean"):
        beside(snapshot, board, "decoder")
    few = with_constraints(snapshot, board, [f"latency_ratio:{SCOPE} <= 40%"])
    with pytest.raises(BadInput, match="--where leaves out 'bart-large: int8'"):
        beside(snapshot, few, "int8")
