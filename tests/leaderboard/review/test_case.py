"""A review read from a store: its data's hash, its licences, and what newer results do to a decision."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.store.folder import open_folder
from bench.store.reader import open_snapshot
from bench.store.reviews import Decision, History, Person, append, open_review, read_review
from bench.store.upkeep import rebuild
from leaderboard import index
from leaderboard.licences import licence_rows
from leaderboard.markdown import Table, as_markdown
from leaderboard.review.case import (
    Case,
    constraints_that_are,
    elsewhere_of,
    figures,
    for_review,
    on_held_back,
    read_case,
    reasons_to_reopen,
    weighable,
)
from leaderboard.review.document import as_html, document
from leaderboard.review.elsewhere import Elsewhere
from leaderboard.review.reopening import reopened_by
from leaderboard.review.words import history_rows, state_sentence
from leaderboard.rows import Board, Cell
from tests.leaderboard import newer, sample
from tests.leaderboard.sample import BASE, HTML, SQL, TASK

ANNA = Person(subject="anna", name="<script>alert(1)</script>", issuer="this machine", how="local")
LIMIT = "size <= 600 MB"


def case_of(store: Path, *constraints: str) -> Case:
    with open_snapshot(store) as snapshot:
        return read_case(snapshot, None, constraints=constraints)


def approved(store: Path, name: str, *constraints: str) -> History:
    """A review of the sample in which a variant was approved."""
    case = case_of(store, *constraints)
    folder = open_folder(store)
    asked = case.found.question
    begun = open_review(
        folder,
        ANNA,
        case.seen,
        title="A **phone** \u202egnp.exe",
        sweep_id=case.board.sweep_id,
        sweep=case.board.name,
        base=asked.base,
        constraints=asked.constraints,
        weights=asked.written(),
    )
    allowed = (*(each.row for each in case.found.candidates), *case.found.open)
    row = next(row for row in allowed if row.name == name)
    return append(
        folder,
        begun.review,
        "approve",
        ANNA,
        case.seen,
        read_to=1,
        recipe_id=row.recipe_id,
        artefact_id=row.artefact_id,
        name=row.name,
        reason="It is small.\n# Not a heading | not a cell",
        figures=figures(row, asked),
        met=constraints_that_are("met", row, case.found.board),
        open=constraints_that_are("open", row, case.found.board),
        confirmed=on_held_back(case, row)[0],
    )


def now(store: Path, history: History) -> tuple[Case, tuple[str, ...]]:
    with open_snapshot(store) as snapshot:
        case = for_review(snapshot, history)
        return case, reasons_to_reopen(case, history, elsewhere_of(snapshot, case, history))


def test_the_hash_is_of_what_the_data_say(tmp_path: Path) -> None:
    """The same after the store was rebuilt, another after a result, another for another sweep's data."""
    store = newer.store_before(tmp_path / "store")
    before = case_of(store).seen
    rebuild(open_folder(store))
    after = case_of(store).seen
    assert after.snapshot != before.snapshot
    assert after.digest == before.digest
    newer.let_it_come(store)
    assert case_of(store).seen.digest != before.digest


def test_newer_results_that_dominate_flag_a_decision(tmp_path: Path) -> None:
    store = newer.store_before(tmp_path / "store")
    history = approved(store, f"{BASE}: int8", LIMIT)
    assert history.state == "approved"
    assert now(store, history)[1] == ()
    newer.let_it_come(store)
    case, reasons = now(store, history)
    assert reasons == (f"Newer results dominate it: {BASE}: better is better on every objective beyond the interval.",)
    assert "Flagged for reopening" in state_sentence(history, reasons)
    assert case.found.choice is not None
    assert case.found.choice.row.name == f"{BASE}: better"
    assert read_review(open_folder(store), history.review) == history  # nothing was written
    assert now(store, replace(history, events=history.events[:1]))[1] == ()  # nothing decided, nothing to reopen


