"""Coherent draws: what the variants' numbers might have been on other examples and other rounds, all of them together.

One draw is one world. Variants compared on the same examples share the resampled examples, and variants timed in the
same rounds share the resampled rounds, so the difference of two columns of draws keeps what pairing gained.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.intervals import block_length

FloatArray = NDArray[np.float64]

# Resampled indices or values held at once; results do not depend on it.
CHUNK = 4_000_000
# Indices drawn and counted at once, few enough for a processor's cache: up to four times as fast as a whole chunk.
COUNTED = 1 << 18
# Counts that are kept of one number of examples, a byte each, and of eight such numbers at most: a store scores every
# artefact on the same few.
KEPT = 16_000_000
# With fewer, what differs between leases cannot be told from them alone.
MANY_LEASES = 4
# Standard deviation, on logs, of what makes a ratio to a copy differ from lease to lease: 1.3% on one machine,
# 0.6% on another (results/reference/calibration.md). Its freedom is small, for it comes from few machines.
SHIFT = 0.013
SHIFT_FREEDOM = 4


def mean_draws(scores: ArrayLike, draws: int, rng: np.random.Generator | int) -> FloatArray:
    """Bootstrap draws [draws, V] of the mean score of V variants on the same examples, from scores [V, n].

    Every draw resamples the examples once for all variants (Efron, Annals of Statistics 7, 1979). Calls with the same
    seed for `rng` share them as well. A variant without scores may hold NaN: its draws are NaN and the others' are
    untouched. ValueError for an empty array.
    """
    table = _table(scores, "scores")
    out = np.empty((draws, table.shape[0]))
    for rows, counts in _counts(table.shape[1], draws, rng):
        out[rows] = counts @ table.T / table.shape[1]
    return out


def lease_draws(
    ratios_by_lease: Sequence[ArrayLike], draws: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draws [draws, V] of the median ratio to the base, averaged over leases, of V models timed together in each.

    `ratios_by_lease` holds one array [rounds, V] a lease, rows in the order measured, columns aligned, every ratio
    positive and finite; the base's column is all ones and its draws are exactly 1. On logs two kinds of luck are drawn,
    jointly for all models: that of the rounds, resampled in blocks within each lease (circular block bootstrap, Politis
    and Romano 1992; block length from the most correlated model), and what makes a ratio differ from lease to lease.

    From `MANY_LEASES` on the second comes from the leases' medians themselves. With fewer, two leases that agree by
    chance would hide it: their variance is moderated (Smyth 2004), s^2 = (d0 s0^2 + SS) / (d0 + k - 1), with what
    calibration found, `SHIFT` with `SHIFT_FREEDOM`, as its prior; half of it is the base's, which all models share.

    Medians differ by the luck of their rounds too, so that counts twice: on the wide side, unless leases differ by much
    more than their own noise. The second result is the draws' degrees of freedom [V], Satterthwaite's (Biometrics
    Bulletin 2, 1946), infinite for the base. ValueError for no lease, no round or bad ratios.
    """
    leases = [_log_ratios(ratios) for ratios in ratios_by_lease]
    if not leases or len({lease.shape[1] for lease in leases}) != 1:
        raise ValueError("leases of one group time the same models, and there is at least one lease")
    count = len(leases)
    centres = np.array([np.median(lease, axis=0) for lease in leases])
    exact = np.logical_and.reduce([(lease == 0).all(axis=0) for lease in leases])
    # A base column that is exactly 1 says nothing about correlation; block_length gives it 1.
    lengths = [max(block_length(column) for column in lease.T) for lease in leases]
    within = np.zeros((draws, exact.size))
    for lease, length, centre in zip(leases, lengths, centres, strict=True):
        within += (_resampled_medians(lease, length, draws, rng) - centre) / count
    squares = ((centres - centres.mean(axis=0)) ** 2).sum(axis=0)
    if count >= MANY_LEASES:
        freedom_between, variance = count - 1, squares / (count - 1)
        picked = rng.integers(count, size=(draws, count))
        between = (centres[picked].mean(axis=1) - centres.mean(axis=0)) * np.sqrt(count / (count - 1))
    else:
        freedom_between = SHIFT_FREEDOM + count - 1
        variance = np.where(exact, 0.0, (SHIFT_FREEDOM * SHIFT**2 + squares) / freedom_between)
        own, of_base = rng.standard_normal((draws, exact.size)), rng.standard_normal((draws, 1))
        between = np.sqrt(variance / count / 2) * (own - of_base)
    inner, outer = within.var(axis=0), variance / count
    blocks = sum(max(2, lease.shape[0] // length) - 1 for lease, length in zip(leases, lengths, strict=True))
    spread = inner**2 / blocks + outer**2 / freedom_between
    freedom = np.divide((inner + outer) ** 2, spread, out=np.full(spread.size, np.inf), where=spread > 0)
    return np.exp(centres.mean(axis=0) + within + between), freedom


def _resampled_medians(lease: FloatArray, length: int, draws: int, rng: np.random.Generator) -> FloatArray:
    """Medians [draws, V] of a lease's log ratios, its rounds resampled in blocks of that length."""
    out = np.empty((draws, lease.shape[1]))
    step = max(1, CHUNK // lease.size)
    for start in range(0, draws, step):
        part = out[start : start + step]
        part[...] = _median_by_round(lease[_block_indices(lease.shape[0], length, len(part), rng)])
    return out


def _median_by_round(values: FloatArray) -> FloatArray:
    """Median over axis 1 of [draws, rounds, V]; models first, so that each median reads memory in one run."""
    return np.median(np.ascontiguousarray(values.transpose(0, 2, 1)), axis=2, overwrite_input=True)


def _block_indices(rounds: int, length: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Round indices [draws, rounds]: whole blocks of neighbouring rounds from random starts, wrapping at the end."""
    blocks = -(-rounds // length)
    starts = rng.integers(rounds, size=(draws, blocks, 1))
    return ((starts + np.arange(length)) % rounds).reshape(draws, blocks * length)[:, :rounds]


def _counts(n: int, draws: int, rng: np.random.Generator | int) -> Iterator[tuple[slice, FloatArray]]:
    """How often each of n examples is drawn, [rows, n] at a time."""
    if draws < 1:
        raise ValueError(f"there is at least one draw, got {draws}")
    step = max(1, CHUNK // n)
    if isinstance(rng, int):
        if n * draws <= KEPT:
            kept = _kept_counts(n, draws, rng)
            for start in range(0, draws, step):
                yield slice(start, start + step), kept[start : start + step].astype(np.float64)
            return
        rng = np.random.default_rng(rng)
    for start in range(0, draws, step):
        rows = slice(start, min(start + step, draws))
        counts = np.empty((rows.stop - rows.start, n))
        few = max(1, COUNTED // n)
        for first in range(0, len(counts), few):
            part = counts[first : first + few]
            picked = rng.integers(n, size=part.shape) + n * np.arange(len(part))[:, None]
            part[...] = np.bincount(picked.ravel(), minlength=part.size).reshape(part.shape)
        yield rows, counts


@lru_cache(maxsize=8)  # for drawing takes ten times as long as what is done with the draws
def _kept_counts(n: int, draws: int, seed: int) -> NDArray[np.uint8]:
    """The counts [draws, n] of that seed. None comes near 255: with n examples it is Poisson's of mean 1 at most."""
    kept = np.empty((draws, n), dtype=np.uint8)
    for rows, counts in _counts(n, draws, np.random.default_rng(seed)):
        kept[rows] = counts
    return kept


def _table(values: ArrayLike, what: str) -> FloatArray:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"{what} come as a table [variants, examples], got shape {table.shape}")
    return table


def _log_ratios(ratios: ArrayLike) -> FloatArray:
    table = np.asarray(ratios, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"ratios come as a table [rounds, models], got shape {table.shape}")
    if not (np.isfinite(table).all() and (table > 0).all()):
        raise ValueError("ratios must be finite and above zero")
    return np.log(table)
