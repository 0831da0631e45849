"""What racing spends, and whether it loses a member of the frontier, on populations whose truth is known.

`python -m tests.calibration.racing [--populations N] [--store STORE ...]` races simulated sweeps of many shapes on a
task of 20 windows. It prints what share of the examples was spent, beside the share of variants that truly are the
frontier, which no rule can spend less than; and in how many populations a member was stopped. Then the same of latency:
what one lease shows to be beaten gets no second, where accuracy is known already. With stores, it also races anew what
was evaluated there to the end: accuracy against size, the truth being the estimates on all examples.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.record import Finished, Record
from bench.statistics.frontier import nondominated
from bench.statistics.racing import Exact, Raced, Scored, Timed, race_level, race_looks, stops
from bench.statistics.resample import SHIFT
from bench.store.journal import parts, read_entries
from bench.store.raw import Raw
from bench.tasks.spec import WINDOW
from bench.tasks.windows import ORDER_SEED
from cluster.groups import LARGEST_GROUP
from tests.bench.statistics.simulated_sweeps import outcomes

FloatArray = NDArray[np.float64]
Population = tuple[FloatArray, FloatArray]  # true accuracy and size of each variant, or its latency beside the base's
Shape = Callable[[int, np.random.Generator], Population]
WINDOWS, ALPHA = 20, 0.05
SIZES = (10, 40, 120)
TIMED_SIZES = (1 + LARGEST_GROUP, 1 + 2 * LARGEST_GROUP)  # the base and what fits into one lease, and into two
ROUNDS = (40, 320)  # the first look of a lease and the last
NOISES = (0.01, 0.04)  # by which a round deviates
LEASES = 2  # that a variant gets which does not stop
HAIR = 1e-6
TIMED_AS_MANY = 5  # times as many populations as are raced on examples: a lease is quickly simulated


def independent(size: int, rng: np.random.Generator) -> Population:
    """Accuracy and size have nothing to do with each other."""
    return rng.uniform(0.6, 0.9, size), rng.uniform(20, 100, size)


def diffuse(size: int, rng: np.random.Generator) -> Population:
    """Larger is better, mostly."""
    cost = rng.uniform(20, 100, size)
    return np.clip(0.6 + 0.3 * (cost - 20) / 80 - np.abs(0.05 * rng.standard_normal(size)), 0.5, 0.95), cost


def trade_off(size: int, rng: np.random.Generator) -> Population:
    """Every variant is on the frontier."""
    cost = np.sort(rng.uniform(20, 100, size))
    return np.sort(rng.uniform(0.6, 0.9, size)), cost


def clusters(size: int, rng: np.random.Generator) -> Population:
    """Five kinds of variants, alike within a kind."""
    kind = rng.integers(0, 5, size)
    return rng.uniform(0.6, 0.9, 5)[kind], rng.uniform(20, 100, 5)[kind]


def equal_accuracy(size: int, rng: np.random.Generator) -> Population:
    """Only the size differs, and accuracy cannot show it."""
    return np.full(size, 0.85), rng.uniform(20, 100, size)


def heavy_ties(size: int, rng: np.random.Generator) -> Population:
    """Three accuracies and three sizes."""
    return rng.choice([0.7, 0.8, 0.9], size), rng.choice([30.0, 60.0, 90.0], size)


def by_a_hair(size: int, rng: np.random.Generator) -> Population:
    """Each variant beats the next by far less than can be seen."""
    order = rng.permutation(size).astype(np.float64)
    return 0.85 - 0.0002 * order, 50.0 + order


def faster_by_a_hair(size: int, rng: np.random.Generator) -> Population:
    """Each is worse than the one before it, and faster by what no lease can show: all are the frontier."""
    del rng
    order = np.arange(size, dtype=np.float64)
    return 0.9 - 0.01 * order, np.where(order > 0, 0.8 - HAIR * order, 1.0)


def spread_out(size: int, rng: np.random.Generator) -> Population:
    """Accuracy and latency relative to the base have nothing to do with each other."""
    return rng.uniform(0.6, 0.9, size), np.append(1.0, rng.uniform(0.3, 1.2, size - 1))


SHAPES: tuple[Shape, ...] = (
    independent,
    diffuse,
    trade_off,
    clusters,
    equal_accuracy,
    heavy_ties,
    by_a_hair,
)


class Outcome(NamedTuple):
    """What became of one population."""

    spent: float  # of all examples of all variants, or of all leases
    frontier: float  # of the variants
    lost: bool


def rouge_like(accuracy: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """Scores in 0..1 of these means, which mostly rise and fall together."""
    shared, own = rng.standard_normal(n), rng.standard_normal((accuracy.size, n))
    place = stats.norm.cdf(np.sqrt(0.8) * shared + np.sqrt(0.2) * own)
    return np.asarray(stats.beta.ppf(place, 8 * accuracy[:, None], 8 * (1 - accuracy[:, None])))


def simulated(population: Population, *, binary: bool, rng: np.random.Generator) -> Outcome:
    """Race one population; variant 0 is the base."""
    quality, cost = population
    scores = (outcomes if binary else rouge_like)(quality, WINDOWS * WINDOW, rng)
    return race(scores, quality, cost, binary=binary)


def race(scores: FloatArray, quality: FloatArray, cost: FloatArray, *, binary: bool) -> Outcome:
    """Race scores [V, n] in the order of the windows; variant 0 never stops. `quality` and `cost` are the truth."""
    size, n = scores.shape
    looks = race_looks(-(-n // WINDOW))
    level = race_level(ALPHA, max(1, len(looks) - 1), [size])
    living = np.arange(size)
    spent = np.full(size, n)
    for look in looks[:-1]:
        seen = look * WINDOW
        evidence: list[Raced] = [Exact(cost[living]), Scored(scores[living, :seen], 1.0, binary)]
        gone = [s.variant for s in stops(evidence, level, frozenset({int(i) for i in np.flatnonzero(living == 0)}))]
        spent[living[gone]] = seen
        living = np.delete(living, gone)
    frontier = nondominated(np.column_stack([-quality, cost]))
    return Outcome(spent.sum() / (size * n), float(frontier.mean()), bool(frontier[spent < n].any()))


def raced_leases(population: Population, rounds: int, noise: float, rng: np.random.Generator) -> Outcome:
    """Time every variant in one lease; those that it shows beaten get no second. Variant 0 is the base.

    Accuracy counts as known, so that nothing but time keeps a variant in the race. In each lease each model has a shift
    of its own, the base as well, by which the ratio of two deviates as calibration found.
    """
    quality, ratios = population
    size = ratios.size
    leases = []
    for first in range(1, size, LARGEST_GROUP):
        places = [0, *range(first, min(first + LARGEST_GROUP, size))]
        shift = SHIFT / np.sqrt(2) * rng.standard_normal(len(places))
        deviation = shift + noise * rng.standard_normal((rounds, len(places)))
        times = ratios[places] * np.exp(deviation)
        leases.append((places, times / times[:, :1]))
    level = race_level(ALPHA, LEASES - 1, [size])
    found = stops([Exact(-quality), Timed(leases, size)], level, frozenset({0}))
    gone = [stop.variant for stop in found]
    frontier = nondominated(np.column_stack([-quality, ratios]))
    spent = 1 - len(gone) * (LEASES - 1) / (LEASES * (size - 1))
    return Outcome(spent, float(frontier.mean()), bool(frontier[gone].any()))


def row(name: str, what: str, size: int, found: Sequence[Outcome]) -> str:
    """One line of the table."""
    spent = np.array([each.spent for each in found])
    lost = sum(each.lost for each in found)
    high = stats.binomtest(lost, len(found)).proportion_ci(method="exact").high
    columns = [
        name.replace("_", " "),
        what,
        str(size),
        f"{np.median(spent):.2f} ({spent.min():.2f} to {spent.max():.2f})",
        f"{np.median([each.frontier for each in found]):.2f}",
        f"{lost} of {len(found)} (up to {100 * high:.0f}%)",
    ]
    return f"| {' | '.join(columns)} |"


def scored_row(shape: Shape, size: int, populations: int, *, binary: bool) -> str:
    """A line of populations raced on examples."""
    found = [
        simulated(shape(size, rng), binary=binary, rng=rng)
        for rng in (np.random.default_rng([seed, size]) for seed in range(populations))
    ]
    return row(shape.__name__, "right or wrong" if binary else "0 to 1", size, found)


def timed_row(shape: Shape, size: int, populations: int, rounds: int, noise: float) -> str:
    """A line of populations raced on leases."""
    found = [
        raced_leases(shape(size, rng), rounds, noise, rng)
        for rng in (np.random.default_rng([seed, size, rounds]) for seed in range(populations))
    ]
    return row(shape.__name__, f"{rounds} rounds of {100 * noise:g}%", size, found)


def replayed(store: Path) -> list[str]:
    """Lines of the table for a store: every task whose scores are right or wrong, all artefacts run on all of it."""
    raw = Raw(store / "journal")
    records = [
        Record.model_validate_json(body)
        for part in parts(store / "journal")
        for entry, _, body in read_entries(part)
        if entry == "record"
    ]
    done = [(record, record.outcome) for record in records if isinstance(record.outcome, Finished)]
    sizes = {v.artefact_id: v.estimate for _, outcome in done for v in outcome.values if v.metric == "size"}
    scores: dict[str, dict[str, dict[int, float]]] = {}
    for record, _ in done:
        if record.kind == "evaluate":
            task = scores.setdefault(record.job["task"]["name"], {})
            index, values = raw.scores(record.key, "score")
            mine = task.setdefault(record.job["artefact_id"], {})
            mine.update(zip(index.tolist(), values.tolist(), strict=True))
    lines = []
    for name, by_artefact in scores.items():
        most = max(len(each) for each in by_artefact.values())
        kept = [a for a, each in by_artefact.items() if len(each) == most]
        order = np.array(sorted(by_artefact[kept[0]]))[np.random.default_rng(ORDER_SEED).permutation(most)]
        table = np.array([[by_artefact[a][i] for i in order] for a in kept])
        if np.isin(table, (0.0, 1.0)).all():
            cost = np.array([sizes[a] for a in kept])
            found = race(table, table.mean(axis=1), cost, binary=True)
            shares = f"{found.spent:.2f} | {found.frontier:.2f} | {'yes' if found.lost else 'no'}"
            lines.append(f"| {store.name}: {name}, {most:,} examples | right or wrong | {len(kept)} | {shares} |")
    return lines


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--populations", type=int, default=75, help="of each shape and size")
    parser.add_argument("--store", type=Path, nargs="*", default=[], help="stores whose sweeps are raced anew")
    asked = parser.parse_args()
    populations = asked.populations
    print(f"Tasks of {WINDOWS * WINDOW:,} examples, looks after {', '.join(map(str, race_looks(WINDOWS)))} windows.\n")
    print("| shape | scores | variants | spent (least to most) | truly the frontier | a member lost |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        for size in SIZES:
            print(scored_row(shape, size, populations, binary=True), flush=True)
    for size in SIZES[:2]:
        print(scored_row(independent, size, populations, binary=False), flush=True)
        print(scored_row(equal_accuracy, size, populations, binary=False), flush=True)
    for shape, size, rounds, noise in product((faster_by_a_hair, spread_out), TIMED_SIZES, ROUNDS, NOISES):
        print(timed_row(shape, size, TIMED_AS_MANY * populations, rounds, noise), flush=True)
    for store in asked.store:
        print("\n".join(replayed(store)))


if __name__ == "__main__":
    main()
