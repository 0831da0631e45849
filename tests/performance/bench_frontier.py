"""How long do verdicts on a frontier take, and all that is told with them?

`python -m tests.performance.bench_frontier` times the statistics of sweeps of several sizes, two noisy objectives and
an exact one in 1,000 draws, and the marking of many points that no other beats, and prints Markdown tables: medians of
interleaved repeats, milliseconds, smallest and largest.
"""

import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from statistics import median

import numpy as np

from bench.statistics.attainment import attainment_band
from bench.statistics.frontier import nondominated, shares, verdicts
from bench.statistics.objectives import Evidence, FloatArray, Objective
from bench.statistics.ranks import rank_intervals, tie_groups
from bench.statistics.simultaneous import half_widths

VARIANTS = (12, 120, 500, 2000)
DRAWS, EXAMPLES = 1000, 1000
POINTS = ((2000, 2), (2000, 3), (100_000, 3))
REPEATS = 7
LEVEL = 0.95


def evidence(variants: int, rng: np.random.Generator) -> tuple[Evidence, ...]:
    """A cloud: quality, latency and size have nothing to do with each other."""
    truth = rng.uniform(0.5, 1.0, (3, variants))
    noise = 0.01 * rng.standard_normal((2, DRAWS, variants))
    quality, latency, size = (Objective("quality", "higher"), Objective("latency", "lower"), Objective("size", "lower"))
    return (
        Evidence(quality, truth[0], truth[0] + noise[0], EXAMPLES, 1.0),
        Evidence(latency, truth[1], truth[1] + noise[1]),
        Evidence(size, truth[2]),
    )


def steps(every: tuple[Evidence, ...]) -> dict[str, Callable[[], object]]:
    """What is told of a sweep, each from the same intervals; verdicts include the shares."""
    widths = half_widths(every, LEVEL)
    both = list(zip(every, widths, strict=True))
    return {
        "intervals of all pairs": lambda: half_widths(every, LEVEL),
        "verdicts and shares": lambda: verdicts(every, LEVEL, widths),
        "shares alone": lambda: shares(every),
        "ranks": lambda: [rank_intervals(each, LEVEL, width) for each, width in both],
        "ties": lambda: [tie_groups(each, LEVEL, width) for each, width in both],
        "band": lambda: attainment_band(every[0], every[1], LEVEL),
        "all": lambda: together(every),
    }


def together(every: tuple[Evidence, ...]) -> None:
    """Everything once, as a table and a plot of a sweep need it."""
    widths = half_widths(every, LEVEL)
    verdicts(every, LEVEL, widths)
    for each, width in zip(every, widths, strict=True):
        rank_intervals(each, LEVEL, width)
        tie_groups(each, LEVEL, width)
    attainment_band(every[0], every[1], LEVEL)


def fronts(rng: np.random.Generator) -> dict[str, Callable[[], object]]:
    """Marking points in a cloud, and points none of which beats another."""
    found: dict[str, Callable[[], object]] = {}
    for count, objectives in POINTS:
        cloud: FloatArray = rng.random((count, objectives))
        plane = cloud.copy()
        plane[:, -1] = objectives - plane[:, :-1].sum(axis=1)
        found[f"{count:,} x {objectives}, cloud"] = partial(nondominated, cloud)
        found[f"{count:,} x {objectives}, all on the frontier"] = partial(nondominated, plane)
    return found


def timed(work: dict[str, Callable[[], object]]) -> list[str]:
    """Milliseconds of each, as text."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(REPEATS):
        for name, action in work.items():
            begin = time.perf_counter()
            action()
            times[name].append(1e3 * (time.perf_counter() - begin))
    return [f"{median(each):,.1f} ({min(each):,.1f} to {max(each):,.1f})" for each in times.values()]


def main() -> None:
    out = sys.stdout
    rng = np.random.default_rng(0)
    versions = f"numpy {np.__version__}, moocore {version('moocore')}"
    out.write(f"{platform.machine()}, {os.cpu_count()} CPUs, {versions}, {REPEATS} repeats, {DRAWS:,} draws\n\n")
    columns: list[list[str]] = []
    for variants in VARIANTS:
        work = steps(evidence(variants, rng))
        columns.append(timed(work))
    out.write("| ms | " + " | ".join(f"{variants:,} variants" for variants in VARIANTS) + " |\n")
    out.write("|---" * (1 + len(VARIANTS)) + "|\n")
    for row, name in enumerate(work):
        out.write(f"| {name} | " + " | ".join(column[row] for column in columns) + " |\n")
    points = fronts(rng)
    out.write("\n| points x objectives | ms |\n|---|---|\n")
    for name, cell in zip(points, timed(points), strict=True):
        out.write(f"| {name} | {cell} |\n")


if __name__ == "__main__":
    main()
