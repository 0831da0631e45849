"""What `paredown show` prints of declared constraints, differences that matter, places, ties and idle objectives."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.errors import BadInput
from bench.store.journal import Entry
from bench.store.reader import Snapshot, open_snapshot
from cluster import cli
from cluster.show import Printable, print_table
from cluster.shown import shown
from leaderboard.choices import Choice, look
from leaderboard.judging import separates_nothing
from leaderboard.rows import Board, read_board
from leaderboard.table import notes
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, SCOPE, SQL, TASK

INT8, BF16 = f"{BASE}: int8", f"{BASE}: bf16"
LEFT_OUT, OPEN = f"{BASE}: decoder 12 to 6", f"{BASE}: distilled"
CONSTRAINTS = [
    {"metric": "latency_ratio", "scope": SCOPE, "operator": "<=", "bound": 0.65, "text": "latency_ratio <= 65%"},
    {
        "metric": "accuracy_difference",
        "scope": TASK,
        "operator": ">=",
        "bound": -0.02,
        "text": "accuracy_difference >= -2%",
    },
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, declared with constraints, differences that matter, and an objective on which all are the same."""
    body = json.loads(sample.declaration().body)
    matters = {"accuracy": 0.02, "latency_ratio": 0.05}
    objectives = [{**each, "matters": matters[each["metric"]]} for each in body["objectives"]]
    objectives.append({"axis": "layers", "metric": "layers", "scope": "", "title": "layers", "matters": 0.0})
    entry = Entry.statement("sweep", "again", body | {"constraints": CONSTRAINTS, "objectives": objectives})
    made = tmp_path_factory.mktemp("shown") / "store"
    with sample.writing(made) as writer:
        writer.append([entry, *(Entry.of(d) for d in sample.deliveries())])
    return made


@pytest.fixture(scope="module")
def declared(root: Path) -> Iterator[Snapshot]:
    with open_snapshot(root) as found:
        yield found


def column(table: Printable, name: str) -> dict[str, str]:
    at = table.columns.index(name)
    return {row[0]: row[at] for row in table.rows}


def record(table: Printable, name: str) -> dict[str, Any]:
    (found,) = (each for each in table.records["variants"] if each["name"] == name)
    assert isinstance(found, dict)
    return found


def test_a_column_a_constraint_with_its_state_and_number(declared: Snapshot) -> None:
    table = shown(declared, None)
    assert all(len(row) == len(table.columns) for row in table.rows)
    fast, good = column(table, "latency_ratio <= 65%"), column(table, "accuracy_difference >= -2%")
    assert fast[INT8].startswith("met (0.5")
    assert fast[BF16].startswith("not met (0.8")
    assert fast[OPEN] == "open (no number)"
    assert fast[f"{BASE}: base"] == "not met (1.000×)"
    assert good[f"{BASE}: base"] == "met (+0.0 pts)"
    assert good[SQL].startswith("not met (−7.9")
    assert any("met if the whole 95% interval" in note for note in table.notes)
    found = {each["text"]: each for each in record(table, INT8)["constraints"]}
    assert {text: each["state"] for text, each in found.items()} == {c["text"]: "met" for c in CONSTRAINTS}
    assert found["latency_ratio <= 65%"]["high"] <= 0.65


def test_the_page_reads_the_same_states(declared: Snapshot) -> None:
    board = read_board(declared)
    row = {row.name: row for row in board.rows}
    assert "does not meet: latency_ratio <= 65%" in notes(row[BF16], board)
    assert "open: latency_ratio <= 65%" in notes(row[OPEN], board)
    assert not any("meet" in note for note in notes(row[INT8], board))
    narrowed = look(board, Choice(text="int8"), board.objectives, {})
    assert [len(each.kept) for each in narrowed.rows] == [2] * len(narrowed.rows)


def test_differences_that_do_not_matter_make_equals(declared: Snapshot, snapshot: Snapshot) -> None:
    """int8 is within a point of its base for sure, and that says nothing where every difference matters."""
    told = {
        name: {each["metric"]: each["against_base"] for each in record(shown(some, None), INT8)["standings"]}
        for name, some in (("declared", declared), ("plain", snapshot))
    }
    assert told["declared"]["accuracy"]["relation"] == "equivalent"
    assert told["plain"]["accuracy"]["relation"] == "not known yet"
    assert told["declared"]["latency_ratio"]["relation"] == told["plain"]["latency_ratio"]["relation"] == "better"
    assert -0.02 < told["declared"]["accuracy"]["low"] < told["declared"]["accuracy"]["high"] < 0.02
    table = shown(declared, None)
    assert f"Smaller differences do not matter: 2.00 pts on accuracy, {TASK}, 0.050 on" in " ".join(table.notes)
    assert "equivalent" in column(table, f"accuracy, {TASK}")[INT8]
    assert record(table, f"{BASE}: base")["standings"][0]["against_base"] is None


