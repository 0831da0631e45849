"""What settling spends, beside measuring every variant again, to leave as many variants contested.

`python -m tests.calibration.settling [--sweeps N]` simulates sweeps of latency against size in which smaller is mostly
faster, gives every variant leases until it has twelve, and counts what was contested after each. Then it settles the
same sweeps until no more are contested. It prints the cost of either in models timed in leases, the base among them, and wrong verdicts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.statistics.frontier import nondominated, verdicts
from bench.statistics.objectives import Evidence, Objective
from bench.statistics.resample import SHIFT, lease_draws
from bench.statistics.settling import decisions, group_to_measure, open_pairs
from bench.statistics.simultaneous import half_widths
from cluster.groups import LARGEST_GROUP
from cluster.settle import LARGEST_BATCH

FloatArray = NDArray[np.float64]
ROUNDS, NOISE, DRAWS = 40, 0.04, 200
BASE = frozenset({0})
FIRST_LEASES, MOST_LEASES = 2, 12
LATENCY, SIZE = Objective("latency", "lower"), Objective("size", "lower")


def spread(size: int, rng: np.random.Generator) -> FloatArray:
    """Ratios to the base, each apart from the next by something."""
    return np.sort(rng.uniform(0.3, 1.2, size))


def pairs(size: int, rng: np.random.Generator) -> FloatArray:
    """Every second one is 1% slower than the one before."""
    found = np.sort(rng.uniform(0.3, 1.2, size))
    found[1::2] = 1.01 * found[: size // 2 * 2 : 2]
    return found


def few_close(size: int, rng: np.random.Generator) -> FloatArray:
    """Far apart, but for two that differ by 2%."""
    found = np.linspace(0.3, 1.2, size)
    found[2] = 1.02 * found[1]
    return np.asarray(found * np.exp(0.01 * rng.standard_normal()))


SHAPES: tuple[Callable[[int, np.random.Generator], FloatArray], ...] = (spread, pairs, few_close)


class Sweep:
    """Simulated leases of V variants and a base, which is variant 0, and what they say."""

    def __init__(self, ratios: FloatArray, rng: np.random.Generator) -> None:
        self.ratios, self.rng = ratios.copy(), rng
        self.ratios[0] = 1.0
        self.costs = np.argsort(np.argsort(-self.ratios)).astype(float)  # the smaller, the faster
        self.costs[rng.permutation(ratios.size)[: ratios.size // 4]] += ratios.size / 3  # or not
        self.leases: list[dict[int, FloatArray]] = []
        self.spent = 0

    def lease(self, group: list[int]) -> None:
        """Time a group beside the base: each model has a shift of its own that lasts the lease, the base as well."""
        shift = SHIFT / np.sqrt(2) * self.rng.standard_normal(1 + len(group))
        noise = NOISE * self.rng.standard_normal((ROUNDS, len(group)))
        table = self.ratios[group] * np.exp(shift[1:] - shift[0] + noise)
        self.leases.append({v: table[:, i] for i, v in enumerate(group)})
        self.spent += 1 + len(group)

    def everything(self) -> None:
        """One lease of every variant, in groups."""
        rest = list(range(1, self.ratios.size))
        for start in range(0, len(rest), LARGEST_GROUP):
            self.lease(rest[start : start + LARGEST_GROUP])

    def evidence(self) -> tuple[Evidence, Evidence]:
        """Latency and size, as a store would put them together."""
        tables = [np.column_stack(list(lease.values())) for lease in self.leases]
        places = [[v - 1 for v in lease] for lease in self.leases]
        timed, freedom = lease_draws(tables, DRAWS, self.rng, places)
        logs = np.full((len(tables), self.ratios.size - 1), np.nan)
        for row, table, here in zip(logs, tables, places, strict=True):
            row[here] = np.log(np.median(table, axis=0))
        estimates = np.append(1.0, np.exp(np.nanmean(logs, axis=0)))
        draws, freedom = np.column_stack([np.ones(DRAWS), timed]), np.append(np.inf, freedom)
        return Evidence(LATENCY, estimates, draws, freedom=freedom), Evidence(SIZE, self.costs)

    def state(self) -> tuple[int, int]:
        """(contested, wrongly certain or dominated)."""
        found = [verdict.state for verdict in verdicts(self.evidence())]
        truth = nondominated(np.column_stack([self.ratios, self.costs]))
        wrong = sum((s == "certain" and not t) or (s == "dominated" and t) for s, t in zip(found, truth, strict=True))
        return found.count("contested"), wrong

    def settle_once(self) -> bool:
        """One batch, as `paredown settle` would choose it; False where no lease helps."""
        evidence = self.evidence()
        counts = [len(self.leases), *(sum(v in lease for lease in self.leases) for v in range(1, self.ratios.size))]
        found = open_pairs(evidence, half_widths(evidence, 0.95), (True, False), counts)
        group, count = group_to_measure(decisions(found, LARGEST_GROUP, BASE), LARGEST_GROUP)
        for _ in range(min(count, LARGEST_BATCH)):
            self.lease(group)
        return count > 0


class Compared(NamedTuple):
    """Models timed in leases, in all, to leave as many contested; None where settling never did."""

    uniform: int
    settled: int | None
    contested: int
    wrong: bool


def compare(ratios: FloatArray, seed: int) -> Compared:
    """Both ways on the same sweep."""
    uniform = Sweep(ratios, np.random.default_rng(seed))
    uniform.costs = (costs := uniform.costs)
    for _ in range(FIRST_LEASES):
        uniform.everything()
    start = uniform.spent
    best, spent, wrong = uniform.state()[0], 0, False
    for _ in range(MOST_LEASES - FIRST_LEASES):
        uniform.everything()
        contested, false = uniform.state()
        wrong |= false > 0
        if contested < best:
            best, spent = contested, uniform.spent - start
    settled = Sweep(ratios, np.random.default_rng(seed))
    settled.costs = costs
    for _ in range(FIRST_LEASES):
        settled.everything()
    limit = start + 2 * (uniform.spent - start)
    while settled.state()[0] > best and settled.spent < limit and settled.settle_once():
        pass
    contested, false = settled.state()
    reached = contested <= best
    return Compared(spent, settled.spent - start if reached else None, best, wrong or false > 0)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=30, help="of each shape")
    sweeps = parser.parse_args().sweeps
    print("| shape | variants | leases, all again | leases, settling | ratio, median | never as few | wrong verdicts |")
    print("|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        for size in (8, 16):
            found = [compare(shape(size, np.random.default_rng([seed, size])), seed) for seed in range(sweeps)]
            told = [each for each in found if each.uniform]
            reached = [(each.uniform, each.settled) for each in told if each.settled is not None]
            ratios = [settled / uniform for uniform, settled in reached]
            columns = [
                shape.__name__.replace("_", " "),
                str(size),
                f"{np.median([u for u, _ in reached]):.0f}" if reached else "–",
                f"{np.median([s for _, s in reached]):.0f}" if reached else "–",
                f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "–",
                f"{len(told) - len(reached)} of {len(told)}",
                f"{sum(each.wrong for each in found)} of {sweeps}",
            ]
            print(f"| {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
