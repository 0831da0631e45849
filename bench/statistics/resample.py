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
    ratios_by_lease: Sequence[ArrayLike],
    draws: int,
    rng: np.random.Generator | Sequence[np.random.Generator],
    places: Sequence[Sequence[int]] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Draws [draws, V] of the median ratio to the base, averaged over each model's leases, of V models.

    `ratios_by_lease` holds one array [rounds, m] a lease, rows in the order measured, every ratio positive and finite;
    `places` says which of the V models its columns are, None that every lease timed all of them. The base's column is
    all ones and its draws are exactly 1. On logs two kinds of luck are drawn, for each lease once and jointly for its
    models: that of the rounds, resampled in blocks (circular block bootstrap, Politis and Romano 1992; block length
    from the most correlated model), and what makes a ratio differ from lease to lease. So models are as close as the
    leases that they shared make them, whatever others each had; those of different leases meet through the base.
    With a generator for each lease, in place of one for all in turn, its luck does not depend on which others exist.

    What differs between leases is told by their medians, and few leases may agree by chance, so its variances and
    covariances are moderated (Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004),
    (d0 S0 + SS) / (d0 + k - 1) of k leases: as if `SHIFT_FREEDOM` = d0 more had shown a prior, which is what
    calibration found, `SHIFT`, or what all these leases show together where that is more. Half of the prior is the
    base's, which the models of a lease share; SS holds what its models moved together by.

    Medians differ by the luck of their rounds too, so that counts twice: on the wide side, unless leases differ by much
    more than their own noise. The second result is the draws' degrees of freedom [V], Satterthwaite's (Biometrics
    Bulletin 2, 1946), infinite for the base. ValueError for no lease, no round, bad ratios or a model without a lease.
    """
    leases = [_log_ratios(ratios) for ratios in ratios_by_lease]
    streams = [rng] * len(leases) if isinstance(rng, np.random.Generator) else rng
    at = _placed(leases, places)
    count, exact = np.bincount(np.concatenate(at)), np.ones(1 + max(int(each.max()) for each in at), dtype=np.bool_)
    if not count.all():
        raise ValueError(f"every model has a lease, but model {int(np.argmin(count))} has none")
    centres = np.full((len(leases), count.size), np.nan)
    for number, (lease, here) in enumerate(zip(leases, at, strict=True)):
        centres[number, here] = np.median(lease, axis=0)
        exact[here] &= (lease == 0).all(axis=0)
    mean = np.nanmean(centres, axis=0)
    apart = np.nan_to_num(centres - mean)
    freedom_between, squares = SHIFT_FREEDOM + count - 1, (apart**2).sum(axis=0)
    together = (SHIFT_FREEDOM * SHIFT**2 + squares.sum()) / (SHIFT_FREEDOM + (count - 1)[~exact].sum())
    expected = np.where(exact, 0.0, SHIFT_FREEDOM * max(SHIFT**2, together) / freedom_between)
    within, between, blocks = np.zeros((draws, count.size)), np.zeros((draws, count.size)), np.zeros(count.size)
    for lease, here, moved, stream in zip(leases, at, apart, streams, strict=True):
        # A base column that is exactly 1 says nothing about correlation; block_length gives it 1.
        length = max(block_length(column) for column in lease.T)
        within[:, here] += _resampled_medians(lease, length, draws, stream) - np.median(lease, axis=0)
        own, shared = stream.standard_normal((draws, here.size)), stream.standard_normal((draws, 2))
        between[:, here] += np.sqrt(expected[here] / 2) * (own - shared[:, :1])
        between[:, here] += np.sqrt(count[here] / freedom_between[here]) * moved[here] * shared[:, 1:]
        blocks[here] += max(2, lease.shape[0] // length) - 1
    inner, outer = (within / count).var(axis=0), (expected + squares / freedom_between) / count
    spread = inner**2 / blocks + outer**2 / freedom_between
    freedom = np.divide((inner + outer) ** 2, spread, out=np.full(spread.size, np.inf), where=spread > 0)
    return np.exp(mean + (within + between) / count), freedom


def _placed(leases: Sequence[FloatArray], places: Sequence[Sequence[int]] | None) -> list[NDArray[np.intp]]:
    """Which model each column of each lease is."""
    if not leases or (places is None and len({lease.shape[1] for lease in leases}) != 1):
        raise ValueError("there is at least one lease, and without places all of them time the same models")
    at = [np.asarray(here, dtype=np.intp) for here in places or [range(leases[0].shape[1])] * len(leases)]
    if [(here.size, len(set(here.tolist()))) for here in at] != [(lease.shape[1],) * 2 for lease in leases]:
        raise ValueError("a lease times each of its models in one column")
    return at


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
