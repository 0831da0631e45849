"""Sweep files: lists open grids, the base comes first, nothing stands twice, choices are checked."""

from pathlib import Path
from typing import Any

import pytest

from bench.errors import BadInput
from bench.sweep import Sweep, load_sweep
from tests import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweeps")
    tiny.sweep_file(root)
    tiny.saved(tiny.bert(), root / "bert")
    return root


def sweep_of(folder: Path, *overrides: str, **changes: object) -> Sweep:
    return load_sweep(str(tiny.sweep_file(folder, **changes)), overrides)


def names(folder: Path, recipes: list[Any], **changes: object) -> list[str]:
    return [r.variant_name for r in sweep_of(folder, recipes=recipes, **changes).recipes]


def test_a_list_of_settings_is_a_grid(folder: Path) -> None:
    found = names(folder, [[{"layer_copy": {"decoder": [1, 2], "encoder": [1, 2]}}]])
    assert found == [
        "tiny: base",
        "tiny: encoder 2 to 1, decoder 4 to 1",
        "tiny: encoder 2 to 2, decoder 4 to 1",
        "tiny: encoder 2 to 1, decoder 4 to 2",
        "tiny: encoder 2 to 2, decoder 4 to 2",
    ]


def test_a_list_of_steps_is_a_choice_and_null_is_no_step(folder: Path) -> None:
    copies: Any = {"layer_copy": {"decoder": [1, 2]}}
    found = names(folder, [[[None, copies], ["int8_dynamic", {"cast": {"dtype": ["bfloat16", "float16"]}}]]])
    assert found[0] == "tiny: base"
    assert len(found) == len(set(found)) == 1 + 3 * 3
    assert "tiny: int8" in found
    assert "tiny: decoder 4 to 2, fp16" in found


def test_a_setting_that_is_a_list_needs_a_list_of_lists(folder: Path) -> None:
    one = sweep_of(folder, recipes=[[{"int8_dynamic": {"keep_fp32": ["*.fc1", "*.fc2"]}}]])
    assert len(one.recipes) == 2
    step = one.recipes[1].stages[0].step
    assert step.model_dump()["keep_fp32"] == ("*.fc1", "*.fc2")
    two = sweep_of(folder, recipes=[[{"int8_dynamic": {"keep_fp32": [["*.fc1"], ["*.fc1", "*.fc2"], []]}}]])
    kept = [r.stages[0].step.model_dump()["keep_fp32"] for r in two.recipes[1:]]
    assert kept == [("*.fc1",), ("*.fc1", "*.fc2"), ()]
    optional = sweep_of(folder, recipes=[[{"finetune": {"data": "train", "new_head": sorted(tiny.LABELS.values())}}]])
    assert len(optional.recipes) == 2


def test_equal_recipes_stand_once(folder: Path) -> None:
    found = names(folder, [["int8_dynamic"], [{"int8_dynamic": {"activations": ["token", "tensor"]}}], [None], []])
    assert found == ["tiny: base", "tiny: int8", "tiny: int8 per tensor"]


def test_the_base_is_always_there_and_first(folder: Path) -> None:
    choices: list[list[Any]] = [[], [[]], [["int8_dynamic"]]]
    for recipes in choices:
        sweep = sweep_of(folder, recipes=recipes)
        assert sweep.recipes[0].is_base
        assert [r.is_base for r in sweep.recipes].count(True) == 1


def test_seeds_multiply_only_what_depends_on_them(folder: Path) -> None:
    tune: Any = {"finetune": {"data": "train"}}
    sweep = sweep_of(folder, recipes=[["int8_dynamic"], [tune], [tune, "int8_dynamic"]], seeds=[3, 1, 4])
    assert len(sweep.recipes) == 1 + 1 + 3 + 3
    assert [r.seed for r in sweep.recipes if r.seed is not None] == [3, 1, 4, 3, 1, 4]
    seeds = {r.group_name: set[int]() for r in sweep.recipes}
    for recipe in sweep.recipes:
        seeds[recipe.group_name].add(recipe.seed if recipe.seed is not None else -1)
    assert sorted(map(sorted, seeds.values())) == [[-1], [-1], [1, 3, 4], [1, 3, 4]]
    # Naming the group takes the seeds out of its own request alone: the recipe's is what lineages are told from.
    assert [r.request["steps"][0]["seed"] for r in sweep.recipes if r.seed is not None] == [3, 1, 4, 3, 1, 4]