def test_who_was_approved_though_open_says_so_and_is_flagged_once_dominated(tmp_path: Path) -> None:
    limit = "accuracy >= 84%"
    store = newer.store_before(tmp_path / "store")
    history = approved(store, f"{BASE}: int8", limit)
    assert now(store, history)[1] == ()
    assert state_sentence(history, ()).endswith(f", by {ANNA.name}; not known to keep {limit}.")
    newer.let_it_come(store)
    reason = f"dominates it: {BASE}: better is better on every objective beyond the interval."
    assert now(store, history)[1] == (f"One that is known to keep all constraints {reason}",)
    with open_snapshot(store) as snapshot, pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "LARGE", 1)
        made = index.open_index(snapshot)
    assert made is not None
    with made.snapshot() as indexed:
        case = for_review(indexed, history)
        elsewhere = elsewhere_of(indexed, case, history)
    assert reasons_to_reopen(case, history, elsewhere) == (f"One that is known to keep all constraints {reason}",)


def test_who_was_open_and_is_known_not_to_keep_it_is_flagged(store: Path) -> None:
    case = case_of(store, LIMIT)
    out = next(row for row in case.board.rows if row.name == f"{BASE}: bf16")
    broken = replace(out, kept=(replace(case.found.board.rows[1].kept[0], state="not met"),))
    found = replace(case.found, board=replace(case.found.board, rows=(broken,)))
    decision = Decision.model_construct(
        recipe_id=out.recipe_id, artefact_id=out.artefact_id, name=out.name, figures=(), met=(), open=(LIMIT,)
    )
    assert reopened_by(found, decision, {}, Elsewhere()) == (
        f"It was open whether it keeps {LIMIT!r}; now it is known not to.",
    )


def _decision(history: History) -> Decision:
    found = history.choice
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.model_copy(update={"artefact_id": "e" * 64}), "gives other bytes"),
        (
            lambda d: d.model_copy(
                update={
                    "figures": tuple(f.model_copy(update={"low": f.low + 1, "high": f.high + 1}) for f in d.figures)
                }
            ),
            r"Its accuracy, entailment is 8\d\.\d% now; when it was approved it was",
        ),
        (lambda d: d.model_copy(update={"recipe_id": "d" * 64}), "no longer in the sweep"),
        (
            lambda d: d.model_copy(
                update={"figures": (d.figures[0].model_copy(update={"metric": "gone", "scope": ""}),)}
            ),
            "Its number for gone is gone",
        ),
    ],
)
def test_other_changes_flag_it_too(store: Path, change: Callable[[Decision], Decision], sentence: str) -> None:
    case = case_of(store, LIMIT)
    row = next(each.row for each in case.found.candidates if each.row.name == f"{BASE}: int8")
    decision = Decision(
        review="0" * 16,
        number=2,
        at="2026-11-20T10:00:00+00:00",
        person=ANNA,
        seen=case.seen,
        read_to=1,
        previous="0" * 64,
        program="paredown",
        kind="approve",
        recipe_id=row.recipe_id,
        artefact_id=row.artefact_id,
        name=row.name,
        reason="small",
        figures=figures(row, case.found.question),
        met=(LIMIT,),
        confirmed="no",
    )
    assert reopened_by(case.found, decision, {}, Elsewhere()) == ()
    assert re.search(sentence, " ".join(reopened_by(case.found, change(decision), {}, Elsewhere())))


def test_a_constraint_that_is_open_now_flags_it(store: Path) -> None:
    case = case_of(store, "accuracy >= 84%")
    row = next(row for row in case.found.open if row.name == f"{BASE}: int8")
    decision = Decision.model_construct(
        recipe_id=row.recipe_id, artefact_id=row.artefact_id, name=row.name, figures=(), met=("accuracy >= 84%",)
    )
    assert reopened_by(case.found, decision, {}, Elsewhere()) == (
        "It was known to keep 'accuracy >= 84%'; that is open now.",
    )


def test_what_can_be_weighed_is_offered(board: Board) -> None:
    found = weighable(board)
    assert found[: len(board.objectives)] == list(board.objectives)
    assert ("size", "") in found
    assert ("host_peak", "batch 1 x 128 tokens") in found
    assert not [key for key in found if key[0].endswith("_difference") or key[0] == "agreement"]


