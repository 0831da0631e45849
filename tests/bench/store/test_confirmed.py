"""What held-back examples say: simultaneous, beside what was chosen by, apart from every verdict, and on record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.record import Delivery, Failed
from bench.statistics.intervals import Interval, mean_t, wilson
from bench.statistics.paired import difference
from bench.store import quality
from bench.store.confirmed import finding_of, optimism_of, with_pseudo_examples
from bench.store.journal import Entry
from bench.store.numbers import DRAWS, Number
from bench.store.openings import Opening, openings_in
from bench.store.reader import open_snapshot
from bench.store.verify import verify
from tests.bench.store import defended
from tests.bench.store.defended import HELD, MEASURED
from tests.leaderboard import sample
from tests.leaderboard.sample import TASK

BASE, INT8, TUNED = MEASURED
Row = dict[str, Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return defended.make_store(tmp_path_factory.mktemp("confirmed") / "store")


def confirmed(root: Path, opening: Opening | None = None) -> dict[tuple[str, str], Row]:
    """(variant, metric) -> row of an opening."""
    identity = (opening or defended.opening()).identity
    with open_snapshot(root) as snapshot:
        rows = snapshot.rows("select * from confirmations where opening = ?", [identity])
    names = {v.recipe_id: v.name for v in MEASURED}
    return {(names[row["recipe_id"]], row["metric"]): row for row in rows}


def scores(delivery: Delivery) -> np.ndarray[Any, np.dtype[np.float64]]:
    assert delivery.examples is not None
    return delivery.examples.score


def test_each_column_holds_for_the_whole_shortlist_at_once(store: Path) -> None:
    """Bonferroni: three models and two metrics make six scores, two variants with one comparison two differences."""
    rows = confirmed(store)
    metrics = {metric for _, metric in rows}
    assert metrics == {"accuracy", "macro_f1", "accuracy_difference", "recovery"}
    right, wrong = scores(defended.held_evaluation(INT8)), scores(defended.held_evaluation(BASE))
    row = rows[INT8.name, "accuracy"]
    expected = wilson(int(right.sum()), HELD, 1 - 0.05 / 6)
    assert (row["estimate"], row["low"], row["high"]) == (expected.estimate, expected.low, expected.high)
    assert row["level"] == pytest.approx(1 - 0.05 / 6)
    row = rows[INT8.name, "accuracy_difference"]
    expected = difference(right, wrong, 1 - 0.05 / 2)
    assert (row["estimate"], row["low"], row["high"]) == (expected.estimate, expected.low, expected.high)
    assert rows[TUNED.name, "recovery"]["level"] == pytest.approx(1 - 0.05 / 2)
    assert {row["n"] for row in rows.values()} == {HELD}
    assert (BASE.name, "accuracy_difference") not in rows
    assert (BASE.name, "recovery") not in rows


def test_beside_each_stands_what_was_chosen_by(store: Path) -> None:
    rows = confirmed(store)
    with open_snapshot(store) as snapshot:
        numbers = snapshot.rows("select * from numbers where scope = ?", [TASK])
    chosen = {(n["recipe_id"], n["metric"]): n["estimate"] for n in numbers}
    for (name, metric), row in rows.items():
        recipe_id = next(v.recipe_id for v in MEASURED if v.name == name)
        assert row["chosen"] == chosen[recipe_id, metric]
        assert row["optimism"] == pytest.approx(row["chosen"] - row["estimate"])
        assert row["optimism_low"] == pytest.approx(row["chosen"] - row["high"])
        assert row["optimism_high"] == pytest.approx(row["chosen"] - row["low"])
        assert row["finding"] == "confirmed"


def test_no_held_back_number_enters_anything_else(store: Path, tmp_path: Path) -> None:
    """A store without the confirmation shows the very same."""
    with sample.writing(tmp_path / "plain") as writer:
        held = {defended.held_job(v).key for v in MEASURED}
        entries = [e for e in defended.entries() if e.entry == "record" and e.identity not in held]
        writer.append([defended.declaration(), *entries])
    for table in ("variants", "numbers", "verdicts", "draws"):
        found = []
        for root in (store, tmp_path / "plain"):
            with open_snapshot(root) as snapshot:
                found.append(snapshot.rows(f"select * from {table} order by all"))
        assert found[0] == found[1], table
        assert found[0]


def test_a_failure_when_confirming_is_no_failure_of_the_variant(tmp_path: Path) -> None:
    failed = defended.changed(defended.held_evaluation(TUNED))
    job = defended.held_job(TUNED)
    outcome = Failed(stage="evaluate", kind="out of memory", reason="too large")
    record = failed.record.model_copy(update={"outcome": outcome, "key": job.key})
    with sample.writing(tmp_path / "store") as writer:
        entries = [e for e in defended.entries() if e.identity != job.key]
        writer.append([defended.declaration(), *entries, Entry.of(Delivery(record))])
    with open_snapshot(tmp_path / "store") as snapshot:
        (row,) = snapshot.rows("select status, reason from variants where recipe_id = ?", [TUNED.recipe_id])
        assert row == {"status": "complete", "reason": None}
    assert {name for name, _ in confirmed(tmp_path / "store")} == {BASE.name, INT8.name}


def test_a_part_of_the_held_back_examples_gives_no_number(tmp_path: Path) -> None:
    part = defended.held_evaluation(INT8)
    assert part.examples is not None
    cut = replace(
        part.examples,
        index=part.examples.index[:-1],
        label=part.examples.label[:-1],
        prediction=part.examples.prediction[:-1],
        score=part.examples.score[:-1],
        confidence=part.examples.confidence[:-1],
    )
    entries = [e for e in defended.entries() if e.identity != part.record.identity]
    with sample.writing(tmp_path / "store") as writer:
        writer.append([defended.declaration(), *entries, Entry.of(Delivery(part.record, cut))])
    assert {name for name, _ in confirmed(tmp_path / "store")} == {BASE.name, TUNED.name}


def test_what_an_opening_is() -> None:
    first = defended.opening()
    assert defended.opening(at="2027-01-01T00:00:00").identity == first.identity
    assert first.model_copy(update={"chosen_on": ("another",)}).identity == first.identity
    others = [defended.opening(level=0.9), defended.opening(MEASURED[:2])]
    assert len({first.identity, *(o.identity for o in others)}) == 3
    assert Opening.model_validate_json(first.entry.body) == first
    assert [v.name for v in first.shortlist] == [INT8.name, TUNED.name]
    apart = first.model_copy(update={"tasks": (first.tasks[0].model_copy(update={"data_id": "x"}),)})
    assert first.shares_data(others[0])
    assert not first.shares_data(apart)


def test_openings_are_read_from_the_journal_before_anything_is_published(tmp_path: Path) -> None:
    first, second = defended.opening(), defended.opening(level=0.9, at="2026-11-20T11:00:00")
    again = defended.opening(at="2026-11-20T12:00:00")
    with sample.writing(tmp_path / "store") as writer:
        writer.append([defended.declaration(), second.entry])
        writer.append([first.entry])
        writer.append([again.entry])
        assert openings_in(tmp_path / "store" / "journal") == [first, second]
    with open_snapshot(tmp_path / "store") as snapshot:
        rows = snapshot.rows("select body from openings order by declared")
    assert [json.loads(row["body"])["at"] for row in rows] == [first.at, second.at]


def test_examples_that_were_read_without_an_opening_are_named(tmp_path: Path) -> None:
    entries = [e for e in defended.entries() if e.entry != "opened"]
    with sample.writing(tmp_path / "store") as writer:
        writer.append([defended.declaration(), *entries])
    with open_snapshot(tmp_path / "store") as snapshot:
        found = verify(snapshot, snapshot.sweeps())
    named = [d for d in found.differences if d.check == "confirmations"]
    assert len(named) == len(MEASURED)
    assert all("no statement says were opened" in d.reason for d in named)


def interval(low: float, estimate: float, high: float) -> Interval:
    return Interval(estimate, low, high, 0.95, 100, "x")


@pytest.mark.parametrize(
    ("chosen", "better", "optimism", "finding"),
    [
        (0.9, "higher", (0.0, 0.1, 0.2), "confirmed"),
        (0.95, "higher", (0.05, 0.15, 0.25), "overstated"),
        (0.6, "higher", (-0.3, -0.2, -0.1), "understated"),
        (0.75, "lower", (-0.05, 0.05, 0.15), "confirmed"),
        (0.6, "lower", (0.1, 0.2, 0.3), "overstated"),
        (0.95, "lower", (-0.25, -0.15, -0.05), "understated"),
    ],
)
def test_optimism_is_towards_the_better(
    chosen: float, better: str, optimism: tuple[float, float, float], finding: str
) -> None:
    found = optimism_of(chosen, interval(0.7, 0.8, 0.9), better)
    assert found == pytest.approx(optimism)
    assert finding_of(interval(0.7, 0.8, 0.9), found) == finding


def test_what_shows_no_spread_confirms_nothing() -> None:
    assert finding_of(interval(1.0, 1.0, 1.0), optimism_of(1.0, interval(1.0, 1.0, 1.0), "higher")) == "open"
    assert finding_of(interval(0.7, 0.8, 0.9), None) is None


def test_recovery_of_equal_outcomes_is_not_known_for_certain() -> None:
    scores = np.tile([1.0, 1.0, 0.0, 1.0], 50)
    draws = np.full(DRAWS, 0.75)
    same = Number("accuracy", "a", mean_t(scores), draws, 200, 1.0)
    found = with_pseudo_examples([(same, same)], 0.95).interval
    assert found.estimate == 1.0
    assert found.high - 1.0 == pytest.approx(1.972 * np.sqrt(2) / (0.75 * 200), rel=1e-3)
    wider = with_pseudo_examples([(same, same)], 0.99).interval
    assert wider.high > found.high


def test_draws_are_as_many_as_show_the_ends() -> None:
    assert [quality.draws_for(level) for level in (0.5, 0.9, 0.95, 0.99, 0.9999999)] == [
        DRAWS,
        DRAWS,
        DRAWS,
        5000,
        quality.MOST_DRAWS,
    ]


def test_of_the_best_of_many_equal_variants_the_truth_is_told() -> None:
    """What was chosen among twelve that differ in nothing looks good where it was chosen, and not where it was not."""
    rng = np.random.default_rng(5)
    sweeps, variants, choosing, level = 400, 12, 400, 0.9
    looked, held, overstated = 0, 0, 0
    for _ in range(sweeps):
        right = rng.random((variants + 1, choosing + HELD)) < 0.8
        flipped = np.where(rng.random(right.shape) < 0.1, rng.random(right.shape) < 0.8, right[0])
        base, others = right[0], flipped[1:]
        best = others[np.argsort(others[:, :choosing].sum(axis=1))[-2:]]  # a shortlist of two
        for one in best:
            looked += difference(one[:choosing], base[:choosing], level).contains(0)
        found = [difference(one[choosing:], base[choosing:], 1 - (1 - level) / 2) for one in best]
        held += all(interval.contains(0) for interval in found)
        gains = [one[:choosing].mean() - base[:choosing].mean() for one in best]
        overstated += any(optimism_of(g, i, "higher")[0] > g for g, i in zip(gains, found, strict=True))
    assert looked / (2 * sweeps) < 0.7, "what was chosen by cannot be taken at its word"
    assert held / sweeps > level - 3 * np.sqrt(level * (1 - level) / sweeps)
    assert overstated / sweeps <= 1 - level, "optimism is never told to be more than all of what was gained"
