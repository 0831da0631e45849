"""Names by which people tell variants apart: two variants of a sweep never have the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.errors import unknown
from bench.recipe import Recipe


def names_of(recipes: Sequence[Recipe]) -> dict[str, str]:
    """A name for each recipe, by recipe_id: its steps in words and, where others read alike, what differs.

    "bart: fine-tuned" and "bart: fine-tuned" become "bart: fine-tuned (learning_rate 0.001)" and "... 0.0001)".
    """
    alike: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        alike.setdefault(recipe.variant_name, []).append(recipe)
    names: dict[str, str] = {}
    for name, group in alike.items():
        facts = [_facts(recipe) for recipe in group]
        differing = [key for key in dict.fromkeys(k for f in facts for k in f) if len({f.get(key) for f in facts}) > 1]
        for recipe, mine in zip(group, facts, strict=True):
            told = [f"{key.rpartition('.')[2]} {mine[key]}" for key in differing if mine.get(key) is not None]
            names[recipe.recipe_id] = f"{name} ({', '.join(told)})" if told else name
    return names


def find_named(recipes: Sequence[Recipe], wanted: Sequence[str], what: str) -> frozenset[str]:
    """recipe_ids of the variants of these names, with or without the base's before it. Raises BadInput."""
    names = names_of(recipes)
    found: set[str] = set()
    for name in wanted:
        mine = {r for r, full in names.items() if name in (full, full.partition(": ")[2])}
        if not mine:
            raise unknown(what, name, names.values())
        found |= mine
    return frozenset(found)


def _facts(recipe: Recipe) -> dict[str, str | None]:
    """Every setting of every step after the base, and the seed, as text."""
    found: dict[str, str | None] = {}
    for number, stage in enumerate(recipe.stages[recipe.prepared :]):
        found |= _flat(stage.step.model_dump(mode="json"), f"{number}.")
    found["seed"] = None if recipe.seed is None else str(recipe.seed)
    return found


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = None if value is None else _text(value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(_text(v) for v in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