def test_several_bases_and_tasks(folder: Path) -> None:
    sweep = sweep_of(
        folder,
        bases={"one": {"model": "model"}, "two": {"model": "bert"}},
        tasks={"a": {"data": "test", "max_length": 32}, "b": {"data": "train", "max_length": 32}},
        recipes=[["int8_dynamic"]],
        quality="recovery",
    )
    assert [r.variant_name for r in sweep.recipes] == ["one: base", "one: int8", "two: base", "two: int8"]
    assert [t.name for t in sweep.tasks] == ["a", "b"]
    assert sweep.objectives[0].metric == "recovery"
    assert sweep.objectives[0].scope == "a + b"


def test_prepare_makes_the_base(folder: Path) -> None:
    prepare: list[Any] = [{"layer_copy": {"decoder": 3}}, {"finetune": {"data": "train"}}]
    bases = {"tiny": {"model": "model", "prepare": prepare}}
    sweep = sweep_of(folder, bases=bases, recipes=[[{"layer_copy": {"decoder": 2}}]])
    base, copy = sweep.recipes
    assert base.is_base
    assert len(base.stages) == base.prepared == copy.prepared == 2
    assert base.variant_name == "tiny: base"
    assert copy.variant_name == "tiny: decoder 3 to 2"
    assert copy.prefix(2).recipe_id == base.recipe_id
    with pytest.raises(BadInput, match=r"bases\.tiny\.prepare opens a grid"):
        sweep_of(folder, bases={"tiny": {"model": "model", "prepare": [{"layer_copy": {"decoder": [1, 2]}}]}})


def test_objectives_of_writing(folder: Path) -> None:
    writer = tiny.saved(tiny.writer(), folder / "writer")
    llama = tiny.saved(tiny.causal(), folder / "llama")
    changes: Any = {
        "data": {"texts": {"source": "test.jsonl", "text": "premise", "label": "hypothesis"}},
        "recipes": [],
        "tasks": {"texts": {"kind": "summarisation", "data": "texts", "source_tokens": 16}},
        "bases": {"tiny": {"model": str(writer)}},
        "objectives": ["per_token", "first_token", "energy"],
    }
    sweep = sweep_of(folder, latency={"length": [16], "new_tokens": 12}, **changes)
    scope = "batch 1 x 16 tokens, 12 new"
    metrics = ("per_token_ratio", "first_token_ratio", "energy_ratio")
    assert [(o.metric, o.scope) for o in sweep.objectives] == [(metric, scope) for metric in metrics]
    positions = sweep.recipes[0].check().positions
    assert positions is not None
    with pytest.raises(
        BadInput, match=f"new_tokens is {positions} after 16 tokens, .* has {positions} positions: lower"
    ):
        sweep_of(folder, latency={"length": [16], "new_tokens": positions}, **changes)
    changes["bases"] = {"tiny": {"model": str(llama)}}
    changes["tasks"] = {"texts": {"kind": "language_modelling", "data": "texts", "max_length": 32}}
    room = sweep_of(folder, **changes, latency={"new_tokens": 8}).recipes[0].check().positions
    assert room is not None
    sweep_of(folder, **changes, latency={"length": [16], "new_tokens": room - 16})
    with pytest.raises(BadInput, match=f"new_tokens is {room - 15} after 16 tokens"):
        sweep_of(folder, **changes, latency={"length": [16], "new_tokens": room - 15})


def test_objectives(folder: Path) -> None:
    shapes = {"batch": [1, 4], "length": [8, 16], "first_rounds": 20, "max_rounds": 20}
    sweep = sweep_of(folder, latency=shapes, objectives=["quality:pairs.macro_f1", "latency:4x16", "size"])
    assert [(o.metric, o.scope) for o in sweep.objectives] == [
        ("macro_f1", "pairs"),
        ("latency_ratio", "batch 4 x 16 tokens"),
        ("size", ""),
    ]
    assert sweep.objectives[0].title == "macro F1, pairs"
    assert sweep.shapes() == ((1, 8), (1, 16), (4, 8), (4, 16))
    memory = sweep_of(folder, latency=shapes, objectives=["memory", "parameters"]).objectives
    assert [(o.metric, o.scope) for o in memory] == [("host_peak", "batch 4 x 16 tokens"), ("parameters", "")]
    default = sweep_of(folder).objectives
    assert [(o.metric, o.scope) for o in default] == [("accuracy", "pairs"), ("latency_ratio", "batch 1 x 16 tokens")]


