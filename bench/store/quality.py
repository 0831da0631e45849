"""Per-example outcomes to scores: intervals, paired differences, coherent draws. Pure but for reading the outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.metrics import Metric, metric
from bench.record import Examples
from bench.statistics.bca import bca
from bench.statistics.intervals import Interval, mean_t, wilson
from bench.statistics.paired import agreement, difference, mcnemar_exact
from bench.statistics.resample import mean_draws
from bench.statistics.simultaneous import PSEUDO_EXAMPLES
from bench.store.numbers import DRAWS, SEED, Number

FloatArray = NDArray[np.float64]

LEVEL = 0.95
BEYOND = 25  # draws outside of either end of an interval
MOST_DRAWS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """All outcomes of one artefact on one task, ordered by example; every column has one entry an example."""

    label: NDArray[np.str_]
    prediction: NDArray[np.str_]
    slice: NDArray[np.str_]  # empty strings where the data name no parts
    columns: Mapping[str, FloatArray]  # "score" among them

    @property
    def n(self) -> int:
        return int(self.columns["score"].size)

    @property
    def slices(self) -> tuple[str, ...]:
        """The named parts of the data."""
        return tuple(sorted({str(s) for s in self.slice} - {""}))

    def part(self, name: str) -> Outcomes:
        """The outcomes of one named part of the data."""
        rows = self.slice == name
        columns = {key: values[rows] for key, values in self.columns.items()}
        return Outcomes(self.label[rows], self.prediction[rows], self.slice[rows], columns)


def outcomes_of(examples: Examples) -> Outcomes:
    """Outcomes as a worker has them, ordered by example."""
    order = np.argsort(examples.index, kind="stable")
    slices = examples.slice or ("",) * order.size
    columns = {"score": examples.score, **examples.columns}
    return Outcomes(
        np.array(examples.label, dtype=np.str_)[order],
        np.array(examples.prediction, dtype=np.str_)[order],
        np.array(slices, dtype=np.str_)[order],
        {key: np.asarray(values, dtype=np.float64)[order] for key, values in columns.items()},
    )


def point(examples: Examples, name: str) -> float:
    """The estimate of a metric from outcomes, without an interval."""
    return _estimate(outcomes_of(examples), metric(name))


def read_outcomes(
    connection: duckdb.DuckDBPyConnection, identities: Sequence[str], expected: int, among: Sequence[str] | None = None
) -> Outcomes | None:
    """The outcomes that the given evaluation records hold, None unless they cover all `expected` examples.

    With `among`, only those of examples that these other records hold too.
    """
    held = "from examples where list_contains(?, identity)"
    named = [list(identities)]
    if among is not None:
        held += " and index in (select index from examples where list_contains(?, identity))"
        named.append(list(among))
    row = connection.execute(f"select any_value(columns) {held}", named).fetchone()
    names = sorted(row[0]) if row and row[0] else []
    wanted = "".join(f", any_value(element_at(columns, ?)[1]) as column_{i}" for i in range(len(names)))
    found = connection.execute(
        "select index, any_value(label) as label, any_value(prediction) as prediction, any_value(score) as score, "
        f"any_value(slice) as slice{wanted} {held} group by index order by index",
        [*names, *named],
    ).fetchnumpy()
    if len(found["index"]) != expected:
        return None
    columns = {name: _floats(found[f"column_{i}"]) for i, name in enumerate(names)}
    label, prediction, part = (_texts(found[key]) for key in ("label", "prediction", "slice"))
    return Outcomes(label, prediction, part, {"score": _floats(found["score"]), **columns})


def _texts(values: Any) -> NDArray[np.str_]:
    return np.array([str(x) for x in values.tolist()], dtype=np.str_)


def _floats(values: Any) -> FloatArray:
    return np.asarray(np.ma.filled(values, np.nan), dtype=np.float64)


def macro_f1(cells: FloatArray) -> FloatArray:
    """Unweighted mean F1 over labels that occur as label or prediction, from counts [..., k, k] (label, prediction)."""
    hits = np.diagonal(cells, axis1=-2, axis2=-1)
    total = cells.sum(axis=-1) + cells.sum(axis=-2)
    f1 = np.divide(2 * hits, total, out=np.zeros_like(total), where=total > 0)
    occurring = (total > 0).sum(axis=-1)
    return np.asarray(f1.sum(axis=-1) / np.maximum(occurring, 1))


def score(outcomes: Outcomes, names: Sequence[str], task: str) -> list[Number]:
    """The task's metrics of one artefact, the main one first, with draws that are coherent over artefacts.

    The main metric also comes for each named part of the data, in the scope "TASK / PART".
    """
    wanted = [(outcomes, metric(name), task) for name in names]
    wanted += [(outcomes.part(part), metric(names[0]), f"{task} / {part}") for part in outcomes.slices]
    # Where nothing was written there are no n-grams to count: a metric without a value is left out.
    return [score_of(*each) for each in wanted if has_value(each[0], each[1])]


def has_value(outcomes: Outcomes, wanted: Metric) -> bool:
    """Whether the outcomes give the metric a finite value."""
    return bool(np.isfinite(_estimate(outcomes, wanted)))


def with_chance_noted(numbers: list[Number], outcomes: Outcomes) -> list[Number]:
    """The same numbers; the main one says so where the model does no better than guessing between two labels."""
    from bench.tasks.heuristics import at_chance, cells_of

    guesses, sentence = at_chance(cells_of(outcomes.slice.tolist(), outcomes.columns["score"].tolist()))
    return [replace(numbers[0], note=sentence), *numbers[1:]] if guesses and numbers else numbers


def with_note(numbers: Sequence[Number], note: str) -> list[Number]:
    """The same numbers, each with the note after what it says already."""
    return [replace(n, note=note if n.note is None else f"{n.note} {note}") for n in numbers]


def score_of(outcomes: Outcomes, wanted: Metric, scope: str, level: float = LEVEL) -> Number:
    """A metric of a task, which must have a value, with its interval at `level` and draws enough to show it."""
    kind = wanted.source[0]
    if kind == "cells":
        return _f1(outcomes, wanted.name, scope, level)
    columns = np.stack([outcomes.columns[name] for name in wanted.source[1:]])
    draws = _drawn(columns, kind, level)
    estimate, n = _estimate(outcomes, wanted), outcomes.n
    if kind == "share":
        interval = wilson(round(float(columns[0].sum())), n, level)
    elif kind == "mean" and n > 1:
        interval = mean_t(columns[0], level)
    else:
        interval = _percentile(estimate, draws, n, level)
    if kind != "share":  # Wilson's has two examples of each kind in it
        interval = _never_certain(interval, pseudo_error(wanted.span, n), wanted.span)
    return Number(wanted.name, scope, interval, draws, n, wanted.span)


def draws_for(level: float) -> int:
    """How many draws show the ends of an interval at `level`: 25 beyond either, up to a hundred thousand in all."""
    return min(MOST_DRAWS, max(DRAWS, math.ceil(2 * BEYOND / (1 - level))))


def _drawn(columns: FloatArray, kind: str, level: float = LEVEL) -> FloatArray:
    """Draws of the statistic. The same generator resamples the same examples for every artefact of a task."""
    means = mean_draws(columns, draws_for(level), SEED)
    return _statistic(means.T, kind)


def _statistic(means: FloatArray, kind: str) -> FloatArray:
    """From the columns' means [1 or 2, ...] to the metric [...]; NaN where a ratio has nothing below the line."""
    if kind in ("share", "mean"):
        return np.asarray(means[0])
    ratio = np.divide(means[0], means[1], out=np.full_like(means[0], np.nan), where=means[1] > 0)
    return np.asarray(np.exp(ratio) if kind == "exp ratio" else ratio)


