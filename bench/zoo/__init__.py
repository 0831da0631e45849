"""The shipped entailment data and model, asked for by name: `zoo://entailment-bart`, `zoo://entailment/matched`.

Rows are written on demand from committed seeds; `digests.json` holds a digest of each data set, and a test compares.
Importing this module loads neither torch nor transformers.
"""

import hashlib
import json
from pathlib import Path
from typing import Final

from bench.errors import unknown
from bench.zoo.grammar import VERSION, Split, write_rows

FOLDER: Final = Path(__file__).parent

MODELS: Final[dict[str, Path]] = {"entailment-bart": FOLDER / "entailment-bart"}

DATA: Final[dict[str, Split]] = {
    "entailment/train": Split(side="train", seed=1, count=32_000),
    "entailment/validation": Split(side="validation", seed=2, count=2_000),
    "entailment/matched": Split(side="test", seed=3, count=2_048),
    "entailment/matched-20000": Split(side="test", seed=3, count=20_000),
    "entailment/mismatched": Split(side="test", seed=4, count=2_048, genres="mismatched", opener=0.6),
    "entailment/hard": Split(side="test", seed=5, count=2_048, paired=1.0, hard=True),
}


def model_folder(name: str) -> Path:
    """The folder of a shipped model, to load with `from_pretrained`. Raises BadInput with near names if unknown."""
    if name not in MODELS:
        raise unknown("shipped model", name, MODELS)
    return MODELS[name]


def split_of(name: str) -> Split:
    """How a data set is drawn. Raises BadInput with near names if unknown."""
    if name not in DATA:
        raise unknown("shipped data set", name, DATA)
    return DATA[name]


def rows(name: str) -> list[dict[str, str]]:
    """All rows of a data set, the same on every machine: id, premise, hypothesis, label, genre, template, kind.

    "entailment/matched" is the start of "entailment/matched-20000" (about 10 s to write on one core). Raises BadInput.
    """
    return list(write_rows(split_of(name)))


def data_version(name: str) -> str:
    """What identifies the content, at no cost: grammar version, name, seed and row count. Raises BadInput."""
    split = split_of(name)
    return f"grammar-{VERSION}/{name}/seed-{split.seed}/rows-{split.count}"


def digest(rows: list[dict[str, str]]) -> str:
    """SHA-256 over the first 2,048 rows as JSON lines: any change of the grammar shows there, and it is quick."""
    text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows[:2_048])
    return hashlib.sha256(text.encode()).hexdigest()