TWO_TASKS = {"a": {"data": "test", "max_length": 32}, "b": {"data": "train", "max_length": 32}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"objectives": ["speed"]}, "no objective called 'speed'"),
    ({"objectives": ["size", "size"]}, "names one axis twice"),
    ({"objectives": []}, "at least 1 item"),
    ({"objectives": ["size", "memory", "quality", "latency"]}, "at most 3 items"),
    ({"objectives": ["quality:pairs.rouge"]}, "no quality called 'pairs.rouge'.*pairs.accuracy, pairs.macro_f1"),
    ({"objectives": ["per_token"]}, "objectives names per_token, a time of writing, but latency.new_tokens is not set"),
    ({"latency": {"new_tokens": 8}}, "latency.new_tokens is 8, but the model 'tiny' is .* which does not write"),
    (
        {"limits": {"seconds": 1}, "latency": {"length": [16]}},
        r"limits.seconds is 1, .* needs at least 8 s .40 rounds",
    ),
    ({"latency": {"leases": 0}}, "objectives names latency, but latency.leases is 0"),
    ({"memory": {"repeats": 0}, "objectives": ["memory"]}, "objectives names memory, but memory.repeats is 0"),
    ({"quality": "accuracy"}, "no quality called 'accuracy'.*Did you mean 'pairs.accuracy'"),
    ({"objectives": ["latency:2x16"]}, "no measured shape called '2x16'.*Known: 1x16"),
    ({"latency": {"length": [8, 16]}}, "several shapes: name one .* of 1x8, 1x16"),
    ({"tasks": TWO_TASKS}, "several tasks: set quality to one of a.accuracy, a.macro_f1, b.accuracy.*recovery"),
    ({"bases": {}}, "at least 1 item"),
    ({"tasks": {}}, "at least 1 item"),
    ({"tasks": {"pairs": {"data": "test", "max_length": 65}}}, "max_length is 65 but the model 'tiny' has 64"),
    ({"recipes": [[{"layer_copy": {"decoder": 2}, "cast": {}}]]}, "A step is a name or a mapping of one name"),
    ({"recipes": [[{"layer_copy": 2}]]}, r"settings of step 'layer_copy' are 2; give a mapping"),
    ({"recipes": [[{"finetune": {"data": "tran"}}]]}, "no data set in this sweep called 'tran'. Did you mean 'train'"),
    ({"recipes": [[{"finetune": {"data": "train", "new_head": ["yes", "no"]}}]]}, "label 'contradiction'.*fine-tuned"),
    (
        {"recipes": [[{"checkpoint": {"id": "nowhere"}}]]},
        "asks for the model 'nowhere', which is neither a folder here nor a hub id",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=[s[:40] for _, s in REFUSED])
def test_what_is_refused(changes: dict[str, Any], sentence: str, folder: Path) -> None:
    with pytest.raises(BadInput, match=sentence):
        sweep_of(folder, **changes)


def test_a_recipe_that_loses_what_the_task_needs_is_refused(folder: Path) -> None:
    """A checkpoint must accept the base's tasks and shapes: said when the sweep is read, not after hours."""
    other = tiny.bert()
    other.config.id2label = {0: "positive", 1: "negative", 2: "mixed"}
    tiny.saved(other, folder / "sentiment")
    with pytest.raises(
        BadInput, match=r"label 'contradiction', which the model 'tiny: checkpoint sentiment'.*positive"
    ):
        sweep_of(folder, recipes=[[{"checkpoint": {"id": "sentiment"}}]])
    ours = sweep_of(folder, recipes=[[{"checkpoint": {"id": ["bert", "model"]}}]])
    assert [r.variant_name for r in ours.recipes[1:]] == ["tiny: checkpoint bert", "tiny: checkpoint model"]


def test_what_every_machine_must_see(folder: Path) -> None:
    """Models and data of this machine, by absolute paths; what ships or comes from the hub is found anywhere."""
    found = sweep_of(folder).paths()
    assert found
    assert all(Path(path).is_absolute() and Path(path).exists() for path in found)
    assert {Path(path).parent for path in found} == {folder}


def test_shipped_sweeps_can_be_planned() -> None:
    """Every file that ships parses; those whose models ship resolve too."""
    from bench.sweep_file import SHIPPED, read_sweep

    files = sorted(SHIPPED.glob("*.yaml"))
    assert files
    for path in files:
        assert read_sweep(path).name == path.stem
