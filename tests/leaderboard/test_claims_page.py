"""The pages of claims and sweeps, run without a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.identity import digest
from bench.store.journal import Entry
from leaderboard import PAGE, markup
from leaderboard.pages_.claims import chosen, summary
from leaderboard.source import STORE
from tests.leaderboard import sample
from tests.leaderboard.commands import commands
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import BASE, REASON, TASK, VARIANTS

KEYS = ("model", "id", "text", "published", "source", "settings", "verdict", "found", "reason")
CLAIMS = (
    ("one/<b>model</b>", "size", "size on disk", "1 GB", "model card", "", "reproduced", "1.00 GB", ""),
    ("one/<b>model</b>", "speed", "twice as fast", "2.0 x", "paper", "batch 1", "not reproduced", "1.2 x", "it is <i>"),
    ("another", "rouge", "ROUGE-1", "42.9 points", "hub", "", "needs weights", "", "no weights here"),
)


@contextmanager
def claimed(root: Path) -> Iterator[Path]:
    sample.make_store(root, VARIANTS[:3])
    with sample.writing(root) as writer:
        rows = [dict(zip(KEYS, claim, strict=True)) for claim in CLAIMS]
        body = {"declared": "2026-11-20T10:00:00.000+00:00", "rows": rows}
        writer.append([Entry.statement("claims", "claims 1", body)])
    yield root


def on(name: str, **query: str) -> AppTest:
    page = AppTest.from_file(PAGE, default_timeout=120).run().switch_page(f"pages_/{name}.py")
    for key, value in query.items():
        page.query_params[key] = value
    return page.run()


def test_claims_stand_by_model_with_what_failed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with claimed(tmp_path / "s") as root:
        monkeypatch.setenv(STORE, str(root))
        text = words(on("claims"))
    assert "3 claims: 1 reproduced, 1 not reproduced, 1 needs weights." in text
    assert "one/&lt;b&gt;model&lt;/b&gt; (2)" in text
    assert "it is &lt;i&gt;" in text
    assert text.index("twice as fast") < text.index("size on disk")


def test_claims_are_filtered_by_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with claimed(tmp_path / "s") as root:
        monkeypatch.setenv(STORE, str(root))
        page = on("claims", judged="needs weights")
        assert "1 of 3 claims: 1 needs weights." in words(page)
        page.multiselect(key="model").set_value(["one/<b>model</b>"]).run()
        assert "None of 3 claims matches: clear a filter." in words(page)


def test_a_store_without_claims_names_the_command(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE, str(store))
    page = on("claims")
    assert "No claim has been judged in this store yet" in words(page)
    assert commands(page)[0].startswith("paredown claims")


def test_what_stands_for_a_folder_in_a_command_is_explained() -> None:
    assert "… stands for a folder" in markup.command("paredown run …/sick.yaml")
    assert "stands for" not in markup.command("paredown run demo")


def test_filters_keep_what_is_named() -> None:
    rows = [dict(zip(KEYS, claim, strict=True)) for claim in CLAIMS]
    assert chosen(rows, (), ()) == rows
    assert [r["id"] for r in chosen(rows, ("another",), ())] == ["rouge"]
    assert chosen(rows, ("another",), ("reproduced",)) == []
    assert summary(rows[:1], rows) == "1 of 3 claims: 1 reproduced."


def test_a_sweep_shows_progress_causes_commands_and_its_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = sample.make_store(tmp_path / "s")
    stopped, better = VARIANTS[6], VARIANTS[1]
    stop = {
        "sweep_id": digest({"sweep": sample.SWEEP}),
        "artefact_id": stopped.artefact_id,
        "by": better.artefact_id,
        "raced": "examples",
        "look": 2,
        "looks": 4,
        "examples": {TASK: 512},
        "level": 0.0021,
        "objectives": [["accuracy", TASK]],
        "reason": "another is better",
    }
    with sample.writing(root) as writer:
        writer.append([Entry.statement("stop", "stop 1", stop)])
        writer.report(sample.PROGRESS)
    monkeypatch.setenv(STORE, str(root))
    page = on("sweeps")
    text = words(page)
    assert "31 done, 2 running, 1 failed, 6 to come; about 3:35 left" in text
    assert REASON.replace("<", "&lt;").replace(">", "&gt;") in text
    assert f"<td>{stopped.name}</td><td>{better.name}</td><td>examples</td>" in text
    assert "2 of 4" in text
    assert f"{TASK}: 512" in text
    retry, run = "paredown retry --where 'bad spec'", "paredown run SWEEP.yaml"
    assert commands(page)[0] == f"{retry} --store STORE\n{run} --store STORE"
    assert "STORE stands for the folder or bucket of this store." in text
    usual = tmp_path / "results" / "store"
    shutil.copytree(root, usual)
    monkeypatch.setenv(STORE, str(usual))
    page = on("sweeps")
    assert commands(page)[0] == f"{retry}\n{run}"
    assert "STORE stands for" not in words(page)
    assert f"{BASE}: decoder 12 to 0" in text


def test_a_sweep_that_has_run_nothing_yet_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sample.writing(tmp_path / "s") as writer:
        writer.append([sample.declaration()])
    monkeypatch.setenv(STORE, str(tmp_path / "s"))
    text = words(on("sweeps"))
    assert "No job of this sweep has ended yet" in text
    assert "Nothing failed." in text
    assert "no finished lease yet" in text
