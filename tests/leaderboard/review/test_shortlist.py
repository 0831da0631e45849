"""Who is proposed: constraints kept by whole intervals, nobody beaten by one who is allowed, and advice for nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.errors import BadInput
from bench.statistics.constraints import Constraint
from leaderboard.review import words
from leaderboard.review.nearest import _bound_text
from leaderboard.review.question import question, read_weights
from leaderboard.review.record import shortlist_record
from leaderboard.review.shortlist import Shortlist, shortlist
from leaderboard.rows import Board, Draws
from tests.leaderboard.sample import BASE, SQL, TASK

SIZE = ("size", "")


def ask(board: Board, draws: Draws, *constraints: str, **weights: float) -> Shortlist:
    return shortlist(board, question(board, None, constraints, weights or None), draws)


def names(found: Shortlist) -> set[str]:
    return {each.row.name.removeprefix(f"{BASE}: ") for each in found.candidates}


def test_without_constraints_the_undominated_are_proposed(board: Board, draws: Draws) -> None:
    found = ask(board, draws)
    undominated = {row.recipe_id for row in board.rows if row.verdict in ("certain", "contested")}
    assert {each.row.recipe_id for each in found.candidates} == undominated
    assert found.counts["all"] == len(board.rows)
    assert [each.score for each in found.candidates] == sorted(each.score for each in found.candidates)
    assert sum(each.resampled for each in found.candidates) == pytest.approx(1)
    assert sum(each.anyhow for each in found.candidates) == pytest.approx(1)


def test_who_is_beaten_only_by_one_that_is_not_allowed_is_proposed(board: Board, draws: Draws) -> None:
    """Six layers untuned are dominated by six tuned ones; a limit that only the latter break frees them."""
    beaten = f"{BASE}: decoder 12 to 6"
    before = ask(board, draws)
    assert "decoder 12 to 6" not in names(before)
    assert before.beaten_by[next(r.recipe_id for r in board.rows if r.name == beaten)]
    allowed = replace(board, rows=tuple(r for r in board.rows if r.name == beaten or r.is_base))
    assert "decoder 12 to 6" in names(ask(allowed, draws))
    found = ask(board, draws, "accuracy <= 80%", "latency_ratio >= 0.6")
    assert "decoder 12 to 6" in names(found)


def test_a_constraint_that_straddles_is_open_and_proposes_nobody(board: Board, draws: Draws) -> None:
    cell = next(r for r in board.rows if r.name == f"{BASE}: int8").cells["accuracy", TASK]
    found = ask(board, draws, f"accuracy >= {cell.estimate:.4f}")
    assert "int8" not in names(found)
    assert f"{BASE}: int8" in {row.name for row in found.open}
    kept = ask(board, draws, f"accuracy >= {cell.low - 0.001:.4f}")
    assert "int8" in names(kept)
    assert "for 0 it is open" not in words.constraints_sentence(kept)


def test_who_is_open_beats_nobody(board: Board, draws: Draws) -> None:
    """int8 is dominated by a better one; while it is open whether that one is allowed, int8 is proposed."""
    base = next(r for r in board.rows if r.is_base)
    int8 = next(r for r in board.rows if r.name == f"{BASE}: int8")
    other = next(r for r in board.rows if r.name == SQL)
    unsure = replace(other, cells={**other.cells, SIZE: replace(other.cells[SIZE], low=1.0, high=1e12)})
    mine = replace(board, rows=(base, int8, unsure))
    found = ask(mine, draws, "latency_ratio <= 0.9", "size <= 600 MB")
    assert [row.name for row in found.open] == [SQL]
    assert names(found) == {"int8"}
    sure = replace(mine, rows=(base, int8, other))
    assert names(ask(sure, draws, "latency_ratio <= 0.9", "size <= 600 MB", size=1.0)) == {"'; drop table variants; --"}


def test_weights_decide_and_the_thresholds_say_when(board: Board, draws: Draws) -> None:
    fast = ask(board, draws, accuracy=0.1, latency_ratio=10)
    good = ask(board, draws, accuracy=10, latency_ratio=0.1)
    assert fast.choice is not None
    assert good.choice is not None
    assert fast.choice.row.name == SQL
    assert good.choice.row.recipe_id != fast.choice.row.recipe_id
    key = ("accuracy", TASK)
    weight = fast.question.weights[key]
    part = next(s for s in fast.sensitivity[key] if s.low <= weight <= s.high)
    assert fast.candidates[part.choice].row.name == SQL
    above = ask(board, draws, accuracy=part.high + 0.01, latency_ratio=1 - part.high - 0.01)
    below = ask(board, draws, accuracy=part.high - 0.01, latency_ratio=1 - part.high + 0.01)
    assert below.choice is not None
    assert above.choice is not None
    assert below.choice.row.name == SQL
    assert above.choice.row.name != SQL
    said = words.sensitivity_sentences(fast)[0]
    assert f"the choice changes to {above.choice.row.name} if it weighs over {part.high:.3g}" in said


def test_another_number_is_weighed_and_judged_on(board: Board, draws: Draws) -> None:
    found = ask(board, draws, **{"accuracy": 1.0, "size": 1.0})
    assert set(found.question.weights) == {("accuracy", TASK), SIZE}
    assert sum(found.question.weights.values()) == pytest.approx(1)
    assert SQL in {each.row.name for each in found.candidates}
    assert found.scale[SIZE][0] == 390e6


def test_nothing_that_keeps_them_names_the_nearest(board: Board, draws: Draws) -> None:
    found = ask(board, draws, "size <= 100 MB")
    assert found.candidates == ()
    assert found.advice is not None
    assert "'size <= 100 MB'" in found.advice
    assert f"loosened to 390.0 MB it would be kept by {SQL}" in found.advice
    both = ask(board, draws, "size <= 350 MB", "accuracy >= 75%")
    assert both.advice is not None
    assert "loosened to 390.0 MB" in both.advice
    assert "keeps all others" in both.advice
    far = ask(board, draws, "size <= 100 MB", "accuracy >= 99%")
    assert far.advice is not None
    assert "loosening one of them is not enough" in far.advice


def test_the_advice_is_enough(board: Board, draws: Draws) -> None:
    """Who follows the sentence finds somebody."""
    tight = ask(board, draws, "size <= 100 MB")
    assert tight.advice is not None
    bound = tight.advice.split("loosened to ")[1].split(" it")[0]
    assert ask(board, draws, f"size <= {bound}").candidates


@pytest.mark.parametrize(
    ("metric", "operator", "value", "unit", "told"),
    [
        ("accuracy", ">=", 0.82546, "1", "82.5%"),
        ("accuracy", ">=", 0.82476, "1", "82.4%"),
        ("latency_ratio", "<=", 0.34949, "1", "0.350×"),
        ("latency_ratio", "<", 0.35, "1", "0.351×"),
        ("latency_ms", "<=", 4.6249, "ms", "4.63 ms"),
        ("accuracy_difference", ">", 0.0, "1", "−0.1 pts"),
        ("parameters", "<", 692_611.0, "count", "692,680"),
        ("accuracy", ">=", 0.0, "1", "0.0%"),
    ],
)
def test_the_bound_that_is_advised_is_kept(metric: str, operator: Any, value: float, unit: str, told: str) -> None:
    assert _bound_text(value, Constraint(metric, "", operator, 1.0), unit) == told


def test_what_is_open_is_not_promised_to_be_settled(board: Board, draws: Draws) -> None:
    scores, times = (ask(board, draws, text).advice for text in ("accuracy >= 84%", "latency_ratio <= 0.2"))
    assert scores is not None
    assert times is not None
    assert "7 may keep 'accuracy >= 84%': an interval straddles a bound, or there is no number yet." in scores
    assert "settle" not in scores
    assert "`paredown settle` narrows times, not scores." in times


def test_what_is_weighed_must_tell_variants_apart(board: Board, draws: Draws) -> None:
    with pytest.raises(BadInput, match=r"peak host memory.* has intervals but no paired resamples"):
        ask(board, {}, host_peak=1.0)
    assert ask(board, draws, host_peak=1.0).candidates


def test_names_are_text_in_records(board: Board, draws: Draws) -> None:
    record = shortlist_record(ask(board, draws))
    assert {each["variant"] for each in record["shortlist"]} >= {SQL}
    assert record["weights"] == pytest.approx({f"accuracy:{TASK}": 0.5, "latency_ratio:batch 1 x 128 tokens": 0.5})
    assert all(np.isfinite(each["score"]) for each in record["shortlist"])


def test_folders_of_a_machine_are_not_in_open_points(board: Board, draws: Draws) -> None:
    reason = "measure: OSError: No such file: '/data/of/someone/model.bin'"
    found = ask(replace(board, rows=tuple(replace(row, reason=reason) for row in board.rows)), draws)
    told = str([words.open_points(each.row, found) for each in found.candidates])
    assert "/data" not in told
    assert "…/model.bin" in told


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"speed": 1.0}, "There is no metric on this board called 'speed'"),
        ({"size": 0.0}, "All weights are 0"),
        ({"size": -1.0}, "a number from 0 up"),
        ({"size": float("nan")}, "a number from 0 up"),
        ({"latency_ratio": 1.0, "latency_ms": 1.0}, "weighed twice"),
    ],
)
def test_weights_that_mean_nothing_are_a_sentence(board: Board, weights: dict[str, float], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        question(board, None, (), weights)


def test_weights_are_read_as_they_are_written() -> None:
    assert read_weights(["accuracy=2, size = 1", "latency_ratio:batch 1 x 32 tokens, greedy=0.5"]) == {
        "accuracy": 2,
        "size": 1,
        "latency_ratio:batch 1 x 32 tokens, greedy": 0.5,
    }
    assert read_weights([]) is None
    for wrong in ("accuracy", "accuracy=much", "=1", "accuracy=1, accuracy=2", "accuracy==2"):
        with pytest.raises(BadInput, match=r"cannot be read|write METRIC|weighed twice"):
            read_weights([wrong])
