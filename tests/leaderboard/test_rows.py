"""The numbers of the board, against what the sample was made of."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import BadInput
from bench.store.reader import Snapshot
from leaderboard.judging import judge, with_objectives
from leaderboard.rows import Board, Draws, Row, find_sweep
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, HTML, MARKDOWN, SCOPE, SQL, TASK

ACCURACY, RATIO = ("accuracy", TASK), ("latency_ratio", SCOPE)


def by_name(board: Board) -> dict[str, Row]:
    return {row.name: row for row in board.rows}


def test_verdicts_follow_from_how_the_sample_was_made(board: Board) -> None:
    found = {name: row.verdict for name, row in by_name(board).items()}
    assert found == {
        f"{BASE}: base": "contested",  # int8 is faster, and not shown to be as good
        f"{BASE}: int8": "certain",
        SQL: "certain",  # nothing is faster
        f"{BASE}: decoder 12 to 6, fine-tuned": "contested",
        f"{BASE}: bf16": "contested",
        HTML: "dominated",
        MARKDOWN: "dominated",
        f"{BASE}: decoder 12 to 6": "dominated",
        f"{BASE}: decoder 12 to 1": "dominated",
        f"{BASE}: decoder 12 to 0": "not evaluated",
        f"{BASE}: distilled": "not evaluated",
    }


def test_the_base_comes_first_then_verdicts_then_quality(board: Board) -> None:
    assert board.rows[0].is_base
    assert [row.verdict for row in board.rows[1:]] == sorted(
        (row.verdict for row in board.rows[1:]), key=["certain", "contested", "dominated", "not evaluated"].index
    )
    certain = [row.cells[ACCURACY].estimate for row in board.rows if row.verdict == "certain"]
    assert certain == sorted(certain, reverse=True)


def test_numbers_are_those_of_the_records(board: Board) -> None:
    for variant in sample.measured():
        cells = by_name(board)[variant.name].cells
        assert cells["size", ""].estimate == variant.megabytes * 1e6
        assert cells["host_peak", SCOPE].estimate == variant.memory
        scores = sample.evaluation(variant).examples
        assert scores is not None
        assert cells[ACCURACY].estimate == pytest.approx(scores.score.mean())
        true = variant.ratio + variant.drift * (variant.leases - 1) / 2
        assert cells[RATIO].estimate == pytest.approx(true, rel=0.01)
        assert cells[RATIO].low <= true <= cells[RATIO].high
        assert cells[RATIO].hardware_class == sample.CLASS


def test_what_is_odd_about_a_measurement_is_noted(board: Board) -> None:
    rows = by_name(board)
    assert rows[f"{BASE}: bf16"].cells[RATIO].note == "unstable: leases disagree"
    assert rows[HTML].cells[RATIO].note == "1 of 2 leases"
    assert rows[f"{BASE}: int8"].cells[RATIO].note is None


def test_failed_and_waiting_variants_are_rows_with_a_reason(board: Board) -> None:
    failed, waiting = by_name(board)[f"{BASE}: decoder 12 to 0"], by_name(board)[f"{BASE}: distilled"]
    assert (failed.status, waiting.status) == ("failed", "waiting")
    assert failed.reason is not None
    assert sample.REASON in failed.reason
    assert not failed.cells
    assert not waiting.cells


def test_recipes_keep_their_steps(board: Board) -> None:
    row = by_name(board)[SQL]
    assert row.methods == ("layer_copy", "finetune", "int8_dynamic")
    assert row.steps[0].settings["decoder"] == 3


def test_a_dominated_row_names_one_that_beats_it(board: Board) -> None:
    rows = {row.recipe_id: row for row in board.rows}
    for row in board.rows:
        if row.verdict == "dominated":
            better = rows[row.dominated_by or ""]
            assert better.cells[ACCURACY].estimate > row.cells[ACCURACY].estimate
            assert better.cells[RATIO].estimate < row.cells[RATIO].estimate
        else:
            assert row.dominated_by is None


def test_judging_again_on_the_declared_objectives_gives_the_published_verdicts(board: Board, draws: Draws) -> None:
    again = judge(board, board.rows, board.objectives, draws)
    assert [row.verdict for row in again] == [row.verdict for row in board.rows]
    assert [row.share for row in again] == pytest.approx([row.share for row in board.rows], abs=0.005)


def test_other_objectives_give_other_verdicts(snapshot: Snapshot, board: Board) -> None:
    found = with_objectives(snapshot, board, ["accuracy", "size"])
    assert found.objectives == (ACCURACY, ("size", ""))
    rows = by_name(found)
    assert rows[SQL].verdict == "certain"  # the smallest
    assert rows[f"{BASE}: bf16"].share < rows[f"{BASE}: int8"].share


def test_an_exact_objective_alone_has_one_winner(snapshot: Snapshot, board: Board) -> None:
    rows = by_name(with_objectives(snapshot, board, ["size"]))
    assert [name for name, row in rows.items() if row.verdict == "certain"] == [SQL]
    assert rows[f"{BASE}: base"].verdict == "dominated"


def test_a_difference_is_judged_as_the_score_it_comes_from(board: Board, draws: Draws) -> None:
    apart = judge(board, board.rows, [("accuracy_difference", TASK), ("latency_ms", SCOPE)], draws)
    assert [row.verdict for row in apart] == [row.verdict for row in board.rows]


def test_a_noisy_number_without_resamples_shows_nothing(board: Board) -> None:
    found = judge(board, board.rows, [ACCURACY, RATIO], {})
    assert {row.verdict for row in found} == {"not evaluated"}


def test_a_number_that_tells_no_pair_is_no_objective(snapshot: Snapshot, board: Board) -> None:
    """Every row has one, with its interval; "no finite number" of each would be wrong."""
    assert ("agreement", TASK) in board.axes
    with pytest.raises(BadInput, match=r"^agreement with base, .* of each variant by itself, .* bound it with"):
        with_objectives(snapshot, board, ["agreement", "size"])
    assert with_objectives(snapshot, board, ["accuracy_difference", "latency_ms"]).objectives  # by their paired forms


def test_the_order_of_rows_does_not_change_a_verdict(board: Board, draws: Draws) -> None:
    backwards = judge(board, board.rows[::-1], board.objectives, draws)
    assert {r.name: r.verdict for r in backwards} == {r.name: r.verdict for r in board.rows}


def test_bases_are_judged_apart(board: Board, draws: Draws) -> None:
    rows = tuple(replace(row, base="other") if row.name == SQL else row for row in board.rows)
    found = {row.name: row for row in judge(replace(board, rows=rows), rows, board.objectives, draws)}
    assert found[SQL].verdict == "certain"
    # Only the other base's variant is faster and better, and that is no comparison.
    beaten = f"{BASE}: decoder 12 to 1"
    assert by_name(board)[beaten].verdict == "dominated"
    assert found[beaten].verdict == "contested"
    assert found[beaten].share > 0.99


def test_the_same_objective_twice_is_refused(snapshot: Snapshot, board: Board) -> None:
    with pytest.raises(BadInput, match="twice"):
        with_objectives(snapshot, board, ["size", "size"])
    with pytest.raises(BadInput, match="twice, maybe in another form"):
        with_objectives(snapshot, board, ["latency_ms", "latency_ratio"])


def test_a_sweep_is_found_by_name_or_id(snapshot: Snapshot) -> None:
    newest = find_sweep(snapshot)
    assert find_sweep(snapshot, sample.SWEEP) == newest
    assert find_sweep(snapshot, newest["sweep_id"][:8]) == newest
    with pytest.raises(BadInput, match="sweep in this store"):
        find_sweep(snapshot, "another")


def test_the_board_is_the_same_every_time(board: Board, snapshot: Snapshot) -> None:
    from leaderboard.rows import read_board

    assert read_board(snapshot) == board
    assert json.dumps(board.progress)
    assert all(np.isfinite(cell.estimate) for row in board.rows for cell in row.cells.values())
