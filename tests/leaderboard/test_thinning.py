"""Which points a plot of a large sweep draws."""

import itertools

import numpy as np
import pytest

from leaderboard import thinning
from leaderboard.charts import figure
from leaderboard.choices import Choice, View, look
from leaderboard.rows import Axis, Board
from leaderboard.thinning import chosen, thinned
from leaderboard.where import kept_under

NUMBERS = ("accuracy", "latency_ratio", "parameters")


def cloud(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    found = rng.normal(size=(size, 2))
    near, base = found.sum(axis=1) < np.sort(found.sum(axis=1))[min(300, size - 1)], np.zeros(size, dtype=np.bool_)
    base[size // 2] = True
    return found, near, base


def test_few_points_are_all_drawn() -> None:
    assert chosen(*cloud(500)).tolist() == list(range(500))


@pytest.mark.parametrize("size", [5_000, 100_000])
def test_all_near_the_frontier_stay_and_others_thin_out(size: int) -> None:
    found, near, base = cloud(size)
    kept = chosen(found, near, base)
    assert len(kept) <= thinning.MOST_DRAWN
    assert len(np.unique(kept)) == len(kept)
    assert set(np.flatnonzero(near | base)) <= set(kept.tolist())
    # Wherever points were, some are left: the corners of the cloud are still there.
    low, high = np.quantile(found, (0.01, 0.99), axis=0)
    assert (found[kept].min(axis=0) <= low).all()
    assert (found[kept].max(axis=0) >= high).all()


def test_thousands_near_the_frontier_are_thinned_too_and_the_base_stays() -> None:
    found, near, base = cloud(50_000)
    near[:] = True
    kept = chosen(found, near, base)
    assert 100 < len(kept) <= thinning.MOST_DRAWN
    assert np.flatnonzero(base)[0] in kept


def test_points_on_one_line_are_no_error() -> None:
    found, near, base = cloud(10_000)
    found[:, 0] = 1.0
    near[:] = False
    assert 0 < len(chosen(found, near, base)) <= thinning.MOST_DRAWN


@pytest.mark.parametrize("choice", [Choice(), Choice(standings=("dominated",)), Choice(statuses=("failed",))], ids=str)
def test_the_frontier_and_its_knee_are_of_all_that_compete(choice: Choice, board: Board, large: Board) -> None:
    """Seen in a large sweep too, where one listed is on the line or none is."""
    small, view = (look(each, choice, each.objectives, {}) for each in (board, large))
    seen: set[str] = set()
    for x, y in itertools.permutations([axis for axis in board.axes.values() if axis.metric in NUMBERS], 2):
        some, _ = thinned(view, x, y)
        found, expected = (marks(each, x, y) for each in (some, small))
        assert found == expected
        seen |= found.keys()
    assert "frontier" in seen
    assert ("knee" in seen) is (not choice.statuses)


def marks(view: View, x: Axis, y: Axis) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Where the frontier line and the knee are drawn."""
    traces = figure(view, x, y, selected=None).data
    return {t.name: (tuple(t.x), tuple(t.y)) for t in traces if t.name in ("frontier", "knee")}


def test_the_variant_of_a_link_is_drawn_however_many_there_are(large: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinning, "MOST_DRAWN", 2)
    monkeypatch.setattr(thinning, "CELLS", 1)
    view = look(large, Choice(), large.objectives, {})
    x, y = (large.axes[key] for key in large.objectives[::-1])
    first, said = thinned(view, x, y)
    missing = [row for row in view.rows if {x.key, y.key} <= row.cells.keys()]
    shown = {row.recipe_id for row in first.rows}
    away = next(row.recipe_id for row in missing if row.recipe_id not in shown)
    again, _ = thinned(view, x, y, away)
    assert {row.recipe_id for row in again.rows} == shown | {away}
    assert said
    assert thinned(view, x, y, "f" * 64)[0].rows == first.rows  # one that is not there


def test_what_is_drawn_has_the_numbers_of_the_plot_and_what_constraints_say_of_it(large: Board) -> None:
    bounded = kept_under(large, ["size <= 1000 MB"])
    view = look(bounded, Choice(), bounded.objectives, {})
    x, y = (bounded.axes[key] for key in bounded.objectives[::-1])
    third = next(axis for axis in bounded.axes.values() if axis.metric == "parameters")
    some, _ = thinned(view, x, y, third=third)
    for row in some.rows:
        whole = view.find(row.recipe_id)
        assert whole is not None
        assert row.kept == whole.kept
        assert [row.cells.get(axis.key) for axis in (x, y, third)] == [whole.cells.get(a.key) for a in (x, y, third)]
        assert (row.name, row.verdict, row.share, row.stopped) == (
            whole.name,
            whole.verdict,
            whole.share,
            whole.stopped,
        )
    assert {len(row.cells) for row in some.rows} == {4}
