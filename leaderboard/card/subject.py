"""Everything that a card tells of a variant, read from a store at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.store.asked import Asked, why_missing
from bench.store.circumstances import circumstances
from bench.store.loading import Loading
from bench.store.reader import Snapshot
from bench.store.reviews import History, list_reviews
from bench.store.sheets import Sheet
from leaderboard.choices import View
from leaderboard.decisions import Decisions, read_decisions
from leaderboard.dossier import Dossier, read_dossier
from leaderboard.format import without_folders
from leaderboard.licences import licence_rows
from leaderboard.rows import Board, Row
from leaderboard.ties import with_ties

# Whether anything was measured of a kind is told by one of its metrics.
KINDS = {"latency_ratio": "latency", "host_peak": "memory", "energy_ratio": "energy"}


@dataclass(frozen=True, slots=True)
class Subject:
    """One variant of one snapshot."""

    view: View
    row: Row
    ties: str  # of a large sweep, among whom they were looked for
    body: Mapping[str, Any]  # of the sweep's declaration
    known: Dossier
    decisions: Decisions
    licences: list[tuple[str, str, str, str]]
    conditions: Sheet
    reviews: tuple[History, ...]  # in which it was approved
    missing: tuple[tuple[str, str], ...]  # what has no number, and why
    snapshot: str
    loading: Loading

    @property
    def board(self) -> Board:
        return self.view.board

    @property
    def declared(self) -> Mapping[str, Any]:
        """What the sweep said of the variant."""
        return next(v for v in self.body["variants"] if v["recipe_id"] == self.row.recipe_id)


def read_subject(snapshot: Snapshot, board: Board, recipe_id: str, loading: Loading) -> Subject:
    """Read it. Raises BadInput for a variant that is not on the board."""
    view = View(board, board.objectives, board.rows, board.rows, narrowed=False)
    row = view.find(recipe_id)
    assert row is not None
    (row,), ties = with_ties(view, [row], patience=None)
    known = read_dossier(snapshot, board.sweep_id, recipe_id)
    base = view.base_of(row)
    body = snapshot.body(board.sweep_id, [recipe_id, *([base.recipe_id] if base else [])])
    assert body is not None
    return Subject(
        view=view,
        row=row,
        ties=ties,
        body=body,
        known=known,
        decisions=read_decisions(snapshot, board.sweep_id, recipe_id),
        licences=licence_rows(body, recipe_id),
        conditions=circumstances(snapshot, body, str(row.artefact_id)),
        reviews=tuple(
            history
            for history in list_reviews(snapshot.folder)
            if not history.problems and history.state == "approved" and history.choice is not None
            if history.choice.recipe_id == recipe_id and history.choice.artefact_id == row.artefact_id
        ),
        missing=tuple(_missing(snapshot, view, row, body)),
        snapshot=snapshot.name,
        loading=loading,
    )


def _missing(snapshot: Snapshot, view: View, row: Row, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(number, why there is none) for all that others have, and for what the sweep measures of nobody."""
    variants = snapshot.rows(
        "select * from variants where sweep_id = ? and (recipe_id = ? or (is_base and base = ?))",
        [view.board.sweep_id, row.recipe_id, row.base],
    )
    mine = next(v for v in variants if v["recipe_id"] == row.recipe_id)
    base = next((v for v in variants if v["is_base"]), mine)
    metrics = {m["name"]: m for m in snapshot.rows("select * from metrics")}

    def why(name: str, scope: str) -> str:
        return without_folders(why_missing(snapshot, Asked(body, mine, base, metrics[name], scope, None, ())))

    for key, axis in view.board.axes.items():
        if key not in row.cells:
            yield axis.title, why(*key)
    there = {metric for metric, _ in view.board.axes}
    for name, title in KINDS.items():
        if name not in there and name in metrics:
            yield title, why(name, "")
