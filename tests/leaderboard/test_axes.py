"""A number of the board is meant by its metric, where that is unmistakable, or by metric and scope."""

from dataclasses import replace

import pytest

from bench.errors import BadInput
from leaderboard.axes import find_axis
from leaderboard.rows import Board
from tests.leaderboard.sample import SCOPE, TASK

ACCURACY, RATIO = ("accuracy", TASK), ("latency_ratio", SCOPE)


def test_axes_are_found_by_metric_or_scope(board: Board) -> None:
    assert find_axis(board, "accuracy") == ACCURACY
    assert find_axis(board, f"latency_ratio:{SCOPE}") == RATIO
    with pytest.raises(BadInput, match="metric on this board"):
        find_axis(board, "acuracy")


def test_a_metric_that_no_variant_has_a_number_for_says_what_it_takes(board: Board) -> None:
    """Such as the one that the sentence on how to write a constraint names."""
    axes = {key: axis for key, axis in board.axes.items() if key[0] != "latency_p95_ms"}
    with pytest.raises(
        BadInput, match=r"has a latency_p95_ms, which says: 95 of 100 .* only where at least 10 .* one of"
    ):
        find_axis(replace(board, axes=axes), "latency_p95_ms")


def test_a_shape_may_be_short_and_a_whole_task_comes_before_its_parts(board: Board) -> None:
    assert find_axis(board, "latency_ratio:1x128") == RATIO
    with pytest.raises(BadInput, match="metric on this board called 'latency_ratio:8x128'"):
        find_axis(board, "latency_ratio:8x128")
    whole, time = board.axes[ACCURACY], board.axes[RATIO]
    more = {("accuracy", f"{TASK} / {part}"): replace(whole, scope=f"{TASK} / {part}") for part in "ab"}
    writing = ("latency_ratio", "batch 2 x 16 tokens, 8 new")
    wider = replace(board, axes={**board.axes, **more, writing: replace(time, scope=writing[1])})
    assert find_axis(wider, "accuracy") == ACCURACY
    assert find_axis(wider, f"accuracy:{TASK} / b") == ("accuracy", f"{TASK} / b")
    assert find_axis(wider, "latency_ratio:2x16") == writing
    with pytest.raises(BadInput, match="several numbers"):
        find_axis(wider, "latency_ratio")
