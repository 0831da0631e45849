"""What leases and training seeds say of recipes: where their variance comes from, and how they compare over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import duckdb
import numpy as np
from scipy import stats

from bench.metrics import metric
from bench.statistics.intervals import Interval, mean_t
from bench.statistics.seeds import Components, compare_recipes, over_seeds, variance_of_scores, variance_of_timings
from bench.store import timing
from bench.store.rows import RecipeRow
from bench.store.scored import Cache, Declaration, evaluations, outcomes_of

BySeed = dict[int, Any]  # scores [n] of a recipe, or a single number, by seed
MOST_COMPARED = 20  # recipes that are compared with each other, and not with the base alone
RATIO = "latency_ratio"


class Recipe(NamedTuple):
    """A recipe of a sweep: (seed, artefact_id) of the variants that are built."""

    base: str
    group: str
    name: str
    artefacts: tuple[tuple[int, str], ...]


def recipe_rows(
    connection: duckdb.DuckDBPyConnection,
    sweep: Declaration,
    artefacts: Mapping[str, str],
    leases: Sequence[timing.LeaseRecord],
    cache: Cache,
) -> Iterator[RecipeRow]:
    """Rows of every base's recipes: of latency from two leases on, of scores from two seeds on.

    Args:
        connection: the query form of the journal.
        sweep: the declaration's body.
        artefacts: recipe_id -> artefact_id.
        leases: the finished ones that count for the sweep.
        cache: outcomes of earlier calls; filled here.
    """
    for base in dict.fromkeys(v["base"] for v in sweep["variants"]):
        mine = [v for v in sweep["variants"] if v["base"] == base and v["recipe_id"] in artefacts]
        recipes = _recipes(base, mine, artefacts)
        base_id = next((artefacts[v["recipe_id"]] for v in mine if v["is_base"]), None)
        yield from _timed(connection, sweep, recipes, leases)
        if base_id is not None and any(len(recipe.artefacts) > 1 for recipe in recipes):
            yield from _scored(connection, sweep, base_id, recipes, cache)


def _recipes(base: str, variants: Sequence[Mapping[str, Any]], artefacts: Mapping[str, str]) -> list[Recipe]:
    """Those of the variants, each once; one that nothing random made has one seed, 0."""
    found: dict[str, dict[int, str]] = {}
    names: dict[str, str] = {}
    for v in variants:
        if not v["is_base"]:
            found.setdefault(v["group"], {})[v["seed"] or 0] = artefacts[v["recipe_id"]]
            plain = v["name"].replace(f" (seed {v['seed']})", "").replace(f", seed {v['seed']})", ")")
            names.setdefault(v["group"], plain)
    return [Recipe(base, group, names[group], tuple(seeds.items())) for group, seeds in found.items()]


def _timed(
    connection: duckdb.DuckDBPyConnection,
    sweep: Declaration,
    recipes: Sequence[Recipe],
    leases: Sequence[timing.LeaseRecord],
) -> Iterator[RecipeRow]:
    """Of the latency relative to the base, on logs: seeds, sessions (leases) and rounds."""
    level = {record.identity: timing.level_of(record) for record in leases}
    stated: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for identity, artefact_id, scope, estimate, low, high in connection.execute(
        "select identity, artefact_id, scope, estimate, low, high from numbers where metric = ? "
        "and list_contains(?, identity) order by identity",
        [RATIO, list(level)],
    ).fetchall():
        reach = float(stats.norm.isf((1 - level[identity]) / 2))
        own = (math.log(high / low) / 2 / reach) ** 2 if low > 0 else math.inf
        stated.setdefault((artefact_id, scope), []).append((math.log(estimate), own))
    for scope in dict.fromkeys(scope for _, scope in stated):
        logs: dict[Recipe, BySeed] = {}
        for recipe in recipes:
            found = {seed: stated[a, scope] for seed, a in recipe.artefacts if (a, scope) in stated}
            if not any(len(each) > 1 for each in found.values()):
                continue
            means = {seed: float(np.mean([log for log, _ in each])) for seed, each in found.items()}
            parts = variance_of_timings(
                [[log for log, _ in each] for each in found.values()],
                [[own for _, own in each] for each in found.values()],
            )
            interval = mean_t(list(means.values())) if len(means) > 1 else None
            yield _row(sweep, recipe, (RATIO, scope), None, len(means), interval, parts)
            if len(means) > 1:
                logs[recipe] = means
        for first, second in _pairs(logs):
            interval = compare_recipes(logs[first], logs[second], _level(logs))
            yield _row(sweep, first, (RATIO, scope), second, len(logs[first]), interval, None)


def _scored(
    connection: duckdb.DuckDBPyConnection,
    sweep: Declaration,
    base_id: str,
    recipes: Sequence[Recipe],
    cache: Cache,
) -> Iterator[RecipeRow]:
    """Of each task's main score minus the base's, where it is a mean over examples: seeds and examples."""
    known = evaluations(connection, sweep, base_id)
    for task in sweep["tasks"]:
        wanted = metric(task["metrics"][0])
        if wanted.source[:1] not in (("share",), ("mean",)):
            continue
        column = wanted.source[1]
        reference = outcomes_of(connection, known, base_id, task, cache)
        if reference is None or reference.n < 2:
            continue
        scores: dict[Recipe, BySeed] = {}
        for recipe in recipes:
            found = {seed: outcomes_of(connection, known, a, task, cache) for seed, a in recipe.artefacts}
            whole = {seed: each.columns[column] for seed, each in found.items() if each is not None}
            if len(whole) > 1:
                scores[recipe] = whole
        key = (wanted.paired, task["name"])
        for recipe, by_seed in scores.items():
            change = np.stack([by_seed[seed] for seed in sorted(by_seed)]) - reference.columns[column]
            yield _row(sweep, recipe, key, None, len(by_seed), over_seeds(change), variance_of_scores(change))
        for first, second in _pairs(scores):
            interval = compare_recipes(scores[first], scores[second], _level(scores))
            yield _row(sweep, first, key, second, len(scores[first]), interval, None)


def _pairs(recipes: Mapping[Recipe, Any]) -> list[tuple[Recipe, Recipe]]:
    return list(combinations(recipes, 2)) if len(recipes) <= MOST_COMPARED else []


def _level(recipes: Mapping[Recipe, Any]) -> float:
    """Bonferroni's, so that all comparisons of recipes on one number hold together at 95%."""
    return 1 - 0.05 / max(1, len(_pairs(recipes)))


def _row(
    sweep: Declaration,
    recipe: Recipe,
    key: tuple[str, str],
    other: Recipe | None,
    seeds: int,
    interval: Interval | None,
    parts: Components | None,
) -> RecipeRow:
    """A ratio's interval comes on logs, and is stored as a ratio's."""

    def shown(end: str) -> float | None:
        value = None if interval is None else float(getattr(interval, end))
        return math.exp(value) if key[0] == RATIO and value is not None else value

    return RecipeRow(
        sweep_id=sweep["sweep_id"],
        base=recipe.base,
        recipe_group=recipe.group,
        name=recipe.name,
        metric=key[0],
        scope=key[1],
        other=other.group if other else "",
        seeds=seeds,
        estimate=shown("estimate"),
        low=shown("low"),
        high=shown("high"),
        method="one seed" if interval is None else interval.method,
        variance_seeds=parts.seeds if parts else None,
        variance_examples=parts.examples if parts else None,
        variance_sessions=parts.sessions if parts else None,
        variance_rest=parts.rest if parts else None,
    )
