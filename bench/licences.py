"""Under which licences what a variant was made of came, as they were stated: never a guess.

They are read when a sweep is declared, and stand in its declaration: they outlive the folders that said them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from bench.data import ZOO, DataSpec
from bench.recipe import OWN_BASE, Base, Recipe

SWEEP_FILE = "sweep file"
LONGEST = 200  # characters of a licence's name
Stated = dict[str, str | None]  # part, name, licence, said_by; the last two None where nothing is stated


def of_recipe(recipe: Recipe, data: Mapping[str, DataSpec]) -> list[Stated]:
    """Everything that went into a variant: its base, checkpoints, teachers and the data it was trained on.

    What is said in two places that differ is listed twice.
    """
    found: dict[str, Stated] = {}
    for each in _parts(recipe, data):
        found.setdefault(json.dumps(each, sort_keys=True), each)
    return list(found.values())


def of_data(part: str, name: str, spec: DataSpec) -> list[Stated]:
    """The licence of a data set, called by its name in the sweep and where it is from, without folders."""
    card = card_of_zoo() if spec.source.startswith(ZOO) else None
    source = spec.source if "://" in spec.source else Path(spec.source).name
    return _said(part, f"{name} ({source})", spec.licence, card)


def _parts(recipe: Recipe, data: Mapping[str, DataSpec]) -> Iterator[Stated]:
    yield from _of_model("base model", recipe.base)
    for stage in recipe.stages:
        step = stage.step
        if step.name == "checkpoint":
            yield from _of_checkpoint(step)
        for name in step.data_names():
            if name in data:
                yield from of_data("training data", name, data[name])
        for name in step.teacher_names():
            if name != OWN_BASE:
                teacher = recipe.teacher(name)
                yield from _of_model("teacher", teacher.base)
                yield from (each for each in _parts(teacher, data) if each["part"] != "base model")


def _of_model(part: str, base: Base) -> list[Stated]:
    card = card_of_zoo() if base.model.startswith(ZOO) else card_of(Path(base.folder))
    return _said(part, base.model, base.licence, card)


def _of_checkpoint(step: Any) -> list[Stated]:
    name = f"{step.id}@{step.revision}" if step.revision else str(step.id)
    if step.missing:
        return _said("published model", name, None, None)
    return [{**each, "name": name} for each in _of_model("published model", step.resolved)]


def _said(part: str, name: str, stated: str | None, card: str | None) -> list[Stated]:
    both = {SWEEP_FILE: stated, "model card": card}
    found: list[Stated] = [
        {"part": part, "name": name, "licence": licence[:LONGEST], "said_by": by}
        for by, licence in both.items()
        if licence
    ]
    if len(found) == 2 and _plain(stated) == _plain(card):
        found = found[:1]
    return found or [{"part": part, "name": name, "licence": None, "said_by": None}]


def _plain(licence: str | None) -> str:
    return "".join(letter for letter in (licence or "").casefold() if letter.isalnum())


def card_of(folder: Path) -> str | None:
    """The licence that a model's folder states: in the YAML block of its README.md, or in its config.json."""
    return _of_card(folder / "README.md") or _of_config(folder / "config.json")


def card_of_zoo() -> str | None:
    """The licence of the shipped models and data, as their README states it."""
    return _of_card(Path(__file__).parent / "zoo" / "README.md")


def _of_card(path: Path) -> str | None:
    front = _text(path).split("---", 2)
    if front[0] or len(front) < 3:
        return None
    try:
        values = yaml.safe_load(front[1])
    except yaml.YAMLError:
        return None
    if not isinstance(values, dict):
        return None
    name = values.get("license_name") if values.get("license") in ("other", None) else values.get("license")
    return _words(name) or _words(values.get("license"))


def _of_config(path: Path) -> str | None:
    try:
        values = json.loads(_text(path))
    except ValueError:
        return None
    return _words(values.get("license")) if isinstance(values, dict) else None


def _text(path: Path) -> str:
    """A small file's text, nothing where it cannot be read. Read once while it stays the same: sweeps are large."""
    try:
        return _text_of(path, path.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError):
        return ""


@lru_cache(maxsize=64)
def _text_of(path: Path, changed: int) -> str:
    del changed  # part of the cache's key
    return path.read_text(encoding="utf-8")


def _words(value: Any) -> str | None:
    """A licence as text; several are joined. None for what names none."""
    if isinstance(value, list):
        value = ", ".join(str(each) for each in value if isinstance(each, str))
    return value.strip()[:LONGEST] or None if isinstance(value, str) else None
