"""Held-back examples on the board: what they said, whether they were fresh, who else is confirmed with a variant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.store.journal import Entry
from bench.store.openings import Opening
from bench.store.reader import open_snapshot
from bench.store.reviews import Decision
from leaderboard import PAGE
from leaderboard.held_back import HeldBack, confirmed_rows, contradicted, read_held_back, sentences
from leaderboard.review.case import read_case
from leaderboard.review.elsewhere import Elsewhere
from leaderboard.review.reopening import reopened_by
from leaderboard.rows import Board, Row, read_board
from leaderboard.source import STORE
from tests.bench.store import defended
from tests.bench.store.defended import MEASURED
from tests.leaderboard import sample
from tests.leaderboard.commands import commands
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import TASK

BASE, INT8, TUNED = MEASURED


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose measured variants were confirmed."""
    return defended.make_store(tmp_path_factory.mktemp("confirmed") / "store")


def written(root: Path, *openings: Opening, without: Sequence[str] = ()) -> Path:
    """The same with other openings, and without some entries."""
    entries = [e for e in defended.entries() if e.entry != "opened" and e.identity not in without]
    with sample.writing(root) as writer:
        writer.append([defended.declaration(), *(o.entry for o in openings), *entries])
    return root


def known(root: Path) -> tuple[HeldBack, Board]:
    with open_snapshot(root) as snapshot:
        board = read_board(snapshot)
        body = snapshot.body(board.sweep_id)
        assert body is not None
        return read_held_back(snapshot, body), board


def row_of(board: Board, variant: defended.Filed) -> Row:
    return next(row for row in board.rows if row.recipe_id == variant.recipe_id)


def told(held: HeldBack, board: Board, variant: defended.Filed = INT8) -> tuple[str, str | None]:
    rows = [row_of(board, each) for each in MEASURED]
    return sentences(held, board, row_of(board, variant), rows)


def found(held: HeldBack, *findings: str | None) -> HeldBack:
    """The same with these findings on one variant, in the newest opening that has it."""
    (*_, newest) = held.of(INT8.recipe_id)
    one = next(each for each in held.numbers if each["recipe_id"] == INT8.recipe_id and each["scope"] == TASK)
    rows = [{**one, "opening": newest.identity, "finding": finding} for finding in findings]
    return replace(held, numbers=tuple(rows))


def test_who_was_confirmed_says_that_it_was_fresh(confirmed: Path) -> None:
    held, board = known(confirmed)
    sentence, command = told(held, board)
    assert sentence.startswith("Confirmed on held-back examples: they contradict no number that it was chosen by.")
    assert sentence.endswith("As far as this store knows, they were fresh.")
    assert command is None
    lines = confirmed_rows(held, board, INT8.recipe_id)
    assert [line[0] for line in lines][:2] == ["accuracy, entailment", "accuracy minus base, entailment"]
    assert {line[3] for line in lines} == {"confirmed"}
    assert told(held, board, BASE) == ("The base is what others are confirmed against.", None)


def test_one_command_opens_them_for_the_whole_shortlist(tmp_path: Path) -> None:
    held, board = known(written(tmp_path / "store"))
    sentence, command = told(held, board)
    assert sentence.startswith("Not confirmed on unopened data. Held-back examples are fresh once")
    assert "for it and 1 other of the shortlist, at once" in sentence
    sweep, both = board.sweep_id[:12], f"{INT8.recipe_id[:12]} {TUNED.recipe_id[:12]}"
    assert command == f"paredown confirm {sweep} {both}"
    alone = sentences(held, board, row_of(board, INT8), [])
    assert "opens them for it, at once" in alone[0]
    assert alone[1] == f"paredown confirm {sweep} {INT8.recipe_id[:12]}"
    first = f"paredown confirm {sweep} {' '.join(f'{i:012d}' for i in range(19))}"
    row = row_of(board, INT8)
    many = [replace(row, recipe_id=f"{i:012d}") for i in range(812)]
    sentence, command = sentences(held, board, row, many)
    assert "for it and the first 19 of 812 others of the shortlist" in sentence
    assert command == f"{first} {INT8.recipe_id[:12]}"
    last = sentences(held, board, many[800], many)[1]
    assert last == f"{first} {800:012d}"


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        (["open"], "do not tell enough"),
        ([None], "do not tell enough"),
        (["confirmed", "open"], "do not tell enough"),
        (["confirmed", "understated"], "does better there"),
        (["confirmed", "overstated"], "they contradict what it was chosen by (accuracy, entailment)"),
        (["confirmed", None], "Confirmed on held-back examples"),
    ],
)
def test_only_what_was_confirmed_is_called_so(confirmed: Path, findings: list[str | None], said: str) -> None:
    held, board = known(confirmed)
    sentence, command = told(found(held, *findings), board)
    assert (said in sentence, command) == (True, None)
    assert sentence.startswith("Confirmed") == said.startswith("Confirmed")


def test_a_second_look_takes_nothing_back(tmp_path: Path) -> None:
    again = defended.opening(MEASURED[:2], level=0.9, at="2026-11-21T10:00:00")
    held, board = known(written(tmp_path / "store", defended.opening(), again))
    sentence, _ = told(held, board)
    assert sentence.startswith("Confirmed")
    assert "They were opened 2 times for it, and were fresh once at most." in sentence
    first = next(each for each in held.numbers if each["recipe_id"] == INT8.recipe_id)
    worse = replace(held, numbers=({**first, "finding": "overstated"}, *held.numbers))
    assert "they contradict what it was chosen by (accuracy, entailment)." in told(worse, board)[0]


