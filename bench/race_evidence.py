"""What a race is decided by, from what jobs gave: the same for the driver that decides and for whoever checks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.job import LatencyJob
from bench.measure.figures import figures
from bench.measure.repeats import shift_of
from bench.metrics import metric
from bench.record import Value
from bench.statistics.racing import Exact, Raced, Repeated, Scored, Timed
from bench.statistics.repeats import error

ORDER_SEED = 0  # of examples within a look: tests that bet want an order that nobody chose
FloatArray = NDArray[np.float64]
Tables = Mapping[str, FloatArray]  # scope -> [rounds, models]


def scored(name: str, scores: FloatArray) -> Scored:
    """Scores [V, n] on a metric of the same examples, in the order of the data."""
    found = metric(name)
    order = np.random.default_rng(ORDER_SEED).permutation(scores.shape[1])
    sign = -1.0 if found.better == "lower" else 1.0
    table = sign * scores[:, order]
    binary = found.source[0] == "share"
    return Scored(1 + table if binary and sign < 0 else table, found.span, binary)


def timed(
    name: str, scope: str, mine: Sequence[str], leases: Iterable[tuple[LatencyJob, tuple[Tables, Tables]]]
) -> Timed:
    """Ratios to the base in every lease, on a metric in a scope; each lease with its seconds and joules a call."""
    place = {artefact_id: i for i, artefact_id in enumerate(mine)}
    found = []
    for job, (seconds, joules) in leases:
        each = figures(seconds, joules, job.shapes, job.new_tokens)
        figure = next((f for f in each if (f.ratio, f.scope) == (name, scope)), None)
        here = [i for i, a in enumerate(job.artefact_ids) if a in place]
        if figure is not None and here:
            found.append(([place[job.artefact_ids[i]] for i in here], figure.table[:, here] / figure.table[:, :1]))
    return Timed(found, len(mine))


def repeated(values: Sequence[Value]) -> Repeated:
    """Repetitions of one number by each variant."""
    estimates, low, high, count = np.array([[v.estimate, v.low, v.high, v.n] for v in values]).T
    return Repeated(estimates, error(estimates, low, high, count, shift_of(values[0].metric)))


def exact(name: str, values: Sequence[float]) -> Exact:
    """Numbers without error of each variant, on a metric."""
    sign = -1.0 if metric(name).better == "higher" else 1.0
    return Exact(np.array([sign * value for value in values]))


def in_words(evidence: Sequence[Raced], winner: int, variant: int, level: float) -> str:
    """How one variant beats another, after its name."""
    told = []
    for each in evidence:
        if isinstance(each, Scored):
            wins = int(np.sum(each.scores[winner] > each.scores[variant]))
            losses = int(np.sum(each.scores[winner] < each.scores[variant]))
            told.append(f"better on {wins:,} and worse on {losses:,} of {each.scores.shape[1]:,} examples")
    shown = f" ({'; '.join(told)})" if told else ""
    return f"is better on every noisy objective{shown} at one-sided {level:.1e}"
