"""The page of the plot, run without a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from streamlit.testing.v1 import AppTest

from leaderboard.axes import default_axes
from leaderboard.rows import Board
from leaderboard.source import chosen_keys
from tests.leaderboard import sample
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import HTML, SQL, TASK, VARIANTS

BY_NAME = {v.name: v for v in VARIANTS}


def plot(page: AppTest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.get("plotly_chart")[0].proto.spec)
    return found


def on_pareto(page: AppTest) -> AppTest:
    return page.run().switch_page("pages_/pareto.py").run()


def names_drawn(page: AppTest) -> set[str]:
    known = {v.recipe_id: v.name for v in VARIANTS}
    return {known[c[0]] for trace in plot(page)["data"] for c in trace.get("customdata", ())}


def test_the_plot_shows_the_declared_objectives(page: AppTest) -> None:
    on_pareto(page)
    assert not page.exception
    assert plot(page)["layout"]["xaxis"]["title"]["text"].startswith("latency relative to base")
    assert names_drawn(page) == {v.name for v in sample.measured()}


def test_choosing_axes_redraws_and_judges_anew(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="x").set_value("size on disk (lower is better)").run()
    layout = plot(page)["layout"]
    assert layout["xaxis"]["title"]["text"] == "size on disk (lower is better)"
    assert f"Verdicts on size on disk and accuracy, {TASK}" in words(page)
    certain = next(t for t in plot(page)["data"] if t["name"] == "certain")
    assert [BY_NAME[SQL].recipe_id] in certain["customdata"]


def test_axes_in_the_address_are_judged_on(page: AppTest) -> None:
    page.query_params["x"] = "parameters (lower is better)"
    on_pareto(page)
    page.query_params["x"] = "parameters (lower is better)"
    page.run()
    assert plot(page)["layout"]["xaxis"]["title"]["text"] == "parameters (lower is better)"
    assert "Verdicts on parameters and accuracy" in words(page)


def test_the_same_axis_twice_is_refused_in_a_sentence(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="x").set_value(f"accuracy, {TASK} (higher is better)").run()
    assert "Both axes show the same number" in words(page)


def test_a_clicked_point_opens_its_details(page: AppTest) -> None:
    on_pareto(page)
    point = {"customdata": [BY_NAME[HTML].recipe_id]}
    page.session_state["plot"] = {"selection": {"points": [point], "point_indices": [0], "box": [], "lasso": []}}
    page.run()
    assert page.query_params["variant"] in ([BY_NAME[HTML].recipe_id[:16]], BY_NAME[HTML].recipe_id[:16])
    assert "&lt;img src=x onerror=alert(1)&gt; &lt;b&gt;bold&lt;/b&gt;</h2>" in words(page)


def test_three_objectives_are_drawn_two_at_a_time(board: Board) -> None:
    three = replace(board, objectives=(*board.objectives, ("size", "")))
    assert chosen_keys(three, ()) == three.objectives
    assert chosen_keys(three, (None, None)) == (three.objectives[1], three.objectives[0])
    one = replace(board, objectives=board.objectives[:1])
    assert default_axes(one)[0] != default_axes(one)[1]


def test_constraints_are_typed_leave_out_and_are_drawn(page: AppTest) -> None:
    on_pareto(page)
    page.text_input(key="where").set_value("size <= 1 GB").run()
    text = words(page)
    assert "4 of 10 variants do not meet size &lt;= 1 GB and are left out" in text
    assert "Frontier recomputed among 6 shown and the base" in text
    page.selectbox(key="x").set_value("size on disk (lower is better)").run()
    assert [shape["x0"] for shape in plot(page)["layout"]["shapes"]] == [1000]  # MB
    page.text_input(key="where").set_value("sise <= 1").run()
    assert "Did you mean" in words(page)
    page.text_input(key="where").set_value("size <= 1 B").run()
    assert "loosen one of them" in words(page)


def test_a_slider_writes_the_constraint(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="limited").set_value("size on disk").run()
    page.slider(key="limit size on disk").set_value(1000.0).run()
    assert page.text_input(key="where").value == "size <= 1000 MB"
    assert "do not meet size &lt;= 1000 MB" in words(page)
    page.slider(key="limit size on disk").set_value(1625.0).run()
    assert page.text_input(key="where").value == ""  # at its end nobody is left out


def test_a_slider_stands_where_the_bound_was_typed(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="limited").set_value("size on disk").run()
    slider = "limit size on disk"
    for typed, stands in (
        ("size <= 1 GB, accuracy >= 60%", 1000.0),
        ("recovery >= 50%, size < 900 MB, size <= 1.2 GB", 900.0),
        ("size <= 9 GB", 1625.0),
        ("size <= 1 MB", 390.0),
        ("size >= 1 MB", 1625.0),  # not what this slider bounds
        ("size <= 5 apples", 1625.0),
        ("", 1625.0),
    ):
        page.text_input(key="where").set_value(typed).run()
        assert page.slider(key=slider).value == stands, typed
        assert page.text_input(key="where").value == typed


def test_a_bound_far_from_all_points_is_said(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="x").set_value("size on disk (lower is better)").run()
    for typed, said in (("size <= 90 GB", True), ("size <= 1 GB", False)):
        page.text_input(key="where").set_value(typed).run()
        captions = " ".join(caption.value for caption in page.caption)
        assert (r"size \<= 90 GB lies too far from the points" in captions) is said


def test_a_third_number_is_the_size_of_the_points(page: AppTest) -> None:
    on_pareto(page)
    page.selectbox(key="z").set_value("size on disk (lower is better)")
    page.button_group(key="as").set_value("size")
    words(page.run())
    certain = next(t for t in plot(page)["data"] if t["name"] == "certain")
    assert len(set(certain["marker"]["size"])) == len(certain["x"])
