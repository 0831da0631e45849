"""How fast is Int8DynamicLinear? Every backend against torch.ao's operator and against float32, side by side.

Run: `python -m tests.performance.bench_int8_linear [rounds]`. A benchmark, not a test: it asserts nothing.
Every round visits all candidates in random order and then in its mirror; a cell is the median over rounds of the
ratio of two candidates of the same round (over 1: the backend is faster), with the 95% interval of a median.
"""

from __future__ import annotations

import platform
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from math import comb
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.methods import int8_backends
from bench.methods.int8_linear import Int8DynamicLinear
from bench.processor import onednn_is_sound

SHAPES = [(1024, 4096, rows) for rows in (1, 32, 128, 1024)] + [(48, 192, 128), (64, 256, 128)]
VISIT_S = 0.02
Candidate = Callable[[Tensor], Tensor]


def torch_ao(linear: nn.Linear) -> Candidate:
    """torch.ao.nn.quantized.dynamic.Linear with per-channel weights, as quantize_dynamic makes it."""
    layer = Int8DynamicLinear.from_linear(linear)
    made = torch.ao.nn.quantized.dynamic.Linear(  # type: ignore[no-untyped-call]
        linear.in_features, linear.out_features
    )
    zeros = torch.zeros(linear.out_features, dtype=torch.int64)
    weight = torch._make_per_channel_quantized_tensor(layer.weight_int8, layer.weight_scale.double(), zeros, 0)
    made.set_weight_bias(weight, linear.bias.detach())
    run: Candidate = made
    return run


def candidates(linear: nn.Linear) -> dict[str, Candidate]:
    """float32, torch.ao's operator, every backend but the slow reference."""
    found: dict[str, Candidate] = {"float32": linear, "torch.ao": torch_ao(linear)}
    for activations in ("token", "tensor"):
        parsed = int8_backends.parse_activations(activations)
        for name in int8_backends.available_backends(parsed, "cpu"):
            if name != "reference" and int8_backends.is_correct(name, parsed, "cpu"):
                layer = Int8DynamicLinear.from_linear(linear, activations)
                layer.use_backend(name)
                found[f"{activations}/{name}"] = layer
    return found


def burst(run: Candidate, x: Tensor, calls: int) -> float:
    """Seconds a call, over `calls` calls."""
    start = time.perf_counter()
    for _ in range(calls):
        run(x)
    return (time.perf_counter() - start) / calls


def measure(runs: dict[str, Candidate], x: Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds a call of every candidate, one number a round."""
    calls = {}
    for name, run in runs.items():
        burst(run, x, 3)
        calls[name] = max(1, round(VISIT_S / burst(run, x, 3)))
    order = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        names = order.sample(list(runs), len(runs))
        visits = [(name, burst(runs[name], x, calls[name])) for name in names + names[::-1]]
        for name in runs:
            seconds[name].append(statistics.fmean(s for n, s in visits if n == name))
    return seconds


def ratio(base: list[float], other: list[float]) -> str:
    """Median of base / other over rounds, and its 95% interval from order statistics."""
    ratios = sorted(b / o for b, o in zip(base, other, strict=True))
    n = len(ratios)
    low = 0
    while sum(comb(n, k) for k in range(low + 2)) / 2**n <= 0.025:
        low += 1
    return f"{statistics.median(ratios):.2f} ({ratios[low]:.2f}-{ratios[n - 1 - low]:.2f})"


def cpu_name() -> str:
    """The CPU's model name where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def main() -> None:
    """Print the table; the first argument is the number of rounds (21)."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(
        f"CPU {cpu_name()}, {torch.backends.cpu.get_cpu_capability()}; torch {torch.__version__}; "
        f"{torch.get_num_threads()} thread; {rounds} rounds; oneDNN int8 sound: {onednn_is_sound()}\n"
    )
    print("| in x out | rows | candidate | ms | speed / torch.ao | speed / float32 | chosen |")
    print("|---|---|---|---|---|---|---|")
    with torch.inference_mode():
        for inputs, outputs, rows in SHAPES:
            linear = nn.Linear(inputs, outputs)
            runs = candidates(linear)
            seconds = measure(runs, torch.randn(rows, inputs), rounds)
            chosen = {a + "/" + Int8DynamicLinear(inputs, outputs, activations=a).backend for a in ("token", "tensor")}
            for name, values in seconds.items():
                print(
                    f"| {inputs} x {outputs} | {rows} | {name} | {statistics.median(values) * 1e3:.3f} "
                    f"| {ratio(seconds['torch.ao'], values)} | {ratio(seconds['float32'], values)} "
                    f"| {'yes' if name in chosen else ''} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
