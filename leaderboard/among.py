"""What the verdicts of a view are about, in sentences: among whom, on what, and who is only hidden. Draws nothing."""

from __future__ import annotations

from leaderboard.choices import Choice, View, some_met, variants_in
from leaderboard.listing import Listing


def nothing_shown(view: View) -> str:
    """Why there is no variant to look at, and what to do; empty where there is one."""
    board = view.board
    if not view.matching and not (board.among[1] if board.among else variants_in(board.rows)):
        return "This sweep has nothing but the base: add recipes to its file and run it again."
    if board.among is not None and not some_met(board):
        may = f" {view.matching:,} may meet them, and are shown as open." if view.matching else ""
        return f"No variant is known to meet the constraints: loosen one of them to see more.{may}"
    if view.matching == 0 and board.rows:
        return "No variant matches these filters: clear one of them to see more."
    return ""


def told_among(view: View, choice: Choice) -> list[str]:
    """Sentences for whatever is not the whole sweep as it was declared."""
    said = []
    if view.board.among is not None:
        kept, of = view.board.among
        texts = ", ".join(required.text for required in view.board.constraints)
        said.append(f"{of - kept:,} of {of:,} variants do not meet {texts} and are left out.")
    if view.narrowed:
        among = f"among {view.matching:,} shown and the base"
        said.append(
            f"The frontier {among} is being recomputed: verdicts follow in a moment."
            if view.waiting
            else f"Frontier recomputed {among}: verdicts hold among these only."
        )
    if view.keys != view.board.objectives:
        titles = " and ".join(view.board.axes[key].title for key in view.keys)
        said.append(f"Verdicts on {titles}, instead of the objectives that the sweep declared.")
    return said + _hidden(view, choice) + _candidates(view)


def _hidden(view: View, choice: Choice) -> list[str]:
    """How many rows are listed of those that compete."""
    if not (choice.standings or choice.statuses or choice.task):
        return []
    listed = f"{variants_in(view.rows):,} of {view.matching:,} variants have"
    if choice.standings or choice.statuses:
        with_task = f", and a number of {choice.task}" if choice.task else ""
        told = f"{listed} the chosen verdict or status{with_task}."
    else:
        told = f"{listed} a number of {choice.task}."
    return [told, "The others are only hidden: they still compete."]


def _candidates(view: View) -> list[str]:
    """How much of a large field was compared in pairs, where that was not everything that may matter."""
    anew = view.field.anew if isinstance(view.field, Listing) else None
    if anew is None or anew.compared == anew.candidates:
        return []
    return [
        f"{anew.compared:,} of {anew.candidates:,} candidates, those nearest to the frontier, were compared in pairs; "
        "the others stay contested: narrow the filters to compare them."
    ]
