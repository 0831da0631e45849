"""The caption of the plot names what is drawn, and nothing else."""

from dataclasses import replace
from itertools import permutations
from typing import Any

from leaderboard.caption import described, left_out
from leaderboard.charts import figure
from leaderboard.choices import Choice, View, look
from leaderboard.overlays import Overlays
from leaderboard.rows import Axis, Board, Draws
from leaderboard.thinning import thinned
from tests.leaderboard.sample import SCOPE

EVERYTHING = Overlays()
WORDS = ("Whiskers: 95% intervals.", "dotted line", "Shapes and colours say", "The band is pointwise")


def told(view: View, axes: tuple[Axis, Axis], draws: Draws, overlays: Overlays = EVERYTHING, **more: Any) -> list[bool]:
    said = described(figure(view, *axes, selected=None, overlays=overlays, draws=draws, **more), overlays)
    return [word in said for word in WORDS]


def missing(
    view: View, axes: tuple[Axis, Axis], draws: Draws, overlays: Overlays = EVERYTHING, *, log: bool = False
) -> str:
    drawn = figure(view, *axes, selected=None, overlays=overlays, draws=draws, log=(log, False))
    return left_out(drawn, view, axes, (log, False), overlays, draws)


def times(view: View, count: int) -> View:
    """The same variants again and again under other names, all of one base."""
    again = (replace(row, recipe_id=f"{i:x}{row.recipe_id}", is_base=False) for i in range(count) for row in view.rows)
    rows = (*view.rows, *again)
    return replace(view, rows=rows, field=rows)


def test_everything_that_is_drawn_is_named(view: View, axes: tuple[Axis, Axis], draws: Draws) -> None:
    assert told(view, axes, draws) == [True] * 4


def test_what_is_switched_off_is_not_named(view: View, axes: tuple[Axis, Axis], draws: Draws) -> None:
    plain = Overlays(band=False, whiskers=False, third=view.board.axes["size", ""])
    assert told(view, axes, draws, plain) == [False, True, False, False]
    assert missing(times(view, 40), axes, draws, plain) == ""


def test_no_band_on_a_logarithmic_axis_in_milliseconds_or_without_resamples(
    view: View, board: Board, axes: tuple[Axis, Axis], draws: Draws
) -> None:
    in_ms = board.axes["latency_ms", SCOPE], axes[1]
    assert told(view, axes, draws, log=(True, False)) == [True, True, True, False]
    assert told(view, in_ms, draws) == [True, True, True, False]
    assert told(view, axes, {}) == [True, True, True, False]


def test_exact_numbers_have_no_whiskers(view: View, board: Board, draws: Draws) -> None:
    exact = board.axes["size", ""], board.axes["parameters", ""]
    assert told(view, exact, draws)[0] is False


def test_the_knee_is_named_where_there_is_one(view: View, board: Board, draws: Draws) -> None:
    rows = tuple(replace(row, base="other") if i % 2 else row for i, row in enumerate(view.rows))
    several = replace(board, rows=rows)
    seen: set[tuple[bool, int]] = set()
    for x, y in permutations(board.axes.values(), 2):
        if len(seen) == 3:
            break
        for each in (view, replace(view, board=several, rows=rows, field=rows)):
            drawn = figure(each, x, y, selected=None, draws=draws)
            there = any(trace.name == "knee" for trace in drawn.data)
            assert ("marks the knee" in described(drawn, EVERYTHING)) is there
            seen.add((there, len(each.board.bases)))
    assert seen == {(True, 1), (False, 1), (False, 2)}


def test_only_what_a_filter_brings_back_is_promised(
    view: View, board: Board, axes: tuple[Axis, Axis], draws: Draws
) -> None:
    many = times(view, 40)
    assert told(many, axes, draws) == [False, True, True, False]
    whiskers, band = "Whiskers are drawn for up to 300 points", "The band is drawn for up to 300 variants of a base"
    said = missing(many, axes, draws)
    assert whiskers in said
    assert band in said
    in_ms = board.axes["latency_ms", SCOPE], axes[1]
    for said in (missing(many, axes, {}), missing(many, axes, draws, log=True), missing(many, in_ms, draws)):
        assert whiskers in said
        assert band not in said


def test_a_band_that_was_asked_for_and_is_not_drawn_says_why(
    view: View, board: Board, large: Board, axes: tuple[Axis, Axis], draws: Draws
) -> None:
    assert missing(view, axes, draws) == ""
    assert missing(view, axes, draws, log=True) == "The band is drawn on linear axes alone."
    assert "of timings as ratios" in missing(view, (board.axes["latency_ms", SCOPE], axes[1]), draws)
    some, _ = thinned(look(large, Choice(), large.objectives, {}), *axes)
    assert missing(some, axes, {}) == "The band is drawn in sweeps of up to 2,000 variants."
    exact = board.axes["size", ""], board.axes["parameters", ""]
    assert missing(view, exact, draws) == "There is no band: neither number was resampled."
    assert missing(view, exact, draws, Overlays(band=False)) == ""
