"""A model against its own copy, and against one that does 5% more: how often are the intervals right?

`python -m tests.calibration.measuring [--leases N] [--traces FOLDER]` times, quiet and beside bursts of load, leases of
one base with three copies of it, one model of 21 layers instead of 20, one of half of the layers and one in int8. It
prints a table; `--traces` keeps the rounds for the simulation of the suite.

Nothing else should run on the machine, and nothing here can check that: the load average is printed.
"""

from __future__ import annotations

import argparse
import os
import platform
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from bench.measure.clock import Call
from bench.measure.latency import narrow_enough
from bench.measure.rounds import Resident, measure_rounds
from bench.methods.int8_dynamic import Int8Dynamic
from bench.models import Loaded
from bench.processor import cpu, prepare
from bench.recipe import Workplace
from bench.statistics.intervals import Interval, block_median
from bench.statistics.looks import look_level, planned_looks
from bench.statistics.paired import difference
from tests.calibration.load import bursts

LAYERS, TOKENS = 20, 32
NAMES = ("copy", "copy", "copy", "5% more", "half of the layers", "int8")
BURST_SECONDS = 0.02
LOOKS = planned_looks(40, 160)
EXAMPLES, COMPARISONS = 1000, 200


class Ratio(NamedTuple):
    """One variant's ratio to the base in one lease."""

    name: str
    interval: Interval


def encoder(layers: int) -> Any:
    """An encoder with random weights, in float32."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config: Any = BertConfig(
        vocab_size=1000, hidden_size=128, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=512
    )
    return BertModel(config).eval()


def in_int8(model: Any) -> Any:
    """The same with dynamic int8 products."""
    loaded = Loaded(model, None, Path())  # type: ignore[arg-type] - the step reads the model alone
    return Int8Dynamic().apply(loaded, Workplace(0, {})).model


def crew() -> list[Call]:
    """The base, then the variants in the order of NAMES; every copy has weights of its own."""
    ids = torch.randint(5, 1000, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    models = [encoder(LAYERS) for _ in range(4)]
    models += [encoder(LAYERS + LAYERS // 20), encoder(LAYERS // 2), in_int8(encoder(LAYERS))]
    return [lambda m=m: m(input_ids=ids) for m in models]


def lease(calls: list[Call], seed: int) -> tuple[list[Ratio], NDArray[np.float64]]:
    """The ratios of one lease with their intervals, and its rounds [rounds, models] in seconds."""
    level = look_level(looks=len(LOOKS))
    found = measure_rounds(
        Resident([[call] for call in calls]),
        looks=LOOKS,
        burst_seconds=BURST_SECONDS,
        enough=narrow_enough(0.02, level),
        rng=np.random.default_rng(seed),
    )
    (table,) = found.tables(len(calls))
    columns = zip(NAMES, table[:, 1:].T, strict=True)
    return [Ratio(name, block_median(column / table[:, 0], level)) for name, column in columns], table


def quality_alarms(seed: int) -> int:
    """Of pairs of models that are equally right on average but not alike, how many seem to differ at 95%.

    Each pair's outcomes are exchangeable: both models see the same difficulty of every example, each with own luck.
    """
    rng = np.random.default_rng(seed)
    alarms = 0
    for _ in range(COMPARISONS):
        chance = rng.beta(4, 1, size=EXAMPLES)
        a, b = (rng.random(EXAMPLES) < chance for _ in range(2))
        interval = difference(a.astype(float), b.astype(float))
        alarms += not interval.contains(0.0)
    return alarms


def share(hits: int, n: int) -> str:
    """A count with its exact 95% interval."""
    low, high = stats.binomtest(hits, n).proportion_ci()
    return f"{hits} of {n} ({100 * low:.0f} to {100 * high:.0f}%)"


def rows(quiet: list[Ratio], loaded: list[Ratio]) -> list[str]:
    """The table's lines."""
    found = []
    for condition, ratios in (("quiet", quiet), ("bursts of load", loaded)):
        by_name: dict[str, list[Interval]] = {}
        for ratio in ratios:
            by_name.setdefault(ratio.name, []).append(ratio.interval)
        for name, intervals in by_name.items():
            truth = np.median([r.interval.estimate for r in quiet if r.name == name]) if name != "copy" else 1.0
            estimates = np.array([i.estimate for i in intervals])
            error = np.abs(estimates / truth - 1)
            columns = [
                name,
                condition,
                f"{truth:.4f}",
                f"{100 * (np.median(estimates) / truth - 1):+.2f}%",
                f"{100 * np.median(error):.2f}%",
                f"{100 * error.max():.2f}%",
                f"{100 * np.median([i.relative_half_width for i in intervals]):.2f}%",
                share(sum(i.contains(float(truth)) for i in intervals), len(intervals)),
                share(sum(not i.contains(1.0) for i in intervals), len(intervals)),
                f"{np.median([i.n for i in intervals]):.0f}",
            ]
            found.append(f"| {' | '.join(columns)} |")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leases", type=int, default=67, help="of each condition; three copies in each")
    parser.add_argument("--traces", type=Path, help="folder for the rounds of each lease")
    asked = parser.parse_args()
    prepare()
    torch.set_num_threads(1)
    print(f"{datetime.now(UTC):%Y-%m-%d}; {cpu()[0]}, {os.cpu_count()} CPUs; torch {torch.__version__}, one thread;")
    print(f"Python {platform.python_version()}; load average before {os.getloadavg()[0]:.1f}\n", flush=True)
    found: dict[str, list[Ratio]] = {"quiet": [], "load": []}
    with torch.inference_mode():
        for number in range(asked.leases):
            for condition in found:
                with bursts(1) if condition == "load" else nullcontext():
                    ratios, table = lease(crew(), number)
                found[condition] += ratios
                if asked.traces:
                    asked.traces.mkdir(parents=True, exist_ok=True)
                    np.save(asked.traces / f"{condition}-{number:03d}.npy", table.astype(np.float32))
    print(
        "| variant | condition | quiet ratio | shift | median error | largest | half width | covered | not 1 | rounds |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    print("\n".join(rows(found["quiet"], found["load"])))
    print(f"\nQuality: {quality_alarms(0)} of {COMPARISONS} pairs of equally good models differ significantly.")


if __name__ == "__main__":
    main()
