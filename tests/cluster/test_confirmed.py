"""What `paredown confirm` prints: findings in words, missing numbers with their reason, how often it was opened."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.record import Delivery, Failed
from bench.store.journal import Entry
from bench.store.openings import Opening
from bench.store.reader import open_snapshot
from cluster.confirmed import _cells, confirmed_table, without_numbers
from cluster.show import Printable, print_table
from tests.bench.store import defended
from tests.bench.store.defended import MEASURED
from tests.leaderboard import sample

INT8, TUNED = MEASURED[1:]


def table(root: Path, opening: Opening | None = None) -> Printable:
    with open_snapshot(root) as snapshot:
        return confirmed_table(snapshot, opening or defended.opening())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return defended.make_store(tmp_path_factory.mktemp("printed") / "store")


def test_one_line_a_number_scores_before_differences(store: Path) -> None:
    found = table(store)
    mine = [(row[0], row[1]) for row in found.rows if row[0] in (MEASURED[0].name, INT8.name)]
    assert mine == [
        (MEASURED[0].name, "accuracy, entailment"),
        (MEASURED[0].name, "macro F1, entailment"),
        (INT8.name, "accuracy, entailment"),
        (INT8.name, "macro F1, entailment"),
        (INT8.name, "accuracy minus base, entailment"),
        (INT8.name, "recovery, entailment"),
    ]
    assert all(row[5].startswith("confirmed within ") for row in found.rows)
    words = " ".join(found.notes)
    assert "95% for all numbers of a kind at once" in words
    assert "over 2 variants and 1 task" in words
    assert "750 of 2,250 of entailment. Opened once: 2026-11-20 10:00 UTC" in words
    assert "Not fresh" not in words


def test_every_form_names_the_same(store: Path) -> None:
    found = table(store)
    for form in ("table", "md", "csv", "json"):
        drawn = io.StringIO()
        print_table(found, form, Console(file=drawn, width=200))
        text = drawn.getvalue()
        if form == "csv":
            assert len(list(csv.reader(io.StringIO(text)))) == 1 + len(found.rows)
        if form == "json":
            assert [len(v["numbers"]) for v in json.loads(text)["variants"]] == [2, 4, 4]
        assert INT8.name in " ".join(text.split())


@pytest.mark.parametrize(
    ("finding", "metric", "optimism", "words"),
    [
        ("confirmed", "accuracy_difference", (-0.01, 0.004, 0.018), ("+0.4 pts (−1.0 to +1.8 pts)", "within 1.8 pts")),
        ("overstated", "accuracy", (0.005, 0.02, 0.035), ("+2.0 pts", "overstated by at least 0.5 pts")),
        ("understated", "recovery", (-0.03, -0.02, -0.01), ("−2.0 pts", "better than it looked, by at least 1.0 pts")),
        ("confirmed", "perplexity_ratio", (-0.01, 0.002, 0.014), ("+0.002× (−0.010× to +0.014×)", "within 0.014×")),
        ("overstated", "rougeLsum_difference", (0.25, 1.0, 1.75), ("+1.0 (", "overstated by at least 0.2")),
        ("open", "accuracy", (0.0, 0.0, 0.0), ("+0.0 pts", "open: no two examples differ")),
    ],
)
def test_findings_in_words(finding: str, metric: str, optimism: tuple[float, ...], words: tuple[str, str]) -> None:
    row: dict[str, Any] = {"metric": metric, "scope": "t", "estimate": 0.9, "low": 0.8, "high": 0.95, "chosen": 0.91}
    row |= dict(zip(("optimism_low", "optimism", "optimism_high"), optimism, strict=True))
    cells = _cells({**row, "finding": finding})
    assert cells[3].startswith(words[0])
    assert words[1] in cells[4]


def test_what_was_not_chosen_by_is_shown_alone() -> None:
    row: dict[str, Any] = {
        "metric": "accuracy",
        "scope": "t",
        "estimate": 0.9,
        "low": 0.8,
        "high": 0.95,
        "chosen": None,
    }
    assert _cells(row) == ("accuracy, t", "90.0% (80.0 to 95.0%)", "–", "–", "not chosen by")


def test_a_missing_number_says_why(tmp_path: Path) -> None:
    failed = defended.held_evaluation(TUNED).record
    outcome = Failed(stage="evaluate", kind="out of memory", reason="needs 9 GB")
    entries = [e for e in defended.entries() if e.identity not in (failed.key, defended.held_job(INT8).key)]
    with sample.writing(tmp_path / "store") as writer:
        record = failed.model_copy(update={"outcome": outcome})
        writer.append([defended.declaration(), *entries, Entry.of(Delivery(record))])
    found = table(tmp_path / "store")
    reasons = {row[0]: row[5] for row in found.rows if row[1] == "–"}
    assert reasons == {INT8.name: "not evaluated yet", TUNED.name: "evaluate: out of memory: needs 9 GB"}
    with open_snapshot(tmp_path / "store") as snapshot:
        missing = without_numbers(snapshot, defended.opening())
    assert [v.name for v in missing] == [INT8.name, TUNED.name]


def test_every_opening_of_the_same_data_is_counted(tmp_path: Path) -> None:
    later = defended.opening(MEASURED[:2], level=0.9, at="2026-11-21T10:00:00").model_copy(
        update={"chosen_on": ("another",)}
    )
    with sample.writing(tmp_path / "store") as writer:
        writer.append([defended.declaration(), *defended.entries(), later.entry])
    first, second = " ".join(table(tmp_path / "store").notes), " ".join(table(tmp_path / "store", later).notes)
    for words in (first, second):
        assert f"Opened 2 times: 2026-11-20 10:00 UTC for {INT8.name}, {TUNED.name} (sweep defended, 95%); " in words
        assert f"2026-11-21 10:00 UTC for {INT8.name} (sweep defended, 90%)" in words
    assert "Not fresh" not in first
    assert "Not fresh when opened: another chose by some" in second
    assert "Not fresh when opened: it was opening 2." in second
