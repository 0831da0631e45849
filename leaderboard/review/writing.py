"""The only way in which the page writes: one event of a review, by whoever is signed in at that moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import streamlit as st

from bench.errors import BadInput
from bench.store.folder import open_folder
from bench.store.reviews import History, append, open_review, read_review
from leaderboard.held_back import contradicted
from leaderboard.review.case import Case, constraints_that_are, figures, on_held_back
from leaderboard.review.elsewhere import Elsewhere, look_elsewhere
from leaderboard.rows import Row
from leaderboard.signing import signer
from leaderboard.source import ask, store_root

ON_SCREEN = "review on screen"
NEWER = "Newer results came in while you were writing: look at them first, then sign. Nothing was written."


class OnScreen(NamedTuple):
    """What the visitor saw last."""

    digest: str = ""  # of the data
    events: int = 0
    elsewhere: Mapping[str, Elsewhere] = {}  # by recipe_id, what other sweeps say of it


def remember(case: Case, history: History | None, elsewhere: Mapping[str, Elsewhere] | None = None) -> None:
    """Keep what is on the screen now: that is what a signature is under. Nothing is until its hash is known."""
    if not case.hashed:
        st.session_state.pop(ON_SCREEN, None)
        return
    events = len(history.events) if history else 0
    st.session_state[ON_SCREEN] = OnScreen(case.seen.digest, events, elsewhere or {})


def _on_screen(case: Case) -> OnScreen:
    """Raises BadInput where the data on it are older than the newest."""
    found: OnScreen = st.session_state.get(ON_SCREEN, OnScreen())
    if found.digest != case.seen.digest:
        raise BadInput(NEWER)
    return found


def begin(case: Case, title: str, typed: str = "") -> History:
    """Open a review of a question. Raises NotSignedIn, BadInput."""
    person = signer(typed)
    _on_screen(case)
    asked = case.found.question
    return open_review(
        open_folder(store_root()),
        person,
        case.seen,
        title=title,
        sweep_id=case.board.sweep_id,
        sweep=case.board.name,
        base=asked.base,
        constraints=asked.constraints,
        weights=asked.written(),
    )


def comment(case: Case, history: History, text: str, row: Row | None, typed: str = "") -> History:
    """Say something of a review or a variant. Raises NotSignedIn, BadInput."""
    return _append(case, history, "comment", typed, text=text, recipe_id=row.recipe_id if row else None)


def decide(
    case: Case, history: History, kind: Literal["approve", "reject"], row: Row, reason: str, typed: str = ""
) -> History:
    """Approve or reject a variant. Raises NotSignedIn, BadInput for one that does not keep the constraints."""
    allowed = [*(each.row for each in case.found.candidates), *case.found.open]
    mine = next((each for each in allowed if each.recipe_id == row.recipe_id), None)
    if kind == "approve" and mine is None:
        raise BadInput(f"{row.name} is not on the shortlist: it does not keep the constraints, or others beat it.")
    asked = case.found.question
    elsewhere = ask(lambda snapshot: look_elsewhere(snapshot, case.board.sweep_id, asked, row.recipe_id))
    # What is stored as known flags nothing later: nobody knows what came in meanwhile.
    if not set(elsewhere.beaten) <= set(_on_screen(case).elsewhere.get(row.recipe_id, Elsewhere()).beaten):
        raise BadInput(NEWER)
    return _append(
        case,
        history,
        kind,
        typed,
        recipe_id=row.recipe_id,
        artefact_id=row.artefact_id,
        name=row.name,
        reason=reason,
        figures=figures(row, case.found.question),
        met=() if mine is None else constraints_that_are("met", mine, case.found.board),
        open=() if mine is None else constraints_that_are("open", mine, case.found.board),
        confirmed=on_held_back(case, row)[0],
        contradicted=tuple(contradicted(case.held_back, case.board, row.recipe_id)),
        beaten_in=tuple(each.sweep_id for each in elsewhere.beaten),
    )


def withdraw(case: Case, history: History, reason: str, typed: str = "") -> History:
    """Take one's own decision back. Raises NotSignedIn, BadInput."""
    return _append(case, history, "withdrawn", typed, reason=reason)


def reopen(case: Case, history: History, reason: str, typed: str = "") -> History:
    """End what was decided so far. Raises NotSignedIn, BadInput."""
    return _append(case, history, "reopened", typed, reason=reason)


def _append(case: Case, history: History, kind: Any, typed: str, **said: Any) -> History:
    person = signer(typed)
    read_to = min(_on_screen(case).events, len(history.events))
    folder = open_folder(store_root())
    return append(folder, history.review, kind, person, case.seen, read_to=read_to, **said)


def read(review: str) -> History:
    """The events of a review as they are now. Raises BadInput for what is no id."""
    return read_review(open_folder(store_root()), review)
