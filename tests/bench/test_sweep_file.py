"""The YAML itself: overrides, paths, and files that are not what they should be."""

from pathlib import Path

import pytest

from bench.errors import BadInput
from bench.sweep_file import SweepFile, find_sweep, read_sweep
from tests import tiny


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny.sweep_file(tmp_path)


def test_overrides(path: Path) -> None:
    overrides = [
        "name=other",
        "latency.length=[8, 16]",
        "latency.length.1=32",
        "limits.seconds=7.5",
        "recipes.1.0=cast",
    ]
    found = read_sweep(path, overrides)
    assert found.name == "other"
    assert found.latency.length == [8, 32]
    assert found.limits.seconds == 7.5
    assert found.recipes[1] == ["cast"]
    assert found.latency.burst_ms == 1  # what is not named stays
    assert read_sweep(path, ["seeds=[1,2]", "seeds=[3]"]).seeds == [3]  # the last one counts
    assert read_sweep(path, ["description=a=b"]).description == "a=b"
    assert read_sweep(path, ["quality=null"]).quality is None


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("latency.max_rounds", "not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("recipes.9=cast", "item '9' of a list with items 0 to 2"),
        ("recipes.first=cast", "item 'first' of a list"),
        ("name.x=1", "goes below 'name', which is a plain value"),
        ("latncy.length=[8]", "Unknown key 'latncy'.*Did you mean 'latency'"),
        ("latency.lenght=[8]", r"Unknown key 'latency\.lenght'.*Did you mean 'length'"),
        ("latency.length=[", "The override 'latency.length=\\[' is not valid YAML"),
        ("latency.max_rounds=many", "'latency.max_rounds' .* is 'many', but"),
        ("latency.max_rounds=-1", "'latency.max_rounds' .* is -1, but"),
        ("name=!!python/name:os.system", "YAML tag that is not allowed"),
        ("latency.batch=[0]", r"'latency.batch.0' .* is 0, but"),
        ("latency.half_width=-0.1", "'latency.half_width' .* is -0.1, but"),
        ("latency.new_tokens=4", "'latency.new_tokens' .* is 4, but"),
        ("latency.protocol=quick", "'latency.protocol' .* is 'quick', but"),
        ("device=gpu", "device is 'gpu', but a device is cpu, cuda or cuda:N"),
        ("latency={protocol: on_device, batch: [1, 2]}", r"on one core, but batch is \[1, 2\] and threads is 1"),
    ],
)
def test_wrong_overrides(override: str, sentence: str, path: Path) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_sweep(path, [override])


def test_on_device_is_a_cpu(path: Path) -> None:
    on_device = "latency={protocol: on_device, length: [16]}"
    assert read_sweep(path, [on_device]).latency.protocol == "on_device"
    with pytest.raises(BadInput, match="times one core, but device is 'cuda': set device to cpu"):
        read_sweep(path, [on_device, "device=cuda"])


def test_paths_in_the_file_are_relative_to_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    found = read_sweep(path)
    assert found.bases["tiny"].model == str(path.parent.resolve() / "model")
    assert found.data["train"].source == str(path.parent.resolve() / "train.jsonl")
    tiny.saved(tiny.bert(), path.parent / "bert")
    steps = [[{"checkpoint": {"id": ["bert", "org/name"]}}], [[None, {"checkpoint": {"id": "bert"}}]]]
    here = str(path.parent.resolve() / "bert")
    recipes = read_sweep(tiny.sweep_file(path.parent, recipes=steps)).recipes
    assert recipes[0] == [{"checkpoint": {"id": [here, "org/name"]}}]
    assert recipes[1] == [[None, {"checkpoint": {"id": here}}]]


def test_paths_on_the_command_line_are_relative_to_where_one_stands(
    path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    tiny.saved(tiny.bert(), here / "model")
    (here / "other").mkdir()
    monkeypatch.chdir(here)
    found = read_sweep(path, ["bases.tiny.model=model", "name=other", "description=model"])
    assert found.bases["tiny"].model == str(here.resolve() / "model")
    assert found.name == "other"  # a folder of that name is no reason to make a path of it
    assert found.description == "model"


def test_absolute_and_shipped_names_stay(path: Path) -> None:
    found = read_sweep(path, ["bases.tiny.model=zoo://entailment-bart", "data.test.source=/none/x.jsonl"])
    assert found.bases["tiny"].model == "zoo://entailment-bart"
    assert found.data["test"].source == "/none/x.jsonl"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds nothing, not a mapping"),
        ("- a\n- b\n", "holds list, not a mapping"),
        ("a: [1\nb: 2", "is not valid YAML at line 2"),
        ("name: x\nname: y\n", "at line 2: the key 'name' stands twice"),
        ("name: x\nlatency: {length: [8], length: [16]}\n", "the key 'length' stands twice"),
        ("name: 2024-13-45\n", "is not valid YAML: month must be in 1..12"),
        ("name: \x01\n", "is not valid YAML: special characters are not allowed"),
        ("[" * 2000, "is not valid YAML"),
        ("name: !!python/object/apply:os.system ['true']\n", "YAML tag that is not allowed"),
        ("name: x y\n", "lacks the key|'name' in the sweep"),
    ],
)
def test_files_that_are_no_sweeps(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=sentence) as caught:
        read_sweep(path)
    assert "\n" not in str(caught.value)


def test_merge_keys_still_work(path: Path) -> None:
    text = path.read_text(encoding="utf-8") + "\nlimits: &a {seconds: 5}\nmemory:\n  <<: {repeats: 2}\n"
    values = text.replace("memory:\n  repeats: 1\n", "")
    path.write_text(values, encoding="utf-8")
    found = read_sweep(path)
    assert found.memory.repeats == 2
    assert found.limits.seconds == 5


def test_names_of_sweeps(path: Path) -> None:
    assert find_sweep(str(path)) == path
    assert find_sweep("demo").name == "demo.yaml"
    with pytest.raises(BadInput, match=r"'dem'. Did you mean 'demo'"):
        find_sweep("dem")
    with pytest.raises(BadInput, match=r"sweep file 'no/such.yaml' does not exist: give a file, or one of .*demo"):
        find_sweep("no/such.yaml")


def test_every_number_has_bounds() -> None:
    """Nothing in the schema takes a negative number: found by asking the schema, so that a new setting is asked too."""
    schema = SweepFile.model_json_schema()
    loose = []
    for section in [schema, *schema["$defs"].values()]:
        for name, field in section["properties"].items():
            kinds = [field, field.get("items", {}), *field.get("anyOf", [])]
            numbers = [k for k in kinds if k.get("type") in ("integer", "number")]
            loose += [name for k in numbers if not {"minimum", "exclusiveMinimum"} & k.keys()]
    assert loose == []