def _estimate(outcomes: Outcomes, wanted: Metric) -> float:
    kind = wanted.source[0]
    if kind == "cells":
        return float(macro_f1(_cells(outcomes)[0]))
    means = np.array([outcomes.columns[name].mean() for name in wanted.source[1:]])
    return float(_statistic(means[:, None], kind)[0])


def _percentile(estimate: float, draws: FloatArray, n: int, level: float = LEVEL) -> Interval:
    tail = (1 - level) / 2
    low, high = (float(q) for q in np.quantile(draws[np.isfinite(draws)], (tail, 1 - tail)))
    return Interval(estimate, min(low, estimate), max(high, estimate), level, n, "percentile bootstrap")


def pseudo_error(span: float, n: int) -> float:
    """What two more of n examples do to the standard error of a mean, if they differ by all of a score's span."""
    return math.sqrt(PSEUDO_EXAMPLES) * span / n


def pseudo_error_of_recovery(scores: Sequence[tuple[Number, Number]]) -> float:
    """The same for recovery, over (variant's score, base's score) of each task; one without a span adds nothing."""
    each = (pseudo_error(s.span / b.interval.estimate, s.evidence or 1) for s, b in scores)
    return math.hypot(*each) / len(scores)


def _never_certain(interval: Interval, error: float, most: float = math.inf) -> Interval:
    """The same from 0 to `most`, and there no narrower than two pseudo examples alone make it; unless it has no span.

    As in the intervals of differences (`bench.statistics.simultaneous`): alike, or nearly, on every example seen is not
    alike for ever.
    """
    if not error:
        return interval
    reach = error * float(stats.t.isf((1 - interval.level) / 2, max(1, interval.n - 1)))
    least, greatest = interval.estimate - reach, interval.estimate + reach
    narrow = least < interval.low or greatest > interval.high
    low, high = max(0.0, min(least, interval.low)), min(most, max(greatest, interval.high))
    low, high = min(low, interval.estimate), max(high, interval.estimate)
    return replace(
        interval, low=low, high=high, method=f"{interval.method}, two pseudo examples" if narrow else interval.method
    )