def test_examples_that_others_had_looked_at_were_not_fresh(tmp_path: Path) -> None:
    """By an opening of another sweep of the same data, or by a sweep that chose by them."""
    elsewhere = defended.opening(at="2026-11-19T08:00:00").model_copy(update={"sweep_id": "f" * 64, "sweep": "older"})
    held, board = known(written(tmp_path / "unopened", elsewhere))
    sentence, command = told(held, board)
    assert command is not None
    assert "no longer fresh: they were opened once before, last on 2026-11-19 08:00 UTC for" in sentence
    assert f"{INT8.name}, {TUNED.name} (sweep older)." in sentence
    mine = defended.opening().model_copy(update={"chosen_on": ("another",)})
    held, board = known(written(tmp_path / "opened", elsewhere, mine))
    sentence, _ = told(held, board)
    assert sentence.startswith("Confirmed")
    assert "They were not fresh: they were opened once before" in sentence
    assert sentence.endswith("and another chose by some of them.")


def test_a_sweep_that_chose_by_them_is_told_before_they_are_opened(tmp_path: Path) -> None:
    root = written(tmp_path / "store")
    with sample.writing(root) as writer:
        body = json.loads(defended.declaration().body) | {"name": "greedy", "sweep_id": "e" * 64}
        del body["tasks"][0]["held_back"]
        writer.append([Entry.statement("sweep", f"sweep {'e' * 64}", body)])
    with open_snapshot(root) as snapshot:
        declared = next(s["body"] for s in snapshot.sweeps() if s["name"] == "defended")
        held = read_held_back(snapshot, declared)
    assert held.chosen_by == ("greedy",)
    assert "no longer fresh: greedy chose by some of them" in told(held, known_board(root))[0]


def known_board(root: Path) -> Board:
    with open_snapshot(root) as snapshot:
        return read_board(snapshot, "defended")


def test_what_is_half_confirmed_is_not_confirmed(tmp_path: Path) -> None:
    late = defended.held_job(INT8).key
    held, board = known(written(tmp_path / "store", defended.opening(level=0.9), without=[late]))
    sentence, command = told(held, board)
    assert sentence.startswith("Its held-back examples are open, but there is no number of it on them.")
    assert "Not evaluated on entailment." in sentence
    both = f"{INT8.recipe_id[:12]} {TUNED.recipe_id[:12]}"
    assert command == f"paredown confirm {board.sweep_id[:12]} {both} --level 0.9"
    assert confirmed_rows(held, board, INT8.recipe_id) == [("entailment", "–", "–", "not evaluated")]
    (opening,) = held.openings
    two = opening.model_copy(update={"tasks": (*opening.tasks, opening.tasks[0].model_copy(update={"name": "other"}))})
    numbers = tuple({**each, "opening": two.identity} for each in held.numbers)
    sentence, command = told(replace(held, openings=(two,), numbers=numbers), board, TUNED)
    assert sentence.startswith("Looked at on a part of the held-back examples: so far they contradict no number.")
    assert "Not evaluated on other." in sentence
    assert command is not None


def test_a_contradiction_that_nobody_had_read_flags_an_approval(confirmed: Path) -> None:
    with open_snapshot(confirmed) as snapshot:
        case = read_case(snapshot, None)
    worse = found(case.held_back, "overstated")
    row = row_of(case.found.board, INT8)
    said = contradicted(worse, case.board, row.recipe_id)
    assert list(said) == ["accuracy, entailment"]
    seen = Decision.model_construct(
        recipe_id=row.recipe_id,
        artefact_id=row.artefact_id,
        name=row.name,
        figures=(),
        met=(),
        open=(),
        confirmed="Not confirmed on unopened data.",
    )
    assert reopened_by(case.found, seen, {}, Elsewhere()) == ()
    (reason,) = reopened_by(case.found, seen, said, Elsewhere())
    assert reason.startswith("Held-back examples contradict its accuracy, entailment: ")
    assert "on those chosen by." in reason
    knowing = seen.model_copy(update={"contradicted": tuple(said)})
    assert reopened_by(case.found, knowing, said, Elsewhere()) == ()
    # The name of one number may begin that of another.
    of_another = seen.model_copy(update={"contradicted": ("accuracy, entailment-mismatched",)})
    assert reopened_by(case.found, of_another, said, Elsewhere()) == (reason,)
    base = next(each for each in case.board.rows if each.is_base)
    numbers = tuple({**each, "recipe_id": base.recipe_id} for each in worse.numbers)
    assert contradicted(replace(worse, numbers=numbers), case.board, base.recipe_id) == {}


def test_pages_show_what_was_confirmed(confirmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE, str(confirmed))
    page = AppTest.from_file(PAGE, default_timeout=120).run().switch_page("pages_/variant.py")
    page.query_params["variant"] = INT8.recipe_id[:16]
    text = words(page.run())
    assert "<h3>On examples that nobody chose by</h3>" in text
    assert "Confirmed on held-back examples: they contradict no number" in text
    assert "<td>confirmed</td>" in text
    text = words(page.switch_page("pages_/review.py").run())
    assert "<h3>Unopened data</h3>" in text
    assert "<td>confirmed</td><td>MIT, 2 of 3 not stated</td>" in text  # a line of the shortlist
    assert "As far as this store knows, they were fresh." in text or "The base is what others" in text
    monkeypatch.setenv(STORE, str(written(tmp_path / "store")))
    page = AppTest.from_file(PAGE, default_timeout=120).run().switch_page("pages_/variant.py")
    page.query_params["variant"] = INT8.recipe_id[:16]
    text = words(page.run())
    assert "Not confirmed on unopened data." in text
    assert any(each.startswith("paredown confirm ") and each.endswith(" --store STORE") for each in commands(page))
