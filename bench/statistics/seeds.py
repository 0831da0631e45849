"""A sentence about a method rests on several seeds: intervals over training seeds and examples together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bench.statistics.intervals import Interval, as_values, check_level, mean_t

MOST_SEEDS = 50  # beyond which recipes count as alike for training


@dataclass(frozen=True, slots=True)
class Components:
    """Variance of a single value by where it comes from, in squared units, none negative; None where not split.

    `seeds`: from training seed to training seed. `examples`: from one example to another, for all seeds alike.
    `sessions`: from one lease of a machine to another. `rest`: of each example under each seed, or of the rounds of a
    lease. The mean over S seeds and n examples has variance seeds / S + examples / n + rest / (S n).
    """

    seeds: float | None
    examples: float | None = None
    sessions: float | None = None
    rest: float = 0.0


def over_seeds(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Interval for the mean difference over the seeds and the examples that there might have been.

    Args:
        differences: [S, n]: of each of S seeds on the same n examples, variant minus reference.
        level: of the two-sided interval.

    Seeds and examples are crossed random factors (Owen, Annals of Applied Statistics 1, 2007: resampling rows and
    columns apart adds their variances): the squared error is the variance of the seeds' means over S plus that of the
    examples' means over n, which counts what neither explains twice and so errs on the wide side. Student's t with
    S - 1 degrees of freedom, as if all variance were the seeds'. ValueError for fewer than 2 seeds or 2 examples, or
    what is not finite.
    """
    check_level(level)
    table = _crossed(differences, "differences")
    seeds, examples = table.shape
    mean = float(table.mean())
    between_seeds = float(table.mean(axis=1).var(ddof=1)) / seeds
    between_examples = float(table.mean(axis=0).var(ddof=1)) / examples
    reach = float(stats.t.isf((1 - level) / 2, seeds - 1)) * math.sqrt(between_seeds + between_examples)
    return Interval(mean, mean - reach, mean + reach, level, seeds, "Student t over seeds and examples")


def compare_recipes(first: Mapping[int, ArrayLike], second: Mapping[int, ArrayLike], level: float = 0.95) -> Interval:
    """Interval for how much one recipe's score exceeds another's, over the seeds and examples there might have been.

    Args:
        first: by seed the scores [n] of one recipe on the same examples throughout; a single number a seed where
            examples play no part (the log of a latency ratio).
        second: the same of the other recipe, on the same examples.
        level: of the two-sided interval.

    Where both have the same seeds, they are paired by seed: `over_seeds` of the differences, which gains what the seed
    moves in both alike. Otherwise all seeds are taken as independent, Welch's way: the squared error is the sum of the
    two recipes' variances between seeds over their counts, plus that of the examples' mean differences over n, with
    Student's t and Welch's degrees of freedom (Biometrika 34, 1947), as if all variance were the seeds'. If only some
    seeds are shared they count as independent too, which errs on the wide side where a seed moves both the same way.

    ValueError for fewer than 2 seeds of either, rows of different lengths, or what is not finite.
    """
    check_level(level)
    a, b = _by_seed(first), _by_seed(second)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"recipes are compared on the same examples, got {a.shape[1]} and {b.shape[1]}")
    if first.keys() == second.keys():
        return mean_t((a - b).ravel(), level) if a.shape[1] == 1 else over_seeds(a - b, level)
    mean = float(a.mean() - b.mean())
    parts = [float(table.mean(axis=1).var(ddof=1)) / table.shape[0] for table in (a, b)]
    spent = [part**2 / (table.shape[0] - 1) for part, table in zip(parts, (a, b), strict=True)]
    # Without any variance between seeds, the smaller number of them decides.
    freedom = sum(parts) ** 2 / sum(spent) if sum(spent) > 0 else float(min(a.shape[0], b.shape[0]) - 1)
    between_examples = float((a.mean(axis=0) - b.mean(axis=0)).var(ddof=1)) / a.shape[1] if a.shape[1] > 1 else 0.0
    reach = float(stats.t.isf((1 - level) / 2, freedom)) * math.sqrt(sum(parts) + between_examples)
    seeds = a.shape[0] + b.shape[0]
    return Interval(mean, mean - reach, mean + reach, level, seeds, "Welch's t over seeds and examples")


def level_of_each(comparisons: int) -> float:
    """Of one interval, so that so many hold together at 95%: Bonferroni's."""
    return 1 - 0.05 / max(1, comparisons)