def _cells(outcomes: Outcomes) -> tuple[FloatArray, NDArray[np.int64]]:
    """Counts [k, k] of (right label, prediction), and each example's cell as a number below k * k."""
    names, codes = np.unique(np.concatenate([outcomes.label, outcomes.prediction]), return_inverse=True)
    k = names.size
    cell = codes[: outcomes.n] * k + codes[outcomes.n :]
    return np.bincount(cell, minlength=k * k).reshape(k, k).astype(np.float64), cell


def _f1(outcomes: Outcomes, name: str, scope: str, level: float) -> Number:
    cells, cell = _cells(outcomes)
    k, n = cells.shape[0], outcomes.n
    marked = (np.arange(k * k)[:, None] == cell).astype(np.float64)
    draws = macro_f1(mean_draws(marked, draws_for(level), SEED).reshape(-1, k, k))
    occupied = np.flatnonzero(cells.ravel())
    without = np.repeat(cells.reshape(1, -1), occupied.size, axis=0)
    without[np.arange(occupied.size), occupied] -= 1
    jackknife = macro_f1(without.reshape(-1, k, k))
    interval = bca(float(macro_f1(cells)), draws, jackknife, cells.ravel()[occupied], level)
    interval = _never_certain(interval, pseudo_error(1.0, n), 1.0)
    return Number(name, scope, interval, draws, n, 1.0)


def compare(outcomes: Outcomes, base: Outcomes, names: Sequence[str], task: str) -> list[Number]:
    """How the metrics differ from the base's on the same examples, and agreement with its predictions."""
    both = [metric(name) for name in names if comparable(outcomes, base, metric(name))]
    found = [comparison(outcomes, base, wanted, task) for wanted in both]
    if (outcomes.prediction != "").any():
        found.append(Number("agreement", task, agreement(outcomes.prediction, base.prediction)))
    return found


def comparable(outcomes: Outcomes, base: Outcomes, wanted: Metric) -> bool:
    """Whether the metric compares, both have a value, and the base one that can be divided by where that is asked."""
    if not (wanted.paired and has_value(outcomes, wanted) and has_value(base, wanted)):
        return False
    return _estimate(base, wanted) != 0 or wanted.paired.endswith("_difference")


