"""A shortlist as plain data, for programs."""

from __future__ import annotations

from typing import Any

from leaderboard.review.shortlist import Candidate, Shortlist
from leaderboard.rows import Row
from leaderboard.table import column_name


def shortlist_record(found: Shortlist) -> dict[str, Any]:
    """The question and its answer at full precision."""
    asked, board = found.question, found.board
    return {
        "sweep": board.name,
        "sweep_id": board.sweep_id,
        "hardware_class": board.hardware_class,
        "base": asked.base,
        "constraints": [required.text for required in board.constraints],
        "weights": asked.written(),
        "counts": dict(found.counts),
        "advice": found.advice,
        "scale": {column_name(key): list(ends) for key, ends in found.scale.items()},
        "shortlist": [_candidate(each, found) for each in found.candidates],
        "open": [{"variant": row.name, "recipe_id": row.recipe_id, **_kept(row, found)} for row in found.open],
        "sensitivity": {
            column_name(key): [
                {"from": part.low, "to": part.high, "choice": found.candidates[part.choice].row.recipe_id}
                for part in parts
            ]
            for key, parts in found.sensitivity.items()
        },
    }


def _candidate(each: Candidate, found: Shortlist) -> dict[str, Any]:
    row = each.row
    return {
        "variant": row.name,
        "recipe_id": row.recipe_id,
        "artefact_id": row.artefact_id,
        "is_base": row.is_base,
        "verdict": row.verdict,
        "verdict_reason": row.verdict_reason,
        "score": each.score,
        "losses": {column_name(key): loss for key, loss in each.losses.items()},
        "first_in_resamples": each.resampled,
        "first_in_all_weightings": each.anyhow,
        "numbers": {
            column_name(key): {"estimate": cell.estimate, "low": cell.low, "high": cell.high}
            for key in found.question.weights
            if (cell := row.cells.get(key)) is not None
        },
        **_kept(row, found),
    }


def _kept(row: Row, found: Shortlist) -> dict[str, Any]:
    return {
        "constraints": [
            {"text": required.text, "state": kept.state}
            for required, kept in zip(found.board.constraints, row.kept, strict=True)
        ]
    }