def test_ranks_and_who_is_tied(snapshot: Snapshot) -> None:
    table = shown(snapshot, None)
    places = {
        each["name"]: {p["metric"]: p for p in each["standings"] if p["rank"]} for each in table.records["variants"]
    }
    assert places[SQL]["latency_ratio"]["rank"] == [1, 1]
    assert places[SQL]["latency_ratio"]["tied_with"] == []
    accuracy = {name: found["accuracy"] for name, found in places.items() if found}
    best = accuracy[INT8]
    assert best["rank"][0] == 1
    assert set(best["tied_with"]) >= {f"{BASE}: base", BF16}
    for name, found in accuracy.items():
        letters = set(found["tie"].split(","))
        assert set(found["tied_with"]) == {
            other for other, each in accuracy.items() if other != name and letters & set(each["tie"].split(","))
        }
        assert 1 <= found["rank"][0] <= found["rank"][1] <= len(accuracy)
    assert places[OPEN] == {}
    low, high = best["rank"]
    assert f"\nranks {low} to {high}, group" in column(table, f"accuracy, {TASK}")[INT8]
    # Nobody ties with it, whatever its letter.
    assert "\nrank 1, better" in column(table, f"latency relative to base, {SCOPE}")[SQL]


def test_an_objective_that_separates_nothing_is_a_note_where_declared_and_refused_where_asked(
    declared: Snapshot, snapshot: Snapshot
) -> None:
    sentence = "All 9 variants with a number have the same layers, 24: it separates nothing; choose another objective."
    table = shown(declared, None)
    assert sentence in table.notes
    assert table.records["separates_nothing"] == [sentence]
    assert shown(snapshot, None).records["separates_nothing"] == []
    for some in (declared, snapshot):
        with pytest.raises(BadInput, match=r"All 9 variants .* the same layers, 24: it separates nothing"):
            shown(some, None, objectives="accuracy,layers")


def test_an_objective_without_numbers(board: Board) -> None:
    """Such as energy where nothing can tell it."""
    key = "energy_ratio", SCOPE
    axis = replace(board.axes["latency_ratio", SCOPE], metric="energy_ratio", title=f"energy relative to base, {SCOPE}")
    empty = replace(board, axes={**board.axes, key: axis})
    sentence = separates_nothing(empty, key)
    assert sentence is not None
    assert sentence.startswith(f"No variant has a number for {axis.title}: run the sweep on, ask `paredown why VARIANT")
    assert separates_nothing(board, ("latency_ratio", SCOPE)) is None


def test_what_was_left_out_is_said(snapshot: Snapshot) -> None:
    table = shown(snapshot, None, where=["size <= 1GB", "accuracy at least 80%"])
    assert "Frontier recomputed among 5 shown of 10 variants, and the base." in table.notes
    assert table.records["among"] == {"shown": 5, "of": 10}
    assert column(table, "accuracy at least 80%")[INT8].startswith("met (82.5")
    assert column(table, "accuracy at least 80%")[SQL].startswith("open (75.9")
    assert LEFT_OUT not in column(table, "verdict")
    assert shown(snapshot, None).records["among"] is None


def test_against_one_of_them(snapshot: Snapshot) -> None:
    table = shown(snapshot, None, against="int8")
    assert table.title.endswith(f"against {INT8}")
    assert all(len(row) == len(table.columns) for row in table.rows)
    quality = column(table, f"accuracy, {TASK}")
    assert quality[SQL].startswith("worse\n−6.40 pts (−")
    assert quality[OPEN] == "not known yet"
    assert column(table, f"flips, accuracy, {TASK}")[SQL].startswith("+27 −123 (p = ")
    assert INT8 not in quality
    found = record(table, SQL)
    assert [each["relation"] for each in found["comparisons"]] == ["worse", "better"]
    assert found["tests"][0]["gained"] - found["tests"][0]["lost"] == 27 - 123
    assert record(table, OPEN)["comparisons"][0]["low"] is None  # and not an infinity, which JSON has not
    other = shown(snapshot, None, objectives="accuracy,size", against="int8")
    assert column(other, "size on disk")[SQL] == "better\n−180.0 MB"


def test_every_form_prints_what_has_several_lines(declared: Snapshot, board: Board) -> None:
    table = shown(declared, None)
    for form, between in (("csv", "; rank"), ("md", "; rank"), ("table", "rank")):
        text = io.StringIO()
        print_table(table, form, Console(file=text, width=240))
        assert between in text.getvalue()
        if form != "table":
            assert len(text.getvalue().splitlines()) <= len(board.rows) + 3 + len(table.notes)
    text = io.StringIO()
    print_table(table, "json", Console(file=text))
    assert json.loads(text.getvalue()) == table.records


def test_the_command(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["paredown", "show", "--store", str(root), *arguments])
        try:
            cli.main()
        except SystemExit as ended:
            told = capsys.readouterr()
            return ended.code, told.out, told.err
        raise AssertionError("the command ends itself")

    code, out, _ = call("--where", "size <= 1GB", "--where", "accuracy at least 80%, layers < 25", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["among"]["shown"] == 5
    assert len(found["variants"][0]["constraints"]) == len(CONSTRAINTS) + 3
    code, out, _ = call("--where", "size <= 1GB", "--against", "int8", "--json")
    assert (code, json.loads(out)["against"]["name"]) == (0, INT8)
    for wrong, sentence in (
        (("--where", "size >= 2GB,size <= 1GB"), "meet both"),
        (("--against", "in8"), "no variant called 'in8'"),
        (("--objectives", "layers"), "it separates nothing"),
    ):
        code, out, err = call(*wrong)
        assert (code, out) == (2, "")
        assert sentence in err
        assert "Traceback" not in err
