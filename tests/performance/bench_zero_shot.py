"""How the time of a zero-shot answer grows with the number of candidate labels, on the shipped entailment model.

Each text becomes one pair for each candidate, so twice the labels are twice the pairs; what they cost depends on how
well batches fill. All numbers of labels are timed in the same rounds, as variants are; ratios are to one label, with
intervals that respect autocorrelation. One label alone needs `multi_label`, so all use it.

Run with `python -m tests.performance.bench_zero_shot [rounds]`.
"""

from __future__ import annotations

import platform
import sys

import numpy as np
import torch

from bench.measure.clock import Call
from bench.measure.rounds import Resident, measure_rounds
from bench.models import Loaded, load
from bench.statistics.intervals import block_median
from bench.tasks.zero_shot import ZeroShot
from bench.zoo import model_folder, rows
from tests.performance.bench_int8_linear import cpu_name

COUNTS = (1, 2, 4, 8, 16)
TEXTS = 8
NAMES = (
    *("music", "sport", "travel", "money", "food", "weather", "science", "school"),
    *("law", "health", "art", "war", "family", "trade", "animals", "work"),
)


def answering(model: Loaded, texts: list[str], count: int) -> Call:
    """One call: the chances of the first `count` labels for every text."""
    task = ZeroShot(labels=NAMES[:count], multi_label=True)
    return lambda: task.chances(model, texts)


def main() -> None:
    """Print the table; the first argument is the number of rounds (40)."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    torch.set_num_threads(1)
    model = load(model_folder("entailment-bart"))
    texts = [row["premise"] for row in rows("entailment/hard")[:TEXTS]]
    calls = [answering(model, texts, count) for count in COUNTS]
    visits = measure_rounds(
        Resident([[call] for call in calls]),
        looks=(rounds,),
        burst_seconds=0.05,
        enough=lambda _: False,
        rng=np.random.default_rng(0),
    )
    (table,) = visits.tables(len(calls))
    seconds = table / TEXTS
    print(
        f"CPU {cpu_name()}; Python {platform.python_version()}; torch {torch.__version__}; 1 thread; {rounds} rounds; "
        f"zoo://entailment-bart, {TEXTS} texts a call\n"
    )
    print("| labels | ms a text | time / one label |")
    print("|---|---|---|")
    for column, count in enumerate(COUNTS):
        time = block_median(1e3 * seconds[:, column])
        ratio = block_median(seconds[:, column] / seconds[:, 0])
        shown = f"{ratio.estimate:.2f} ({ratio.low:.2f}-{ratio.high:.2f})" if column else "1"
        print(f"| {count} | {time.estimate:.2f} ({time.low:.2f}-{time.high:.2f}) | {shown} |", flush=True)


if __name__ == "__main__":
    main()
