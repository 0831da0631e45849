"""A checkpoint stands in the base's place byte for byte, and is known by its bytes, not by its path."""

import shutil
from pathlib import Path

import pytest

from bench.architecture import describe
from bench.artefacts import Artefacts
from bench.errors import BadInput
from bench.execute import build
from bench.identity import file_digest
from bench.job import BuildJob
from bench.methods.checkpoint import Checkpoint
from bench.record import Finished
from tests import tiny


def test_files_are_taken_byte_for_byte(models: dict[str, Path], tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path / "artefacts")
    job = BuildJob(
        recipe_id="a" * 64, name="x", parent="b" * 64, step="checkpoint", settings={"id": str(models["bert"])}
    )
    done = build(job, artefacts, 1)
    assert isinstance(done.outcome, Finished)
    assert done.outcome.artefact_id is not None
    folder = artefacts.path(done.outcome.artefact_id)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert file_digest(folder / name) == file_digest(models["bert"] / name)


def test_identity_follows_the_bytes(models: dict[str, Path], tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(models["bert"], moved)
    first, second = (Checkpoint(id=str(folder)).request({}, 0) for folder in (models["bert"], moved))
    assert first == second
    tiny.saved(tiny.bert(seed=1), moved)
    assert Checkpoint(id=str(moved)).request({}, 0) != first
    assert Checkpoint(id=str(models["bert"]), relation="smaller sibling").request({}, 0) != first


def test_it_brings_its_own_architecture(models: dict[str, Path]) -> None:
    bart = describe(models["bart"])
    assert Checkpoint(id=str(models["bert"])).check(bart) == describe(models["bert"])
    with pytest.raises(BadInput, match="neither a folder here nor a hub id"):
        Checkpoint(id="/no/such/folder").check(bart)
