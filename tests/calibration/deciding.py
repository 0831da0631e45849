"""Sweeps whose truth is known: how often is a verdict wrong, a share misleading, an interval beside the truth?

`python -m tests.calibration.deciding [--scale 0.1]` simulates sweeps of six shapes with 10 to 500 variants, each
measured once on 500 examples and in two leases of 40 rounds, and prints Markdown tables: sweeps with any wrong
verdict, what a choice by the judged scores does to them, what share on the frontier meant what, and the coverage of
intervals. Half an hour of one core; a tenth of the simulations with `--scale 0.1`. The numbers are the same on every
run.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from scipy import stats

from bench.statistics.frontier import Verdict, nondominated, verdicts
from bench.statistics.simultaneous import half_widths
from bench.store.numbers import DRAWS
from tests.bench.statistics.simulated_sweeps import sweep, true_costs
from tests.calibration import coverage
from tests.calibration.populations import SHAPES, Shape, all_equal

EXAMPLES = 500


SWEEPS = {10: 250, 40: 150, 120: 120, 500: 60}  # by variants; resampled as often as a store's are
SIMULATIONS = 2000
LUCKY_OF, LUCKY_SWEEPS = 100, 200  # variants beside the base; sweeps of them
# Upper ends of the bins of shares; 0 and 1 stand alone.
BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 0.9999, 1.0)
BIN_NAMES = ("0", "to 5%", "to 20%", "to 50%", "to 80%", "to 95%", "below 100%", "100%")
ALONE, LUCKIEST = 6, 7  # seeds


class Judged(NamedTuple):
    """One variant: what was said of it, and whether it truly is on the frontier."""

    verdict: Verdict
    on: bool

    @property
    def wrong(self) -> bool:
        return self.verdict.state == ("dominated" if self.on else "certain")


def simulate(shape: Shape, variants: int, sweeps: int, objectives: int = 3) -> list[list[Judged]]:
    """The verdicts of so many sweeps, on the first of three objectives. Random shapes are drawn anew each time."""
    rng = np.random.default_rng([SHAPES.index(shape) if objectives == 3 else ALONE, variants])
    out = []
    for _ in range(sweeps):
        truth = shape(variants, rng)
        on = nondominated(true_costs(truth)[:, :objectives])
        found = verdicts(sweep(truth, EXAMPLES, rng, DRAWS)[:objectives])
        out.append([Judged(verdict, bool(true)) for verdict, true in zip(found, on, strict=True)])
    return out


def name_of(shape: Shape) -> str:
    """As it stands in the tables."""
    return shape.__name__.replace("_", " ")


def wrong_ones(sweeps: list[list[Judged]]) -> str:
    """In how many sweeps any verdict is wrong."""
    return binomial(sum(any(judged.wrong for judged in each) for each in sweeps), len(sweeps))


def binomial(hits: int, n: int) -> str:
    """A count with its exact 95% interval."""
    low, high = stats.binomtest(hits, n).proportion_ci()
    return f"{hits} of {n} ({100 * low:.1f}-{100 * high:.1f}%)"


def percent(states: Iterable[str], wanted: str) -> str:
    """How many of `states` are `wanted`."""
    counted = Counter(states)
    return f"{100 * counted[wanted] / counted.total():.0f}%" if counted else "-"


def sweep_row(name: str, variants: int, found: list[list[Judged]], seconds: float) -> str:
    """One line of the table of sweeps."""
    every = [judged for each in found for judged in each]
    cells = [
        name,
        f"{variants}",
        wrong_ones(found),
        f"{100 * np.mean([judged.on for judged in every]):.0f}%",
        percent((j.verdict.state for j in every if j.on), "certain"),
        percent((j.verdict.state for j in every if not j.on), "dominated"),
        percent((j.verdict.state for j in every), "contested"),
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def share_row(name: str, every: list[Judged]) -> str:
    """One line of the table of shares: of the variants in each bin, how many truly are on the frontier."""
    places = np.searchsorted(BINS, [judged.verdict.share for judged in every])
    cells = []
    for place in range(len(BINS)):
        on = [judged.on for judged, mine in zip(every, places, strict=True) if mine == place]
        cells.append(f"{100 * np.mean(on):.0f}% of {len(on):,}" if on else "-")
    return f"| {name} | {' | '.join(cells)} |"


def sweeps_of(shape: Shape, scale: float, objectives: int = 3) -> list[list[Judged]]:
    """Simulate one shape in all sizes, printing a line for each."""
    out = []
    for variants, sweeps in SWEEPS.items():
        started = time.perf_counter()
        found = simulate(shape, variants, max(2, round(scale * sweeps)), objectives)
        name = name_of(shape) if objectives == 3 else f"{name_of(shape)}, quality alone"
        print(sweep_row(name, variants, found, time.perf_counter() - started), flush=True)
        out += found
    return out


def luckiest(kept: int, sweeps: int) -> tuple[int, int]:
    """Of so many sweeps of exact equals those with a wrong verdict, where the base and the best `kept` are judged.

    First with the intervals that pairs have among all, as a board under a constraint does, then as if no others had
    been there.
    """
    rng = np.random.default_rng([LUCKIEST, kept])
    wrong = [0, 0]
    for _ in range(sweeps):
        (every, *_) = sweep(all_equal(LUCKY_OF, rng), EXAMPLES, rng, DRAWS)
        rows = np.r_[0, 1 + np.argsort(-every.estimates[1:], kind="stable")[:kept]]
        (among_all,) = half_widths((every,), 0.95)
        for how, widths in enumerate(([among_all[np.ix_(rows, rows)]], None)):
            wrong[how] += any(verdict.state != "contested" for verdict in verdicts([every.only(rows)], widths=widths))
    return wrong[0], wrong[1]


def print_luckiest(scale: float) -> None:
    """How often a choice by the scores that are judged makes a verdict wrong."""
    sweeps = max(2, round(scale * LUCKY_SWEEPS))
    print(
        f"\n| kept of {LUCKY_OF} equals, by their own score | sweeps with a wrong verdict | as if no others had been |"
    )
    print("|---|---|---|")
    for kept in (1, 3, 10, 30):
        cells = [binomial(each, sweeps) for each in luckiest(kept, sweeps)]
        print(f"| {kept} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the simulations to run")
    parser.add_argument("--alone", action="store_true", help="only the hardest truth: equals, on quality alone")
    asked = parser.parse_args()
    scale = asked.scale
    begin = time.perf_counter()
    print(f"{datetime.now(UTC):%Y-%m-%d}; numpy {np.__version__}, Python {platform.python_version()};")
    print(f"{EXAMPLES} examples, two leases of 40 rounds.\n")
    print(
        "| shape | variants | sweeps with a wrong verdict (95%) | truly on the frontier | of those certain "
        "| of the beaten dominated | contested | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    shares = []
    together: list[list[Judged]] = []
    for shape in () if asked.alone else SHAPES:
        mine = sweeps_of(shape, scale)
        together += mine
        shares.append(share_row(name_of(shape), [judged for each in mine for judged in each]))
    # The hardest truth: whatever difference is shown is a wrong verdict, and no second objective forbids it.
    alone = sweeps_of(all_equal, scale, objectives=1)
    for what, sweeps in (("three objectives", together), ("quality alone", alone)):
        if sweeps:
            print(f"\nSweeps on {what} with a wrong verdict: {wrong_ones(sweeps)}.")
    print_luckiest(scale)
    if asked.alone:
        return
    print()
    print(f"| share of draws on the frontier | {' | '.join(BIN_NAMES)} |")
    print("|---" * (1 + len(BINS)) + "|")
    print("\n".join(shares))
    print()
    print("\n".join(coverage.table(max(2, round(scale * SIMULATIONS)), 1)))
    print(f"\n{time.perf_counter() - begin:.0f} seconds.")


if __name__ == "__main__":
    main()
