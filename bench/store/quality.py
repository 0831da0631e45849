"""Per-example outcomes to scores: intervals, paired differences, coherent draws. Pure but for reading the outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from bench.statistics.bca import bca
from bench.statistics.intervals import wilson
from bench.statistics.paired import agreement, difference
from bench.statistics.resample import mean_draws
from bench.store.numbers import DRAWS, SEED, Number


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """All outcomes of one artefact on one task, ordered by example; label and prediction are numbers into `names`."""

    names: tuple[str, ...]
    label: NDArray[np.int64]
    prediction: NDArray[np.int64]
    score: NDArray[np.float64]

    @property
    def cells(self) -> NDArray[np.float64]:
        """Counts [labels, labels] of (right label, prediction)."""
        k = len(self.names)
        counts = np.bincount(self.label * k + self.prediction, minlength=k * k)
        return counts.reshape(k, k).astype(np.float64)


def read_outcomes(connection: duckdb.DuckDBPyConnection, identities: Sequence[str], expected: int) -> Outcomes | None:
    """The outcomes that the given evaluation records hold, None unless they cover all `expected` examples."""
    found = connection.execute(
        "select index, any_value(label) as label, any_value(prediction) as prediction, any_value(score) as score "
        "from examples where list_contains(?, identity) group by index order by index",
        [list(identities)],
    ).fetchnumpy()
    if len(found["index"]) != expected:
        return None
    names = tuple(sorted({*found["label"].tolist(), *found["prediction"].tolist()}))
    number = {name: i for i, name in enumerate(names)}
    return Outcomes(
        names,
        np.array([number[x] for x in found["label"].tolist()], dtype=np.int64),
        np.array([number[x] for x in found["prediction"].tolist()], dtype=np.int64),
        np.asarray(found["score"], dtype=np.float64),
    )


def macro_f1(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unweighted mean F1 over labels that occur as label or prediction, from counts [..., k, k] (label, prediction)."""
    hits = np.diagonal(cells, axis1=-2, axis2=-1)
    total = cells.sum(axis=-1) + cells.sum(axis=-2)
    f1 = np.divide(2 * hits, total, out=np.zeros_like(total), where=total > 0)
    occurring = (total > 0).sum(axis=-1)
    return np.asarray(f1.sum(axis=-1) / np.maximum(occurring, 1))


def score(outcomes: Outcomes, task: str) -> list[Number]:
    """Accuracy and macro F1 of one artefact on one task, with draws that are coherent over artefacts."""
    n = outcomes.score.size
    draws = mean_draws(outcomes.score[None, :], DRAWS, np.random.default_rng(SEED))[:, 0]
    right = round(float(outcomes.score.sum()))
    accuracy = Number("accuracy", task, wilson(right, n), draws, n, 1.0)
    return [accuracy, _f1(outcomes, task)]


def _f1(outcomes: Outcomes, task: str) -> Number:
    k, n = len(outcomes.names), outcomes.score.size
    cell = outcomes.label * k + outcomes.prediction
    # The same generator gives the same resamples as for accuracy, and for every other artefact of the task.
    shares = mean_draws((np.arange(k * k)[:, None] == cell).astype(np.float64), DRAWS, np.random.default_rng(SEED))
    draws = macro_f1(shares.reshape(DRAWS, k, k))
    cells = outcomes.cells
    occupied = np.flatnonzero(cells.ravel())
    without = np.repeat(cells.reshape(1, -1), occupied.size, axis=0)
    without[np.arange(occupied.size), occupied] -= 1
    jackknife = macro_f1(without.reshape(-1, k, k))
    interval = bca(float(macro_f1(cells)), draws, jackknife, cells.ravel()[occupied])
    return Number("macro_f1", task, interval, draws, n, 1.0)


def compare(outcomes: Outcomes, base: Outcomes, task: str) -> list[Number]:
    """Paired difference of accuracy to the base, and agreement with its predictions, on the same examples."""
    mine = np.array(outcomes.names)[outcomes.prediction]
    theirs = np.array(base.names)[base.prediction]
    return [
        Number("accuracy_difference", task, difference(outcomes.score, base.score)),
        Number("agreement", task, agreement(mine, theirs)),
    ]


def recovery(scores: Sequence[Number], base: Sequence[Number]) -> Number:
    """Unweighted mean over tasks of score divided by the base's, from coherent draws; percentile interval."""
    pairs = list(zip(scores, base, strict=True))
    ratios = [s.interval.estimate / b.interval.estimate for s, b in pairs if b.interval.estimate > 0]
    estimate = float(np.mean(ratios)) if len(ratios) == len(pairs) else float("nan")
    parts: list[Any] = [np.divide(s.draws, b.draws) for s, b in pairs if s.draws is not None and b.draws is not None]
    draws = np.mean(parts, axis=0)
    low, high = (float(q) for q in np.quantile(draws, (0.025, 0.975)))
    from bench.statistics.intervals import Interval

    scope = " + ".join(s.scope for s in scores)
    n = min(s.evidence or 1 for s in scores)
    interval = Interval(estimate, min(low, estimate), max(high, estimate), 0.95, n, "percentile bootstrap")
    return Number("recovery", scope, interval, draws, n)
