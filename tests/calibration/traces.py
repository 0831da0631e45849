"""Record the noise of a machine: rounds of a model and three copies of it, all rounds to the cap.

`python -m tests.calibration.traces OUT.npz [--leases N]` writes "quiet" and "load", float32 [leases, rounds, 4] seconds
per call. The suite runs the whole procedure on what is recorded (tests/bench/measure/test_procedure.py).
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.measure.clock import Call
from bench.measure.rounds import Resident, measure_rounds
from bench.processor import prepare
from tests.calibration.load import bursts
from tests.calibration.measuring import BURST_SECONDS, LAYERS, TOKENS, encoder

ROUNDS = 160


def copies() -> list[Call]:
    """Four models with the same weights, each with memory of its own."""
    ids = torch.randint(5, 1000, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    models = [encoder(LAYERS) for _ in range(4)]
    return [partial(model, input_ids=ids) for model in models]


def main() -> None:
    """Record and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--leases", type=int, default=10, help="of each condition")
    asked = parser.parse_args()
    prepare()
    torch.set_num_threads(1)
    found: dict[str, list[np.ndarray]] = {"quiet": [], "load": []}
    with torch.inference_mode():
        for number in range(asked.leases):
            for condition, tables in found.items():
                with bursts(1) if condition == "load" else nullcontext():
                    visits = measure_rounds(
                        Resident([[call] for call in copies()]),
                        looks=(ROUNDS,),
                        burst_seconds=BURST_SECONDS,
                        enough=lambda _: False,
                        rng=np.random.default_rng(number),
                    )
                tables += visits.tables(4)
    quiet, load = (np.array(tables, dtype=np.float32) for tables in found.values())
    np.savez_compressed(asked.out, quiet=quiet, load=load)


if __name__ == "__main__":
    main()
