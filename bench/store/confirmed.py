"""What held-back examples say of a shortlist: scores and differences from the base, beside what it was chosen by.

No number of here enters a verdict, a share or the table of numbers: those are of the examples that are for choosing.

Corrected for having been selected: the held-back examples took no part in choosing, so that on them a chosen variant is
a variant like any other, and what is left of the selection is that several are looked at. So the intervals of a column
hold for all of the shortlist and all of the tasks at once, by Bonferroni's split of what may be missed. Optimism is how
much better than on the held-back examples the number looked that a variant was chosen by; its interval is that number
against the ends of the held-back one, and holds however the variant was chosen, since it rests on no promise about the
chosen number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from scipy import stats

from bench.metrics import metric
from bench.statistics.intervals import Interval
from bench.store import quality
from bench.store.numbers import Number
from bench.store.openings import OpenedVariant, Opening
from bench.store.rows import ConfirmationRow, NumberRow

Cache = MutableMapping[Any, Any]
Chosen = Mapping[tuple[str, str, str], float]  # (recipe_id, metric, scope) -> estimate by which was chosen


def confirmations(
    connection: duckdb.DuckDBPyConnection, sweep_id: str, numbers: Sequence[NumberRow], cache: Cache
) -> list[ConfirmationRow]:
    """A row for each variant and metric of every opening of a sweep, as far as its evaluations are there.

    Args:
        connection: the query form of the journal.
        sweep_id: of the declaration.
        numbers: what the examples that are for choosing say.
        cache: outcomes and numbers of earlier calls; filled here.
    """
    query = "select body from openings where sweep_id = ? order by declared, identity"
    chosen = {(row.recipe_id, row.metric, row.scope): row.estimate for row in numbers}
    found: list[ConfirmationRow] = []
    for (body,) in connection.execute(query, [sweep_id]).fetchall():
        found += Confirmed(connection, Opening.model_validate_json(body), chosen, cache).rows()
    return found


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One opening and the outcomes that came of it."""

    connection: duckdb.DuckDBPyConnection
    opening: Opening
    chosen: Chosen
    cache: Cache

    def rows(self) -> Iterator[ConfirmationRow]:
        """Scores of every variant, differences from the base and recovery of the shortlist."""
        for variant in self.opening.variants:
            base = next(v for v in self.opening.variants if v.recipe_id == variant.base)
            for name, task in self._asked():
                outcomes = self._outcomes(variant, task)
                if outcomes is None or not quality.has_value(outcomes, metric(name)):
                    continue
                yield self._row(variant, self._score(variant, name, task, self._each("score")))
                reference = None if variant.is_base else self._outcomes(base, task)
                if reference is not None and quality.comparable(outcomes, reference, metric(name)):
                    yield self._row(variant, self._difference(variant, base, name, task))
            if not variant.is_base and (recovery := self._recovery(variant, base)) is not None:
                yield self._row(variant, recovery)

    def _asked(self) -> list[tuple[str, str]]:
        """Every metric that is re-estimated, with its task."""
        return [(name, task.name) for task in self.opening.tasks for name in task.metrics]

    def _each(self, column: str) -> float:
        """The level of one interval of a column, so that all of the column hold at once."""
        count = {
            "score": len(self.opening.variants) * len(self._asked()),
            "difference": len(self.opening.shortlist) * sum(bool(metric(name).paired) for name, _ in self._asked()),
            "recovery": len(self.opening.shortlist),
        }[column]
        return 1 - (1 - self.opening.level) / max(1, count)

    def _outcomes(self, variant: OpenedVariant, task: str) -> quality.Outcomes | None:
        """All outcomes of a variant on the held-back examples of a task, None until they are there."""
        held = next(t.held for t in self.opening.tasks if t.name == task)
        keys = variant.jobs[task]
        there = [key for key in keys if self._there(key)]
        name = ("held outcomes", *there)
        if name not in self.cache:
            self.cache[name] = quality.read_outcomes(self.connection, there, held) if there else None
        found: quality.Outcomes | None = self.cache[name]
        return found

    def _there(self, key: str) -> bool:
        row = self.connection.execute("select 1 from records where identity = ?", [key]).fetchone()
        return row is not None

    def _score(self, variant: OpenedVariant, name: str, task: str, level: float) -> Number:
        key = ("held score", variant.jobs[task], name, task, level)
        if key not in self.cache:
            outcomes = self._outcomes(variant, task)
            assert outcomes is not None
            self.cache[key] = quality.score_of(outcomes, metric(name), task, level)
        found: Number = self.cache[key]
        return found

    def _difference(self, variant: OpenedVariant, base: OpenedVariant, name: str, task: str) -> Number:
        level = self._each("difference")
        key = ("held difference", variant.jobs[task], base.jobs[task], name, task, level)
        if key not in self.cache:
            mine, theirs = self._outcomes(variant, task), self._outcomes(base, task)
            assert mine is not None
            assert theirs is not None
            self.cache[key] = quality.comparison(mine, theirs, metric(name), task, level)
        found: Number = self.cache[key]
        return found

    def _recovery(self, variant: OpenedVariant, base: OpenedVariant) -> Number | None:
        """Over all tasks, where both have a score on each and the base's can be divided by."""
        tasks = {task.name: task.metrics[0] for task in self.opening.tasks}
        scores: list[tuple[Number, Number]] = []
        for task, name in tasks.items():
            pair = [self._outcomes(v, task) for v in (variant, base)]
            if any(found is None or not quality.has_value(found, metric(name)) for found in pair):
                return None
            mine, theirs = (self._score(v, name, task, quality.LEVEL) for v in (variant, base))
            if mine.interval.estimate <= 0 or theirs.interval.estimate <= 0:
                return None
            scores.append((mine, theirs))
        return with_pseudo_examples(scores, self._each("recovery"))

    def _row(self, variant: OpenedVariant, number: Number) -> ConfirmationRow:
        held, opening = number.interval, self.opening
        chosen = self.chosen.get((variant.recipe_id, number.metric, number.scope))
        optimism = None if chosen is None else optimism_of(chosen, held, metric(number.metric).better)
        return ConfirmationRow(
            sweep_id=opening.sweep_id,
            opening=opening.identity,
            recipe_id=variant.recipe_id,
            metric=number.metric,
            scope=number.scope,
            estimate=held.estimate,
            low=held.low,
            high=held.high,
            level=held.level,
            n=held.n,
            method=held.method,
            chosen=chosen,
            optimism=None if optimism is None else optimism[1],
            optimism_low=None if optimism is None else optimism[0],
            optimism_high=None if optimism is None else optimism[2],
            finding=finding_of(held, optimism),
        )


