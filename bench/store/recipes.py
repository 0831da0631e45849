"""What leases and training seeds say of recipes: where their variance comes from, and how they compare over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import duckdb
import numpy as np
from scipy import stats

from bench.metrics import metric
from bench.statistics.intervals import Interval, mean_t
from bench.statistics.resample import SHIFT
from bench.statistics.seeds import (
    Components,
    compare_recipes,
    level_of_each,
    over_seeds,
    variance_of_scores,
    variance_of_timings,
)
from bench.store import quality, timing
from bench.store.rows import RecipeRow
from bench.store.scored import Cache, Declaration, evaluations, outcomes_of

BySeed = dict[int, Any]  # scores [n] of a recipe, or a single number, by seed
MOST_COMPARED = 20  # recipes that are compared with each other, and not with the base alone
RATIO = "latency_ratio"
LARGEST = 700.0  # logs of ratios that few seeds leave open: an interval may be wider than numbers go


class Recipe(NamedTuple):
    """A recipe of a sweep: (seed, artefact_id) of the variants that are built."""

    base: str
    group: str
    name: str
    artefacts: tuple[tuple[int, str], ...]
    seeds: int  # declared, whatever became of them


class Timed(NamedTuple):
    """A variant in a lease."""

    lease: str
    log: float  # of its ratio to the base
    own: float | None  # squared standard error of that within the lease; None where it cannot be told


class Shared(NamedTuple):
    """What seeds of a recipe have in common that were timed together: the base's luck in their leases."""

    weights: Mapping[str, float]  # of each lease in the recipe's mean, 1 in all
    variance: float  # of a lease: about half of what a ratio deviates by is the base's

    def beside(self, other: Shared | None, interval: Interval, seeds: int) -> Interval:
        """An interval over `seeds`, as if independent, widened by it; what both recipes share of it cancels."""
        theirs = other.weights if other else {}
        apart = sum((self.weights.get(k, 0.0) - theirs.get(k, 0.0)) ** 2 for k in {*self.weights, *theirs})
        luck = apart * max(self.variance, other.variance if other else 0.0)
        reach = float(stats.t.isf((1 - interval.level) / 2, seeds - 1)) * math.sqrt(luck)
        half = math.hypot((interval.high - interval.low) / 2, reach)
        return replace(interval, low=interval.estimate - half, high=interval.estimate + half)


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
        mine = [v for v in sweep["variants"] if v["base"] == base]
        recipes = _recipes(base, mine, artefacts)
        base_id = next((artefacts.get(v["recipe_id"]) for v in mine if v["is_base"]), None)
        yield from _timed(connection, sweep, recipes, leases)
        if base_id is not None and any(len(recipe.artefacts) > 1 for recipe in recipes):
            yield from _scored(connection, sweep, base_id, recipes, cache)


def _recipes(base: str, variants: Sequence[Mapping[str, Any]], artefacts: Mapping[str, str]) -> list[Recipe]:
    """Those with something built, each once; one that nothing random made has one seed, 0."""
    found: dict[str, dict[int, str]] = {}
    declared: dict[str, set[int]] = {}
    names: dict[str, str] = {}
    for v in variants:
        if not v["is_base"]:
            declared.setdefault(v["group"], set()).add(v["seed"] or 0)
            if v["recipe_id"] in artefacts:
                found.setdefault(v["group"], {})[v["seed"] or 0] = artefacts[v["recipe_id"]]
            plain = v["name"].replace(f" (seed {v['seed']})", "").replace(f", seed {v['seed']})", ")")
            names.setdefault(v["group"], plain)
    return [
        Recipe(base, group, names[group], tuple(seeds.items()), len(declared[group])) for group, seeds in found.items()
    ]


