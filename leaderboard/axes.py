"""Which number of a board is meant by a few words."""

from __future__ import annotations

import re

from bench.errors import BadInput, unknown
from bench.metrics import METRICS
from leaderboard.rows import Board, Key


def find_axis(board: Board, asked: str) -> Key:
    """The number that `metric` or `metric:scope` stands for on this board. Raises BadInput.

    A shape may be written as in a sweep file, such as 1x128; without a scope a whole task comes before its parts.
    """
    name, _, scope = asked.strip().partition(":")
    scope = re.sub(r"^(\d+)x(\d+)$", r"batch \1 x \2 tokens", scope)
    found = [key for key in board.axes if key[0] == name and (scope in ("", key[1]) or key[1].startswith(f"{scope}, "))]
    scopes = {key[1] for key in found}
    found = [key for key in found if key[1].partition(" / ")[0] not in scopes - {key[1]}]
    if not found and name in METRICS and not any(key[0] == name for key in board.axes):
        raise BadInput(
            f"No variant of this board has a {name}, which says: {METRICS[name].meaning} Measure what that takes, or "
            f"name one of {', '.join(sorted({key[0] for key in board.axes}))}."
        )
    if not found:
        raise unknown("metric on this board", asked, {f"{m}:{s}" if s else m for m, s in board.axes})
    if len(found) > 1:
        raise BadInput(f"{name} stands for several numbers: name one of {', '.join(f'{m}:{s}' for m, s in found)}.")
    return found[0]


def default_axes(board: Board) -> tuple[Key, Key]:
    """What is drawn when nothing was chosen: cost to the right, quality upwards."""
    first = board.objectives[0]
    others = [*board.objectives[1:], *(key for key, axis in board.axes.items() if axis.exact), *board.axes]
    return next((key for key in others if key != first), first), first
