"""`paredown export`: from a store that a run has made to folders that load by what their cards say."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from streamlit.testing.v1 import AppTest

from bench.architecture import model_files
from bench.identity import files_digest
from bench.store.reader import open_snapshot
from bench.sweep import load_sweep
from cluster import cli
from leaderboard import PAGE
from leaderboard.source import STORE
from tests import tiny
from tests.lines import LOAD, lines_of, run_lines

pytestmark = pytest.mark.xdist_group("elsewhere")

ODD = 'ti<b>ny</b> "q": \u202egnp| `x`'  # the base's name, and so the beginning of every variant's
TUNE = {"finetune": {"data": "train", "learning_rate": 1e-3}}
RECIPES: list[Any] = [
    [{"layer_copy": {"decoder": 2}}, [None, TUNE]],
    [{"layer_copy": {"decoder": 1}}, {"distill": {"teacher": "big", "data": "train"}}],
    [{"int8_dynamic": {"fallback": {"data": "train", "holdout": "tune", "task": "pairs", "tolerance": 0.9}}}],
    [{"weight_only": {}}],
    [{"sparse_2_4": {}}],
    [{"cast": {"dtype": "bfloat16"}}],
]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    pair = {"text": "premise", "pair": "hypothesis", "label": "label"}
    tiny.data_file(folder / "tune.jsonl", 40, seed=3)
    files = {name: {"source": f"{name}.jsonl", **pair} for name in ("train", "test", "tune")}
    files["test"]["licence"] = "cc-by-4.0"
    return tiny.sweep_file(
        folder,
        description="What <i>it</i> is: a test\nof more than one line",
        bases={ODD: {"model": "model", "licence": "apache-2.0", "prepare": [TUNE], "seed": 5}},
        teachers={"big": {"model": "model", "prepare": [TUNE], "licence": "apache-2.0"}},
        data=files,
        recipes=RECIPES,
        seeds=[3],
        holdout=0.25,
        objectives=["quality", "size"],
        constraints=["size <= 1MB"],
        matters={"size": 1000.0},
        latency={"leases": 0, "length": [16]},
        memory={"repeats": 0},
    )


def call(capsys: Any, *words: object) -> tuple[int, str, str]:
    """Exit code, output and errors of the command, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["paredown", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    told = capsys.readouterr() if capsys else None
    return int(ended.value.code or 0), told.out if told else "", told.err if told else ""


@pytest.fixture(scope="module")
def store(sweep: Path) -> Path:
    root = sweep.parent / "store"
    assert call(None, "run", sweep, "--store", root, "--runner", "local", "--workers", 2)[0] == 0
    return root


@pytest.fixture(scope="module")
def variants(store: Path) -> list[dict[str, Any]]:
    with open_snapshot(store) as snapshot:
        return snapshot.rows("select * from variants order by position")


@pytest.fixture(scope="module")
def exported(store: Path, variants: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of every variant by its recipe_id."""
    root = tmp_path_factory.mktemp("exported")
    found = {}
    for number, variant in enumerate(variants):
        folder = found[variant["recipe_id"]] = root / str(number)
        assert call(None, "export", variant["recipe_id"][:12], folder, "--store", store)[0] == 0
    return found


def texts(exported: dict[str, Path], name: str) -> list[str]:
    return [(folder / name).read_text(encoding="utf-8") for folder in exported.values()]


def test_the_page_of_a_variant_maps_its_layers(
    store: Path, variants: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told from the artefacts of a run: which of the base's layers are left, and in which types."""
    monkeypatch.setenv(STORE, str(store))
    page = AppTest.from_file(PAGE, default_timeout=120).run().switch_page("pages_/variant.py")
    told = {}
    for variant in variants:
        page.query_params["variant"] = variant["recipe_id"][:16]
        page.query_params["tab"] = "Lineage and layers"
        page.run()
        assert not page.exception
        told[variant["name"].removeprefix(f"{ODD}: ")] = "".join(each.proto.body for each in page.get("html"))
    assert all('class="layers"' in text for text in told.values())
    shallow = next(text for name, text in told.items() if name == "decoder 4 to 2")
    assert re.search(r"Dropped [0-9, to]+\. Kept 2 of 4: [0-9, to]+ in float32\.", shallow)
    assert shallow.count('<li class="gone"') == 2
    mixed = next(text for name, text in told.items() if name.startswith("int8"))
    assert "int8" in mixed.partition('class="layers"')[2]


def test_every_folder_loads_by_the_lines_of_its_card(
    exported: dict[str, Path], variants: list[Any], store: Path
) -> None:
    """What transformers alone can load, it loads without us; all outputs are the artefact's, bit for bit."""
    lines = dict(zip(exported, map(lines_of, texts(exported, "README.md")), strict=True))
    alone = [recipe_id for recipe_id in exported if "from bench" not in lines[recipe_id]]
    assert len(alone) == 5  # the base, two shallower ones, the student and the short one
    others = [recipe_id for recipe_id in exported if recipe_id not in alone]
    artefacts = [(store / "artefacts" / variant["artefact_id"], LOAD) for variant in variants]
    with_us = run_lines([*artefacts, *((exported[r], lines[r]) for r in others)])
    measured = dict(zip(exported, with_us[: len(artefacts)], strict=True))
    assert dict(zip(others, with_us[len(artefacts) :], strict=True)) == {r: measured[r] for r in others}
    found = run_lines([(exported[r], lines[r]) for r in alone], hidden=("bench", "cluster", "leaderboard"))
    assert dict(zip(alone, found, strict=True)) == {r: measured[r] for r in alone}


def test_the_recipe_is_a_sweep_file_that_names_the_variant(exported: dict[str, Path], store: Path) -> None:
    for recipe_id, folder in exported.items():
        found = load_sweep(str(folder / "recipe.yaml"))
        assert [r.recipe_id for r in found.recipes if r.recipe_id == recipe_id] == [recipe_id]
        assert len(found.recipes) <= 2
        assert {section.licence for section in found.file.teachers.values()} <= {"apache-2.0"}
        with open_snapshot(store) as snapshot:
            body = snapshot.sweeps()[0]["body"]
        assert [task.fingerprint for task in found.tasks] == [task["fingerprint"] for task in body["tasks"]]
        told = [o.model_dump(exclude={"matters"}) for o in found.objectives]
        assert told == [{key: o[key] for key in ("axis", "metric", "scope")} for o in body["objectives"]]
        assert [c.text for c in found.constraints] == [c["text"] for c in body["constraints"]]


def test_plan_knows_the_recipe(exported: dict[str, Path], store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of it is left to do in the store that it is from."""
    folder = list(exported.values())[2]
    code, out, _ = call(capsys, "plan", folder / "recipe.yaml", "--store", store, "--json")
    assert code == 0
    assert not [job for job in json.loads(out)["jobs"] if job["status"] != "done"]


def test_the_files_hash_to_the_artefact(exported: dict[str, Path], variants: list[Any], sweep: Path) -> None:
    for variant, folder in zip(variants, exported.values(), strict=True):
        assert files_digest(folder, model_files(folder)) == variant["artefact_id"]
        beside = {path.name for path in folder.iterdir()} - set(model_files(folder))
        assert beside == {"README.md", "recipe.yaml", "numbers.json"}
        numbers = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
        assert numbers["artefact_id"] == variant["artefact_id"]
        assert numbers["variant"] == variant["name"]
        assert str(sweep.parent) not in json.dumps(numbers)


def test_numbers_are_in_full_precision(exported: dict[str, Path], store: Path) -> None:
    with open_snapshot(store) as snapshot:
        rows = snapshot.rows("select * from numbers")
    for recipe_id, folder in exported.items():
        found = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))["numbers"]
        mine = {
            (r["metric"], r["scope"]): (r["estimate"], r["low"], r["high"], r["n"])
            for r in rows
            if r["recipe_id"] == recipe_id
        }
        assert {(n["metric"], n["scope"]): (n["estimate"], n["low"], n["high"], n["n"]) for n in found} == mine


def test_the_card(exported: dict[str, Path], variants: list[Any], store: Path, sweep: Path) -> None:
    for text, variant in zip(texts(exported, "README.md"), variants, strict=True):
        data: Any = ModelCard(text, ignore_metadata_errors=False).data
        assert data.license == "apache-2.0"  # what all models that went into it state
        assert data.library_name == ("paredown" if "from bench" in text else "transformers")
        assert data.pipeline_tag == "text-classification"
        assert "\u202e" not in text
        assert data.model_name == variant["name"].replace("\u202e", "⟨U+202E⟩")
        assert {(r.metric_type, r.dataset_name) for r in data.eval_results} == {("accuracy", "pairs"), ("f1", "pairs")}
        body = text.partition("\n---\n")[2]
        assert "<b>" not in body.replace("\\<b\\>", "")
        assert "`x`" not in body
        assert variant["recipe_id"] in body
        assert variant["artefact_id"] in body
        assert str(sweep.parent) not in text
        for heading in ("How to load it", "Recipe", "What was measured", "Did it shrink?", "What was not measured"):
            assert f"\n## {heading}\n" in body
        assert "| task data | test (test.jsonl) |" not in body
        assert "cc-by-4.0" in body
        assert "not stated" in body
        assert "The sweep times nothing: its latency.leases is 0." in body
        tables = [line for line in body.splitlines() if line.startswith("|")]
        assert all(line.endswith("|") for line in tables)
    first, *others = texts(exported, "README.md")
    assert "the base model itself" in first
    assert all("not delivered" in text or "| delivered |" in text for text in others)


def test_what_is_printed(
    exported: dict[str, Path], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {}
    for form in ("table", "json", "csv", "md"):
        folder = tmp_path / form
        code, told[form], err = call(capsys, "export", "bf16", folder, "--store", store, "--format", form)
        assert code == 0
        assert "Traceback" not in err
    found = json.loads(told["json"])
    assert found["folder"] == str(tmp_path / "json")
    assert found["bytes"] == sum(path.stat().st_size for path in (tmp_path / "json").iterdir())
    assert found["recipe_problem"] is None
    assert f"folder = {str(tmp_path / 'table')!r}" in told["table"]
    assert told["csv"].startswith("what,value\n")
    assert run_lines([(tmp_path, found["load"])])[0][2] == "BartForSequenceClassification"


def test_a_recipe_whose_data_have_changed_says_so(
    store: Path, sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is whole and the bytes are right; that the recipe cannot be had again here is no secret."""
    train = sweep.parent / "train.jsonl"
    before = train.read_text(encoding="utf-8")
    try:
        train.write_text(before + before.splitlines()[0] + "\n", encoding="utf-8")
        code, out, _ = call(capsys, "export", "distilled", tmp_path / "x", "--store", store, "--json")
    finally:
        train.write_text(before, encoding="utf-8")
    assert code == 0
    assert "is not what it was" in json.loads(out)["recipe_problem"]
    card = (tmp_path / "x" / "README.md").read_text(encoding="utf-8")
    assert "Where this was written it did not yield this recipe" in card
    assert str(sweep.parent) not in card
    data = yaml.safe_load((tmp_path / "x" / "recipe.yaml").read_text(encoding="utf-8"))["data"]
    assert all(len(section["pinned"]) == 64 for section in data.values())
