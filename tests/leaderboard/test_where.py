"""Constraints that someone asks for, against brute force over the rows, and the frontier among those that are left."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bench.errors import BadInput
from bench.store.reader import Snapshot, open_snapshot
from leaderboard import comparison, index
from leaderboard.against import beside
from leaderboard.judging import judge
from leaderboard.rows import Board, Draws
from leaderboard.where import asked_board, understand, with_constraints
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, HTML, SCOPE, SQL, TASK, VARIANTS

INT8, FAILED, WAITING = f"{BASE}: int8", f"{BASE}: decoder 12 to 0", f"{BASE}: distilled"


def names(board: Board) -> set[str]:
    return {row.name for row in board.rows}


def test_rows_that_do_not_meet_it_go_and_open_ones_stay_marked(snapshot: Snapshot, board: Board) -> None:
    found = with_constraints(snapshot, board, ["accuracy_difference >= -3pts", "size <= 1.3GB"])
    assert names(found) == {
        f"{BASE}: base",
        INT8,
        f"{BASE}: decoder 12 to 6, fine-tuned",
        f"{BASE}: bf16",
        FAILED,  # nobody knows
        WAITING,
    }
    states = {row.name: [kept.state for kept in row.kept] for row in found.rows}
    assert states[INT8] == ["met", "met"]
    assert states[FAILED] == ["open", "open"]
    assert states[f"{BASE}: base"] == ["met", "not met"]  # it stays, and its row says so
    assert found.among == (5, 10)
    assert [required.text for required in found.constraints] == ["accuracy_difference >= -3pts", "size <= 1.3GB"]
    straddling = with_constraints(snapshot, board, ["accuracy_difference >= -2pts"])
    assert {row.name: row.kept[0].state for row in straddling.rows}[HTML] == "open"


def says_something(board: Board, texts: list[str]) -> bool:
    """Whether no constraint is like accuracy >= 0, which is refused."""
    try:
        understand(board, texts)
    except BadInput:
        return False
    return True


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_who_is_left_is_whom_no_constraint_rules_out(data: st.DataObject, snapshot: Snapshot, board: Board) -> None:
    """Bounds are taken from the numbers' own ends, so that they are hit exactly."""
    asked = []
    for key in data.draw(st.lists(st.sampled_from(sorted(board.axes)), min_size=1, max_size=3, unique=True)):
        ends = sorted({x for row in board.rows if (cell := row.cells.get(key)) for x in (cell.low, cell.high)})
        value = data.draw(st.sampled_from(ends))
        asked.append((key, data.draw(st.sampled_from(("<=", ">=", "<", ">"))), value))
    texts = [
        f"{metric}:{scope} {op} {value!r}" if scope else f"{metric} {op} {value!r}"
        for (metric, scope), op, value in asked
    ]
    assume(says_something(board, texts))
    found = with_constraints(snapshot, board, texts)
    holds = {"<=": float.__le__, ">=": float.__ge__, "<": float.__lt__, ">": float.__gt__}

    def ruled_out(row_name: str) -> bool:
        row = next(row for row in board.rows if row.name == row_name)
        for key, op, value in asked:
            cell = row.cells.get(key)
            if cell and not any(holds[op](end, value) for end in (cell.low, cell.high)):
                return True
        return False

    assert names(found) == {row.name for row in board.rows if row.is_base or not ruled_out(row.name)}


def test_the_frontier_is_that_of_the_rows_left(snapshot: Snapshot, board: Board, draws: Draws) -> None:
    """Without the fastest, others become it."""
    found = with_constraints(snapshot, board, ["accuracy_difference >= -3pts"])
    assert SQL not in names(found)
    left = [row for row in board.rows if row.name in names(found)]
    again = {row.name: row for row in judge(board, left, board.objectives, draws)}
    assert {row.name: (row.verdict, row.places) for row in found.rows} == {
        name: (row.verdict, row.places) for name, row in again.items()
    }
    before = {row.name: row for row in board.rows}
    assert before[INT8].places["latency_ratio", SCOPE].rank != again[INT8].places["latency_ratio", SCOPE].rank == (1, 1)


def test_whoever_is_left_of_many_equals_is_no_better_than_they_are(tmp_path: Path) -> None:
    """A bound on a score leaves the luckiest: judged as if nobody else had been there, they would beat the base."""
    equals = [replace(VARIANTS[1], name=f"{BASE}: eq{i}", seed=i, lost=0.03, gained=0.03) for i in range(60)]
    root = sample.make_store(tmp_path / "equals", (VARIANTS[0], *equals))
    bounds = ("accuracy >= 87.5%", "accuracy >= 87.2%", "accuracy >= 86.5%")
    left = []
    with open_snapshot(root) as snapshot, pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "LARGE", 1)
        made = index.open_index(snapshot)
        assert made is not None
        with made.snapshot() as indexed:
            for each in (snapshot, indexed):
                for bound in bounds:
                    found = asked_board(each, None, "accuracy", [bound])
                    assert {row.verdict for row in found.rows} == {"contested"}, (bound, len(found.rows))
                    _, others = beside(each, found, f"{BASE}: base")
                    assert {other.comparisons[0].relation for other in others} == {"not known yet"}
                    left.append(len(found.rows))
                patch.setattr(comparison, "WHOLE_SWEEP", 5)
                lucky = asked_board(each, None, "accuracy", bounds[:1])
                (pair,) = comparison.compare(each, asked_board(each, None, "accuracy", []), tuple(lucky.rows))
                assert pair.comparisons[0].relation == "not known yet"
    assert left[:3] == left[3:] == sorted(left[:3])
    assert left[0] < 5 < left[2]


def test_the_base_is_its_own_measure(snapshot: Snapshot, board: Board) -> None:
    found = with_constraints(snapshot, board, ["flips_lost <= 0.5%, agreement >= 99.5%, accuracy_difference > -1%"])
    base = next(row for row in found.rows if row.is_base)
    assert [(kept.state, kept.estimate) for kept in base.kept] == [("met", 0.0), ("met", 1.0), ("met", 0.0)]


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["sise <= 3MB"], "no metric on this board called 'sise'. Did you mean 'size'"),
        (["size <= 3MB, size > 4MB"], "meet both 'size <= 3MB' and 'size > 4MB'"),
        (["size <= 3MB", "size > 4MB"], "meet both"),
        (["accuracy <= nan"], "finite number"),
        ([""], "is empty"),
        (["accuracy"], "has no operator"),
    ],
)
def test_what_is_refused(texts: list[str], sentence: str, snapshot: Snapshot, board: Board) -> None:
    with pytest.raises(BadInput, match=sentence):
        with_constraints(snapshot, board, texts)


def test_a_metric_in_several_scopes_needs_one(board: Board) -> None:
    axis = board.axes["accuracy", TASK]
    two = replace(board, axes={**board.axes, ("accuracy", "other"): replace(axis, scope="other")})
    with pytest.raises(BadInput, match=f"several numbers: name one of accuracy:{TASK}, accuracy:other"):
        understand(two, ["accuracy >= 0.5"])
    assert understand(two, ["accuracy:other >= 0.5"])[0].constraint.scope == "other"
    assert understand(board, ["latency_ratio <= 1"])[0].constraint.scope == SCOPE  # which has a comma in it, or not
