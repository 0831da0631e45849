"""What racing spends, and whether it loses a member of the frontier, on populations whose truth is known.

`python -m tests.calibration.racing [--populations N] [--store STORE ...]` races simulated sweeps of many shapes on a
task of 20 windows. It prints what share of the examples was spent, beside the share of variants that truly are the
frontier, which no rule can spend less than; and in how many populations a member was stopped. With stores, it also
races anew what was evaluated there to the end: accuracy against size, the truth being the estimates on all examples.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.record import Finished, Record
from bench.statistics.frontier import nondominated
from bench.statistics.racing import Exact, Raced, Scored, race_level, race_looks, stops
from bench.store.journal import parts, read_entries
from bench.store.raw import Raw
from bench.tasks.spec import WINDOW
from bench.tasks.windows import ORDER_SEED
from tests.bench.statistics.simulated_sweeps import outcomes

FloatArray = NDArray[np.float64]
Population = tuple[FloatArray, FloatArray]  # true accuracy and size of each variant
WINDOWS, ALPHA = 20, 0.05
SIZES = (10, 40, 120)


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


SHAPES: tuple[Callable[[int, np.random.Generator], Population], ...] = (
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

    spent: float  # of all examples of all variants
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


def row(shape: Callable[[int, np.random.Generator], Population], size: int, populations: int, *, binary: bool) -> str:
    """One line of the table."""
    found = [
        simulated(shape(size, rng), binary=binary, rng=rng)
        for rng in (np.random.default_rng([seed, size]) for seed in range(populations))
    ]
    spent = np.array([each.spent for each in found])
    lost = sum(each.lost for each in found)
    high = stats.binomtest(lost, populations).proportion_ci(method="exact").high
    columns = [
        shape.__name__.replace("_", " "),
        "right or wrong" if binary else "0 to 1",
        str(size),
        f"{np.median(spent):.2f} ({spent.min():.2f} to {spent.max():.2f})",
        f"{np.median([each.frontier for each in found]):.2f}",
        f"{lost} of {populations} (up to {100 * high:.0f}%)",
    ]
    return f"| {' | '.join(columns)} |"


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
    parser.add_argument("--populations", type=int, default=40, help="of each shape and size")
    parser.add_argument("--store", type=Path, nargs="*", default=[], help="stores whose sweeps are raced anew")
    asked = parser.parse_args()
    populations = asked.populations
    print(f"Tasks of {WINDOWS * WINDOW:,} examples, looks after {', '.join(map(str, race_looks(WINDOWS)))} windows.\n")
    print("| shape | scores | variants | spent (least to most) | truly the frontier | a member lost |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        for size in SIZES:
            print(row(shape, size, populations, binary=True), flush=True)
    for size in SIZES[:2]:
        print(row(independent, size, populations // 2, binary=False), flush=True)
        print(row(equal_accuracy, size, populations // 2, binary=False), flush=True)
    for store in asked.store:
        print("\n".join(replayed(store)))


if __name__ == "__main__":
    main()
