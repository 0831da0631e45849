"""What weights choose, and how far that hangs on them. Pure.

Losses are scaled so that each objective runs from 0, the best of the candidates, to 1, the worst of them. The score is
the augmented weighted Chebyshev distance from the ideal point, max_k w_k L_k + RHO sum_k L_k (Steuer and Choo,
Mathematical Programming 26, 1983): lower is better. Every candidate that no other beats is the choice of some weights,
also in the hollows of a frontier, where a weighted sum never looks; and no weights choose one that another beats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
RHO = 0.01
SEED = 20261121
WEIGHTINGS = 4_000
PORTION = 2_000_000  # numbers that are worked on at once
CLOSE = 1e-12


@dataclass(frozen=True, slots=True)
class Segment:
    """From one weight of an objective to another, the choice is this candidate."""

    low: float
    high: float
    choice: int


def scaled(costs: FloatArray, ideal: FloatArray, nadir: FloatArray) -> FloatArray:
    """[..., V, K] losses; 0 on an objective where the estimates of all candidates are the same, in resamples too.

    There is no scale then on which what resamples differ by could be held against other objectives.
    """
    room = nadir - ideal
    return np.asarray((costs - ideal) * np.divide(1.0, room, out=np.zeros_like(room), where=room > 0))


def scores(losses: FloatArray, weights: FloatArray) -> FloatArray:
    """[..., V] from losses [..., V, K] and weights [K]; NaN where a loss is."""
    return np.asarray((losses * weights).max(axis=-1) + RHO * losses.sum(axis=-1))


def segments(losses: FloatArray, weights: FloatArray, of: int) -> tuple[Segment, ...]:
    """The choice for every weight from 0 to 1 of one objective, exactly; the others keep their proportions.

    Along that line each score is max(t L, (1 - t) M) and a constant: two straight pieces. Between the points where
    some score bends all are straight, and the lowest of straight lines is walked from crossing to crossing.

    Args:
        losses: [V, K], all finite.
        weights: [K]; those of the other objectives are equal where all are 0.
        of: which objective.

    Raises ValueError without a candidate.
    """
    if not losses.shape[0]:
        raise ValueError("there is no candidate to choose")
    rest = np.delete(weights, of)
    shares = rest / rest.sum() if rest.sum() > 0 else np.full(rest.size, 1.0 / max(1, rest.size))
    own = losses[:, of]
    others = (np.delete(losses, of, axis=1) * shares).max(axis=1) if rest.size else np.zeros(own.size)
    constant = RHO * losses.sum(axis=1)
    both = own + others
    bends = np.divide(others, both, out=np.zeros_like(both), where=both > 0)
    ends = np.unique(np.concatenate([[0.0, 1.0], bends]))
    found: list[Segment] = []
    for low, high in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        rising = bends <= (low + high) / 2
        height = np.where(rising, 0.0, others) + constant
        slope = np.where(rising, own, -others)
        found += _lowest(height, slope, low, high, found[-1].choice if found else None)
    return _joined(found)


def _lowest(height: FloatArray, slope: FloatArray, low: float, high: float, before: int | None) -> list[Segment]:
    """The lowest of the lines height + slope t from low to high."""
    found: list[Segment] = []
    at = low
    while at < high:
        values = height + slope * at
        lowest = np.flatnonzero(values <= values.min() + CLOSE)
        flattest = lowest[slope[lowest] <= slope[lowest].min() + CLOSE]
        choice = before if before is not None and before in flattest else int(flattest[0])
        falls = slope[choice] - slope
        # Only a line that falls below this one, and after this point, takes over.
        under = falls > CLOSE
        meets = np.full(slope.size, np.inf)
        np.divide(height - height[choice], falls, out=meets, where=under)
        meets[meets <= at + CLOSE] = np.inf
        until = min(high, float(meets.min()))
        found.append(Segment(at, until, choice))
        at, before = until, choice
    return found


def _joined(parts: Sequence[Segment]) -> tuple[Segment, ...]:
    """The same from end to end, equal neighbours as one; what is no wider than rounding belongs to a neighbour."""
    joined: list[Segment] = []
    for part in parts:
        if joined and (joined[-1].choice == part.choice or part.high - part.low <= CLOSE):
            joined[-1] = Segment(joined[-1].low, part.high, joined[-1].choice)
        elif joined and joined[-1].high - joined[-1].low <= CLOSE:
            joined[-1] = Segment(joined[-1].low, part.high, part.choice)
        else:
            joined.append(part)
    return tuple(joined)


def resampled(costs: Sequence[FloatArray], weights: FloatArray, ideal: FloatArray, nadir: FloatArray) -> FloatArray:
    """[V]: in which part of the resamples each candidate is the choice. Shares, not probabilities.

    Args:
        costs: by objective [B, V], the same position in all of them being the same resample, or [1, V] where exact.
        weights: [K].
        ideal: [K], of the scale, which stays that of the estimates.
        nadir: [K].
    """
    size = max(each.shape[0] for each in costs)
    table = np.stack([np.broadcast_to(each, (size, each.shape[1])) for each in costs], axis=-1)
    return np.asarray(_counted(scores(scaled(table, ideal, nadir), weights)) / size)


def weighted_anyhow(losses: FloatArray) -> FloatArray:
    """[V]: in which part of all weightings, each as likely (Dirichlet), each candidate is the choice.

    The rank acceptability of stochastic multicriteria analysis (Lahdelma, Hokkanen and Salminen, European Journal of
    Operational Research 106, 1998), told from a fixed sample.
    """
    count, size = losses.shape
    drawn = np.random.default_rng(SEED).dirichlet(np.ones(size), WEIGHTINGS)
    found = np.zeros(count)
    step = max(1, PORTION // max(1, losses.size))
    for first in range(0, WEIGHTINGS, step):
        some = drawn[first : first + step]
        found += _counted((losses[None] * some[:, None, :]).max(axis=2) + RHO * losses.sum(axis=1))
    return np.asarray(found / WEIGHTINGS)


def _counted(table: FloatArray) -> FloatArray:
    """[V]: how many rows of a table [B, V] each column is the lowest of; the first of equals."""
    filled = np.where(np.isfinite(table), table, np.inf)
    return np.bincount(filled.argmin(axis=1), minlength=table.shape[1]).astype(np.float64)
