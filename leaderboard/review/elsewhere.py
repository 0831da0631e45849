"""What other sweeps of the store say of a variant that they have too: a review's question, asked there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bench.errors import BadInput
from bench.store.reader import Snapshot
from leaderboard.large import board_in
from leaderboard.review.question import Question, question
from leaderboard.review.shortlist import dominated_by
from leaderboard.rows import read_draws

MOST_ASKED = 5  # sweeps


class Beaten(NamedTuple):
    """A sweep in which a variant is dominated by one that keeps the constraints, and the name of that one."""

    sweep_id: str
    sweep: str
    by: str


class Elsewhere(NamedTuple):
    """Of one variant."""

    beaten: tuple[Beaten, ...] = ()
    asked: int = 0  # sweeps
    left_out: int = 0  # that could have been asked too

    def sentences(self) -> tuple[str, ...]:
        """All of it, for whoever is about to decide."""
        said = [f"In the sweep {sweep!r}, which has it too, {by} dominates it." for _, sweep, by in self.beaten]
        if self.left_out:
            said.append(f"Of the sweeps that have it too the newest {self.asked} were asked, {self.left_out} were not.")
        return tuple(said)


def look_elsewhere(snapshot: Snapshot, sweep_id: str, asked: Question, recipe_id: str) -> Elsewhere:
    """Ask all other sweeps of which the answer means something here, the newest ones first and `MOST_ASKED` at most.

    They have the variant too, were measured on the same hardware class, and score the same examples of each task that
    both have.

    Args:
        snapshot: the published state.
        sweep_id: of the review's own sweep.
        asked: the review's question.
        recipe_id: of the variant.
    """
    here = snapshot.body(sweep_id)
    others = snapshot.rows(
        "select sweep_id from sweeps s where sweep_id <> ? and exists (select 1 from variants v where v.sweep_id = "
        "s.sweep_id and v.recipe_id = ?) order by declared desc, sweep_id",
        [sweep_id, recipe_id],
    )
    bodies = {str(row["sweep_id"]): snapshot.body(str(row["sweep_id"])) for row in others}
    alike = [other for other, body in bodies.items() if here is not None and body and _measured_alike(here, body)]
    beaten = []
    for other in alike[:MOST_ASKED]:
        board = board_in(snapshot, other)
        try:
            there = question(board, asked.base, asked.constraints, asked.written())
            by = dominated_by(board, there, read_draws(snapshot, board, list(there.weights)), recipe_id)
        except BadInput:  # the question means nothing there
            continue
        if by is not None:
            beaten.append(Beaten(other, board.name, by))
    looked = min(len(alike), MOST_ASKED)
    return Elsewhere(tuple(beaten), looked, len(alike) - looked)


def _measured_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether numbers of the same name mean the same in two sweeps."""
    tasks, others = ({task["name"]: task["fingerprint"] for task in body["tasks"]} for body in (one, other))
    same = all(others[name] == fingerprint for name, fingerprint in tasks.items() if name in others)
    return same and one["hardware_class"] == other["hardware_class"]
