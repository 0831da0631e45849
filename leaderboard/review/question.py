"""What a reviewer asks: constraints that must be kept, and what weighs how much. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import BadInput, unknown
from leaderboard.axes import find_axis
from leaderboard.rows import Board, Key, judged_as
from leaderboard.table import column_name
from leaderboard.where import understand

FORM = "METRIC[:SCOPE]=NUMBER, such as 'accuracy=2, size=1'"
MOST = 6  # objectives that anyone weighs against each other
_ONE = re.compile(r"\s*(?P<asked>\w+\s*(?::[^=]*?)?)\s*=\s*(?P<number>[^,=]*?)\s*(?:,|$)")


@dataclass(frozen=True, slots=True)
class Question:
    """Asked of the variants of one base."""

    base: str
    constraints: tuple[str, ...]  # as they were written
    weights: Mapping[Key, float]  # in sum 1

    def written(self) -> dict[str, float]:
        """The weights by their names in an address."""
        return {column_name(key): weight for key, weight in self.weights.items()}


def question(
    board: Board, base: str | None = None, constraints: Sequence[str] = (), weights: Mapping[str, float] | None = None
) -> Question:
    """What is asked, checked against the board: the first base and equal weights on the objectives by default.

    Raises BadInput, one sentence, for a base, a constraint or a weight that means nothing here.
    """
    if not board.bases:
        raise BadInput(f"The sweep {board.name} has no variant yet: run it first.")
    if base is not None and base not in board.bases:
        raise unknown("base in this sweep", base, board.bases)
    written = tuple(text for text in constraints if text.strip())
    if written:
        understand(board, written)
    given = dict.fromkeys(board.objectives, 1.0) if weights is None else _found(board, weights)
    total = sum(given.values())
    return Question(base or board.bases[0], written, {key: weight / total for key, weight in given.items()})


def _found(board: Board, weights: Mapping[str, float]) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for name, weight in weights.items():
        if not (math.isfinite(weight) and 0 <= weight <= 1e9):
            raise BadInput(f"{name} has the weight {weight:g}, but a weight is a number from 0 up: give one.")
        key = find_axis(board, name)
        if judged_as(key) in {judged_as(other) for other in found}:
            raise BadInput(f"{name} is weighed twice, maybe under another name of the same number: name it once.")
        found[key] = float(weight)
    if len(found) > MOST:
        raise BadInput(f"{len(found)} numbers are weighed, but nobody weighs more than {MOST} at once: name fewer.")
    if not any(found.values()):
        raise BadInput("All weights are 0, so that nothing chooses: give at least one number a weight above 0.")
    return found


def read_weights(texts: Sequence[str]) -> dict[str, float] | None:
    """Weights as they are written, several between commas; None without any. Raises BadInput."""
    found: dict[str, float] = {}
    for text in texts:
        rest = text
        while rest.strip():
            match = _ONE.match(rest)
            if match is None:
                raise BadInput(f"The weights {text!r} cannot be read: write {FORM}.")
            name = match["asked"].strip()
            try:
                weight = float(match["number"])
            except ValueError as error:
                raise BadInput(f"{name} has the weight {match['number']!r}: write {FORM}.") from error
            if name in found:
                raise BadInput(f"{name} is weighed twice: name it once.")
            found[name] = weight
            rest = rest[match.end() :]
    return found or None
