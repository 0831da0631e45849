"""The `paredown` command: its verbs, and one sentence with exit code 2 for whatever is wrong with a request."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.errors import BadInput
from bench.methods import METHODS
from bench.sweep import Sweep
from cluster import cli
from tests import tiny

VERBS = [
    "plan",
    "run",
    "settle",
    "confirm",
    "show",
    "status",
    "claims",
    "why",
    "verify",
    "retry",
    "ls",
    "board",
    "doctor",
    "report",
    "review",
    "export",
]
ROOT = Path(__file__).parent.parent
Told = tuple[object, str, str]  # exit code, standard output, standard error
Call = Callable[..., Told]


def test_the_verbs_are_these() -> None:
    """A verb is a promise to scripts: adding one is done here, removing one breaks somebody."""
    found = [command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback]
    assert found == VERBS
    assert [group.name for group in cli.app.registered_groups] == ["store"]


@pytest.fixture
def paredown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command as the shell starts it, in this process; anything but its own exit is an error of the test."""

    def call(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["paredown", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return call


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sweep_file(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store that must not come into being."""
    yield tmp_path / "store"
    assert not (tmp_path / "store").exists()


def refused(told: Told, *parts: str) -> None:
    code, out, err = told
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1, "one sentence on one line"
    assert len(err) < 500
    for part in parts:
        assert part in err


def changed(sweep: Path, **changes: Any) -> Path:
    values = yaml.safe_load(sweep.read_text(encoding="utf-8"))
    path = sweep.with_name("changed.yaml")
    path.write_text(yaml.safe_dump({**values, **changes}), encoding="utf-8")
    return path


def with_steps(*steps: Any) -> dict[str, Any]:
    return {"recipes": [list(steps)]}


TUNE = {"finetune": {"data": "train"}}
# What changes in a good sweep -> what the sentence must say: what was asked, the value, what is allowed.
WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "step": (with_steps("layer_cpy"), ("'layer_cpy'", "'layer_copy'", "cast, checkpoint, compile, depth_prune")),
    "task": ({"tasks": {"p": {"kind": "clasification", "data": "test"}}}, ("'clasification'", "'classification'")),
    "metric": ({"quality": "pairs.acuracy"}, ("'pairs.acuracy'", "'pairs.accuracy'", "pairs.macro_f1")),
    "objective": ({"objectives": ["sped"]}, ("'sped'", "memory, parameters, per_token, prefill")),
    "key": ({"recipies": []}, ("'recipies'", "'recipes'", "objectives")),
    "setting": (with_steps({"layer_copy": {"decodr": 1}}), ("'decodr'", "'decoder'", "Allowed: decoder, encoder")),
    "9 layers": (with_steps({"layer_copy": {"decoder": 9}}), ("9 of 4 layers", "from 1 to 4")),
    "0 layers": (with_steps({"layer_copy": {"decoder": 0}}), ("'decoder'", "is 0", "greater than 0")),
    "no layers": (with_steps("layer_copy"), ("layer_copy", "needs encoder or decoder")),
    "negative rate": (with_steps({"finetune": {"data": "train", "learning_rate": -1}}), ("'learning_rate'", "is -1")),
    "negative seed": ({"seeds": [-1]}, ("'seeds.0'", "is -1", "greater than or equal to 0")),
    "negative rounds": ({"latency": {"length": [16], "max_rounds": -4}}, ("'latency.max_rounds'", "is -4")),
    "empty grid": (with_steps({"layer_copy": {"decoder": []}}), ("'decoder'", "'layer_copy'", "empty")),
    "empty choice": (with_steps([]), ("empty list", "remove it")),
    "empty recipes": ({"recipes": None}, ("'recipes'", "is None", "list")),
    "bare step": ({"recipes": ["int8_dynamic"]}, ("'recipes.0'", "'int8_dynamic'", "list")),
    "no step": (with_steps(3), ("a recipe holds 3", "a name or a mapping")),
    "long latency": ({"latency": {"length": [65]}}, ("65 tokens", "'tiny'", "64 positions")),
    "batch 0": (
        {"latency": {"length": [16], "batch": [0]}},
        ("'latency.batch.0'", "is 0", "greater than or equal to 1"),
    ),
    "int8, finetune": (with_steps("int8_dynamic", TUNE), ("finetune", "cannot follow int8_dynamic", "put it before")),
    "no folder": ({"bases": {"tiny": {"model": "/no/such/model"}}}, ("'tiny'", "'/no/such/model'", "config.json")),
    "no data set": ({"tasks": {"p": {"data": "tests"}}}, ("'tests'", "'test'", "test, train")),
    "runner": ({"runner": "slurm"}, ("'runner'", "'slurm'", "'local'")),
    "name": ({"name": "../x"}, ("'name'", "'../x'")),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_sweep_is_one_sentence(case: str, paredown: Call, sweep: Path, store: Path) -> None:
    changes, parts = WRONG[case]
    path = changed(sweep, **changes)
    refused(paredown("run", path, "--store", store, "--runner", "local"), *parts)
    refused(paredown("plan", path, "--store", store), *parts)


def test_other_wrong_requests(paredown: Call, sweep: Path, store: Path) -> None:
    refused(paredown("run", "no.yaml", "--store", store), "'no.yaml'", "demo")
    refused(paredown("run", "dmo", "--store", store), "'dmo'", "'demo'")
    refused(paredown("run", sweep, "x", "--store", store), "'x'", "key=value")
    told = paredown("run", sweep, "--address", "ray://x", "--runner", "local", "--store", store)
    refused(told, "--address ray://x", "Ray runner", "--runner local")
    refused(paredown("show", "--store", store), str(store), "not a paredown store")
    refused(paredown("retry", "--store", store, "--where", "bg"), "'bg'", "'bug'")
    code, _, err = paredown("run", sweep, "--runner", "slurm", "--store", store)
    assert code == 2
    assert "Traceback" not in err


def test_yaml_runs_nothing(paredown: Call, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    made = tmp_path / "made"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{made}']]\n")
    refused(paredown("run", path, "--store", store), "YAML tag that is not allowed", "plain values only")
    path.write_text("name: [x\nbases: {}\n", encoding="utf-8")
    refused(paredown("run", path, "--store", store), "not valid YAML at line 2")
    assert not made.exists()


def _config(**changes: Any) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        path = model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")

    return change


def _pickled(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def _no_tokenizer(model: Path) -> None:
    for path in model.glob("tokenizer*"):
        path.unlink()


MODELS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "no config": (lambda m: (m / "config.json").unlink(), ("no config.json", "save_pretrained")),
    "pickled": (_pickled, ("only pickled weights (pytorch_model.bin)", "safetensors", "unpickling runs code")),
    "no weights": (lambda m: (m / "model.safetensors").unlink(), ("no weights", "safetensors")),
    "broken JSON": (lambda m: (m / "config.json").write_text('{"a": '), ("config.json", "cannot be read as JSON")),
    "no object": (lambda m: (m / "config.json").write_text("[1]"), ("config.json", "list, not a JSON object")),
    "no numbers": (_config(encoder_layers="two"), ("config.json", "not the config of a transformers model", "'two'")),
    "no tokenizer": (_no_tokenizer, ("no tokenizer", "tokenizer.json")),
    "nameless": (_config(id2label={"0": "LABEL_0", "1": "LABEL_1"}), ("'tiny'", "label_0, label_1", "id2label")),
    "like names": (_config(id2label={"0": "Yes", "1": "yes", "2": "no"}), ("differ at most in case", "Yes, yes, no")),
    "other labels": (_config(id2label={"0": "good", "1": "bad"}), ("'contradiction'", "'tiny'", "bad, good")),
    "no classifier": (_config(architectures=["BartModel"]), ("'tiny'", "BartModel", "new_head")),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_wrong_model_is_one_sentence(case: str, paredown: Call, sweep: Path, store: Path, tmp_path: Path) -> None:
    change, parts = MODELS[case]
    model = Path(shutil.copytree(sweep.parent / "model", tmp_path / "model"))
    change(model)
    refused(paredown("run", changed(sweep, bases={"tiny": {"model": str(model)}}), "--store", store), *parts)


DATA: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    "columns": ("x.jsonl", '{"premise": "a", "gold": "neutral"}', ("column 'hypothesis'", "premise, gold")),
    "empty": ("x.jsonl", "", ("no rows", "at least one example")),
    "label": ("x.csv", "premise,hypothesis,label\na,b,maybe\n", ("'maybe'", "contradiction, entailment, neutral")),
    "JSON": ("x.jsonl", '{"premise"', ("cannot be read as .jsonl",)),
    "CSV": ("x.csv", 'premise,hypothesis,label\n"a"b,c,d\n', ("cannot be read as .csv",)),
    "extension": ("x.xml", "<a/>", ("'.xml'", ".jsonl, .csv, .parquet")),
    "missing": ("x.jsonl", None, ("does not exist", ".jsonl, .csv, .parquet")),
}


# Labels of training data are compared when training starts; all else is found before anything is spent.
@pytest.mark.parametrize(
    ("case", "name"),
    [(case, name) for case in DATA for name in ("test", "train") if (case, name) != ("label", "train")],
)
def test_wrong_data_is_one_sentence(
    case: str, name: str, paredown: Call, sweep: Path, store: Path, tmp_path: Path
) -> None:
    """Of a task, and of a step."""
    file, content, parts = DATA[case]
    if content is not None:
        (tmp_path / file).write_text(content, encoding="utf-8")
    path = changed(sweep, **with_steps(TUNE))
    refused(paredown("run", path, f"data.{name}.source={tmp_path / file}", "--store", store), *parts)


def test_a_store_that_cannot_be(paredown: Call, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    told = paredown("run", sweep, "--runner", "local", "--store", tmp_path / "file" / "store")
    refused(told, "cannot be written", "--store")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x", encoding="utf-8")
    refused(paredown("run", sweep, "--runner", "local", "--store", tmp_path / "other"), "exists and is not", "--store")
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.tex"]
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "store.json").write_text('{"kind": "paredown store", "schema": 99, "id": "x"}')
    for verb in (["run", sweep, "--runner", "local"], ["show"], ["retry"], ["plan", sweep]):
        refused(paredown(*verb, "--store", tmp_path / "newer"), "layout 99", "update paredown")
    assert [p.name for p in (tmp_path / "newer").iterdir()] == ["store.json"]


def test_nothing_in_a_sentence_is_markup(paredown: Call, sweep: Path, store: Path) -> None:
    told = paredown("run", changed(sweep, quality="[red]x[/red][/]"), "--store", store)
    refused(told, "[red]x[/red][/]")


def test_ls(paredown: Call) -> None:
    code, out, _ = paredown("ls", "methods", "--json")
    assert code in (0, None)
    assert [row["name"] for row in json.loads(out)] == sorted(METHODS)
    for what in ("tasks", "metrics", "sweeps", "models"):
        for form in ("table", "csv", "md", "json"):
            code, out, err = paredown("ls", what, "--format", form)
            assert (code in (0, None), err) == (True, "")
            assert len(out.splitlines()) > 1


def test_plan_runs_nothing(paredown: Call, sweep: Path, store: Path) -> None:
    code, out, err = paredown("plan", sweep, "--store", store, "--json")
    assert (code in (0, None), err) == (True, "")
    jobs = json.loads(out)["jobs"]
    guess = {"seconds": 15.0, "learned": False}
    assert jobs[0] == {"kind": "build", "job": jobs[0]["job"], "status": "ready", **guess}
    assert {j["status"] for j in jobs} == {"ready", "waiting", "expected"}


def shell(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The installed command in a process of its own."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    return subprocess.run(
        [sys.executable, "-m", "cluster.cli", *map(str, arguments)],
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.parametrize(("words", "on"), [((), True), (("--race",), True), (("--no-race",), False)])
def test_racing_is_for_whoever_asks(
    words: tuple[str, ...], on: bool, paredown: Call, sweep: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ended(loaded: Sweep, *_: object, **__: object) -> None:
        asked.append(loaded.file.race.on)
        raise BadInput("That is all.")

    monkeypatch.setattr("cluster.session.run_sweep", ended)
    assert paredown("run", sweep, "--store", store, *words)[0] == 2
    assert asked == [on]


def test_from_a_shell(sweep: Path, store: Path) -> None:
    done = shell("run", changed(sweep, **with_steps("layer_cpy")), "--store", store)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"Error: There is no step called 'layer_cpy'\. Did you mean 'layer_copy'\? Known: .*\n", done.stderr
    )


def test_a_hub_id_without_network_is_answered_within_seconds(sweep: Path, store: Path, tmp_path: Path) -> None:
    """Nothing listens at the hub's address: no minutes of retries, no progress bars, no traceback."""
    begin = time.monotonic()
    done = shell(
        *("run", sweep, "bases.tiny.model=some-org/some-model@main", "--store", store),
        **{"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub"), "NO_PROXY": "127.0.0.1"},
    )
    assert time.monotonic() - begin < 60  # most of which a busy machine takes to import; retries take minutes
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "'some-org/some-model@main' cannot be had from the hub" in done.stderr
    assert "local folder" in done.stderr


def test_claims_are_judged_and_kept_for_the_board(paredown: Call, tmp_path: Path) -> None:
    from bench.store.reader import open_snapshot
    from tests.leaderboard.sample import make_store

    store = make_store(tmp_path / "store")
    code, out, _ = paredown("claims", "--only", "size-int8", "--only", "title", "--store", store, "--json")
    assert code in (0, None)
    assert {row["id"]: row["verdict"] for row in json.loads(out)} == {
        "size-int8": "not reproduced",
        "title": "not reproduced",
    }
    with open_snapshot(store) as snapshot:
        kept = snapshot.rows("select id, verdict, published from claims order by id")
    assert kept == [
        {"id": "size-int8", "verdict": "not reproduced", "published": "625 M"},
        {"id": "title", "verdict": "not reproduced", "published": "DistilBart"},
    ]
    code, _, err = paredown("claims", "--store", tmp_path / "nowhere")
    assert (code, len(err.strip().splitlines())) == (2, 1)
    code, _, err = paredown("claims", "--only", "nothing", "--offline")
    assert (code, "No claim has an id or model like nothing" in err) == (2, True)
