"""How wrong is the measured speed-up of a pair of encoders? paredown against optimum-benchmark, quiet and beside load.

`make benchmark`, or `python -m tests.performance.bench_latency_peers [trials]` where `.venv-peers/optimum` is made. The
pair: BERT with 12 and with 6 layers, width 256, 64 tokens, random weights. A trial measures the pair once with each
tool at its own defaults, in random order, each measurement in a process of its own: paredown in one lease,
optimum-benchmark one model after the other, with its default launcher (a process of its own again) and inline. The true
ratio is the geometric mean over long quiet leases, one before each trial, in processes that no trial uses.
"""

from __future__ import annotations

import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.measure.clock import Call
from bench.measure.latency import narrow_enough
from bench.measure.rounds import Resident, measure_rounds
from bench.processor import prepare
from bench.statistics.intervals import Interval, block_median, mean_t
from bench.statistics.looks import look_level, planned_looks
from tests import tiny
from tests.calibration.load import bursts
from tests.performance.bench_int8_linear import cpu_name

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-peers" / "optimum" / "bin" / "python"
LAYERS, TOKENS = (12, 6), 64
TOOLS = ("paredown", "optimum-benchmark, process", "optimum-benchmark, inline")


def saved(folder: Path, layers: int) -> Path:
    """A classifier with random weights, with a tokenizer so that other tools load it too."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config: Any = BertConfig(
        vocab_size=1000, hidden_size=256, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=1024
    )
    model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def ours(folders: list[Path], *, long: bool = False) -> Interval:
    """Time of the first model over that of the second: a lease at paredown's defaults here, or a long one."""
    from transformers import BertForSequenceClassification

    ids = torch.randint(5, 1000, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    looks = (320,) if long else planned_looks()
    level = look_level(looks=len(looks))
    with torch.inference_mode():
        models: list[Any] = [BertForSequenceClassification.from_pretrained(folder) for folder in folders]
        calls: list[Call] = [partial(model.eval(), input_ids=ids) for model in models]
        visits = measure_rounds(
            Resident([[call] for call in calls]),
            looks=looks,
            burst_seconds=0.05,
            enough=narrow_enough(0.02, level),
            rng=np.random.default_rng(),
        )
    (table,) = visits.tables(2)
    return block_median(table[:, 0] / table[:, 1], level)


def leased(folders: list[Path], *, long: bool = False) -> float:
    """The same in a process of its own: what a process happens to get, as its memory's pages, is another draw."""
    return float(_printed([sys.executable, "-m", __spec__.name, "long" if long else "lease", *map(str, folders)], ROOT))


def theirs(what: str, folder: Path, launcher: str, tokens: int) -> float:
    """One measurement of a model by optimum-benchmark: latency in seconds, or memory in bytes."""
    worker = [str(PYTHON), "-m", "tests.performance.optimum_worker"]
    return float(
        _printed([*worker, what, launcher, str(folder), str(tokens)], folder.parent)
    )  # where it leaves its log


def _printed(command: list[str], folder: Path) -> str:
    """The last line that a process prints."""
    alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env={**os.environ, **alone}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def ratio(folders: list[Path], launcher: str) -> float:
    """The first model's p50 over the second's, by optimum-benchmark."""
    first, second = (theirs("latency", folder, launcher, TOKENS) for folder in folders)
    return first / second


def require_optimum() -> None:
    """End with a sentence where there is no environment for optimum-benchmark."""
    if not PYTHON.exists():
        raise SystemExit("There is no environment for optimum-benchmark: make it with `make benchmark`.")


def trial(folders: list[Path], truths: list[float], found: dict[tuple[str, str], list[float]]) -> None:
    """One long quiet lease, and then every tool once in either condition."""
    truths.append(leased(folders, long=True))
    for condition in ("quiet", "bursts of load"):
        with bursts(1) if condition != "quiet" else nullcontext():
            for tool in random.sample(TOOLS, len(TOOLS)):
                each = leased(folders) if tool == "paredown" else ratio(folders, tool.split()[-1])
                found.setdefault((condition, tool), []).append(each)


def main() -> None:
    """Print the table; the first argument is the number of trials of each condition (6)."""
    prepare()
    torch.set_num_threads(1)
    if sys.argv[1:2] in (["lease"], ["long"]):
        print(ours([Path(folder) for folder in sys.argv[2:]], long=sys.argv[1] == "long").estimate)
        return
    require_optimum()
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    if trials < 2:
        raise SystemExit(f"{trials} trials were asked for; an interval for the true ratio takes 2 or more.")
    print(
        f"{datetime.now(UTC):%Y-%m-%d}; CPU {cpu_name()}, {os.cpu_count()} CPUs; Python {platform.python_version()}; "
        f"torch {torch.__version__}; one thread; load average before {os.getloadavg()[0]:.1f}; "
        f"{trials} trials a condition\n",
        flush=True,
    )
    truths: list[float] = []
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        folders = [saved(Path(folder) / str(layers), layers) for layers in LAYERS]
        for number in range(trials):
            trial(folders, truths, found)
            print(
                f"trial {number + 1}: {truths[-1]:.3f}, {[round(each[-1], 3) for each in found.values()]}", flush=True
            )
    truth = mean_t(np.log(truths))
    low, true, high = (math.exp(each) for each in (truth.low, truth.estimate, truth.high))
    print(f"\nTrue ratio, geometric mean of {trials} long leases: {true:.3f} ({low:.3f} to {high:.3f})\n")
    print("| condition | tool | median error | smallest to largest |")
    print("|---|---|---|---|")
    for (condition, tool), each in sorted(found.items(), reverse=True):
        errors = [100 * (one / true - 1) for one in each]
        middle = statistics.median(abs(error) for error in errors)
        print(f"| {condition} | {tool} | {middle:.1f}% | {min(errors):+.1f}% to {max(errors):+.1f}% |")


if __name__ == "__main__":
    main()
