"""What other sweeps of a store say of a variant, and which of that flags a decision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.store.folder import open_folder
from bench.store.journal import Entry
from bench.store.reader import open_snapshot
from bench.store.reviews import Decision, History, Person, append, open_review
from leaderboard import index
from leaderboard.review.case import elsewhere_of, figures, for_review, read_case, reasons_to_reopen
from leaderboard.review.elsewhere import MOST_ASKED, look_elsewhere
from tests.leaderboard import newer, sample
from tests.leaderboard.sample import BASE, VARIANTS

ANNA = Person(subject="anna", name="Anna", issuer="this machine", how="local")
LIMIT = "size <= 600 MB"
INT8 = VARIANTS[1]
WITH_BETTER = (*VARIANTS[:2], newer.BETTER)
FLAG = f"In the sweep 'more recipes' {BASE}: better dominates it now."


def declare(store: Path, *entries: Entry) -> None:
    with sample.writing(store) as writer:
        writer.append(list(entries))


def declared(name: str, variants: tuple[sample.Variant, ...] = WITH_BETTER, **changes: Any) -> Entry:
    return sample.declaration(variants, name=name, **{"day": 22, **changes})


def with_other_examples() -> Entry:
    entry = declared("other examples")
    body = json.loads(entry.body)
    body["tasks"][0]["fingerprint"] = "f" * 64
    return Entry.statement("sweep", entry.identity, body)


def approve(store: Path, history: History | None = None) -> History:
    """Approve int8, in a new review or once more."""
    with open_snapshot(store) as snapshot:
        case = read_case(snapshot, sample.SWEEP, constraints=[LIMIT])
        known = look_elsewhere(snapshot, case.board.sweep_id, case.found.question, INT8.recipe_id)
    asked, folder = case.found.question, open_folder(store)
    if history is None:
        about = {"title": "A phone", "sweep_id": case.board.sweep_id, "sweep": case.board.name}
        put = {"base": asked.base, "constraints": asked.constraints, "weights": asked.written()}
        history = open_review(folder, ANNA, case.seen, **about, **put)
    row = next(row for row in case.found.board.rows if row.recipe_id == INT8.recipe_id)
    said = {"artefact_id": row.artefact_id, "name": row.name, "reason": "Small.", "figures": figures(row, asked)}
    told = {"met": (LIMIT,), "confirmed": "Not confirmed.", "beaten_in": tuple(each.sweep_id for each in known.beaten)}
    read_to = len(history.events)
    mine = {"recipe_id": row.recipe_id, **said, **told}
    return append(folder, history.review, "approve", ANNA, case.seen, read_to=read_to, **mine)


def flags(store: Path, history: History) -> tuple[str, ...]:
    with open_snapshot(store) as snapshot:
        case = for_review(snapshot, history)
        assert case.board.name == sample.SWEEP  # the review stays with its own sweep
        return reasons_to_reopen(case, history, elsewhere_of(snapshot, case, history))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return sample.make_store(tmp_path / "store")


def test_a_sweep_that_has_the_choice_and_in_which_it_is_dominated_flags_it(store: Path) -> None:
    """Recipes that are added to a sweep file make another sweep: the review's question is asked there too."""
    history = approve(store)
    # Nothing is said by another class, by other examples of the task, or without the choice.
    declare(store, declared("elsewhere", hardware_class="another"), with_other_examples())
    declare(store, declared("without", (VARIANTS[0], newer.BETTER)))
    newer.let_it_come(store)
    assert flags(store, history) == ()
    declare(store, declared("more recipes"))
    assert flags(store, history) == (FLAG,)


def test_results_that_come_to_a_sweep_of_before_flag_it_too(store: Path) -> None:
    declare(store, declared("more recipes", day=19))
    history = approve(store)
    assert flags(store, history) == ()
    newer.let_it_come(store)
    assert flags(store, history) == (FLAG,)


def test_neither_other_sweeps_nor_another_declaration_of_its_own_hide_the_flag(store: Path) -> None:
    history = approve(store)
    newer.let_it_come(store)
    declare(store, declared("more recipes", day=21))
    others = (declared(f"elsewhere {i}", hardware_class=f"another {i}", day=23) for i in range(MOST_ASKED))
    declare(store, *others, declared(sample.SWEEP, VARIANTS, day=24))
    assert flags(store, history) == (FLAG,)


def test_what_was_known_when_it_was_approved_flags_nothing(store: Path) -> None:
    declare(store, declared("more recipes"))
    newer.let_it_come(store)
    history = approve(store)
    (event,) = (event for event in history.events if isinstance(event, Decision))
    assert len(event.beaten_in) == 1
    assert flags(store, history) == ()
    declare(store, declared("still more", (*WITH_BETTER, VARIANTS[2])))
    assert flags(store, history) == (f"In the sweep 'still more' {BASE}: better dominates it now.",)
    assert flags(store, approve(store, history)) == ()


def test_so_many_are_asked_and_the_rest_is_counted(store: Path) -> None:
    newer.let_it_come(store)
    declare(store, *(declared(f"sweep {i}", day=10 + i) for i in range(MOST_ASKED + 2)))
    for large in (10_000, 1):
        with open_snapshot(store) as snapshot, pytest.MonkeyPatch.context() as patch:
            patch.setattr(index, "LARGE", large)
            made = index.open_index(snapshot)
            assert (made is None) is (large > 1)
            case = read_case(snapshot, sample.SWEEP, constraints=[LIMIT])
            asked = case.board.sweep_id, case.found.question, INT8.recipe_id
            found = look_elsewhere(snapshot, *asked)
            if made is not None:
                with made.snapshot() as indexed:
                    found = look_elsewhere(indexed, *asked)
        assert [(each.sweep, each.by) for each in found.beaten] == [
            (f"sweep {i}", newer.BETTER.name) for i in range(MOST_ASKED + 1, 1, -1)
        ]
        assert found.sentences()[-1] == "Of the sweeps that have it too the newest 5 were asked, 2 were not."
        assert found.sentences()[0] == f"In the sweep 'sweep 6', which has it too, {BASE}: better dominates it."
