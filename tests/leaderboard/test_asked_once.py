"""Of a large sweep nothing is asked twice: what a page asks for again is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from leaderboard.choices import Choice, look, variants_in
from leaderboard.listing import Clause, Listing
from leaderboard.rows import Board


def test_a_clause_that_keeps_all_leaves_another_as_it_is() -> None:
    other = Clause("r.base = ?", ("a",))
    assert Clause().both(other) == other.both(Clause()) == other
    assert other.both(other).parameters == ("a", "a")


def test_rows_are_found_once_whether_their_verdicts_have_come_or_not(
    large: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page shows rows first and their verdicts when these are there: the rows are the same."""
    monkeypatch.setattr("leaderboard.large.AT_ONCE", 0)
    choice = Choice(text="decoder 12", statuses=("complete",))
    first = look(large, choice, large.objectives, {}, patience=0.0)
    assert first.waiting
    assert not first.worth_asking_again()
    assert isinstance(first.rows, Listing)
    places, count = first.rows.places(), variants_in(first.rows)
    asked: list[str] = []
    ask = Listing.arrays

    def heard(self: Listing, what: str, *told: Any, **more: Any) -> dict[str, Any]:
        asked.append(what)
        return ask(self, what, *told, **more)

    monkeypatch.setattr(Listing, "arrays", heard)
    judged = look(large, choice, large.objectives, {})
    assert not judged.waiting
    assert first.worth_asking_again()
    assert isinstance(judged.rows, Listing)
    assert judged.rows.places() is places
    assert variants_in(judged.rows) == count == len(places) - 1
    assert not [what for what in asked if "r.place as place" in what]
    by_verdict = look(large, replace(choice, standings=("dominated",)), large.objectives, {}).rows
    assert {row.verdict for row in by_verdict if not row.is_base} <= {"dominated"}


def test_the_base_is_read_once(large: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(large.rows, Listing)
    (name,) = large.bases
    base = large.rows.base(name)
    assert base is not None
    assert base.is_base
    assert large.rows.base("another") is None
    monkeypatch.setattr(Listing, "read", pytest.fail)
    assert large.rows.base(name) is base
    assert large.rows.narrowed(Clause("r.is_base")).base(name) is base
