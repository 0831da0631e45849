"""Labelled text as a task or a training step needs it: rows of a file or of the shipped zoo, with named columns."""

import csv
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from bench.errors import BadInput, quoted
from bench.identity import digest, file_digest
from bench.settings import Settings, what_is_at

ZOO = "zoo://"
HUB = "hf://datasets/"
HUB_FILE = re.compile(r"^hf://datasets/([\w.-]+/[\w.-]+)@([0-9a-f]{40})/(.+)$")
FORMATS = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled input; `index` is its row in the file, by which outcomes of two variants are paired."""

    index: int
    text: str
    pair: str | None
    label: str  # empty where the data have none
    slice: str = ""  # the named part of the data that it belongs to
    choices: tuple[str, ...] = ()


class DataSpec(Settings):
    """Where labelled rows come from and which columns hold what."""

    source: str = Field(
        description="a .jsonl, .csv or .parquet file, zoo://NAME, or hf://datasets/ORG/NAME@COMMIT/FILE on the hub"
    )
    text: str = Field(default="text", description="column of the (first) text")
    pair: str | None = Field(default=None, description="column of the second text, if the input is a pair")
    label: str | None = Field(default="label", description="column of the label or reference; null: text alone")
    slice: str | None = Field(default=None, description="column that names parts of the data, reported apart")
    choices: str | None = Field(default=None, description="column with the list of endings to choose from")
    labels: dict[str, str] = Field(default_factory=dict, description="label in the data -> label of the model")
    offset: int = Field(default=0, ge=0, lt=2**63, description="leave out the first so many rows")
    limit: int | None = Field(default=None, gt=0, lt=2**63, description="use at most so many rows")
    licence: str | None = Field(default=None, description="licence of the data, shown beside every number from it")
    pinned: str | None = Field(default=None, description="data_id that the rows must have, or they are not used")

    @property
    def data_id(self) -> str:
        """SHA-256 that names the rows: the file's bytes (or the zoo's version), the columns, labels and limit."""
        if self.source.startswith(ZOO):
            from bench import zoo

            content = zoo.data_version(self.source.removeprefix(ZOO))
        elif self.source.startswith(HUB):
            content = "/".join(_hub_file(self.source))  # a commit names its bytes
        else:
            content = self._file_digest()
        columns: dict[str, Any] = {"text": self.text, "pair": self.pair, "label": self.label}
        columns |= {k: v for k in ("slice", "choices") if (v := getattr(self, k)) is not None}
        columns |= {"offset": self.offset} if self.offset else {}
        return digest({"content": content, "columns": columns, "labels": self.labels, "limit": self.limit})

    def _file_digest(self) -> str:
        try:
            return file_digest(self._path())
        except OSError as error:
            raise BadInput(
                f"The data file {self.source!r} cannot be read ({error.strerror}): give one that can."
            ) from error

    def _path(self) -> Path:
        path = _downloaded(self.source) if self.source.startswith(HUB) else Path(self.source)
        if what_is_at(path) != "file":
            raise BadInput(
                f"The data file {quoted(self.source)} does not exist: give the path of a {', '.join(FORMATS)} file."
            )
        if path.suffix not in FORMATS:
            raise BadInput(f"The data file {self.source!r} ends in {path.suffix!r}; readable are {', '.join(FORMATS)}.")
        return path

    def checked(self) -> "DataSpec":
        """This, after a look at the first row. Raises BadInput as `examples` does."""
        self._check_pin()
        self.model_copy(update={"limit": 1, "pinned": None}).examples()
        return self

    def examples(self) -> list[Example]:
        """All rows, in file order. Raises BadInput for a missing column, an empty file, an empty cell or other data."""
        self._check_pin()
        wanted = [c for c in (self.text, self.pair, self.label, self.slice, self.choices) if c is not None]
        found: list[Example] = []
        stop = None if self.limit is None else self.offset + self.limit
        for index, row in islice(enumerate(self._rows()), self.offset, stop):
            missing = [c for c in wanted if row.get(c) is None]
            if missing:
                raise BadInput(
                    f"Row {index + 1} of {self.source!r} has no value in column {missing[0]!r}; its columns are "
                    f"{', '.join(map(str, row)) or 'none'}: name the columns with text, pair and label."
                )
            found.append(self._example(index, row))
        if not found:
            after = f" after the first {self.offset}" if self.offset else ""
            raise BadInput(f"The data {self.source!r} has no rows{after}: give a file with at least one example.")
        return found

    def _example(self, index: int, row: dict[str, Any]) -> Example:
        label = "" if self.label is None else str(row[self.label])
        choices = () if self.choices is None else row[self.choices]
        if not isinstance(choices, list | tuple):
            raise BadInput(
                f"Row {index + 1} of {self.source!r} holds {type(choices).__name__} in column {self.choices!r}, not a "
                "list of endings: give a list of strings."
            )
        return Example(
            index,
            str(row[self.text]),
            None if self.pair is None else str(row[self.pair]),
            self.labels.get(label, label),
            "" if self.slice is None else str(row[self.slice]),
            tuple(str(choice) for choice in choices),
        )

    def _check_pin(self) -> None:
        if self.pinned is not None and self.pinned != self.data_id:
            raise BadInput(
                f"The data {self.source!r} is not what it was ({self.data_id[:10]}, not {self.pinned[:10]}): "
                "run the sweep again to use it as it is now."
            )

    def _rows(self) -> Iterator[dict[str, Any]]:
        if self.source.startswith(ZOO):
            from bench import zoo

            yield from zoo.write(self.source.removeprefix(ZOO))
            return
        path = self._path()
        try:
            yield from {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}[path.suffix](path)
        except (ValueError, OSError, csv.Error) as error:
            raise BadInput(f"The data file {self.source!r} cannot be read as {path.suffix}: {error}.") from error


def _hub_file(source: str) -> tuple[str, str, str]:
    """Repository, commit and file of a data set on the hub. Raises BadInput where the commit is not given in full."""
    match = HUB_FILE.match(source)
    if match is None:
        raise BadInput(
            f"The data {source!r} is on the hub but not of the form {HUB}ORG/NAME@COMMIT/FILE with all 40 digits of "
            "the commit: pin it, so that it stays the same data."
        )
    return match[1], match[2], match[3]


def _downloaded(source: str) -> Path:
    """The file in the hub's cache. Raises BadInput where the hub cannot be reached or lacks it."""
    repository, commit, name = _hub_file(source)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, name, repo_type="dataset", revision=commit))
    except Exception as error:
        raise BadInput(
            f"The data {source!r} cannot be had from the hub ({type(error).__name__}): check the name and the network, "
            "or give a local file."
        ) from error


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not a JSON object")
            yield row


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, strict=True)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    for batch in pq.ParquetFile(path).iter_batches(batch_size=4096):
        yield from batch.to_pylist()