def test_licences_are_shown_as_they_were_stated(store: Path) -> None:
    case = case_of(store)
    rows = licence_rows(case.body, case.board.rows[0].recipe_id)
    assert rows[0] == ("base model", "zoo://sample", "MIT", "sweep file")
    assert rows[1][2].startswith("not recorded: an older paredown declared this sweep")
    assert rows[-1] == ("task data", TASK, "not stated", "")
    stated = [{"part": "base model", "name": "b", "licence": None, "said_by": None}]
    stated.append({"part": "teacher", "name": "t", "licence": "CC BY-NC 4.0", "said_by": "model card"})
    tasks = [{"name": "t", "licences": [{"part": "task data", "name": "t", "licence": "MIT", "said_by": "sweep file"}]}]
    body = {"variants": [{"recipe_id": "r", "licences": [1, 0]}], "licences": stated, "tasks": tasks}
    assert licence_rows(body, "r") == [
        ("teacher", "t", "CC BY-NC 4.0", "model card"),
        ("base model", "b", "not stated", ""),
        ("task data", "t", "MIT", "sweep file"),
    ]


def test_of_two_sweeps_with_one_name_the_one_of_the_review_is_confirmed(tmp_path: Path) -> None:
    with sample.writing(tmp_path / "two") as writer:
        writer.append([sample.declaration(), sample.declaration(day=21, hardware_class="another")])
    with open_snapshot(tmp_path / "two") as snapshot:
        older = str(snapshot.sweeps()[1]["sweep_id"])
        case = read_case(snapshot, older)
    case = replace(case, held_back=replace(case.held_back, declared=True))
    row = case.board.rows[1]
    numbers = {("accuracy", TASK): Cell(0.8, 0.7, 0.9, 100, "Wilson", None, None, 1, 1.0)}
    assert on_held_back(case, row)[1] is None  # nothing of it is there to be confirmed yet
    _, command = on_held_back(case, replace(row, artefact_id="a" * 64, cells=numbers))
    assert command == f"paredown confirm {older[:12]} {row.recipe_id[:12]}"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}


def test_documents_are_text_whatever_people_write(tmp_path: Path) -> None:
    store = newer.store_before(tmp_path / "store")
    history = approved(store, f"{BASE}: int8", LIMIT)
    case, reasons = now(store, history)
    parts = document(case, history, reasons)
    html = as_html(parts, "A <b>")
    found = Tags(html)
    assert not found.tags & {"script", "img", "a", "link", "iframe", "form", "b"}
    assert not {name for name in found.names if name.startswith("on")} | (found.names & {"src", "href"})
    assert "default-src 'none'" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "⟨U+202E⟩gnp.exe" in html
    assert "\u202e" not in html
    assert case.seen.digest in html
    assert history.hashes[-1] in html
    heads = [
        (heading, part.meanings()) for part in parts if isinstance(part, Table) for heading in part.head if heading
    ]
    assert heads
    for heading, told in heads:
        assert f'<summary title="{escape(told[heading])}">{escape(heading)}</summary>' in html, heading
    markdown = as_markdown(parts)
    assert markdown.index("## What the columns mean") > markdown.index("## History")
    assert all(told[heading].partition(" ")[0] in markdown for heading, told in heads)
    assert markdown.startswith("# A \\*\\*phone\\*\\* ⟨U+202E⟩gnp.exe\n")
    assert "\\<script\\>" in markdown
    assert "It is small. # Not a heading \\| not a cell" in markdown
    assert "<script>" not in markdown
    assert len(re.findall(r"(?m)^# ", markdown)) == 1
    assert "local, identity not verified" in markdown
    assert all(line.count("|") >= 3 for line in markdown.splitlines() if line.startswith("| "))


def test_an_event_written_past_others_says_so(tmp_path: Path) -> None:
    store = newer.store_before(tmp_path / "store")
    history = approved(store, f"{BASE}: int8", LIMIT)
    later = append(open_folder(store), history.review, "comment", ANNA, case_of(store).seen, read_to=1, text="me too")
    assert history_rows(later)[2][3] == "commented: me too [written before 1 event ahead of it were read]"


def test_hostile_names_survive_everything(store: Path) -> None:
    case = case_of(store)
    assert HTML not in as_html(document(case, None), "x")
    assert SQL.replace(";", "\\;") not in as_markdown(document(case, None))
    assert "drop table variants" in as_markdown(document(case, None))
