"""`paredown why` and `paredown verify` from the command line: forms, exit codes, one sentence for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import cli
from tests.bench.store import defended
from tests.bench.store.defended import MEASURED, VARIANTS
from tests.leaderboard.sample import EXAMPLES, SCOPE, TASK

MINE = MEASURED[2]
Told = tuple[object, str, str]  # exit code, standard output, standard error
Call = Callable[..., Told]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return defended.make_store(tmp_path_factory.mktemp("provenance") / "store")


@pytest.fixture
def paredown(store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command on the good store, unless another is named."""

    def call(*arguments: object) -> Told:
        where = () if "--store" in arguments else ("--store", store)
        monkeypatch.setattr(sys, "argv", ["paredown", *map(str, (*arguments, *where))])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return call


def test_why_in_every_form(paredown: Call) -> None:
    code, out, err = paredown("why", MINE.name, "latency_ratio", "--json")
    assert (code, err.strip()) == (0, "")
    told = json.loads(out)
    assert told["variant"] == MINE.name
    assert told["scope"] == SCOPE
    assert told["number"]["low"] < told["number"]["estimate"] < told["number"]["high"]
    assert told["artefact_id"] == MINE.artefact_id
    assert [len(sheet["rows"]) for sheet in told["raw"]] == [2, 2]
    assert told["records"]["rows"][0][1] == defended.latency(MEASURED, 0).record.key, "in full"
    for form in ("table", "md"):
        code, out, _ = paredown("why", MINE.name, "latency_ratio", "--format", form)
        assert code == 0
        for words in (f"{told['number']['estimate']!r}", "over 2 leases", "load_1min", MINE.artefact_id, "seeds=[3]"):
            assert words in out
        assert told["records"]["rows"][0][1] not in out, "by its beginning"
        assert told["records"]["rows"][0][1][:10] in out
    assert out.count("## ") > 6


def test_why_with_all_of_the_raw_material(paredown: Call) -> None:
    code, out, _ = paredown("why", MINE.name, "accuracy", "--raw")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, len(rows)) == (0, EXAMPLES)
    assert rows[7]["label"] in ("contradiction", "entailment", "neutral")
    code, out, _ = paredown("why", MINE.name, "accuracy", "--raw", "--json")
    assert [row["label"] for row in json.loads(out)] == [row["label"] for row in rows]


def test_why_there_is_none(paredown: Call) -> None:
    code, out, _ = paredown("why", VARIANTS[3].name, "accuracy", "--raw")
    assert code == 1
    assert defended.REASON in out
    code, out, _ = paredown("why", VARIANTS[4].name, "accuracy", "--json")
    assert (code, json.loads(out)["number"]) == (1, None)


WRONG = {
    "variant": (("why", "int9", "accuracy"), ("'int9'", "Did you mean", "'bart-large: int8'")),
    "several": (("why", "bart", "accuracy"), ("'bart' may mean", "recipe_id")),
    "metric": (("why", "base", "acuracy"), ("'acuracy'", "'accuracy'", "paredown ls metrics")),
    "scope": (("why", "base", "accuracy", "--scope", "x"), ("'x'", TASK)),
    "sweep": (("why", "base", "accuracy", "--sweep", "defnded"), ("'defnded'", "'defended'")),
    "csv": (("why", "base", "accuracy", "--format", "csv"), ("--raw",)),
    "no store": (("why", "base", "accuracy", "--store", "nowhere"), ("nowhere", "not a paredown store")),
    "no such sweep": (("verify", "--sweep", "defnded"), ("'defnded'", "'defended'")),
    "nothing to verify": (("verify", "--store", "nowhere"), ("nowhere", "not a paredown store")),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_one_sentence(case: str, paredown: Call) -> None:
    arguments, parts = WRONG[case]
    code, out, err = paredown(*arguments)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def test_verify_says_that_nothing_differs(paredown: Call) -> None:
    code, out, _ = paredown("verify")
    assert code == 0
    assert "Nothing differs." in out
    code, out, _ = paredown("verify", "--sweep", "defended", "--json")
    told = json.loads(out)
    assert (code, told["differ"], told["differences"], told["same_code"]) == (0, 0, [], True)
    assert [check["check"] for check in told["checks"] if not check["compared"]] == ["races"]  # nobody was stopped


def test_verify_names_what_differs(paredown: Call, store: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(store, tmp_path / "store"))
    (other / "artefacts" / MINE.artefact_id / "config.json").write_text("{}", encoding="utf-8")
    code, out, _ = paredown("verify", "--store", other, "--json")
    (difference,) = json.loads(out)["differences"]
    assert (code, difference["check"], MINE.name in difference["subject"]) == (1, "artefacts", True)
    assert difference["fields"][0]["stored"] == MINE.artefact_id
    code, out, _ = paredown("verify", "--store", other, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert (code, row["check"], row["stored"]) == (1, "artefacts", MINE.artefact_id)
    code, out, _ = paredown("verify", "--store", other, "--format", "md")
    assert (code, "1 thing differs." in out) == (1, True)