def seeds_needed(gap: float, reach: float, seeds: int, level: float = 0.95) -> int | None:
    """Seeds of each recipe after which an interval would leave 0 out, if difference and variances stay what they are.

    Args:
        gap: the difference, as an absolute number.
        reach: half width of its interval over so many seeds.
        seeds: how many there are, 2 or more (ValueError below).
        level: of that interval: the higher it is, the faster more seeds narrow one that rests on few.

    The half width follows one over the root of the number of seeds, and Student's quantile with one seed less. None
    beyond `MOST_SEEDS`.
    """
    check_level(level)
    if seeds < 2:
        raise ValueError(f"an interval over seeds rests on at least 2, got {seeds}")
    counts = np.arange(seeds + 1, MOST_SEEDS + 1)
    tail = (1 - level) / 2
    factors = stats.t.isf(tail, counts - 1) / stats.t.isf(tail, seeds - 1) * np.sqrt(seeds / counts)
    enough = np.flatnonzero(reach * factors < gap)
    return int(counts[enough[0]]) if enough.size else None


def variance_of_scores(scores: ArrayLike) -> Components:
    """Where the variance of a recipe's scores [S, n] comes from: seeds, examples, and what is left of each pair.

    Crossed random factors, one score a cell, by the method of moments (Searle, Casella and McCulloch, Variance
    Components, 1992, section 4.3): the mean squares' expectations solved for the variances. A variance that comes out
    negative is put to 0. Scores or differences from the base alike. ValueError for fewer than 2 seeds or 2 examples, or
    what is not finite.
    """
    table = _crossed(scores, "scores")
    seeds, examples = table.shape
    by_seed, by_example = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
    left = table - by_seed - by_example + table.mean()
    rest = float((left**2).sum()) / ((seeds - 1) * (examples - 1))
    return Components(
        seeds=max(0.0, float(by_seed.var(ddof=1)) - rest / examples),
        examples=max(0.0, float(by_example.var(ddof=1)) - rest / seeds),
        rest=rest,
    )


def variance_of_timings(leases_by_seed: Sequence[ArrayLike], own: Sequence[ArrayLike] | None = None) -> Components:
    """Where the variance of a recipe's timings comes from: seeds, sessions (leases of a machine), and rounds.

    Args:
        leases_by_seed: for each of S seeds the log of the latency ratio in each of its leases.
        own: in the same shape, the squared standard error of each of those within its lease; None where unknown, and
            then what rounds add is part of the sessions.

    Leases are nested in seeds: analysis of variance with unequal counts by the method of moments (Searle, Casella and
    McCulloch, 1992, section 3.6), nothing negative. With a single seed its own part is not known: None. ValueError for
    no seed, no seed with two leases, shapes that differ, or what is not finite or, in `own`, negative.
    """
    groups = [as_values(leases) for leases in leases_by_seed]
    counts = np.array([group.size for group in groups], dtype=np.float64)
    total = float(counts.sum())
    within = total - len(groups)
    if not groups or within < 1:
        raise ValueError("leases vary from one to the next: at least one seed needs two of them")
    between_leases = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / within
    rounds = 0.0
    if own is not None:
        errors = [as_values(values) for values in own]
        if [each.size for each in errors] != [group.size for group in groups]:
            raise ValueError("every lease comes with its own squared error, or none does")
        rounds = float(np.concatenate(errors).mean())
        if min(float(each.min()) for each in errors) < 0:
            raise ValueError("squared errors are not negative")
    sessions = max(0.0, between_leases - rounds)
    if len(groups) == 1:
        return Components(seeds=None, sessions=sessions, rest=rounds)
    means = np.array([group.mean() for group in groups])
    centre = float((counts * means).sum()) / total
    between_seeds = float((counts * (means - centre) ** 2).sum()) / (len(groups) - 1)
    per_seed = (total - float((counts**2).sum()) / total) / (len(groups) - 1)
    return Components(seeds=max(0.0, (between_seeds - between_leases) / per_seed), sessions=sessions, rest=rounds)


def _by_seed(scores: Mapping[int, ArrayLike]) -> NDArray[np.float64]:
    """[S, n] in the order of seeds."""
    rows = [as_values(np.atleast_1d(np.asarray(scores[seed], dtype=np.float64))) for seed in sorted(scores)]
    if len(rows) < 2:
        raise ValueError(f"a sentence about a recipe needs at least 2 seeds, got {len(rows)}")
    if len({row.size for row in rows}) > 1:
        raise ValueError(f"every seed is scored on the same examples, got {[row.size for row in rows]} of them")
    return np.stack(rows)


def _crossed(values: ArrayLike, what: str) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(f"{what} come as [seeds, examples], at least 2 of each, got shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"{what} must be finite")
    return table
