"""How far do two measurements of one model's memory lie apart? What `bench.measure.repeats` leans on.

`make benchmark`, or `python -m tests.performance.bench_memory_jobs [jobs]`. BERT classifiers with random weights, of
four sizes, in float32, int8 and bfloat16. A job measures some of them, drawn anew with their order, three times each:
what a sweep asks for. Repeats are children of one process and share what it has touched and left free; so they agree
better than jobs do. The table splits the variance of the logarithm in the two.
"""

from __future__ import annotations

import platform
import random
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.artefacts import Artefacts
from bench.data import DataSpec
from bench.job import MemoryJob
from bench.measure.memory import run_memory
from bench.methods.cast import Cast
from bench.methods.int8_dynamic import Int8Dynamic
from bench.models import load, save
from bench.recipe import Workplace
from bench.sweep_file import TaskSection
from bench.tasks.spec import bind_task
from tests import tiny
from tests.bench.conftest import PAIR
from tests.performance.bench_int8_linear import cpu_name

SIZES = {"tiny": (64, 2, 500), "small": (384, 6, 30_000), "half": (384, 3, 30_000), "wide": (768, 4, 30_000)}
STEPS: dict[str, Any] = {"float32": None, "int8": Int8Dynamic(), "bfloat16": Cast()}
METRICS = ("host_peak", "resident", "mapped_weights", "host_imports", "load_seconds", "first_call_seconds")
TOKENS, REPEATS = 64, 3


def made(root: Path) -> list[str]:
    """Artefacts of every size in every format; their names."""
    from transformers import BertConfig, BertForSequenceClassification

    names = []
    for size, (width, layers, words) in SIZES.items():
        torch.manual_seed(0)
        config: Any = BertConfig(
            vocab_size=words,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=4 * width,
        )
        source = tiny.saved(BertForSequenceClassification(config), root / f"source-{size}")
        for form, step in STEPS.items():
            model = load(source)
            save(step.apply(model, Workplace(0, {})) if step else model, root / f"{size}-{form}")
            names.append(f"{size}-{form}")
    return names


def measured(root: Path, names: list[str]) -> dict[str, dict[str, list[float]]]:
    """The repeats of each metric, by model, of one job."""
    data = {"test": DataSpec(source=str(tiny.data_file(root / "test.jsonl", 700, 2)), **PAIR)}
    job = MemoryJob(
        artefact_ids=tuple(names),
        names=tuple(names),
        hardware_class="this",
        inputs=bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": TOKENS}), data),
        versions={},
        shape=(8, TOKENS),
        repeats=REPEATS,
    )
    finished, _ = run_memory(job, Artefacts(root))
    found: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for value in finished.values:  # of three, lowest, median and highest are all
        found[value.artefact_id][value.metric] = [value.low, value.estimate, value.high]
    return found


def split(jobs: list[list[float]]) -> tuple[float, float, float]:
    """Standard deviations of the logarithm within and between jobs, and the largest ratio of two jobs' medians."""
    logs = np.log(np.array(jobs))
    within = logs.var(axis=1, ddof=1).mean()
    between = max(0.0, logs.mean(axis=1).var(ddof=1) - within / logs.shape[1])
    medians = np.median(logs, axis=1)
    return float(np.sqrt(within)), float(np.sqrt(between)), float(np.exp(medians.max() - medians.min()))


def main() -> None:
    """Print the table; the first argument is the number of jobs (36)."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 36
    print(
        f"{datetime.now(UTC):%Y-%m-%d}; CPU {cpu_name()}; Python {platform.python_version()}; torch "
        f"{torch.__version__}; {count} jobs of 1 to 6 models, {REPEATS} processes each; batch 8, {TOKENS} tokens\n",
        flush=True,
    )
    rng = random.Random(0)
    found: dict[str, dict[str, list[list[float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        names = made(Path(folder))
        for _ in range(count):
            for name, metrics in measured(Path(folder), rng.sample(names, rng.randint(1, 6))).items():
                for metric, repeats in metrics.items():
                    found.setdefault(name, {}).setdefault(metric, []).append(repeats)
    print(
        "| model | metric | median | jobs | SD within | SD between | two jobs at most |\n|---|---|---|---|---|---|---|"
    )
    for name in (name for name in names if len(found.get(name, {}).get("host_peak", ())) > 1):
        for metric in METRICS:
            jobs = found[name][metric]
            middle = float(np.median(jobs))
            shown = f"{middle:.3f} s" if metric.endswith("seconds") else f"{middle / 1e6:.1f} MB"
            if min(map(min, jobs)) <= 0:
                print(f"| {name} | {metric} | {shown} | {len(jobs)} | has zeros | | |")
                continue
            within, between, most = split(jobs)
            print(f"| {name} | {metric} | {shown} | {len(jobs)} | {within:.1%} | {between:.1%} | {most - 1:.1%} |")


if __name__ == "__main__":
    main()
