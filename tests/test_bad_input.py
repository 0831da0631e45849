"""Requests that cannot be met, through the command itself: one sentence that names what was given, exit code 2, and
nothing spent. The sentence is on one line and there is no traceback."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from itertools import tee
from pathlib import Path
from typing import Any

import pytest

from bench import zoo
from bench.errors import BadInput
from bench.sweep import load_sweep
from cluster import cli
from tests.bench.store import defended

LONG = "x" * 5000  # longer than a file's name may be

# What is overridden in the shipped demo, and what the sentence says of it.
OVERRIDES = {
    # shapes
    "latency.length=[100000]": "100000 tokens but the model 'bart' has 160 positions",
    "latency.length=[32, 64, 32]": "latency.length names 32 2 times",
    "latency.length=[.nan]": "'latency.length.0' in the sweep demo.yaml is nan",
    "latency.batch=[0]": "'latency.batch.0' in the sweep demo.yaml is 0",
    "latency.batch=[1, 1]": "latency.batch names 1 2 times",
    "latency.batch=[true]": "batch is [True], and a yes or no",
    'latency.batch=["8"]': "'latency.batch.0' in the sweep demo.yaml is '8'",
    "latency.batch=[1000000000000]": "less than or equal to 65536",
    "latency.batch=[]": "at least 1 item",
    # metrics that nothing gives
    "quality=matched.rouge1": "no quality called 'matched.rouge1'",
    'constraints=["rouge1 >= 3"]': "which no task of the sweep gives",
    "objectives=[latency, prefill]": "latency.new_tokens is not set",
    'objectives=[latency, "memory:device"]': "no memory objective on cpu called 'device'",
    'objectives=[latency, "size:1x64"]': "objectives names size:1x64, but there is nothing to choose of size",
    'constraints=["cuda_reserved_peak <= 3 GB"]': "constraints names cuda_reserved_peak, but device is cpu",
    # times
    "limits.seconds=1": "the first look at two models needs at least 5 s",
    "limits.seconds=0": "greater than or equal to 1",
    "limits.seconds=.inf": "finite number",
    "limits.seconds=.nan": "nan",
    "limits.seconds=true": "seconds is True, and a yes or no",
    "limits.memory_gb=.inf": "finite number",
    "limits.attempts=100000000000000000000": "less than or equal to 100",
    "latency.max_rounds=100000000000000000000": "less than or equal to 100000",
    "latency.first_rounds=10000000000": "less than or equal to 100000",
    "latency.burst_ms=1e308": "less than or equal to 60000",
    "latency.burst_ms=.inf": "finite number",
    # thresholds
    "matters.latency=-1": "'matters.latency' in the sweep demo.yaml is -1",
    "matters.latency=.inf": "finite number",
    "latency.half_width=-0.02": "greater than 0",
    "race.alpha=-0.1": "greater than 0",
    "holdout=-0.1": "greater than or equal to 0",
    'constraints=["size <= -5"]': "met by no possible value: size is never below 0",
    'constraints=["latency_ms >= -1"]': "met by every possible value: latency_ms is never below 0",
    # machines
    "device=cuda:7": "device is 'cuda:7', but this machine shows",
    "device=cuda:-1": "device is 'cuda:-1', but a device is cpu, cuda or cuda:N",
    "latency.threads=4000": "latency.threads is 4000, but this process may use",
    # seeds, data and steps
    "seeds=[0, 1, 0]": "seeds names 0 2 times",
    "seeds=[true]": "seeds is [True], and a yes or no",
    "data.matched.offset=1000000000000000000000000000000": "'data.matched.offset'",
    "data.matched.limit=1000000000000000000000000000000": "'data.matched.limit'",
    f"data.matched.source={LONG}": "(5,000 characters) does not exist",
    f"bases.bart.model=./{LONG}": "which is neither a folder here nor a hub id",
    "recipes=[[{finetune: {data: train, learning_rate: .inf}}]]": "'learning_rate' in the step finetune is inf",
    "recipes=[[{finetune: {data: train, epochs: .inf}}]]": "'epochs' in the step finetune is inf",
    "recipes=[[{finetune: {data: train, batch: true}}]]": "batch is True, and a yes or no",
    "recipes=[[{layer_copy: {decoder: 100}}]]": "asks for 100 of 12 layers",
    "tasks.matched.max_length=true": "max_length is True, and a yes or no",
}


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """Every plan of the demo draws its rows from their seeds, which takes two seconds: here they are drawn once."""
    drawn: dict[str, Iterator[dict[str, Any]]] = {}
    draw = zoo.write

    def write(name: str) -> Iterator[dict[str, Any]]:
        drawn[name], rows = tee(drawn.get(name) or draw(name))
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "write", write)
        yield


def answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    """Exit code and what was said of it."""
    monkeypatch.setattr(sys, "argv", ["paredown", *words])
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), capsys.readouterr().err.strip()


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda text: text[:60])
def test_a_sweep_that_cannot_be(
    override: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, said = answer(capsys, monkeypatch, "plan", "demo", override, "--store", str(tmp_path / "store"))
    assert (code, said.count("\n")) == (2, 0), said
    assert said.startswith("Error: ")
    assert OVERRIDES[override] in said
    assert len(said) < 1200
    assert not (tmp_path / "store").exists()


def test_energy_is_no_objective_where_nothing_tells_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row would be without a number, which nobody finds out after an hour of building."""
    monkeypatch.setattr("cluster.session.absence", lambda device: f"nobody counts the joules of {device}")
    for asked, named in (
        ("objectives=[quality, energy]", "objectives names energy"),
        ('constraints=["energy_j <= 3 J"]', "constraints names energy_j <= 3 J"),
    ):
        code, said = answer(capsys, monkeypatch, "plan", "demo", asked)
        assert code == 2
        assert f"{named}, but energy cannot be measured here: nobody counts the joules of cpu" in said
    monkeypatch.setattr("cluster.session.absence", lambda device: "")
    monkeypatch.setattr(sys, "argv", ["paredown", "plan", "demo", "objectives=[quality, energy]", "--json"])
    cli.app(standalone_mode=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return defended.make_store(tmp_path_factory.mktemp("asked") / "store")


ASKED = {
    "no metric": (("why", "int8", ""), "There is no metric called ''"),
    "a number for a metric": (("why", "int8", "nan"), "There is no metric called 'nan'"),
    "a very long metric": (("why", "int8", LONG), "(5,000 characters)"),
    "no variant": (("why", "", "accuracy"), "There is no variant called ''"),
    "a very long variant": (("why", LONG, "accuracy"), "(5,000 characters)"),
    "a nul": (("why", "\0", "accuracy"), r"There is no variant called '\x00'"),
    "SQL": (("why", "'; drop table variants; --", "accuracy"), "There is no variant called"),
    "a pattern": (("why", "int8_%", "accuracy"), "Did you mean 'bart-large: int8'?"),
    "a scope of another kind": (("why", "int8", "accuracy:batch 1 x 128 tokens"), "no scope of accuracy"),
    "a shape that was not timed": (("why", "int8", "latency_ms", "--scope", "batch 0 x 1 tokens"), "no scope of"),
    "a sweep without a name": (("why", "int8", "accuracy", "--sweep", ""), "no sweep in this store called ''"),
    "CSV of sections": (("why", "int8", "accuracy", "--format", "csv"), "--format csv is for --raw"),
    "export: no variant": (("export", "", "no/folder"), "There is no variant called ''"),
    "export: a name that several have": (("export", "int", "no/folder"), "'int' may mean 'bart-large: int8'"),
    "export: a near miss": (("export", "distiled", "no/folder"), "Did you mean 'bart-large: distilled'?"),
    "export: a long variant": (("export", LONG, "no/folder"), "(5,000 characters)"),
    "export: no such sweep": (("export", "int8", "no/folder", "--sweep", "x"), "no sweep in this store called 'x'"),
    "export: what failed": (
        ("export", "decoder 4 to 9", "no/folder"),
        "for it could not be built: build: bad spec: layer 9",
    ),
    "export: what waits": (("export", "distilled", "no/folder"), "for it is not built yet: run the sweep on"),
    "verify: no such sweep": (("verify", "--sweep", "nosuch"), "no sweep in this store called 'nosuch'"),
    "verify: a sweep without a name": (("verify", "--sweep", ""), "no sweep in this store called ''"),
}


@pytest.mark.parametrize("case", ASKED)
def test_a_number_that_cannot_be_asked_for(
    case: str, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, sentence = ASKED[case]
    code, said = answer(capsys, monkeypatch, *words, "--store", str(store))
    assert (code, said.count("\n")) == (2, 0), said
    assert sentence in said
    assert len(said) < 600


# What lies where a variant is to be exported, or what is wrong with its artefact, and what the sentence says.
EXPORTS = {
    "a file": "is a file, and a folder is to be written: give the name of a new one",
    "a full folder": "is not empty: give the name of a new one",
    "this folder": "'.' is the folder that you are in",
    "too long a name": "can be no folder (File name too long)",
    "below a file": "cannot be written (Not a directory)",
    "a place of the system's": "cannot be written (",
    "a missing artefact": "`paredown run defended.yaml 'seeds=[3]' --store",
    "an altered artefact": "has other bytes than its numbers were measured on",
}


@pytest.mark.parametrize("case", EXPORTS)
def test_an_export_that_cannot_be(
    case: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one sentence, nothing written anywhere."""
    (tmp_path / "a file").write_text("mine", encoding="utf-8")
    folder = tmp_path / case
    if case == "a full folder":
        folder.mkdir()
        (folder / "x").write_text("mine", encoding="utf-8")
    elif case == "this folder":
        folder.mkdir()
        monkeypatch.chdir(folder)
    elif case.endswith("artefact"):
        artefact = tmp_path / "store" / "artefacts" / defended.VARIANTS[1].artefact_id
        store = shutil.copytree(store, tmp_path / "store")
        if case == "a missing artefact":
            shutil.rmtree(artefact)
        else:
            (artefact / "config.json").write_text("{}", encoding="utf-8")
    asked = {
        "this folder": Path(),
        "too long a name": tmp_path / LONG,
        "below a file": tmp_path / "a file" / "model",
        "a place of the system's": Path("/proc/paredown"),
    }
    before = sorted(tmp_path.rglob("*"))
    code, said = answer(capsys, monkeypatch, "export", ": int8", str(asked.get(case, folder)), "--store", str(store))
    assert (code, said.count("\n")) == (2, 0), said
    assert said.startswith("Error: ")
    assert EXPORTS[case] in said
    assert len(said) < 900
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "verb", [("why", "int8", "accuracy"), ("verify",), ("export", "int8", "no/folder")], ids=lambda words: words[0]
)
@pytest.mark.parametrize("place", ["nowhere", "a file", "another folder", "a torn pointer", "a way out", "too long"])
def test_a_store_that_is_none(
    place: str,
    verb: tuple[str, ...],
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "store"
    if place == "a file":
        root.write_text("x", encoding="utf-8")
    elif place == "another folder":
        root.mkdir()
        (root / "x").write_text("x", encoding="utf-8")
    elif place in ("a torn pointer", "a way out"):
        shutil.copytree(store, root)
        written = "{" if place == "a torn pointer" else '{"snapshot": "../../../etc/passwd"}'
        (root / "published" / "current.json").write_text(written, encoding="utf-8")
    elif place == "too long":
        root = tmp_path / LONG
    code, said = answer(capsys, monkeypatch, *verb, "--store", str(root))
    assert (code, said.count("\n")) == (2, 0), said
    assert said.startswith("Error: ")


@pytest.mark.parametrize("asked", [LONG, f"{LONG}.yaml", "", "/"])
def test_a_sweep_file_that_is_none(asked: str) -> None:
    with pytest.raises(BadInput, match=r"sweep file") as caught:
        load_sweep(asked)
    assert len(str(caught.value)) < 600


def test_files_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As somebody who is not root finds them."""

    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    data = tmp_path / "data.csv"
    data.write_text("premise,hypothesis,label\na,b,c\n", encoding="utf-8")
    with monkeypatch.context() as changed:
        changed.setattr("bench.data.file_digest", refused)
        with pytest.raises(BadInput, match=r"data.csv' cannot be read \(Permission"):
            load_sweep("demo", [f"data.matched.source={data}"])
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("name: x\n", encoding="utf-8")
    with monkeypatch.context() as changed:
        changed.setattr(Path, "read_text", refused)
        with pytest.raises(BadInput, match=r"sweep.yaml' cannot be read \(Permission"):
            load_sweep(str(sweep))