def _timed(
    connection: duckdb.DuckDBPyConnection,
    sweep: Declaration,
    recipes: Sequence[Recipe],
    leases: Sequence[timing.LeaseRecord],
) -> Iterator[RecipeRow]:
    """Of the latency relative to the base, on logs: seeds, sessions (leases) and rounds."""
    level = {record.identity: timing.level_of(record) for record in leases}
    stated: dict[tuple[str, str], list[Timed]] = {}
    for identity, artefact_id, scope, estimate, low, high in connection.execute(
        "select identity, artefact_id, scope, estimate, low, high from numbers where metric = ? "
        "and list_contains(?, identity) order by identity",
        [RATIO, list(level)],
    ).fetchall():
        reach = float(stats.norm.isf((1 - level[identity]) / 2))
        own = (math.log(high / low) / 2 / reach) ** 2 if low > 0 else None  # a stall in the middle of a lease
        stated.setdefault((artefact_id, scope), []).append(Timed(identity, math.log(estimate), own))
    for scope in dict.fromkeys(scope for _, scope in stated):
        logs: dict[Recipe, BySeed] = {}
        shared: dict[Recipe, Shared] = {}
        for recipe in recipes:
            found = {seed: stated[a, scope] for seed, a in recipe.artefacts if (a, scope) in stated}
            if not any(len(each) > 1 for each in found.values()):
                continue
            means = {seed: float(np.mean([one.log for one in each])) for seed, each in found.items()}
            errors = [[one.own for one in each if one.own is not None] for each in found.values()]
            whole = [len(some) for some in errors] == [len(each) for each in found.values()]
            logged = [[one.log for one in each] for each in found.values()]
            parts = variance_of_timings(logged, errors if whole else None)
            interval = None
            if 1 < len(means) == recipe.seeds:
                logs[recipe], shared[recipe] = means, _shared(list(found.values()), parts.rest if whole else 0.0)
                interval = shared[recipe].beside(None, mean_t(list(means.values())), len(means))
            yield _row(sweep, recipe, (RATIO, scope), None, len(means), interval, parts)
        for first, second in _pairs(logs):
            interval = compare_recipes(logs[first], logs[second], _level(logs))
            interval = shared[first].beside(shared[second], interval, min(len(logs[first]), len(logs[second])))
            yield _row(sweep, first, (RATIO, scope), second, len(logs[first]), interval, None)


def _shared(by_seed: Sequence[Sequence[Timed]], rounds: float) -> Shared:
    """`rounds`: squared standard error of a ratio within its lease."""
    weights: dict[str, float] = {}
    for each in by_seed:
        for one in each:
            weights[one.lease] = weights.get(one.lease, 0.0) + 1 / len(each) / len(by_seed)
    return Shared(weights, (SHIFT**2 + rounds) / 2)


def _scored(
    connection: duckdb.DuckDBPyConnection,
    sweep: Declaration,
    base_id: str,
    recipes: Sequence[Recipe],
    cache: Cache,
) -> Iterator[RecipeRow]:
    """Of each task's main score beside the base's: seeds and examples.

    A difference, or the logarithm of a ratio where scores are compared so; what is no mean over examples by its pseudo
    scores (`quality.pseudo_scores`).
    """
    known = evaluations(connection, sweep, base_id)
    for task in sweep["tasks"]:
        wanted = metric(task["metrics"][0])
        reference = outcomes_of(connection, known, base_id, task, cache)
        if not wanted.source or reference is None or reference.n < 2:
            continue
        beside = quality.pseudo_scores(reference, wanted)
        if not np.isfinite(beside).all():
            continue
        scores: dict[Recipe, BySeed] = {}
        for recipe in recipes:
            found = {seed: outcomes_of(connection, known, a, task, cache) for seed, a in recipe.artefacts}
            whole = {seed: quality.pseudo_scores(each, wanted) for seed, each in found.items() if each is not None}
            there = 1 < len(whole) == recipe.seeds  # those that a race stopped, or that failed, are not the best ones
            if there and all(np.isfinite(each).all() for each in whole.values()):
                scores[recipe] = whole
        key = (wanted.paired or f"{wanted.name}_difference", task["name"])
        for recipe, by_seed in scores.items():
            change = np.stack([by_seed[seed] for seed in sorted(by_seed)]) - beside
            yield _row(sweep, recipe, key, None, len(by_seed), over_seeds(change), variance_of_scores(change))
        for first, second in _pairs(scores):
            interval = compare_recipes(scores[first], scores[second], _level(scores))
            yield _row(sweep, first, key, second, len(scores[first]), interval, None)


def _pairs(recipes: Mapping[Recipe, Any]) -> list[tuple[Recipe, Recipe]]:
    return list(combinations(recipes, 2)) if len(recipes) <= MOST_COMPARED else []


def _level(recipes: Mapping[Recipe, Any]) -> float:
    """Bonferroni's, so that all comparisons of recipes on one number hold together at 95%."""
    return level_of_each(len(_pairs(recipes)))


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
        return math.exp(min(value, LARGEST)) if key[0].endswith("_ratio") and value is not None else value

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
        method=interval.method if interval else "one seed" if recipe.seeds == 1 else f"{seeds} of {recipe.seeds} seeds",
        variance_seeds=parts.seeds if parts else None,
        variance_examples=parts.examples if parts else None,
        variance_sessions=parts.sessions if parts else None,
        variance_rest=parts.rest if parts else None,
    )
