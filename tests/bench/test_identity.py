"""Identity that cannot lie: whatever changes the bytes or the question changes the name, and nothing else does."""

import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.artefacts import Artefacts
from bench.bases import resolve_base
from bench.data import DataSpec
from bench.errors import BadInput
from bench.execute import build
from bench.identity import canonical, digest, files_digest, short
from bench.job import BuildJob
from bench.methods.cast import Cast
from bench.methods.finetune import Finetune
from bench.methods.layer_copy import LayerCopy
from bench.record import Finished
from bench.sweep import Sweep, load_sweep
from tests import tiny

HEX = re.compile(r"^[0-9a-f]{64}$")


def sweep_of(folder: Path, **changes: object) -> Sweep:
    return load_sweep(str(tiny.sweep_file(folder, **changes)))


def ids(sweep: Sweep) -> list[str]:
    return [recipe.recipe_id for recipe in sweep.recipes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with its model and data, to be copied by whoever changes it."""
    root = tmp_path_factory.mktemp("sweep")
    tiny.sweep_file(root)
    return root


@pytest.fixture
def mine(folder: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(folder, tmp_path / "mine"))


def test_canonical_form() -> None:
    assert canonical({"b": 1, "a": [1.5, None, "é"]}) == '{"a":[1.5,null,"é"],"b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    for wrong in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical({"x": [wrong]})
    assert len({digest(v) for v in (1, "1", [1], {"1": 1}, True, None, 0)}) == 7
    assert short(digest(1)) == digest(1)[:10]


def test_identities_are_whole(folder: Path) -> None:
    sweep = sweep_of(folder)
    for identity in (*ids(sweep), sweep.sweep_id, *(t.fingerprint for t in sweep.tasks), sweep.tasks[0].data_id):
        assert HEX.match(identity)


def test_the_same_request_has_the_same_name(folder: Path, mine: Path) -> None:
    """Another folder, another order of keys, defaults written out, 1e-3 for 0.001: the same request."""
    first = sweep_of(folder)
    values = yaml.safe_load((mine / "sweep.yaml").read_text(encoding="utf-8"))
    values["recipes"][0][0] = {"layer_copy": {"encoder": None, "decoder": 2}}
    values["recipes"][0][1] = [None, {"finetune": {"learning_rate": "1e-3", "epochs": 1, "data": "train"}}]
    second = sweep_of(mine, recipes=values["recipes"])
    assert ids(first) == ids(second)
    assert [t.fingerprint for t in first.tasks] == [t.fingerprint for t in second.tasks]
    assert first.sweep_id == second.sweep_id


def test_same_name_other_weights(mine: Path) -> None:
    before = ids(sweep_of(mine))
    tiny.saved(tiny.bart(seed=1), mine / "model")
    after = ids(sweep_of(mine))
    assert len(before) == len(after)
    assert not set(before) & set(after)


def test_one_bit_of_the_weights_with_size_and_times_restored(mine: Path) -> None:
    path = mine / "model" / "model.safetensors"
    before, stat = ids(sweep_of(mine)), path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    assert not set(before) & set(ids(sweep_of(mine)))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_edited_files_beside_the_weights(name: str, mine: Path) -> None:
    before = ids(sweep_of(mine))
    path = mine / "model" / name
    path.write_text(path.read_text(encoding="utf-8").rstrip() + " \n", encoding="utf-8")
    assert not set(before) & set(ids(sweep_of(mine)))


def test_what_does_not_make_the_model_does_not_name_it(mine: Path) -> None:
    before = ids(sweep_of(mine))
    (mine / "model" / "README.md").write_text("# A better model\n", encoding="utf-8")
    (mine / "model" / ".gitattributes").write_text("x\n", encoding="utf-8")
    for path in (mine / "model").iterdir():
        os.utime(path, (1, 1))
    (mine / "model").rename(mine / "other")
    assert ids(sweep_of(mine, bases={"tiny": {"model": "other", "licence": "MIT"}})) == before


def train_ids(mine: Path, **data: Any) -> list[str]:
    pair = {"text": "premise", "pair": "hypothesis", "label": "label"}
    test = {"source": "test.jsonl", **pair}
    return ids(sweep_of(mine, data={"train": {"source": "train.jsonl", **pair, **data}, "test": test}))


def test_training_data(mine: Path) -> None:
    """Only the recipe that trains on the data is renamed, and only by what changes the rows."""
    before = train_ids(mine)
    trained = [i for i, r in enumerate(sweep_of(mine).recipes) if any(s.step.stochastic for s in r.stages)]
    assert len(trained) == 1
    shutil.copy(mine / "train.jsonl", mine / "renamed.jsonl")
    os.utime(mine / "renamed.jsonl", (1, 1))
    assert train_ids(mine, source="renamed.jsonl") == before
    assert train_ids(mine, licence="CC-BY") == before
    names = {before[trained[0]]}
    changed: list[dict[str, Any]] = [
        {"text": "hypothesis", "pair": "premise"},
        {"limit": 50},
        {"labels": {"neutral": "entailment"}},
        {"pair": None},
    ]
    for changes in changed:
        after = train_ids(mine, **changes)
        assert [a == b for a, b in zip(after, before, strict=True)].count(False) == 1
        names.add(after[trained[0]])
    tiny.data_file(mine / "train.jsonl", 96, seed=9)
    names.add(train_ids(mine)[trained[0]])
    assert len(names) == 6


def test_rewritten_data_is_seen_within_one_process(tmp_path: Path) -> None:
    """The same path, size and modification time, other bytes."""
    path = tmp_path / "x.jsonl"
    spec = DataSpec(source=str(path))
    path.write_text('{"text": "a", "label": "x"}\n', encoding="utf-8")
    before, stat = spec.data_id, path.stat()
    path.write_text('{"text": "b", "label": "x"}\n', encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert spec.data_id != before


def test_seeds_count_where_they_act(mine: Path) -> None:
    recipes: list[Any] = [[{"layer_copy": {"decoder": 2}}], [{"finetune": {"data": "train"}}, "int8_dynamic"]]
    first = sweep_of(mine, recipes=recipes, seeds=[0])
    second = sweep_of(mine, recipes=recipes, seeds=[1])
    same = [a == b for a, b in zip(ids(first), ids(second), strict=True)]
    assert same == [True, True, False]
    assert [r.seed for r in second.recipes] == [None, None, 1]
    groups = [[r.group_name for r in s.recipes] for s in (first, second)]
    assert groups[0] == groups[1]
    assert len(set(groups[0])) == 3


def test_prepare_seed_names_the_base(mine: Path) -> None:
    prepare = [{"finetune": {"data": "train"}}]
    found = [sweep_of(mine, bases={"tiny": {"model": "model", "prepare": prepare, "seed": s}}) for s in (0, 1)]
    assert not set(ids(found[0])) & set(ids(found[1]))
    assert next(r.seed for r in found[0].recipes) is None  # the base's own seed is no axis of the comparison


def test_other_dtype_and_settings(mine: Path) -> None:
    casts = [{"cast": {"dtype": d}} for d in ("bfloat16", "float16")]
    copies = [{"layer_copy": {"decoder": n}} for n in (1, 2)]
    kept = [{"int8_dynamic": {"keep_fp32": k}} for k in ([], ["*.fc1"], ["*.fc2"])]
    names = ids(sweep_of(mine, recipes=[[step] for step in (*casts, *copies, *kept)]))
    assert len(names) == len(set(names)) == 8
    both = ids(sweep_of(mine, recipes=[[copies[0], casts[0]], [casts[0], copies[0]]]))
    assert len(set(both)) == 3  # order counts


def test_other_method_version(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = sweep_of(mine)
    before = ids(sweep)
    monkeypatch.setattr(LayerCopy, "version", LayerCopy.version + 1)
    changed = [a != b for a, b in zip(before, ids(sweep_of(mine)), strict=True)]
    assert changed == [any(isinstance(s.step, LayerCopy) for s in r.stages) for r in sweep.recipes]
    assert 0 < sum(changed) < len(changed)


def test_every_method_has_a_version_and_a_name() -> None:
    from bench.methods import METHODS
    from bench.recipe import step_class

    for name in METHODS:
        cls = step_class(name)
        assert cls.name == name
        assert cls.version >= 1
    assert Finetune.stochastic
    assert not Cast.stochastic


def built(job: BuildJob, artefacts: Artefacts) -> str:
    done = build(job, artefacts, 1)
    assert isinstance(done.outcome, Finished)
    assert done.outcome.artefact_id is not None
    assert HEX.match(done.outcome.artefact_id)
    return done.outcome.artefact_id


def base_job(folder: Path) -> BuildJob:
    base = resolve_base("x", str(folder))
    return BuildJob(recipe_id=digest({"base": base.identity, "steps": []}), name="x", folder=base.folder)


def copy_job(parent: str, decoder: int) -> BuildJob:
    return BuildJob(
        recipe_id=digest([parent, decoder]), name="x", parent=parent, step="layer_copy", settings={"decoder": decoder}
    )


def test_equal_bytes_are_one_artefact(models: dict[str, Path], tmp_path: Path) -> None:
    """4 -> 2 keeps layers 0 and 3; 4 -> 3 -> 2 keeps 0, 2, 3 and of those the first and last: the same model."""
    artefacts = Artefacts(tmp_path / "one")
    base = built(base_job(models["bart"]), artefacts)
    straight = built(copy_job(base, 2), artefacts)
    detour = built(copy_job(built(copy_job(base, 3), artefacts), 2), artefacts)
    assert straight == detour != base
    assert len(list(artefacts.folder.iterdir())) == 3
    elsewhere = Artefacts(tmp_path / "two")
    assert built(copy_job(built(base_job(models["bart"]), elsewhere), 2), elsewhere) == straight
    folder = artefacts.path(straight)
    assert files_digest(folder, sorted(p.name for p in folder.iterdir())) == straight


def test_an_artefact_survives_what_happens_to_its_source(models: dict[str, Path], tmp_path: Path) -> None:
    """Training tools overwrite a checkpoint in its place; a link to it would change the artefact under its name."""
    source = Path(shutil.copytree(models["bart"], tmp_path / "source"))
    artefacts = Artefacts(tmp_path / "artefacts")
    base = built(base_job(source), artefacts)
    with (source / "model.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\xff\xff\xff\x7f")
    folder = artefacts.path(base)
    assert files_digest(folder, sorted(p.name for p in folder.iterdir())) == base


def test_a_model_that_changed_after_planning_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    source = Path(shutil.copytree(models["bart"], tmp_path / "source"))
    job = base_job(source)
    tiny.saved(tiny.bart(seed=3), source)
    artefacts = Artefacts(tmp_path / "artefacts")
    with pytest.raises(BadInput, match="has changed since the sweep was read: run the sweep again"):
        build(job, artefacts, 1)
    assert not list(artefacts.folder.iterdir())


@pytest.mark.parametrize("name", ["train", "test"])
def test_data_can_be_pinned_in_the_file(name: str, mine: Path) -> None:
    """A sweep that names the data_id runs on those rows only, whether a task or a step reads them."""
    path = str(tiny.sweep_file(mine))
    identity = load_sweep(path).data()[name].data_id
    pinned = load_sweep(path, [f"data.{name}.pinned={identity}"])
    assert ids(pinned) == ids(load_sweep(path))
    tiny.data_file(mine / f"{name}.jsonl", 96, seed=8)
    with pytest.raises(BadInput, match=f"{name}.jsonl' is not what it was"):
        load_sweep(path, [f"data.{name}.pinned={identity}"])


def test_data_that_changed_after_planning_is_refused(mine: Path) -> None:
    sweep = sweep_of(mine)
    tiny.data_file(mine / "test.jsonl", 120, seed=8)
    tiny.data_file(mine / "train.jsonl", 96, seed=8)
    for spec in (sweep.tasks[0].data, sweep.data()["train"]):
        with pytest.raises(BadInput, match="is not what it was"):
            spec.examples()
