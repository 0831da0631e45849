"""What leases and training seeds say of recipes: where their variance comes from, and how they compare over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import duckdb
import numpy as np
from scipy import stats

from bench.metrics import metric
from bench.statistics.intervals import Interval, mean_t
from bench.statistics.seeds import Components, compare_recipes, over_seeds, variance_of_scores, variance_of_timings
from bench.store import timing
from bench.store.rows import RecipeRow
from bench.store.scored import Cache, Declaration, evaluations, outcomes_of

FloatArray = Any
MOST_COMPARED = 20  # recipes that are compared with each other, and not with the base alone
RATIO = "latency_ratio"
ByGroup = dict[str, dict[int, str]]  # recipe group -> seed -> artefact_id


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
        groups: ByGroup = {}
        for v in mine:
            if not v["is_base"] and v["seed"] is not None:
                groups.setdefault(v["group"], {})[v["seed"]] = artefacts[v["recipe_id"]]
        base_id = next((artefacts[v["recipe_id"]] for v in mine if v["is_base"]), None)
        yield from _timed(connection, sweep, base, groups, leases)
        if base_id is not None and any(len(seeds) > 1 for seeds in groups.values()):
            yield from _scored(connection, sweep, base, base_id, groups, cache)


def _timed(
    connection: duckdb.DuckDBPyConnection,
    sweep: Declaration,
    base: str,
    groups: ByGroup,
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
        logs: dict[str, dict[int, float]] = {}
        for group, seeds in groups.items():
            found = {seed: stated[a, scope] for seed, a in seeds.items() if (a, scope) in stated}
            if not any(len(each) > 1 for each in found.values()):
                continue
            means = {seed: float(np.mean([log for log, _ in each])) for seed, each in found.items()}
            parts = variance_of_timings(
                [[log for log, _ in each] for each in found.values()],
                [[own for _, own in each] for each in found.values()],
            )
            interval = mean_t(list(means.values())) if len(means) > 1 else None
            yield _row(sweep, base, group, (RATIO, scope), "", len(means), interval, parts, logged=True)
            if len(means) > 1:
                logs[group] = means
        for pair in _pairs(logs):
            interval = compare_recipes(logs[pair[0]], logs[pair[1]], _level(logs))
            seeds_of = len(logs[pair[0]])
            yield _row(sweep, base, pair[0], (RATIO, scope), pair[1], seeds_of, interval, None, logged=True)


def _scored(
    connection: duckdb.DuckDBPyConnection,
    sweep: Declaration,
    base: str,
    base_id: str,
    groups: ByGroup,
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
        scores: dict[str, dict[int, FloatArray]] = {}
        for group, seeds in groups.items():
            found = {seed: outcomes_of(connection, known, a, task, cache) for seed, a in seeds.items()}
            whole = {seed: each.columns[column] for seed, each in found.items() if each is not None}
            if len(whole) > 1:
                scores[group] = whole
        key = (wanted.paired, task["name"])
        for group, by_seed in scores.items():
            change = np.stack([by_seed[seed] for seed in sorted(by_seed)]) - reference.columns[column]
            yield _row(sweep, base, group, key, "", len(by_seed), over_seeds(change), variance_of_scores(change))
        for pair in _pairs(scores):
            interval = compare_recipes(scores[pair[0]], scores[pair[1]], _level(scores))
            yield _row(sweep, base, pair[0], key, pair[1], len(scores[pair[0]]), interval, None)


def _pairs(recipes: Mapping[str, Any]) -> list[tuple[str, str]]:
    return list(combinations(recipes, 2)) if len(recipes) <= MOST_COMPARED else []


def _level(recipes: Mapping[str, Any]) -> float:
    """Bonferroni's, so that all comparisons of recipes on one number hold together at 95%."""
    return 1 - 0.05 / max(1, len(_pairs(recipes)))


def _row(
    sweep: Declaration,
    base: str,
    group: str,
    key: tuple[str, str],
    other: str,
    seeds: int,
    interval: Interval | None,
    parts: Components | None,
    *,
    logged: bool = False,
) -> RecipeRow:
    def shown(end: str) -> float | None:
        value = None if interval is None else float(getattr(interval, end))
        return math.exp(value) if logged and value is not None else value

    return RecipeRow(
        sweep_id=sweep["sweep_id"],
        base=base,
        recipe_group=group,
        metric=key[0],
        scope=key[1],
        other=other,
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
