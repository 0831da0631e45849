"""Is what was chosen told the truth about? Shortlists picked by a score, re-estimated on examples that were held back.

`python -m tests.calibration.confirming [--sweeps N]` simulates variants whose differences from the base are known and
takes the best few by the examples that are for choosing. It counts how often the interval of each there holds its true
difference, and how often those on the held-back third hold for all of the shortlist at once, as `paredown confirm`
states them: at a level split over the shortlist. It prints a table; less than a minute.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from bench.statistics.paired import difference

LEVEL, CHOOSING, HELD = 0.95, 1000, 500
VARIANTS, SHORTLISTS = (5, 20, 100), (1, 3)
SPREADS = (0.0, 0.01)  # deviation of true differences from the base


def sweep(variants: int, shortlist: int, spread: float, rng: np.random.Generator) -> tuple[int, bool, float]:
    """(intervals that hold where it was chosen, whether all held-back ones do, how much better the best looked)."""
    base = rng.random(CHOOSING + HELD) < 0.8
    truth = np.clip(spread * rng.standard_normal(variants), -0.1, 0.1)
    lost, gained = (0.02 + np.maximum(0, sign * truth) for sign in (-1, 1))
    # Of right ones some are lost, of wrong ones some gained, so that the difference is what it is to be.
    luck = rng.random((variants, base.size))
    right = np.where(base, luck >= (lost / 0.8)[:, None], luck < (gained / 0.2)[:, None]).astype(float)
    best = np.argsort(-right[:, :CHOOSING].mean(axis=1))[:shortlist]
    looked = [difference(right[i, :CHOOSING], base[:CHOOSING], LEVEL) for i in best]
    held = [difference(right[i, CHOOSING:], base[CHOOSING:], 1 - (1 - LEVEL) / shortlist) for i in best]
    holds = [sum(each.contains(truth[i]) for each, i in zip(some, best, strict=True)) for some in (looked, held)]
    return holds[0], holds[1] == shortlist, looked[0].estimate - float(truth[best[0]])


def row(variants: int, shortlist: int, spread: float, sweeps: int) -> str:
    """One line of the table."""
    rng = np.random.default_rng([variants, shortlist, int(1e4 * spread)])
    found = [sweep(variants, shortlist, spread, rng) for _ in range(sweeps)]
    held = sum(each for _, each, _ in found)
    low, high = stats.binomtest(held, sweeps).proportion_ci()
    columns = [
        str(variants),
        str(shortlist),
        f"{100 * spread:.0f} pts",
        f"{100 * sum(looked for looked, *_ in found) / (sweeps * shortlist):.1f}%",
        f"{100 * float(np.mean([too_good for *_, too_good in found])):+.2f} pts",
        f"{100 * held / sweeps:.1f}% ({100 * low:.1f} to {100 * high:.1f}%)",
    ]
    return f"| {' | '.join(columns)} |"


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=1000, help="of each kind")
    sweeps = parser.parse_args().sweeps
    names = ["variants", "shortlist", "truth varies by", "covered where chosen, each", "the best looked too good by"]
    names += ["covered where held back, all at once"]
    print(f"| {' | '.join(names)} |")
    print(f"|{'---|' * len(names)}")
    for variants in VARIANTS:
        for shortlist in SHORTLISTS:
            for spread in SPREADS:
                print(row(variants, shortlist, spread, sweeps), flush=True)


if __name__ == "__main__":
    main()
