"""What is shown as one number and judged as another has the direction of what is judged."""

from dataclasses import replace

import pytest

from bench.metrics import METRICS
from leaderboard.judging import judge
from leaderboard.large import judge_field
from leaderboard.listing import Anew, Listing
from leaderboard.review import large as review_large
from leaderboard.review.question import Question
from leaderboard.review.shortlist import Shortlist, shortlist
from leaderboard.review.words import evidence_rows, scale_rows
from leaderboard.rows import Axis, Board, Draws
from leaderboard.wording import against_base
from tests.leaderboard.sample import BASE, SCOPE, SQL, TASK

ACCURACY, RATIO, MS = ("accuracy", TASK), ("latency_ratio", SCOPE), ("latency_ms", SCOPE)
SPEED = ("tokens_per_second", SCOPE)


def writing(board: Board) -> Board:
    """The same board with tokens per second, a hundred where a call takes a tenth of a second."""
    known = METRICS[SPEED[0]]
    axis = Axis(*SPEED, f"{known.title}, {SCOPE}", known.unit, known.better, known.exact, known.meaning)
    found = replace(board, axes={**board.axes, SPEED: axis})
    if isinstance(board.rows, Listing):
        return found
    rows = []
    for row in board.rows:
        if (cell := row.cells.get(MS)) is not None:
            told = replace(cell, estimate=1e4 / cell.estimate, low=1e4 / cell.high, high=1e4 / cell.low, evidence=None)
            row = replace(row, cells={**row.cells, SPEED: told})
        rows.append(row)
    return replace(found, rows=tuple(rows))


def propose(board: Board, draws: Draws, *keys: tuple[str, str]) -> Shortlist:
    return shortlist(board, Question(BASE, (), dict.fromkeys(keys, 1 / len(keys))), draws)


def scored(found: Shortlist) -> list[tuple[str, float, float]]:
    return [(each.row.name, round(each.score, 6), round(each.resampled, 6)) for each in found.candidates]


def test_the_fast_are_better_on_tokens_per_second(board: Board, draws: Draws) -> None:
    mine = writing(board)
    found = {row.name: row for row in judge(mine, mine.rows, (SPEED,), draws)}
    told = {row.name: row for row in judge(mine, mine.rows, (RATIO,), draws)}
    assert found[SQL].verdict == "certain"
    assert {name: row.verdict for name, row in found.items()} == {name: row.verdict for name, row in told.items()}
    assert [row.places[SPEED] for row in found.values()] == [row.places[RATIO] for row in told.values()]


@pytest.mark.parametrize("keys", [(SPEED,), (ACCURACY, SPEED)])
def test_of_a_large_sweep_too(large: Board, keys: tuple[tuple[str, str], ...]) -> None:
    mine = writing(large)
    assert isinstance(mine.rows, Listing)

    def verdicts(found: Anew) -> dict[str, list[object]]:
        told: dict[str, list[object]] = found.table.select(["place", "standing", "share", "by"]).to_pydict()
        return told

    on_ratio = tuple(RATIO if key == SPEED else key for key in keys)
    found = judge_field(mine, mine.rows, keys)
    assert verdicts(found) == verdicts(judge_field(mine, mine.rows, on_ratio))


def test_the_shortlist_proposes_the_fast(
    board: Board, large: Board, draws: Draws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_large, "MOST_CANDIDATES", 2)
    for each in (writing(board), writing(large)):
        found, told = propose(each, draws, SPEED), propose(each, draws, RATIO)
        assert found.choice is not None
        assert found.choice.row.name == SQL
        assert scored(found) == scored(told)
        assert found.scale[SPEED] == told.scale[RATIO]
        assert scored(propose(each, draws, ACCURACY, SPEED)) == scored(propose(each, draws, ACCURACY, RATIO))


def test_a_difference_is_in_the_unit_of_what_is_judged_and_names_it(board: Board, draws: Draws) -> None:
    mine = writing(board)
    found = propose(mine, draws, ACCURACY, SPEED)
    best, worst = scale_rows(found)[1][1:]
    assert (best, worst) == ("0.340×", "1.000×")
    row = next(each.row for each in found.candidates if each.row.name == SQL)
    shown = evidence_rows(row, found)[1]
    assert shown[0] == f"tokens per second, {SCOPE} (higher is better)"
    assert "/ s" in shown[1]
    assert shown[2].startswith("better: −0.66")
    assert shown[2].endswith("), latency relative to base")
    place = next(r for r in board.rows if r.name == SQL).places[RATIO]
    assert against_base(place, mine, MS).endswith(", latency relative to base")  # and no milliseconds
    assert "ms" not in against_base(place, mine, MS)
    assert against_base(place, mine, RATIO).endswith(")")


def test_the_difference_that_matters_is_that_of_what_is_judged(board: Board, draws: Draws) -> None:
    """Declared of the ratio, it holds where the same is shown in milliseconds or tokens."""
    mine = replace(writing(board), matters={RATIO: 0.5})
    for key in (RATIO, MS, SPEED):
        found = {row.name: row.places[key].relation for row in judge(mine, mine.rows, (key,), draws)}
        assert found[f"{BASE}: int8"] == "equivalent"
        assert found[SQL] == "better"
