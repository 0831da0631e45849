"""Licences are what somebody stated: in the sweep file, in a model card, in a configuration. Else there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.licences import card_of, card_of_zoo, of_data, of_recipe
from bench.sweep import load_sweep
from cluster.declare import declare
from cluster.plan import Planner
from cluster.standing import Machine
from tests import tiny

MACHINE = Machine("a class", {"torch": "2", "transformers": "5"})


@pytest.mark.parametrize(
    ("card", "found"),
    [
        ("---\nlicense: mit\n---\n# A model", "mit"),
        ("---\nlicense: other\nlicense_name: my-licence\n---\n", "my-licence"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\ntags: x\n---\nlicense: mit", None),
        ("# MIT is mentioned\nlicense: mit", None),
        ("---\nlicense: 5\n---\n", None),
        ("---\n: : :\n---\n", None),
        ("---\n- a list\n---\n", None),
        ("---\nlicense: '   '\n---\n", None),
        ("", None),
    ],
)
def test_a_card_states_a_licence_or_none(tmp_path: Path, card: str, found: str | None) -> None:
    (tmp_path / "README.md").write_text(card)
    assert card_of(tmp_path) == found


def test_a_configuration_may_state_one_too(tmp_path: Path) -> None:
    assert card_of(tmp_path) is None
    (tmp_path / "config.json").write_text("not json")
    assert card_of(tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps({"license": "bsd-3-clause"}))
    assert card_of(tmp_path) == "bsd-3-clause"
    (tmp_path / "README.md").write_bytes(b"\xff\xfe---\n")
    assert card_of(tmp_path) == "bsd-3-clause"


def test_a_changed_card_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("---\nlicense: mit\n---\n")
    assert card_of(tmp_path) == "mit"
    path.unlink()
    assert card_of(tmp_path) is None


def test_shipped_models_and_data_state_theirs() -> None:
    assert card_of_zoo() == "apache-2.0"


def declared(folder: Path, **changes: object) -> dict[str, Any]:
    sweep = load_sweep(str(tiny.sweep_file(folder, recipes=[["int8_dynamic"]], **changes)))
    body: dict[str, Any] = json.loads(declare(sweep, MACHINE, Planner(sweep, MACHINE)).body)
    return body


def test_what_was_stated_outlives_the_folder(tmp_path: Path) -> None:
    """The declaration holds it, each once; the sweep file and a card that differ are both told."""
    sweep = load_sweep(str(tiny.sweep_file(tmp_path, recipes=[["int8_dynamic"]])))
    folder = Path(sweep.bases[0].folder)
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine)
    (mine / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    (tmp_path / "a").mkdir()
    body = declared(tmp_path / "a", bases={"mine": {"model": str(mine)}})
    shutil.rmtree(mine)
    told = body["licences"][body["variants"][0]["licences"][0]]
    assert (told["part"], told["licence"], told["said_by"]) == ("base model", "cc-by-4.0", "model card")
    assert len(body["licences"]) == len({json.dumps(each, sort_keys=True) for each in body["licences"]})
    assert [task["licences"][0]["part"] for task in body["tasks"]] == ["task data"] * len(body["tasks"])


def test_two_that_differ_are_both_listed_and_one_spelling_is_enough(tmp_path: Path) -> None:
    sweep = load_sweep(str(tiny.sweep_file(tmp_path, recipes=[["int8_dynamic"]])))
    mine = tmp_path / "mine"
    shutil.copytree(Path(sweep.bases[0].folder), mine)
    (mine / "README.md").write_text("---\nlicense: apache-2.0\n---\n")

    def of(licence: str, name: str) -> list[tuple[str | None, str | None]]:
        (tmp_path / name).mkdir()
        again = tiny.sweep_file(
            tmp_path / name, recipes=[["int8_dynamic"]], bases={"mine": {"model": str(mine), "licence": licence}}
        )
        recipe = load_sweep(str(again)).recipes[-1]
        return [(each["licence"], each["said_by"]) for each in of_recipe(recipe, {})]

    assert of("Apache 2.0", "same") == [("Apache 2.0", "sweep file")]
    assert of("MIT", "other") == [("MIT", "sweep file"), ("apache-2.0", "model card")]


def test_data_without_a_statement_have_none(tmp_path: Path) -> None:
    sweep = load_sweep(str(tiny.sweep_file(tmp_path, recipes=[["int8_dynamic"]])))
    spec = sweep.tasks[0].data.model_copy(update={"licence": None, "source": "/data/of/mine/some.jsonl"})
    assert of_data("task data", "t", spec) == [
        {"part": "task data", "name": "t (some.jsonl)", "licence": None, "said_by": None}
    ]
    zoo = spec.model_copy(update={"source": "zoo://entailment/matched"})
    assert of_data("task data", "t", zoo)[0]["licence"] == "apache-2.0"
    stated = spec.model_copy(update={"licence": "CC BY"})
    assert of_data("task data", "t", stated)[0]["said_by"] == "sweep file"
