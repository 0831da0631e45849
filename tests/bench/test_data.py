"""Labelled text from files: every format gives the same rows, and whatever is wrong with a file is one sentence."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from bench.data import DataSpec, Example
from bench.errors import BadInput

ROWS = [
    {"premise": "a b", "hypothesis": 'c, "d"', "label": "yes"},
    {"premise": "é\u2028x", "hypothesis": "<b>", "label": "no"},
    {"premise": "last", "hypothesis": "0", "label": "1"},
]
PAIR: dict[str, Any] = {"text": "premise", "pair": "hypothesis"}


def write(path: Path) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n", encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_formats(suffix: str, tmp_path: Path) -> None:
    spec = DataSpec(source=str(write(tmp_path / f"x{suffix}")), labels={"1": "maybe"}, **PAIR)
    assert spec.examples() == [
        Example(0, "a b", 'c, "d"', "yes"),
        Example(1, "é\u2028x", "<b>", "no"),
        Example(2, "last", "0", "maybe"),
    ]
    assert [e.index for e in spec.model_copy(update={"limit": 2}).examples()] == [0, 1]
    single = spec.model_copy(update={"pair": None}).examples()
    assert [e.pair for e in single] == [None] * 3


@pytest.mark.parametrize(
    ("name", "content", "changes", "sentence"),
    [
        ("gone.jsonl", None, {}, r"data file '.*gone.jsonl' does not exist: give the path of a .jsonl, .csv, .parquet"),
        ("x.txt", "a", {}, r"ends in '.txt'; readable are .jsonl, .csv, .parquet"),
        ("x.jsonl", "", {}, r"has no rows"),
        ("x.csv", "text,label\n", {}, r"has no rows"),
        ("x.jsonl", '{"text": "a"}', {}, r"Row 1 of '.*x.jsonl' has no value in column 'label'; its columns are text"),
        ("x.csv", "text,tag\na,b\n", {}, r"no value in column 'label'; its columns are text, tag: name the columns"),
        ("x.jsonl", '{"text": "a", "label": "b"}\n{"text": null, "label": "b"}', {}, r"Row 2 .* column 'text'"),
        ("x.csv", "text,label\na\n", {}, r"Row 1 .* no value in column 'label'"),
        ("x.jsonl", '{"text": "a", "label": "b"}', {"pair": "second"}, r"no value in column 'second'"),
        ("x.jsonl", '{"text": "a", "label"', {}, r"cannot be read as .jsonl: .*"),
        ("x.jsonl", '["a", "b"]', {}, r"cannot be read as .jsonl: line 1 is not a JSON object"),
        ("x.csv", 'text,label\n"a"b,c\n', {}, r"cannot be read as .csv"),
        ("x.parquet", "no parquet", {}, r"cannot be read as .parquet"),
        ("x.jsonl", b"\xff\xfe\x00", {}, r"cannot be read as .jsonl"),
    ],
)
def test_what_is_wrong_with_a_file(
    name: str, content: str | bytes | None, changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=sentence):
        DataSpec(source=str(path), **changes).examples()


LINES = "".join(f'{{"text": "t{i}", "label": "l", "kind": "k{i % 2}", "ends": ["a", "b"]}}\n' for i in range(5))


def test_text_alone_parts_and_choices(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(LINES, encoding="utf-8")
    spec = DataSpec(source=str(path), label=None, slice="kind", choices="ends")
    assert [(e.index, e.text, e.label, e.slice, e.choices) for e in spec.examples()[:2]] == [
        (0, "t0", "", "k0", ("a", "b")),
        (1, "t1", "", "k1", ("a", "b")),
    ]
    with pytest.raises(BadInput, match="holds str in column 'text', not a list of endings"):
        DataSpec(source=str(path), choices="text").examples()


def test_a_stretch_of_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(LINES, encoding="utf-8")
    found = DataSpec(source=str(path), offset=2, limit=2).examples()
    assert [(e.index, e.text) for e in found] == [(2, "t2"), (3, "t3")]
    ids = {DataSpec(source=str(path), offset=offset).data_id for offset in range(3)}
    assert len(ids) == 3
    with pytest.raises(BadInput, match="has no rows after the first 5"):
        DataSpec(source=str(path), offset=5).examples()


def test_shipped_data() -> None:
    spec = DataSpec(source="zoo://entailment/validation", text="premise", pair="hypothesis", limit=5)
    found = spec.examples()
    assert len(found) == 5
    assert {e.label for e in found} <= {"entailment", "neutral", "contradiction"}
    assert found == spec.model_copy(update={"limit": 9}).examples()[:5]
    assert spec.checked() is spec
    with pytest.raises(BadInput, match="entailment/validatoin"):
        DataSpec(source="zoo://entailment/validatoin").examples()
    with pytest.raises(BadInput, match="no value in column 'text'"):
        DataSpec(source="zoo://entailment/validation").checked()


def test_data_on_the_hub_are_named_by_their_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = "0123456789" * 4
    spec = DataSpec(source=f"hf://datasets/some/set@{commit}/part/x.jsonl", label=None)
    other = DataSpec(source=f"hf://datasets/some/set@{commit[::-1]}/part/x.jsonl", label=None)
    assert spec.data_id != other.data_id  # without a look at the hub
    with pytest.raises(BadInput, match="all 40 digits"):
        DataSpec(source="hf://datasets/some/set@main/x.jsonl", label=None).examples()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="cannot be had from the hub"):
        spec.examples()
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\n', encoding="utf-8")
    asked: list[tuple[str, str, str]] = []

    def download(repository: str, name: str, *, repo_type: str, revision: str) -> str:
        asked.append((repository, name, revision))
        assert repo_type == "dataset"
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert [e.text for e in spec.examples()] == ["a"]
    assert asked == [("some/set", "part/x.jsonl", commit)]
