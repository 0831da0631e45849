"""The plot, read as numbers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from leaderboard.charts import LOOKS, figure
from leaderboard.choices import View
from leaderboard.labels import place_labels
from leaderboard.overlays import Overlays
from leaderboard.points import frontier_line, points, scale
from leaderboard.rows import Axis, Board
from leaderboard.table import full_name
from tests.leaderboard.sample import BASE, HTML, SCOPE, SQL, TASK


def drawn(view: View, axes: tuple[Axis, Axis], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(figure(view, *axes, selected=None, **more).to_json())
    return found


def test_points_are_the_rows_that_have_both_numbers(view: View, axes: tuple[Axis, Axis]) -> None:
    found = points(view.rows, *axes)
    assert len(found) == 9
    cell = found[0].row.cells[axes[0].key]
    assert found[0].x == (cell.low, cell.estimate, cell.high)


def test_marks_and_whiskers_are_the_board_s_numbers(view: View, axes: tuple[Axis, Axis]) -> None:
    traces = {trace["name"]: trace for trace in drawn(view, axes)["data"]}
    rows = {row.recipe_id: row for row in view.rows}
    for verdict in ("certain", "contested", "dominated"):
        trace = traces[verdict]
        assert trace["marker"]["symbol"] == LOOKS[verdict][0]
        for i, (recipe_id,) in enumerate(trace["customdata"]):
            row = rows[recipe_id]
            ratio, accuracy = (row.cells[axis.key] for axis in axes)
            assert row.verdict == verdict
            assert trace["x"][i] == pytest.approx(ratio.estimate)
            assert trace["y"][i] == pytest.approx(100 * accuracy.estimate)
            assert trace["error_x"]["array"][i] == pytest.approx(ratio.high - ratio.estimate)
            assert trace["error_y"]["arrayminus"][i] == pytest.approx(100 * (accuracy.estimate - accuracy.low))


def test_verdicts_differ_in_shape_and_colour() -> None:
    assert len({symbol for symbol, _ in LOOKS.values()}) == len(LOOKS)
    assert len({colour for name, (_, colour) in LOOKS.items() if name != "not evaluated"}) == 3


@pytest.mark.parametrize("count", [1, 120])
@pytest.mark.parametrize("third", [False, True])
def test_verdicts_differ_in_shape_at_every_size(
    view: View, axes: tuple[Axis, Axis], count: int, *, third: bool
) -> None:
    rows = tuple(replace(r, recipe_id=f"{i}{r.recipe_id}") for i in range(count) for r in view.rows)
    missing = tuple(replace(r, recipe_id=f"x{r.recipe_id}", verdict="not evaluated") for r in view.rows)
    many = replace(view, rows=rows + missing)
    overlays = Overlays(third=view.board.axes["size", ""] if third else None)
    traces = [t for t in figure(many, *axes, selected=None, overlays=overlays).data if t.name in (*LOOKS, "no verdict")]
    assert len({trace.marker.symbol for trace in traces}) == len(traces) == len(LOOKS)
    assert {trace.type for trace in traces} == {"scattergl" if count > 1 else "scatter"}
    # Thin and open marks have no filling: of thousands, or coloured by a third number, nothing would be seen.
    assert (count == 1 and not third) or not any("open" in t.marker.symbol or "thin" in t.marker.symbol for t in traces)


def test_the_base_and_the_chosen_variant_are_ringed(view: View, axes: tuple[Axis, Axis]) -> None:
    chosen = next(row for row in view.rows if row.name == SQL)
    traces = {t.name: t for t in figure(view, *axes, selected=chosen.recipe_id).data}
    assert [c[0] for c in traces["base"].customdata] == [view.rows[0].recipe_id]
    assert [c[0] for c in traces["chosen"].customdata] == [chosen.recipe_id]


def test_axes_say_their_full_name_and_direction(view: View, axes: tuple[Axis, Axis]) -> None:
    layout = drawn(view, axes)["layout"]
    assert layout["xaxis"]["title"]["text"] == f"latency relative to base, {SCOPE} (lower is better)"
    assert layout["yaxis"]["title"]["text"] == full_name(axes[1]) == f"accuracy, {TASK} (higher is better)"


def test_names_are_escaped_everywhere(view: View, axes: tuple[Axis, Axis]) -> None:
    text = json.dumps(drawn(view, axes), ensure_ascii=False)
    assert "<img" not in text.replace("\\u003c", "<")
    assert "&lt;img" in text.replace("\\u003c", "<").replace("\\u0026", "&")
    assert HTML in {row.name for row in view.rows}


def test_the_frontier_line_joins_estimates_that_no_other_beats(view: View, axes: tuple[Axis, Axis]) -> None:
    found = points(view.rows, *axes)
    line = frontier_line(found, *axes)
    names = {(p.x[1], p.y[1]): p.row.name for p in found}
    assert [names[point] for point in line] == [SQL, f"{BASE}: int8"]
    assert frontier_line([], *axes) == []


def test_logarithmic_axes_keep_the_numbers(view: View, board: Board, axes: tuple[Axis, Axis]) -> None:
    size = board.axes["size", ""]
    found = drawn(view, (size, axes[1]), log=(True, False))
    assert found["layout"]["xaxis"]["type"] == "log"
    assert found["layout"]["xaxis"]["ticksuffix"] == " MB"
    assert max(x for t in found["data"] for x in t["x"]) == pytest.approx(1625)
    named = [a for a in found["layout"]["annotations"] if a["text"] == BASE]
    assert named[0]["x"] == pytest.approx(3.2108, abs=1e-3)  # the exponent of 1,625


def test_bytes_are_drawn_in_a_readable_unit(board: Board) -> None:
    size = board.axes["size", ""]
    assert [scale(size, [v]).suffix for v in (5e4, 5e6, 5e10)] == [" kB", " MB", " GB"]


def test_labels_cover_neither_points_nor_each_other() -> None:
    places = [(100.0, 100.0), (104.0, 100.0), (300.0, 200.0)]
    found = place_labels(places, ["one", "two", "three"], (400.0, 300.0))
    assert all(place is not None for place in found)
    assert found[0] != found[1]
    crowd = place_labels([(200.0, 150.0)] * 30, ["a long name"] * 30, (400.0, 300.0))
    assert 0 < sum(place is not None for place in crowd) < 30
    assert place_labels([(5.0, 5.0)], ["much too long for so small a plot"], (60.0, 20.0)) == [None]
