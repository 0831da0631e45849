"""What a number is judged as: which way is better and how much matters are told from there, whatever is shown."""

from __future__ import annotations

from bench.statistics.objectives import Objective
from leaderboard.rows import Axis, Board, Key, judged_as


def judged_axis(board: Board, key: Key) -> Axis:
    """The number that carries the evidence for this one: signs, losses and units of differences are its own.

    Tokens per second are better where there are more, and are judged as a ratio of times, which is better where small.
    """
    return board.axes.get(judged_as(key), board.axes[key])


def objective_of(board: Board, key: Key) -> Objective:
    """A number as an objective, called what is shown; the only place that gives a direction to evidence."""
    axis = judged_axis(board, key)
    return Objective(board.axes[key].title, axis.better, board.matters.get(axis.key, 0.0))