def optimism_of(chosen: float, held: Interval, better: str) -> tuple[float, float, float]:
    """(low, estimate, high) of how much better the chosen number looked than the held-back examples say."""
    sign = 1.0 if better == "higher" else -1.0
    low, high = sorted((sign * (chosen - held.high), sign * (chosen - held.low)))
    return low, sign * (chosen - held.estimate), high


def finding_of(held: Interval, optimism: tuple[float, float, float] | None) -> str | None:
    """What came of the number that was chosen by; None where there was none.

    Confirmed: the held-back interval holds it. It is then confirmed within the upper end of its optimism, which is as
    large as the held-back examples are few.
    """
    if optimism is None:
        return None
    if held.low == held.high:
        return "open"  # no example differs from another: nothing is known of their spread
    if optimism[0] > 0:
        return "overstated"
    return "understated" if optimism[2] < 0 else "confirmed"


def with_pseudo_examples(scores: Sequence[tuple[Number, Number]], level: float) -> Number:
    """Recovery over (variant's score, base's score) of each task, with an interval that is never of no width.

    The bootstrap's spread, to which each task whose score has a span adds two examples that differ by all of it, one
    each way, as `bench.statistics.simultaneous` does; Student's quantile by the smallest task.
    """
    found = quality.recovery([mine for mine, _ in scores], [theirs for _, theirs in scores])
    assert found.draws is not None
    spread = float(np.std(found.draws[np.isfinite(found.draws)]))
    n, estimate = found.evidence or 1, found.interval.estimate
    error = math.hypot(spread, quality.pseudo_error_of_recovery(scores))
    reach = float(stats.t.isf((1 - level) / 2, max(1, n - 1))) * error
    interval = Interval(estimate, estimate - reach, estimate + reach, level, n, "bootstrap error, two pseudo examples")
    return Number("recovery", found.scope, interval, evidence=n)
