"""Why a decision should be looked at again: told from the data as they are now, never stored. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.store.reviews import Decision
from leaderboard.format import interval, number
from leaderboard.review.elsewhere import Elsewhere
from leaderboard.review.shortlist import Shortlist
from leaderboard.rows import Board, Row


def reopened_by(
    found: Shortlist, choice: Decision, contradicted: Mapping[str, str], elsewhere: Elsewhere
) -> tuple[str, ...]:
    """Sentences, none where the choice stands as it did.

    Args:
        found: the review's question asked of the present data.
        choice: the approval.
        contradicted: by held-back examples, of what the choice was chosen by: number -> what they say.
        elsewhere: what other sweeps say of the choice. What was known of both when it was approved reopens nothing.
    """
    unread = {title: said for title, said in contradicted.items() if title not in choice.contradicted}
    told = [f"Held-back examples contradict its {title}: {said}." for title, said in unread.items()]
    beaten = [each for each in elsewhere.beaten if each.sweep_id not in choice.beaten_in]
    told += [f"In the sweep {sweep!r} {by} dominates it now." for _, sweep, by in beaten]
    row = next((row for row in found.board.rows if row.recipe_id == choice.recipe_id), None)
    if row is None:
        return (f"{choice.name} does not keep the constraints any more, or is no longer in the sweep.", *told)
    return (*_reasons(found, choice, row), *told)


def _reasons(found: Shortlist, choice: Decision, row: Row) -> Iterator[str]:
    board = found.board
    if row.artefact_id != choice.artefact_id:
        yield "The recipe has been built anew and gives other bytes: what was approved is another artefact."
    for required, kept in zip(board.constraints, row.kept, strict=True):
        if kept.state != "met" and required.text in choice.met:
            now = "open" if kept.state == "open" else "not so"
            yield f"It was known to keep {required.text!r}; that is {now} now."
        elif kept.state == "not met":
            yield f"It was open whether it keeps {required.text!r}; now it is known not to."
    yield from _moved(board, choice, row)
    met = all(kept.state == "met" for kept in row.kept)
    beaten = found.beaten_by.get(choice.recipe_id)
    if beaten is not None:
        # One that was open may have been dominated already when it was approved.
        who = "Newer results dominate it" if met else "One that is known to keep all constraints dominates it"
        yield f"{who}: {beaten} is better on every objective beyond the interval."
    elif met and found.find(choice.recipe_id) is None:
        yield "It is no longer on the shortlist: it lacks a number that is weighed, or others beat it."


def _moved(board: Board, choice: Decision, row: Row) -> Iterator[str]:
    """Numbers that lie outside of the interval that the person saw."""
    for figure in choice.figures:
        axis, cell = board.axes.get((figure.metric, figure.scope)), row.cells.get((figure.metric, figure.scope))
        if axis is None or cell is None:
            yield f"Its number for {' '.join((figure.metric, figure.scope)).strip()} is gone."
        elif not figure.low <= cell.estimate <= figure.high:
            then = number(figure.estimate, axis.unit, axis.metric)
            between = interval(figure.low, figure.high, axis.unit, axis.metric)
            now = number(cell.estimate, axis.unit, axis.metric)
            yield f"Its {axis.title} is {now} now; when it was approved it was {then} ({between})."
