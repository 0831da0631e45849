"""Recipes over their seeds in a store: intervals, comparisons and where variance comes from, by hand and in words."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.record import Delivery, Finished, Value
from bench.statistics.intervals import mean_t
from bench.statistics.looks import look_level
from bench.statistics.resample import SHIFT
from bench.statistics.seeds import compare_recipes, over_seeds
from bench.store.journal import Entry
from bench.store.reader import Snapshot, open_snapshot
from bench.store.recipes import Shared
from bench.store.verify import verify
from cluster.shown import shown
from leaderboard.fronts import about_recipes, not_told_apart, whole_of
from leaderboard.rows import read_board
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, SCOPE, TUNE, VARIANTS, Variant

SEEDS = (0, 1, 2)
TIMES = {"few": ((0.50, 0.52), (0.55, 0.54), (0.51, 0.53)), "many": ((0.51, 0.52), (0.53, 0.55), (0.52, 0.52))}
TUNED = [
    Variant(f"{BASE}: {name} (seed {seed})", (TUNE,), 0.02, 0.01 * (seed + 1), seed=seed, group=name)
    for name in TIMES
    for seed in SEEDS
]
MINE = [VARIANTS[0], *TUNED, replace(VARIANTS[1], seed=None)]


def stated(delivery: Delivery) -> Delivery:
    """The same lease with ratios that are given, each with 2% to either side."""
    outcome, job = delivery.record.outcome, delivery.record.job
    if job["type"] != "LatencyJob" or not isinstance(outcome, Finished):
        return delivery
    values = [
        Value(
            artefact_id=v.artefact_id,
            metric="latency_ratio",
            scope=SCOPE,
            estimate=(ratio := TIMES[v.group][v.seed or 0][job["lease"]]),
            low=ratio / 1.02,
            high=ratio * 1.02,
            n=40,
            method="by hand",
        )
        for v in TUNED
        if v.artefact_id in job["artefact_ids"]
    ]
    record = delivery.record.model_copy(update={"outcome": outcome.model_copy(update={"values": tuple(values)})})
    return replace(delivery, record=record)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root: Path = tmp_path_factory.mktemp("recipes") / "store"
    with sample.writing(root) as writer:
        writer.append([sample.declaration(MINE), *(Entry.of(stated(d)) for d in sample.deliveries(MINE))])
        writer.report({})
    with open_snapshot(root) as found:
        yield found


def rows(snapshot: Snapshot, metric: str, *, pairs: bool = False) -> list[dict[str, Any]]:
    sign = "!=" if pairs else "="
    return snapshot.rows(f"select * from recipes where metric = ? and other {sign} '' order by name", [metric])


def test_of_timings_seeds_sessions_and_rounds_are_told_apart(snapshot: Snapshot) -> None:
    few, many = rows(snapshot, "latency_ratio")
    assert (few["name"], few["seeds"]) == (f"{BASE}: few", 3)
    logs = np.log(TIMES["few"])
    expected = mean_t(logs.mean(axis=1))
    own = (math.log(1.02) / float(stats.norm.isf((1 - look_level(looks=1)) / 2))) ** 2
    # The seeds shared both leases, and in each the base's luck: half of what a ratio deviates by.
    shared = (SHIFT**2 + own) / 2 / 2
    half = math.hypot(expected.high - expected.estimate, float(stats.t.isf(0.025, 2)) * math.sqrt(shared))
    shown = [few["estimate"], few["low"], few["high"]]
    ends = (expected.estimate, expected.estimate - half, expected.estimate + half)
    assert shown == pytest.approx([math.exp(end) for end in ends])
    between = logs.var(axis=1, ddof=1).mean()
    assert few["variance_rest"] == pytest.approx(own)
    assert few["variance_sessions"] == pytest.approx(max(0.0, between - own))
    assert few["variance_seeds"] == pytest.approx(logs.mean(axis=1).var(ddof=1) - between / 2)
    assert many["variance_seeds"] is not None
    (pair,) = rows(snapshot, "latency_ratio", pairs=True)
    mine, theirs = (dict(enumerate(np.log(TIMES[name]).mean(axis=1))) for name in ("few", "many"))
    assert math.log(pair["high"]) == pytest.approx(compare_recipes(mine, theirs).high)


def test_of_scores_seeds_and_examples_are_told_apart(snapshot: Snapshot) -> None:
    few, _ = rows(snapshot, "accuracy_difference")
    scores = np.stack([_right(variant) for variant in TUNED[:3]]) - _right(VARIANTS[0])
    expected = over_seeds(scores)
    assert [few["estimate"], few["low"], few["high"]] == pytest.approx([expected.estimate, expected.low, expected.high])
    assert few["variance_examples"] > few["variance_seeds"] >= 0
    assert few["variance_sessions"] is None


def _right(variant: Variant) -> Any:
    examples = sample.evaluation(variant).examples
    assert examples is not None
    return examples.score


def test_words_name_recipes_and_what_more_seeds_would_do(snapshot: Snapshot) -> None:
    whole = whole_of(snapshot, read_board(snapshot))
    said = about_recipes(whole.recipes)
    timed = next(s for s in said if s.startswith(f"{BASE}: few over 3 seeds (fewer than 5), latency"))
    assert "% seed to seed" in timed
    assert "% lease to lease" in timed
    assert any(f"{BASE}: few and {BASE}: many are not told apart over 3 seeds (fewer than 5) on" in s for s in said)
    assert all("seeds of each would" in s or "sensible would" in s for s in said if "not told apart" in s)
    assert len(whole.fronts) == 1
    enough = about_recipes([{**each, "seeds": 5} for each in whole.recipes])
    assert any(f"{BASE}: few over 5 seeds, latency" in s for s in enough)


def test_more_seeds_are_told_at_the_level_of_one_pair_of_many() -> None:
    """Ten pairs of five recipes: means of 3 seeds that deviate by 1, told apart once t(n - 1) / sqrt(n) is below 1."""
    reach = {n: float(stats.t.isf(0.05 / 10 / 2, n - 1)) / math.sqrt(n) for n in range(3, 50)}
    alike = {"base": BASE, "metric": "accuracy_difference", "scope": "a task", "seeds": 3, "estimate": 1.0}
    alike |= {"low": 1 - reach[3], "high": 1 + reach[3]}
    named = [{**alike, "recipe_group": str(i), "name": f"recipe {i}", "other": ""} for i in range(5)]
    said = not_told_apart([*named, *({**named[i], "other": str(j)} for i, j in combinations(range(5), 2))])
    enough = next(n for n, r in reach.items() if r < 1)
    assert len(said) == 10
    assert all(s.endswith(f"about {enough} seeds of each would.") for s in said)


def test_verify_recomputes_them(snapshot: Snapshot) -> None:
    found = verify(snapshot, snapshot.sweeps())
    by_name = {check.name: check for check in found.checks}
    assert {d.check for d in found.differences} == {"stated values", "artefacts"}  # given here, and none kept
    assert by_name["fronts"].compared == 1
    assert by_name["recipes"].compared == len(snapshot.rows("select * from recipes")) > 0


def test_show_carries_them_and_judges_anew_what_is_asked_otherwise(snapshot: Snapshot) -> None:
    declared, other = shown(snapshot, None), shown(snapshot, None, objectives="size,host_peak")
    few = shown(snapshot, None, where=["size <= 600MB"])
    fronts = [table.records["fronts"][0] for table in (declared, other, few)]
    assert (fronts[1]["size"], fronts[1]["knee"]) == (1, None)  # int8 is the smallest, and no larger in anything
    assert fronts[0]["size"] == 2
    assert fronts[2]["size"] <= 2  # the base and the one that is small
    assert any(note.startswith(f"Frontier of estimates: {fronts[0]['size']} variants") for note in declared.notes)
    assert {row["metric"] for row in declared.records["recipes"]} == {"latency_ratio", "accuracy_difference"}
    assert "flips gained, entailment" in declared.columns


def test_luck_that_seeds_share_does_not_pass_for_a_difference() -> None:
    """Simulated: seeds that are all alike, timed together in two leases, against the base and against others."""
    rng = np.random.default_rng(5)
    missed = np.zeros(3)
    for _ in range(2000):
        base = SHIFT / math.sqrt(2) * rng.standard_normal(4)
        own = SHIFT / math.sqrt(2) * rng.standard_normal((2, 5, 2))
        means = {name: (own[k] - base[2 * k : 2 * k + 2]).mean(axis=1) for k, name in enumerate("ab")}
        luck = {name: Shared({f"{name}{i}": 0.5 for i in range(2)}, SHIFT**2 / 2) for name in "ab"}
        beside = luck["a"].beside(None, mean_t(means["a"]), 5)
        plain = mean_t(means["a"])
        apart = compare_recipes(dict(enumerate(means["a"])), dict(enumerate(means["b"])))
        pair = luck["a"].beside(luck["b"], apart, 5)
        missed += [not (each.low <= 0 <= each.high) for each in (beside, pair, plain)]
    assert missed[0] / 2000 <= 0.05
    assert missed[1] / 2000 <= 0.05
    assert missed[2] / 2000 > 0.2  # as if each seed had had luck of its own
    same = luck["a"].beside(luck["a"], mean_t(means["a"]), 5)
    assert (same.low, same.high) == pytest.approx((mean_t(means["a"]).low, mean_t(means["a"]).high))


def test_a_lease_that_stalled_keeps_no_store_from_being_published(tmp_path: Path) -> None:
    """Its interval reaches below zero, where a ratio has no logarithm: what rounds add is then part of the leases."""

    def stalled(delivery: Delivery) -> Delivery:
        outcome = delivery.record.outcome
        if delivery.record.job["type"] != "LatencyJob" or not isinstance(outcome, Finished) or not outcome.values:
            return delivery
        values = (outcome.values[0].model_copy(update={"low": -0.02}), *outcome.values[1:])
        changed = {"outcome": outcome.model_copy(update={"values": values})}
        return replace(delivery, record=delivery.record.model_copy(update=changed))

    with sample.writing(tmp_path / "store") as writer:
        writer.append([sample.declaration(MINE), *(Entry.of(stalled(stated(d))) for d in sample.deliveries(MINE))])
        writer.report({})
    with open_snapshot(tmp_path / "store") as found:
        few, many = rows(found, "latency_ratio")
    assert few["variance_rest"] == 0.0 < few["variance_sessions"]
    assert many["variance_rest"] > 0
    assert few["low"] < few["estimate"] < few["high"]


def test_seeds_that_a_race_stopped_or_that_failed_leave_no_interval(tmp_path: Path) -> None:
    """Those that are left are the better ones."""
    gone = TUNED[1].artefact_id
    kept = [d for d in map(stated, sample.deliveries(MINE)) if d.record.job.get("artefact_id") != gone]
    with sample.writing(tmp_path / "store") as writer:
        writer.append([sample.declaration(MINE), *(Entry.of(d) for d in kept)])
        writer.report({})
    with open_snapshot(tmp_path / "store") as found:
        assert [row["name"] for row in rows(found, "accuracy_difference")] == [f"{BASE}: many"]
        assert len(rows(found, "latency_ratio")) == 2  # all of them were timed
