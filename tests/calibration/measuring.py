"""A model against its own copy, and against one that does 5% more: how often are the intervals right?

`python -m tests.calibration.measuring [--leases N] [--kept FILE]` times, quiet and beside bursts of load, leases of one
base with three copies of it and three models of 21 layers instead of 20; and, a quarter as often, leases of the base
with a model of half of the layers and one in int8. It prints tables: of leases one by one, and of two as a store shows
them. With FILE every lease is kept there, one a line, and a run that was ended goes on after the last; the file belongs
to one machine.

Nothing else should run on the machine, and nothing here can check that: the load average is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
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
from bench.statistics.intervals import Interval, block_median, mean_over_leases
from bench.statistics.looks import look_level, planned_looks
from bench.statistics.paired import difference
from bench.statistics.resample import lease_draws
from bench.store.numbers import DRAWS, SEED
from tests.calibration.load import bursts

LAYERS, TOKENS = 20, 32
ALIKE = ("copy", "copy", "copy", "5% more", "5% more", "5% more")
UNLIKE = ("half of the layers", "int8")
BURST_SECONDS = 0.005
LOOKS = planned_looks()  # as a sweep that does not say otherwise
EXAMPLES, COMPARISONS = 1000, 200
HEAD = """\
| variant | condition | quiet ratio | shift | median error | largest | half width | covered | not 1 | rounds |
|---|---|---|---|---|---|---|---|---|---|"""


class Ratio(NamedTuple):
    """One variant's ratio to the base."""

    name: str
    interval: Interval


class Timed(NamedTuple):
    """One lease: its variants, and their ratios to the base [rounds, variants]."""

    names: tuple[str, ...]
    ratios: NDArray[np.float64]


def encoder(layers: int) -> Any:
    """An encoder with random weights, in float32."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config: Any = BertConfig(
        vocab_size=1000, hidden_size=64, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=256
    )
    model: Any = BertModel(config)
    return model.eval()


def in_int8(model: Any) -> Any:
    """The same with dynamic int8 products."""
    nothing: Any = None  # the step reads the model alone
    loaded = Loaded(model, nothing, Path())
    return Int8Dynamic().apply(loaded, Workplace(0, {})).model


def model_of(name: str) -> Any:
    """The base or a variant; every one has weights of its own."""
    layers = {"5% more": LAYERS + LAYERS // 20, "half of the layers": LAYERS // 2}.get(name, LAYERS)
    return in_int8(encoder(layers)) if name == "int8" else encoder(layers)


def lease(names: tuple[str, ...], seed: int) -> Timed:
    """One lease, timed now."""
    level = look_level(looks=len(LOOKS))
    ids = torch.randint(5, 1000, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(seed)
    names_in_place = ("base", *names)
    models = {int(place): model_of(names_in_place[place]) for place in rng.permutation(len(names_in_place))}
    calls: list[Call] = [partial(models[place], input_ids=ids) for place in range(len(models))]
    with torch.inference_mode():
        found = measure_rounds(
            Resident([[call] for call in calls]),
            looks=LOOKS,
            burst_seconds=BURST_SECONDS,
            enough=narrow_enough(0.02, level),
            rng=rng,
        )
    (table,) = found.tables(len(calls))
    return Timed(names, table[:, 1:] / table[:, :1])


def kept_lease(file: Path | None, condition: str, names: tuple[str, ...], number: int) -> Timed:
    """The lease of that number, from the file where it is kept, or timed now and kept there.

    Raises ValueError where the file holds leases of another machine or software.
    """
    asked = {"on": machine(), "condition": condition, "names": list(names), "number": number}
    for line in file.read_text().splitlines() if file and file.exists() else ():
        held = json.loads(line)
        rounds = held.pop("rounds")
        if held["on"] != asked["on"]:
            raise ValueError(f"{file} is of {held['on']}, and this is {asked['on']}: name another file.")
        if held == asked:
            return Timed(names, np.array(rounds))
    with bursts(1) if condition == "load" else nullcontext():
        found = lease(names, number)
    if file:
        with file.open("a") as lines:
            lines.write(f"{json.dumps({**asked, 'rounds': found.ratios.round(6).tolist()})}\n")
    return found


def machine() -> str:
    """What a lease was timed on and with."""
    return f"{cpu()[0]}, {os.cpu_count()} CPUs; torch {torch.__version__}; Python {platform.python_version()}"


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


def shown(leases: Sequence[Timed]) -> list[Ratio]:
    """What a store shows of leases of the same models."""
    level = look_level(looks=len(LOOKS))
    draws, freedom = lease_draws([lease.ratios for lease in leases], DRAWS, np.random.default_rng(SEED))
    found = []
    for column, name in enumerate(leases[0].names):
        each = [block_median(lease.ratios[:, column], level) for lease in leases]
        found.append(Ratio(name, mean_over_leases(each, draws[:, column], freedom[column])))
    return found


def own_intervals(leases: Sequence[Timed]) -> list[Ratio]:
    """The ratios of every lease with its own intervals, which know nothing of other leases."""
    level = look_level(looks=len(LOOKS))
    return [
        Ratio(name, block_median(column, level))
        for lease in leases
        for name, column in zip(lease.names, lease.ratios.T, strict=True)
    ]


def one_by_one(leases: Sequence[Timed]) -> list[Ratio]:
    """What a store shows of every lease alone."""
    return [ratio for lease in leases for ratio in shown([lease])]


def in_pairs(leases: Sequence[Timed]) -> list[Ratio]:
    """What a store shows of each two leases of the same models that follow each other."""
    found: list[Ratio] = []
    for names in (ALIKE, UNLIKE):
        alike = [lease for lease in leases if lease.names == names]
        for pair in zip(alike[::2], alike[1::2], strict=False):
            found += shown(pair)
    return found


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
    parser.add_argument("--kept", type=Path, help="file of leases to go on with")
    chosen = parser.parse_args()
    prepare()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    print(f"{datetime.now(UTC):%Y-%m-%d}; {machine()}; one thread; load average before {load:.1f}\n", flush=True)
    found: dict[str, list[Timed]] = {"quiet": [], "load": []}
    for number in range(chosen.leases):
        for condition, leases in found.items():
            for names in (ALIKE, UNLIKE) if number % 4 == 0 else (ALIKE,):
                leases.append(kept_lease(chosen.kept, condition, names, number))
    tables = {
        "Each lease's own intervals": own_intervals,
        "One lease, as a store shows it": one_by_one,
        "Two leases, as a store shows them": in_pairs,
    }
    for title, counted in tables.items():
        print(f"{title}:\n")
        print(HEAD)
        print("\n".join(rows(counted(found["quiet"]), counted(found["load"]))) + "\n")
    print(f"Quality: {quality_alarms(0)} of {COMPARISONS} pairs of equally good models differ significantly.")


if __name__ == "__main__":
    main()
