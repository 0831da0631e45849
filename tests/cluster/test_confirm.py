"""Confirming on real models: opened once and on record, resumed where it was ended, and nothing chosen by it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from bench.errors import BadInput
from bench.store.folder import open_folder, take_lease
from bench.store.journal import Entry, Journal, parts, read_entries
from bench.store.openings import openings_in
from bench.store.reader import open_snapshot
from bench.store.verify import verify
from bench.sweep import load_sweep
from cluster import cli
from cluster.confirm import Confirmation, ask
from cluster.known import known_without_writing
from cluster.session import Options, run_confirmation, run_sweep
from leaderboard.rows import find_sweep
from tests import tiny
from tests.cluster.here import Here
from tests.leaderboard import sample

OFF: dict[str, Any] = {
    "recipes": [["int8_dynamic"], [{"cast": {"dtype": "bfloat16"}}], [{"layer_copy": {"decoder": 1}}]],
    "objectives": ["quality", "size"],
    "latency": {"leases": 0, "length": [16]},
    "memory": {"repeats": 0},
}
COPY, INT8 = "tiny: decoder 4 to 1", "tiny: int8"
Told = tuple[object, str, str]  # exit code, standard output, standard error
Call = Callable[..., Told]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a sweep of 120 test examples, of which 40 were held back."""
    folder = tmp_path_factory.mktemp("confirm")
    sweep = load_sweep(str(tiny.sweep_file(folder, holdout=1 / 3, **OFF)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cluster.session.LocalPool", Here)
        records = list(run_sweep(sweep, Options(folder / "store", "local"), lambda *_: {}, lambda *_: None))
    assert all(record.finished for record in records)
    return folder / "store"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.session.LocalPool", Here)


@pytest.fixture
def store(ran: Path, tmp_path: Path) -> Path:
    """A copy that may be opened."""
    return Path(shutil.copytree(ran, tmp_path / "store"))


@pytest.fixture
def paredown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    def call(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["paredown", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return call


def asked(store: Path, *variants: str, level: float = 0.95) -> Confirmation:
    with open_snapshot(store) as snapshot:
        return ask(snapshot, find_sweep(snapshot), variants, level)


def shown(store: Path) -> list[list[dict[str, Any]]]:
    """Everything of the board that choosing rests on."""
    with open_snapshot(store) as snapshot:
        tables = ("variants", "numbers", "verdicts", "draws")
        return [snapshot.rows(f"select * from {table} order by all") for table in tables]


def kinds(store: Path) -> list[str]:
    """What the journal's entries are, in order; evaluations by the part of the task."""
    found = []
    for part in parts(store / "journal"):
        for entry, _, body in read_entries(part):
            task = json.loads(body).get("job", {}).get("task") if entry == "record" else None
            found.append(task["part"] if task else entry)
    return found


def examples(store: Path) -> dict[str, set[int]]:
    """Rows of the test data that outcomes are of, by the part of the task."""
    found: dict[str, set[int]] = {}
    for part in parts(store / "journal"):
        for row in pq.read_table(part, columns=["body", "examples"]).to_pylist():
            if row["examples"] is not None:
                name = json.loads(row["body"])["job"]["task"]["part"]
                found.setdefault(name, set()).update(e["index"] for e in row["examples"])
    return found


def test_a_shortlist_is_confirmed_once_and_shown_ever_after(ran: Path, store: Path, paredown: Call) -> None:
    assert set(examples(ran)) == {"choosing"}
    before = shown(store)
    command = ("confirm", "tiny", "decoder 4 to 1", "--store", store, "--runner", "local", "--workers", 1, "--json")
    code, out, err = paredown(*command)
    assert code == 0
    assert "Warning" not in err
    told = json.loads(out)
    assert [(v["name"], v["is_base"], v["missing"]) for v in told["variants"]] == [
        ("tiny: base", True, None),
        (COPY, False, None),
    ]
    assert (told["opened"], told["level"], told["chosen_on"]) == (1, 0.95, [])
    assert [(t["name"], t["held"], t["examples"]) for t in told["tasks"]] == [("pairs", 40, 120)]
    numbers = {n["metric"]: n for n in told["variants"][1]["numbers"]}
    assert set(numbers) == {"accuracy", "accuracy_difference", "recovery"}
    assert all(n["n"] == 40 and n["low"] <= n["estimate"] <= n["high"] for n in numbers.values())

    found = examples(store)
    assert (len(found["choosing"]), len(found["held back"])) == (80, 40)
    assert not found["choosing"] & found["held back"]
    order = kinds(store)
    assert order.count("opened") == 1
    assert order.index("opened") < order.index("held back")
    assert shown(store) == before, "nothing that choosing rests on has changed"
    with open_snapshot(store) as snapshot:
        assert verify(snapshot, snapshot.sweeps()).differences == ()

    code, again, err = paredown(*command)
    assert (code, json.loads(again), err) == (0, told, "")
    assert kinds(store) == order, "the same confirmation is only shown"
    code, out, _ = paredown("show", "--confirmed", "--store", store, "--json")
    assert json.loads(out) == told
    for form in ("table", "md", "csv"):
        code, out, _ = paredown("show", "--confirmed", "--store", store, "--format", form)
        assert (code in (0, None), "confirmed within" in out or "ver" in out) == (True, True)
        assert ("Opened once" in " ".join(out.split())) == (form != "csv")


@pytest.mark.usefixtures("here")
def test_a_second_opening_is_warned_of_and_recorded(store: Path, paredown: Call) -> None:
    list(run_confirmation(asked(store, COPY), Options(store, "local"), lambda *_: {}, lambda *_: None))
    command = ("confirm", "tiny", INT8, "--store", store, "--runner", "local", "--workers", 1)
    code, out, err = paredown(*command)
    assert code == 0
    (warning,) = [line for line in err.splitlines() if line.startswith("Warning: ")]
    assert "no longer fresh: they were opened once before" in warning
    assert f"for {COPY} (sweep tiny)" in warning
    words = " ".join(out.split())
    assert "Opened 2 times: " in words
    assert "Not fresh when opened: it was opening 2." in words
    assert [[v.name for v in o.shortlist] for o in openings_in(store / "journal")] == [[COPY], [INT8]]
    third = asked(store, COPY, INT8)
    (warning,) = third.warnings()
    assert f"opened 2 times before, last on {openings_in(store / 'journal')[1].at[:10]}" in warning
    assert list(asked(store, INT8).warnings()) == [], "the same again is no opening"
    (warning,) = asked(store, INT8, level=0.9).warnings()
    assert "opened 2 times" in warning, "a level chosen afterwards is"


@pytest.mark.usefixtures("here")
def test_one_that_was_ended_goes_on(store: Path, paredown: Call) -> None:
    first = asked(store)
    assert [v.name for v in first.opening.shortlist] != []
    records = run_confirmation(first, Options(store, "local"), lambda *_: {}, lambda *_: None)
    (done,) = islice(records, 1)
    records.close()  # type: ignore[attr-defined]
    assert kinds(store).count("opened") == 1
    second = asked(store)
    assert second.stated
    statuses = [p.status for p in second(known_without_writing(store), frozenset()).jobs]
    assert statuses.count("done") >= 1
    assert "ready" in statuses
    code, out, err = paredown("confirm", "--store", store, "--runner", "local", "--workers", 1, "--json")
    told = json.loads(out)
    assert (code, told["opened"], told["at"]) == (0, 1, first.opening.at)
    assert "Warning" not in err
    assert all(v["missing"] is None for v in told["variants"])
    assert kinds(store).count("held back") == len(first.jobs)
    assert done.key in {job.key for job in second.jobs}


@pytest.mark.usefixtures("here")
def test_an_opening_counts_though_its_driver_was_killed_before_it_published(store: Path, paredown: Call) -> None:
    """Else the second one would be taken for the first."""
    first = asked(store, COPY)
    lease = take_lease(open_folder(store))
    Journal(lease).append([first.opening.entry])
    lease.release()
    with open_snapshot(store) as snapshot:
        assert snapshot.rows("select * from openings") == []
    assert asked(store, COPY).stated
    code, out, err = paredown("confirm", "tiny", INT8, "--store", store, "--runner", "local", "--json")
    assert (code, json.loads(out)["opened"]) == (0, 2)
    assert f"opened once before, last on {first.opening.at[:10]}" in err
    code, out, err = paredown("confirm", "tiny", COPY, "--store", store, "--runner", "local", "--json")
    assert (code, json.loads(out)["opened"], json.loads(out)["at"]) == (0, 2, first.opening.at)
    assert "Warning" not in err


def test_the_shortlist_is_what_no_other_dominates(ran: Path) -> None:
    with open_snapshot(ran) as snapshot:
        rows = snapshot.rows("select name, verdict from variants join verdicts using (recipe_id) where not is_base")
    named = {row["name"] for row in rows if row["verdict"] in ("certain", "contested")}
    found = asked(ran)
    assert {v.name for v in found.opening.shortlist} == named
    assert [v.name for v in found.opening.variants if v.is_base] == ["tiny: base"]
    assert {job.task.part for job in found.jobs} == {"held back"}
    assert (found.device, found.runner, found.limits.attempts, found.stated, found.before) == (
        "cpu",
        "auto",
        3,
        False,
        (),
    )


def test_an_artefact_is_asked_as_it_was_when_it_was_chosen(store: Path) -> None:
    """In the batches that memory held, for predictions may depend on them."""
    like = {job.artefact_id: job for job in asked(store, INT8, COPY).jobs}
    with open_snapshot(store) as snapshot:
        (row,) = snapshot.rows(
            "select job, key from records join variants using (artefact_id) where kind = 'evaluate' and name = ?",
            [INT8],
        )
    chosen = json.loads(row["job"])
    mine = like[chosen["artefact_id"]]
    assert mine.task.settings == chosen["task"]["settings"]
    assert (mine.device, mine.versions, mine.judge) == (chosen["device"], chosen["versions"], chosen["judge"])
    assert (mine.task.part, mine.task.held, chosen["task"]["part"]) == ("held back", 40, "choosing")
    assert mine.key != row["key"]


def test_sweeps_that_chose_by_what_is_held_back_are_named(store: Path) -> None:
    (entry,) = [json.loads(b) for p in parts(store / "journal") for e, _, b in read_entries(p) if e == "sweep"]
    whole = {
        "name": "whole",
        "sweep_id": "w" * 64,
        "tasks": [{k: v for k, v in entry["tasks"][0].items() if k != "held_back"}],
    }
    less = {
        "name": "less",
        "sweep_id": "l" * 64,
        "tasks": [{**entry["tasks"][0], "held_back": {**entry["tasks"][0]["held_back"], "examples": 39}}],
    }
    more = {
        "name": "more",
        "sweep_id": "m" * 64,
        "tasks": [{**entry["tasks"][0], "held_back": {**entry["tasks"][0]["held_back"], "examples": 41}}],
    }
    other = {"name": "other", "sweep_id": "o" * 64, "tasks": [{**entry["tasks"][0], "data_id": "x"}]}
    with sample.writing(store) as writer:
        for body in (whole, less, more, other):
            body = {**entry, **body, "declared": f"2026-01-01T00:00:00.000+00:00 {body['name']}"}
            writer.append([Entry.statement("sweep", f"sweep {body['sweep_id']}", body)])
    with open_snapshot(store) as snapshot:
        found = ask(snapshot, find_sweep(snapshot, "tiny"), [INT8], 0.95)
    assert sorted(found.opening.chosen_on) == ["less", "whole"]
    (warning,) = found.warnings()
    assert "not fresh: " in warning
    assert "whole" in warning


def refused(told: Told, *words: str) -> None:
    code, out, err = told
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1, "one sentence on one line"
    for word in words:
        assert word in err


def test_wrong_requests_are_one_sentence_and_open_nothing(
    ran: Path, tmp_path: Path, paredown: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for level in ("0", "1", "2", "-0.5", "nan", "0.9999999999999999"):
        refused(paredown("confirm", "--store", ran, "--level", level), "--level is", "above 0 and is at most 0.9999")
    refused(paredown("confirm", "tiny", "decoder 4 to 9", "--store", ran), "'decoder 4 to 9'", "decoder 4 to 1")
    refused(paredown("confirm", "tiny", "base", "--store", ran), "'base' is the base")
    refused(paredown("confirm", "tny", "--store", ran), "'tny'", "'tiny'")
    refused(paredown("show", "--confirmed", "--store", ran), "'tiny' was not confirmed yet", "paredown confirm tiny")
    refused(paredown("confirm", "--store", tmp_path / "nowhere"), "not a paredown store")
    open_folder(tmp_path / "empty", create=True)
    refused(paredown("confirm", "--store", tmp_path / "empty"), "nothing to show yet", "paredown run")
    whole = sample.make_store(tmp_path / "whole")
    refused(paredown("confirm", "--store", whole), f"{sample.SWEEP!r} held nothing back", "holdout=0.33")
    monkeypatch.setattr("cluster.confirm.library_versions", lambda: {"torch": "1.0", "transformers": "4.0"})
    refused(paredown("confirm", "--store", ran), "here is torch 1.0", "run the sweep again")
    assert openings_in(ran / "journal") == []


def test_a_sweep_without_a_frontier_has_no_shortlist(store: Path) -> None:
    (entry,) = [json.loads(b) for p in parts(store / "journal") for e, _, b in read_entries(p) if e == "sweep"]
    later = {**entry, "name": "later", "sweep_id": "z" * 64, "declared": "2099-01-01", "versions": entry["versions"]}
    later["tasks"] = [{**entry["tasks"][0], "fingerprint": "f" * 64, "smaller_batches": []}]
    with sample.writing(store) as writer:
        writer.append([Entry.statement("sweep", f"sweep {later['sweep_id']}", later)])
    with pytest.raises(BadInput, match=r"'later' has no variant beside the base on its frontier.*name the variants"):
        asked(store)
    with pytest.raises(BadInput, match=r"'tiny: (int8|base)' has not been evaluated on 'pairs' yet.*run the sweep on"):
        asked(store, INT8)
