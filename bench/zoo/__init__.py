"""The shipped data and models, asked for by name: `zoo://entailment-bart`, `zoo://entailment/matched`.

Rows are written on demand from committed seeds; `digests.json` holds a digest of each data set, and a test compares.
Importing this module loads neither torch nor transformers.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.errors import unknown
from bench.zoo import grammar, heuristics, news, stories
from bench.zoo.grammar import Split, write_rows

FOLDER: Final = Path(__file__).parent

MODELS: Final[dict[str, Path]] = {
    name: FOLDER / name
    for name in (
        "entailment-bart",
        "bert",
        "bert-facts",
        "bert-tiny",
        "bert-mini",
        "bert-small",
        "bert-medium",
        "stories-mistral",
        "summaries-bart",
    )
}

DATA: Final[dict[str, Split]] = {
    "entailment/train": Split(side="train", seed=1, count=32_000),
    "entailment/validation": Split(side="validation", seed=2, count=2_000),
    "entailment/matched": Split(side="test", seed=3, count=2_048),
    "entailment/matched-20000": Split(side="test", seed=3, count=20_000),
    "entailment/mismatched": Split(side="test", seed=4, count=2_048, genres="mismatched", opener=0.6),
    "entailment/hard": Split(side="test", seed=5, count=2_048, paired=1.0, hard=True),
}

# One fact a premise, or two that have nothing to do with each other: what a small encoder learns well. Pairs to distil
# on and text to pre-train on have labels too, which nobody needs to look at.
FACTS: Final[dict[str, Split]] = {
    "facts/train": Split(side="train", seed=21, count=64_000, small=1.0, paired=0.25),
    "facts/validation": Split(side="validation", seed=22, count=2_000, small=1.0, paired=0.25),
    "facts/test": Split(side="test", seed=23, count=4_096, small=1.0, paired=0.25),
    "facts/transfer": Split(side="train", seed=24, count=32_000, small=1.0, paired=0.25),
    "text/train": Split(side="train", seed=25, count=60_000, small=0.9, paired=0.4),
    "text/validation": Split(side="validation", seed=26, count=2_000, small=0.9, paired=0.4),
}


def model_folder(name: str) -> Path:
    """The folder of a shipped model, to load with `from_pretrained`. Raises BadInput with near names if unknown."""
    if name not in MODELS:
        raise unknown("shipped model", name, MODELS)
    return MODELS[name]


@dataclass(frozen=True, slots=True)
class Family:
    """Data sets with one writer: how each is drawn (an object with `seed` and `count`), and what writes its rows."""

    version: str
    sets: Mapping[str, Any]
    write: Callable[[Any], Iterator[dict[str, Any]]]


FAMILIES: Final = (
    Family(f"grammar-{grammar.VERSION}", DATA, write_rows),
    Family(f"grammar-{grammar.VERSION}", FACTS, write_rows),
    Family(f"stories-{stories.VERSION}", stories.DATA, stories.write_stories),
    Family(f"news-{news.VERSION}", news.DATA, news.write_news),
    Family(f"heuristics-{heuristics.VERSION}", heuristics.DATA, heuristics.write_heuristics),
)


def _family(name: str) -> Family:
    """The family of a data set. Raises BadInput with near names if unknown."""
    for family in FAMILIES:
        if name in family.sets:
            return family
    raise unknown("shipped data set", name, [name for family in FAMILIES for name in family.sets])


def write(name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a data set, the same on every machine. Raises BadInput with near names if unknown.

    "entailment/matched" is the start of "entailment/matched-20000" (about 10 s to write on one core).
    """
    family = _family(name)
    return family.write(family.sets[name])


def rows(name: str) -> list[dict[str, Any]]:
    """All rows of a data set, as `write` yields them."""
    return list(write(name))


def data_version(name: str) -> str:
    """What identifies the content, at no cost: grammar version, name, seed and row count. Raises BadInput."""
    family = _family(name)
    split = family.sets[name]
    return f"{family.version}/{name}/seed-{split.seed}/rows-{split.count}"


def digest(rows: list[dict[str, Any]]) -> str:
    """SHA-256 over the first 2,048 rows as JSON lines: any change of the grammar shows there, and it is quick."""
    text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows[:2_048])
    return hashlib.sha256(text.encode()).hexdigest()
