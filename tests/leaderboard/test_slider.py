"""The slider of the plot writes constraints that mean what it shows."""

import pytest

from leaderboard.rows import Axis, Board
from leaderboard.slider import slider_ends
from leaderboard.table import column_name
from leaderboard.where import understand, with_limit
from tests.leaderboard.sample import SCOPE, TASK

SIZE, LATENCY = ("size", ""), ("latency_ms", SCOPE)


def test_a_bound_replaces_that_on_its_number_however_it_was_typed_and_keeps_the_others(board: Board) -> None:
    assert with_limit(board, "", SIZE, "size <= 5") == "size <= 5"
    assert with_limit(board, "size <= 9 MB, recovery >= 99%", SIZE, "size <= 5") == "recovery >= 99%, size <= 5"
    # What cannot be read is told, and nothing typed beside it is lost.
    typed = "recovery >= 99%, accuracy:a <b> >= 3"
    assert with_limit(board, typed, SIZE, "size <= 5") == typed
    for typed in ("latency_ms <= 20", "latency_ms:1x128 <= 20 ms", f"latency_ms:{SCOPE} <= 20"):
        assert with_limit(board, f"{typed}, sise <= 1", LATENCY, "latency_ms <= 30") == "sise <= 1, latency_ms <= 30"
        assert with_limit(board, typed, LATENCY, "") == ""


def test_what_it_writes_is_what_it_shows_and_whoever_is_at_an_end_keeps_it(board: Board) -> None:
    for key, axis in board.axes.items():
        values = [row.cells[key].estimate for row in board.rows if key in row.cells]
        ends = slider_ends(axis, values)
        upper = axis.better == "lower"
        tightest, best = (ends.low, min(values)) if upper else (ends.high, max(values))
        text = f"{column_name(key)} {'<=' if upper else '>='} {tightest:.{ends.digits}f}{ends.suffix}"
        if ends.low < ends.high:
            (required,) = understand(board, [text])
            assert required.constraint.holds(best), text
            assert "e" not in text.partition("=")[2].removesuffix(ends.suffix)
            assert abs(required.constraint.bound - best) <= (max(values) - min(values)) / 100


@pytest.mark.parametrize(
    ("metric", "unit", "better", "values", "ends"),
    [
        ("size", "B", "lower", [390.0004e6, 1625.0004e6], (391, 1626, 1, 0, " MB")),
        ("parameters", "count", "lower", [220e6, 407.04e6], (220, 407.1, 0.1, 1, " M")),
        ("accuracy", "1", "higher", [0.8125, 0.8391], (81.25, 83.91, 0.001, 3, "%")),
        ("latency_ratio", "1", "lower", [0.00341, 0.00352], (0.0034100, 0.0035200, 1e-7, 7, "×")),
        ("accuracy_difference", "1", "higher", [-0.26514, 0.0], (-26.52, 0.0, 0.01, 2, " pts")),
        ("layers", "count", "lower", [6.0, 6.0], (6, 6, 1, 0, "")),
    ],
)
def test_its_ends_and_steps_are_round(
    metric: str, unit: str, better: str, values: list[float], ends: tuple[float, float, float, int, str]
) -> None:
    axis = Axis(metric, TASK, metric, unit, "lower" if better == "lower" else "higher", exact=False, meaning="")
    found = slider_ends(axis, values)
    assert (found.low, found.high, found.step) == pytest.approx(ends[:3], abs=1.5 * ends[2])
    assert (found.digits, found.suffix) == ends[3:]
