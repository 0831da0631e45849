"""How far the axes reach, and what lies over the points."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import permutations

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
import pytest

from bench.statistics.constraints import Constraint
from leaderboard.charts import figure
from leaderboard.choices import Choice, View, look
from leaderboard.drawing import plot_svg
from leaderboard.extent import far, outside, reach
from leaderboard.overlays import BAND_NAME, LARGEST, SMALLEST, Overlays
from leaderboard.points import band_outline, far_outside, frontier_line, knee_of, points
from leaderboard.rows import Axis, Board, Cell, Draws, Required, Stopped
from tests.leaderboard.sample import BASE, SCOPE, SQL, TASK

CROWD = [(v - 0.1, v, v + 0.1) for v in np.linspace(1, 2, 20)]
OUTLIER = (900.0, 1000.0, 1100.0)


@pytest.fixture
def axes(board: Board) -> tuple[Axis, Axis]:
    return board.axes["latency_ratio", SCOPE], board.axes["accuracy", TASK]


@pytest.fixture
def view(board: Board, draws: Draws) -> View:
    return look(board, Choice(), board.objectives, draws)


def test_one_far_away_does_not_squeeze_the_rest() -> None:
    ends = [*CROWD, OUTLIER]
    low, high = reach(ends, [False] * 21)
    assert (low, high) == pytest.approx((0.828, 2.172))
    assert far(ends).tolist() == [False] * 20 + [True]
    assert outside(ends, (low, high)).sum() == 1
    assert reach(ends, [False] * 21, everything=True)[1] > 1000


def test_who_must_be_seen_is_seen() -> None:
    assert reach([*CROWD, OUTLIER], [False] * 20 + [True])[1] > 1000


def test_few_points_and_equal_ones_keep_their_place() -> None:
    assert not far([*CROWD[:3], OUTLIER]).any()
    assert not far([(1.0, 1.0, 1.0)] * 20).any()
    low, high = reach([(5.0, 5.0, 5.0)], [True])
    assert low < 5 < high


def test_a_whisker_without_end_does_not_squeeze_either() -> None:
    low, high = reach([*CROWD[:5], (-1e6, 1.5, 1e6)], [False] * 6)
    assert low > 0
    assert high < 3


def test_the_band_holds_the_frontier_of_the_estimates(
    board: Board, view: View, axes: tuple[Axis, Axis], draws: Draws
) -> None:
    outline = band_outline(board, view.rows, axes, draws, (1.2, 0.4))
    assert outline is not None
    best, worst = np.split(outline, 2) if len(outline) % 2 == 0 else (outline, outline)
    for x, y in frontier_line(points(view.rows, *axes), *axes):
        there = outline[np.abs(outline[:, 0] - x) < 0.05, 1]
        assert there.size == 0 or there.min() - 0.05 <= y <= there.max() + 0.05
    del best, worst


def test_there_is_no_band_where_nothing_is_noisy_or_judged_as_itself(
    board: Board, view: View, axes: tuple[Axis, Axis], draws: Draws
) -> None:
    size, parameters = board.axes["size", ""], board.axes["parameters", ""]
    assert band_outline(board, view.rows, (size, parameters), draws, (1.0, 1.0)) is None
    milliseconds = board.axes["latency_ms", SCOPE]  # judged as the ratio, which has another unit
    assert band_outline(board, view.rows, (milliseconds, axes[1]), draws, (1.0, 1.0)) is None


def test_the_knee_is_where_a_little_of_one_gains_most_of_the_other(axes: tuple[Axis, Axis]) -> None:
    assert knee_of([(0.1, 0.1), (0.2, 0.8), (1.0, 0.9)], *axes) == 1
    assert knee_of([(0.1, 0.1), (1.0, 0.9)], *axes) is None


def test_who_a_race_stopped_bends_neither_line_nor_knee(board: Board, draws: Draws, axes: tuple[Axis, Axis]) -> None:
    """Its numbers are of fewer examples: verdicts and the band leave it out, and so do these."""
    view = look(board, Choice(), board.objectives, draws)
    good = replace(next(row for row in view.rows if row.name == SQL), recipe_id="f" * 64, name="stopped")
    cells = dict(good.cells)
    for key, better in ((axes[0].key, 0.2), (axes[1].key, 0.99)):
        cells[key] = replace(cells[key], estimate=better, low=better, high=better)
    stopped = replace(good, cells=cells, status="stopped", stopped=Stopped(None, frozenset(), "beaten"))
    rows = (*view.rows, stopped)
    more = replace(view, rows=rows, field=rows, board=replace(board, rows=rows))

    def line(of: View) -> list[list[list[float]]]:
        drawn = figure(of, *axes, selected=None, overlays=Overlays(), draws=draws)
        return [[list(t.x), list(t.y)] for t in drawn.data if t.name in ("frontier", "knee")]

    assert line(more) == line(view)
    report = plot_svg(more, draws)
    assert "stopped" in report
    assert re.findall(r'class="front" d="[^"]*"', report)[0].count("L") == (
        re.findall(r'class="front" d="[^"]*"', plot_svg(view, draws))[0].count("L")
    )


def test_overlays_are_drawn(board: Board, draws: Draws, axes: tuple[Axis, Axis]) -> None:
    bounds = (Required(Constraint("latency_ratio", SCOPE, "<=", 0.8), "latency <b> 0.8"),)
    rows = tuple(replace(row, kept=()) for row in board.rows)
    view = look(replace(board, constraints=bounds, rows=rows), Choice(), board.objectives, draws)
    drawn = figure(view, *axes, selected=None, overlays=Overlays(), draws=draws)
    names = {trace.name for trace in drawn.data}
    assert {BAND_NAME, "frontier", "base"} <= names
    (line,) = drawn.layout.shapes
    assert (line.x0, line.x1) == (0.8, 0.8)
    assert any(a.text == "latency &lt;b&gt; 0.8" for a in drawn.layout.annotations)


@pytest.mark.parametrize("as_log", [False, True])
def test_a_bound_is_seen_and_named_where_it_is(
    board: Board, draws: Draws, axes: tuple[Axis, Axis], *, as_log: bool
) -> None:
    texts = {0.2: "near", 90.0: "far"}
    bounds = tuple(Required(Constraint("latency_ratio", SCOPE, ">=", at), text) for at, text in texts.items())
    rows = tuple(replace(row, kept=()) for row in board.rows)
    view = look(replace(board, constraints=bounds, rows=rows), Choice(), board.objectives, draws)
    drawn = figure(view, *axes, log=(as_log, False), selected=None, overlays=Overlays(), draws=draws)
    place = {text: math.log10(at) if as_log else at for at, text in texts.items()}
    assert {a.text: a.x for a in drawn.layout.annotations if a.text in place} == pytest.approx(place)
    assert [line.x0 for line in drawn.layout.shapes] == list(texts)  # plotly takes lines at their value on any axis
    low, high = drawn.layout.xaxis.range
    assert low < place["near"] < high < place["far"]


def test_the_knee_is_of_all_that_compete(board: Board, draws: Draws) -> None:
    marked: set[tuple[bool, bool]] = set()
    for axes in permutations(board.axes.values(), 2):
        if len(marked) == 3:
            break
        view = look(board, Choice(), [axis.key for axis in axes], draws)
        bend = _knee_in(figure(view, *axes, selected=None, draws=draws))
        for verdict in ("certain", "contested", "dominated"):
            some = look(board, Choice(standings=(verdict,)), [axis.key for axis in axes], draws)
            drawn = _knee_in(figure(some, *axes, selected=None, draws=draws))
            listed = bend in {row.recipe_id for row in some.rows}
            assert drawn == (bend if listed else None)
            marked.add((bend is not None, listed))
    assert marked == {(True, True), (True, False), (False, False)}


def _knee_in(drawn: go.Figure) -> str | None:
    return next((trace.customdata[0][0] for trace in drawn.data if trace.name == "knee"), None)


def test_a_third_number_is_colour_or_size(board: Board, view: View, axes: tuple[Axis, Axis], draws: Draws) -> None:
    size = board.axes["size", ""]
    rows = {row.recipe_id: row for row in view.rows}
    coloured = figure(view, *axes, selected=None, overlays=Overlays(third=size), draws=draws)
    sized = figure(view, *axes, selected=None, overlays=Overlays(third=size, by="size"), draws=draws)
    for drawn, part in ((coloured, "color"), (sized, "size")):
        trace = next(t for t in drawn.data if t.name == "certain")
        told = trace.marker[part]
        megabytes = [rows[c[0]].cells[size.key].estimate / 1e6 for c in trace.customdata]
        assert np.argsort(told).tolist() == np.argsort(megabytes).tolist()
        if part == "color":
            assert list(told) == pytest.approx(megabytes)
        else:
            assert min(told) >= SMALLEST
            assert max(told) <= LARGEST


def test_ten_thousand_points_are_drawn_without_whiskers_and_with_names_only(
    board: Board, view: View, axes: tuple[Axis, Axis]
) -> None:
    rng = np.random.default_rng(4)
    base = board.rows[0]

    def cell(value: float) -> Cell:
        return replace(base.cells[axes[0].key], estimate=value, low=value, high=value)

    rows = tuple(
        replace(
            board.rows[1],
            recipe_id=f"{i:064x}",
            name=f"{BASE}: variant {i}",
            verdict="contested",
            cells={axes[0].key: cell(float(a)), axes[1].key: cell(float(b))},
        )
        for i, (a, b) in enumerate(rng.random((10_000, 2)))
    )
    crowded = View(board, board.objectives, (base, *rows), (base, *rows), narrowed=False)
    drawn = figure(crowded, *axes, selected=None, overlays=Overlays(), draws={})
    trace = next(t for t in drawn.data if t.name == "contested")
    assert isinstance(trace, go.Scattergl)
    assert trace.error_x.array is None
    assert len(trace.text[0]) < 120
    assert len(drawn.to_json()) < 4_000_000
    assert far_outside(view, *axes) == 0
