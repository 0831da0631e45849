"""How many bytes do fewer layers save? paredown against optimum-benchmark, where the answer is known.

`make benchmark`, or `python -m tests.performance.bench_memory_peers [trials]` where `.venv-peers/optimum` is made. The
pair: BERT with 12 and with 6 layers, width 512, and a vocabulary of 30,000, random weights. Both need the same memory
beside their weights, a layer's activations at a time, so the smaller one saves the bytes of six layers, which stand in
the files. A trial measures both with each tool at its own defaults, in random order, with files that were read just
before, were just written, or are not in the page cache: weights are mapped, and which of their pages a process holds
depends on that.
"""

from __future__ import annotations

import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bench.artefacts import Artefacts
from bench.data import DataSpec
from bench.job import MemoryJob
from bench.measure.memory import run_memory
from bench.models import load, save
from bench.sweep_file import TaskSection
from bench.tasks.spec import bind_task
from tests import tiny
from tests.bench.conftest import PAIR
from tests.performance.bench_int8_linear import cpu_name
from tests.performance.bench_latency_peers import require_optimum, theirs

LAYERS, TOKENS = (12, 6), 64
TOOLS = ("paredown", "optimum-benchmark, process", "optimum-benchmark, inline")


def saved(root: Path, layers: int) -> Path:
    """A classifier with random weights as an artefact, which other tools load too."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config: Any = BertConfig(
        vocab_size=30_000, hidden_size=512, num_hidden_layers=layers, num_attention_heads=8, intermediate_size=2048
    )
    source = tiny.saved(BertForSequenceClassification(config), root / f"source-{layers}")
    save(load(source), root / str(layers))
    shutil.rmtree(source)
    return root / str(layers)


def weights(folder: Path) -> int:
    """Bytes of a model's parameters."""
    return sum(parameter.nbytes for parameter in load(folder).model.parameters())


def ours(folders: list[Path]) -> list[float]:
    """Peak host memory of each, of one job with three repeats."""
    root, names = folders[0].parent, tuple(folder.name for folder in folders)
    data = {"test": DataSpec(source=str(tiny.data_file(root / "test.jsonl", 700, 2)), **PAIR)}
    job = MemoryJob(
        artefact_ids=names,
        names=names,
        hardware_class="this",
        inputs=bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": TOKENS}), data),
        versions={},
        shape=(1, TOKENS),
        repeats=3,
    )
    finished, _ = run_memory(job, Artefacts(root))
    peaks = {value.artefact_id: value.estimate for value in finished.values if value.metric == "host_peak"}
    return [peaks[name] for name in names]


def read(folder: Path) -> None:
    """All of it into the page cache."""
    for path in folder.iterdir():
        path.read_bytes()


def write(folder: Path) -> None:
    """Anew: what the kernel holds of the files is then in other pieces."""
    beside = folder.with_name(f"{folder.name}.new")
    shutil.copytree(folder, beside)
    shutil.rmtree(folder)
    beside.rename(folder)


def forget(folder: Path) -> None:
    """None of it stays in the page cache."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


CONDITIONS: dict[str, Callable[[Path], None]] = {"read before": read, "just written": write, "not cached": forget}


def main() -> None:
    """Print the table; the first argument is the number of trials of each condition (5)."""
    require_optimum()
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(
        f"{datetime.now(UTC):%Y-%m-%d}; CPU {cpu_name()}, {os.cpu_count()} CPUs; Python {platform.python_version()}; "
        f"torch {torch.__version__}; one thread; {trials} trials a condition\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        folders = [saved(Path(folder), layers) for layers in LAYERS]
        sizes = [weights(each) for each in folders]
        truth, share = sizes[0] - sizes[1], 1 - sizes[1] / sizes[0]
        print(f"Weights: {sizes[0] / 1e6:.1f} and {sizes[1] / 1e6:.1f} MB; saved {truth / 1e6:.1f} MB, {share:.0%}.\n")
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(trials):
            for condition, prepared in CONDITIONS.items():
                for tool in random.sample(TOOLS, len(TOOLS)):
                    for each in folders:
                        prepared(each)
                    if tool == "paredown":
                        first, second = ours(folders)
                    else:
                        first, second = (theirs("memory", each, tool.split()[-1], TOKENS) for each in folders)
                    found.setdefault((condition, tool), []).append((first, second))
    print("| files | tool | saved, MB | error, median | smallest to largest | share of the larger model's |")
    print("|---|---|---|---|---|---|")
    for condition in CONDITIONS:
        for tool in TOOLS:
            pairs = found[condition, tool]
            errors = [100 * ((first - second) / truth - 1) for first, second in pairs]
            saved_ = statistics.median(first - second for first, second in pairs)
            said = statistics.median(1 - second / first for first, second in pairs)
            print(
                f"| {condition} | {tool} | {saved_ / 1e6:.1f} | {statistics.median(map(abs, errors)):.1f}% "
                f"| {min(errors):+.1f}% to {max(errors):+.1f}% | {said:.0%} |"
            )


if __name__ == "__main__":
    main()
