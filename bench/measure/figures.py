"""From rounds to figures: what a worker states at the end of a lease, and what a store computes again from the samples.

Pure. Ratios to the base are taken round by round.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.job import parts_of
from bench.statistics.autocorrelation import correlation_time
from bench.statistics.intervals import Interval, quantile

Table = NDArray[np.float64]  # seconds per call [rounds, models]


class Figure(NamedTuple):
    """A quantity of every model, round by round: [rounds, models], the base first."""

    metric: str
    ratio: str  # the metric of its ratio to the base
    scope: str
    table: Table  # in seconds or joules
    scale: float  # from the table's unit to the metric's


def figures(
    tables: Mapping[str, Table], joules: Mapping[str, Table], shapes: Sequence[tuple[int, int]], new_tokens: int | None
) -> Iterator[Figure]:
    """Every figure that the samples of these shapes give.

    Args:
        tables: seconds per call by the samples' scope.
        joules: joules per call likewise; NaN where nothing could tell.
        shapes: (batch size, tokens) in the order of the job.
        new_tokens: how many tokens were written; None for forward passes.

    The time per token is that of writing all tokens but the first, divided by their number.
    """
    for shape in shapes:
        *others, whole = parts_of(shape, new_tokens)
        yield Figure("latency_ms", "latency_ratio", whole, tables[whole], 1e3)
        if new_tokens is not None:
            prefill, first = (tables[name] for name in others)
            yield Figure("prefill_ms", "prefill_ratio", whole, prefill, 1e3)
            yield Figure("first_token_ms", "first_token_ratio", whole, first, 1e3)
            # A stall during the shorter call may make it the longer one; such a round tells nothing about a token.
            rest = (tables[whole] - first) / (new_tokens - 1)
            kept = (rest > 0).all(axis=1)
            if kept.sum() >= 2:
                yield Figure("per_token_ms", "per_token_ratio", whole, rest[kept], 1e3)
        # A counter that had not moved during some visit is too coarse for them.
        if (joules[whole] > 0).all():
            yield Figure("energy_j", "energy_ratio", whole, joules[whole], 1.0)


def tokens_per_second(milliseconds: Interval, batch: int, new_tokens: int) -> Interval:
    """Tokens that a batch gets written in a second, from the time of the whole call in ms."""
    produced = 1e3 * batch * new_tokens
    return Interval(
        produced / milliseconds.estimate,
        produced / milliseconds.high,
        produced / milliseconds.low,
        milliseconds.level,
        milliseconds.n,
        f"tokens over time: {milliseconds.method}",
    )


def tail(seconds: NDArray[np.float64], q: float, level: float) -> Interval | None:
    """Quantile q of single calls in ms, from seconds [calls] in the order measured; None where the tail is too thin.

    Calls that follow each other are alike. They count for as many independent ones as their correlation time says.
    """
    return quantile(1e3 * seconds, q, level, worth=seconds.size / correlation_time(seconds))