def comparison(outcomes: Outcomes, base: Outcomes, wanted: Metric, task: str, level: float = LEVEL) -> Number:
    """How a metric that is `comparable` differs from the base's on the same examples, with its interval at `level`."""
    kind, columns = wanted.source[0], wanted.source[1:]
    mine, theirs = (np.stack([o.columns[name] for name in columns]) for o in (outcomes, base))
    if kind in ("share", "mean") and outcomes.n > 1:
        interval = difference(mine[0], theirs[0], level, span=wanted.span, binary=kind == "share")
        p = None
        if kind == "share":
            p = mcnemar_exact(mine[0], theirs[0])
            interval = Interval(
                interval.estimate,
                interval.low,
                interval.high,
                interval.level,
                interval.n,
                f"{interval.method}; exact McNemar p = {p:.2g}",
            )
        return Number(wanted.paired, task, interval, p=p)
    estimate = _estimate(outcomes, wanted), _estimate(base, wanted)
    if kind in ("share", "mean"):
        change = estimate[0] - estimate[1]
        return Number(wanted.paired, task, Interval(change, -wanted.span, wanted.span, level, 1, "one example"))
    above, below = _drawn(mine, kind, level), _drawn(theirs, kind, level)
    draws = np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)
    return Number(wanted.paired, task, _percentile(estimate[0] / estimate[1], draws, outcomes.n, level))


def pseudo_scores(outcomes: Outcomes, wanted: Metric) -> FloatArray:
    """[n]: one number an example, whose mean is the metric and whose spread over examples is what it may err by.

    The score itself where the metric is a mean. Else the estimate plus each example's influence on it (infinitesimal
    jackknife; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter 6): to first order in
    1 / sqrt(n) the metric is the mean of those, so that what holds of means over examples, and over seeds and examples,
    holds of it. Of a ratio of sums, perplexity among them, and of what is compared by ratio, it is the logarithm; not
    finite where that does not exist.
    """
    kind = wanted.source[0]
    if kind == "cells":
        cells, cell = _cells(outcomes)
        influence: FloatArray = _f1_influence(cells)[cell]
        return float(macro_f1(cells)) + influence
    columns = [outcomes.columns[name] for name in wanted.source[1:]]
    if kind in ("share", "mean"):
        return columns[0]
    above, below = columns
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = above.mean() / below.mean()
        influence = (above - ratio * below) / below.mean()
        return np.asarray(ratio + influence if kind == "exp ratio" else np.log(ratio) + influence / ratio)


def _f1_influence(cells: FloatArray) -> FloatArray:
    """[k * k]: what an example of each cell does to macro F1, its derivative by their share; 0 on average."""
    n = cells.sum()
    total = (cells.sum(axis=1) + cells.sum(axis=0)) / n
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    f1 = 2 * np.diag(cells) / n * scale
    lost = f1 * scale
    found = 2 * np.diag(scale) - lost[:, None] - lost[None, :]
    return np.asarray(found.ravel() / max(1, int((total > 0).sum())))


def recovery(scores: Sequence[Number], base: Sequence[Number]) -> Number:
    """Unweighted mean over tasks of score divided by the base's, from coherent draws; percentile interval.

    Where a lower score is better, the base's is divided by the variant's.
    """
    pairs = [(b, s) if metric(s.metric).better == "lower" else (s, b) for s, b in zip(scores, base, strict=True)]
    ratios = [s.interval.estimate / b.interval.estimate for s, b in pairs if b.interval.estimate > 0]
    estimate = float(np.mean(ratios)) if len(ratios) == len(pairs) else float("nan")
    parts: list[Any] = [np.divide(s.draws, b.draws) for s, b in pairs if s.draws is not None and b.draws is not None]
    draws = np.mean(parts, axis=0)
    scope = " + ".join(s.scope for s in scores)
    n = min(s.evidence or 1 for s in scores)
    interval = _percentile(estimate, draws, n)
    if len(ratios) == len(pairs) and any(s is not b for s, b in pairs):  # the base recovers all of itself
        interval = _never_certain(interval, pseudo_error_of_recovery(pairs))
    return Number("recovery", scope, interval, draws, n)
