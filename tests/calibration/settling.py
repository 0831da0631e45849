"""What settling spends, beside measuring every variant again, to leave as many variants contested.

`python -m tests.calibration.settling [--sweeps N]` simulates sweeps of latency against size in which smaller is mostly
faster, and gives every variant leases until it has twelve. Then it settles the same sweeps, on other noise, as long.
Cost is counted in models timed in leases, the base among them, for a lease takes as long as it has models.

`--ties N` counts wrong verdicts instead: in N sweeps of models that are exactly as fast as each other and of one size,
so that whatever is told is wrong, timed again and again with a look after each batch.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.statistics.frontier import nondominated, verdicts
from bench.statistics.objectives import Evidence, Objective
from bench.statistics.resample import SHIFT, lease_draws
from bench.statistics.settling import decisions, group_to_measure, open_pairs
from bench.statistics.simultaneous import half_widths
from bench.store.numbers import SEED
from cluster.groups import LARGEST_GROUP
from cluster.settle import LARGEST_BATCH
from tests.calibration.deciding import binomial

FloatArray = NDArray[np.float64]
ROUNDS, NOISE, DRAWS = 40, 0.04, 200
TIED_LEASES = 10, 30  # how far ties are timed
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

    def __init__(self, ratios: FloatArray, rng: np.random.Generator, noise: float = NOISE) -> None:
        self.ratios, self.rng, self.noise = ratios.copy(), rng, noise
        self.ratios[0] = 1.0
        self.costs = np.argsort(np.argsort(-self.ratios)).astype(float)  # the smaller, the faster
        self.costs[rng.permutation(ratios.size)[: ratios.size // 4]] += ratios.size / 3  # or not
        self.leases: list[dict[int, FloatArray]] = []
        self.spent = 0

    def lease(self, group: list[int]) -> None:
        """Time a group beside the base: each model has a shift of its own that lasts the lease, the base as well."""
        shift = SHIFT / np.sqrt(2) * self.rng.standard_normal(1 + len(group))
        noise = self.noise * self.rng.standard_normal((ROUNDS, len(group)))
        table = self.ratios[group] * np.exp(shift[1:] - shift[0] + noise)
        self.leases.append({v: table[:, i] for i, v in enumerate(group)})
        self.spent += 1 + len(group)

    def everything(self) -> bool:
        """One lease of every variant, in groups."""
        rest = list(range(1, self.ratios.size))
        for start in range(0, len(rest), LARGEST_GROUP):
            self.lease(rest[start : start + LARGEST_GROUP])
        return True

    def leases_of(self) -> list[float]:
        """Of each variant."""
        return [math.inf, *(float(sum(v in lease for lease in self.leases)) for v in range(1, self.ratios.size))]

    def evidence(self) -> tuple[Evidence, Evidence]:
        """Latency and size, as a store would put them together."""
        tables = [np.column_stack(list(lease.values())) for lease in self.leases]
        places = [[v - 1 for v in lease] for lease in self.leases]
        timed, freedom = lease_draws(tables, DRAWS, np.random.default_rng(SEED), places)
        logs = np.full((len(tables), self.ratios.size - 1), np.nan)
        for row, table, here in zip(logs, tables, places, strict=True):
            row[here] = np.log(np.median(table, axis=0))
        estimates = np.append(1.0, np.exp(np.nanmean(logs, axis=0)))
        draws, freedom = np.column_stack([np.ones(DRAWS), timed]), np.append(np.inf, freedom)
        extended = np.array(self.leases_of()) / FIRST_LEASES
        latency = Evidence(LATENCY, estimates, draws, freedom=freedom, extended=extended)
        return latency, Evidence(SIZE, self.costs)

    def state(self) -> tuple[int, int]:
        """(contested, wrongly certain or dominated)."""
        found = [verdict.state for verdict in verdicts(self.evidence())]
        truth = nondominated(np.column_stack([self.ratios, self.costs]))
        wrong = sum((s == "certain" and not t) or (s == "dominated" and t) for s, t in zip(found, truth, strict=True))
        return found.count("contested"), wrong

    def settle_once(self) -> bool:
        """One batch, as `paredown settle` would choose it; False where no lease helps."""
        evidence = self.evidence()
        found = open_pairs(evidence, half_widths(evidence, 0.95), (True, False), self.leases_of(), FIRST_LEASES)
        group, count, _ = group_to_measure(decisions(found, LARGEST_GROUP, BASE), LARGEST_GROUP)
        for _ in range(min(count, LARGEST_BATCH)):
            self.lease(group)
        return count > 0


class Compared(NamedTuple):
    """How many are contested after so much was spent beyond the first leases, step by step: [(spent, contested)]."""

    uniform: list[tuple[int, int]]
    settled: list[tuple[int, int]]
    wrong: bool

    def first(self) -> tuple[int, int | None]:
        """What either spent to leave as few contested as all again ever did; None where settling never did."""
        best = min(contested for _, contested in self.uniform)
        spent = [next((s for s, c in steps if c <= best), None) for steps in (self.uniform, self.settled)]
        return spent[0] or 0, spent[1]


def compare(ratios: FloatArray, seed: int) -> Compared:
    """Both ways on the same sweep."""
    costs: FloatArray | None = None
    found: list[list[tuple[int, int]]] = []
    wrong = False
    for way in ("all again", "settle"):
        sweep = Sweep(ratios, np.random.default_rng([seed, len(found)]))
        costs = sweep.costs = sweep.costs if costs is None else costs
        for _ in range(FIRST_LEASES):
            sweep.everything()
        start = sweep.spent
        limit = start + start // FIRST_LEASES * (MOST_LEASES - FIRST_LEASES)
        steps = [(0, sweep.state()[0])]
        while sweep.spent < limit and (sweep.settle_once() if way == "settle" else sweep.everything()):
            contested, false = sweep.state()
            wrong |= false > 0
            steps.append((sweep.spent - start, contested))
        found.append(steps)
    return Compared(found[0], found[1], wrong)


def mean_contested(steps: Sequence[list[tuple[int, int]]], spent: int) -> float:
    """How many are contested on average when so much was spent."""
    return float(np.mean([next(c for s, c in reversed(each) if s <= spent) for each in steps]))


def row(name: str, size: int, found: Sequence[Compared]) -> str:
    """One line of the table."""
    uniform, settled = [each.uniform for each in found], [each.settled for each in found]
    total = uniform[0][-1][0]
    left = mean_contested(uniform, total)
    equal = next((spent for spent in range(total + 1) if mean_contested(settled, spent) <= left), None)
    told = [first for each in found if (first := each.first())[0]]
    ratios = sorted(math.inf if mine is None else mine / all_again for all_again, mine in told)
    columns = [
        name,
        str(size),
        f"{mean_contested(uniform, 0):.1f}",
        f"{left:.1f}",
        str(total),
        "–" if equal is None else str(equal),
        "–" if equal is None else f"{equal / total:.2f}",
        f"{mean_contested(settled, total):.1f}",
        f"{np.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) of {len(told)}" if told else "–",
        f"{sum(each.wrong for each in found)} of {len(found)}",
    ]
    return f"| {' | '.join(columns)} |"


def first_wrong(variants: int, noise: float, seed: int) -> tuple[float, float]:
    """After how many leases a tie is first told apart, as it is judged and if every look had the same level."""
    sweep = Sweep(np.ones(1 + variants), np.random.default_rng([seed, variants]), noise)
    sweep.costs = np.zeros(1 + variants)
    found = [math.inf, math.inf]
    while len(sweep.leases) < TIED_LEASES[-1]:
        for _ in range(LARGEST_BATCH):
            sweep.everything()
        latency, size = sweep.evidence()
        for way, each in enumerate((latency, replace(latency, extended=None))):
            if not math.isfinite(found[way]) and any(v.state == "dominated" for v in verdicts((each, size))):
                found[way] = len(sweep.leases)
        if math.isfinite(found[0]):
            break  # at one level for all looks it was told before, or now
    return found[0], found[1]


def tied_row(variants: int, noise: float, sweeps: int) -> str:
    """One line of the table of ties."""
    found = [first_wrong(variants, noise, seed) for seed in range(sweeps)]
    cells = [
        binomial(sum(first[way] <= leases for first in found), sweeps)
        for way in (0, 1)
        for leases in (FIRST_LEASES, *TIED_LEASES)
        if way or leases > FIRST_LEASES
    ]
    return f"| {variants} | {100 * noise:g}% | {' | '.join([cells[2], *cells[:2], *cells[3:]])} |"


def print_ties(sweeps: int) -> None:
    """How often a tie is told apart."""
    names = ["models beside the base", "a round deviates by", f"wrong at {FIRST_LEASES} leases"]
    names += [f"by {leases} leases{what}" for what in ("", ", one level for all looks") for leases in TIED_LEASES]
    print(f"| {' | '.join(names)} |")
    print(f"|{'---|' * len(names)}")
    for variants in (1, 2, 5):
        for noise in (0.005, NOISE):
            print(tied_row(variants, noise, sweeps), flush=True)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=20, help="of each shape")
    parser.add_argument("--ties", type=int, default=0, help="sweeps of ties to simulate, in place of all others")
    asked = parser.parse_args()
    if asked.ties:
        print_ties(asked.ties)
        return
    sweeps = asked.sweeps
    names = ["shape", "variants", "contested at first", "after twelve of all", "spent", "settling, as few", "ratio"]
    names += ["settling, all spent", "ratio sweep by sweep", "wrong verdicts"]
    print(f"| {' | '.join(names)} |")
    print(f"|{'---|' * len(names)}")
    for shape in SHAPES:
        for size in (8, 16):
            found = [compare(shape(size, np.random.default_rng([seed, size])), seed) for seed in range(sweeps)]
            print(row(shape.__name__.replace("_", " "), size, found), flush=True)


if __name__ == "__main__":
    main()
