"""Memory of a model: what a process needs beyond its own imports, and what torch takes on a GPU.

Each model is measured in processes that have seen no other: `bench.measure.memory_process`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from bench.artefacts import Artefacts
from bench.job import MemoryJob, parts_of
from bench.measure.baseline import returns_to_baseline
from bench.measure.conditions import capture
from bench.measure.repeats import kept, repeated
from bench.record import Conditions, Finished

# Of the measuring process. The last has torch ask NVML, not CUDA, whether there is a GPU, should a library ask while it
# is imported: a process that has asked CUDA cannot fork children that use it.
ALONE = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}


def run_memory(job: MemoryJob, artefacts: Artefacts) -> tuple[Finished, Conditions]:
    """Measure each artefact `job.repeats` times. Interval: from the smallest to the largest of the repeats.

    Raises BadInput where an artefact or the device is gone, Contaminated where a GPU does not get its memory back.
    """
    request = {
        "folders": [str(artefacts.path(a)) for a in job.artefact_ids],
        "inputs": job.inputs.model_dump(mode="json"),
        "shape": list(job.shape),
        "repeats": job.repeats,
        "device": job.device,
        "new_tokens": job.new_tokens,
    }
    with returns_to_baseline(job.device):
        answers = _ask(request)
    scope = parts_of(job.shape, job.new_tokens)[-1]
    measured = {a: _by_metric(found["measured"]) for a, found in zip(job.artefact_ids, answers, strict=True)}
    values = tuple(value for a, repeats in measured.items() for value in repeated(a, repeats, scope))
    backends = {f"backend_{i}": found["kernels"] for i, found in enumerate(answers) if found["kernels"]}
    notes: dict[str, str | float | int | bool | None] = {"repeats": job.repeats, **backends}
    return Finished(values=values, notes=notes, answer=kept(measured)), capture(1, job.device, **backends)


def _by_metric(samples: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {metric: [sample[metric] for sample in samples] for metric in samples[0]}


def _ask(request: dict[str, Any]) -> list[dict[str, Any]]:
    """For each folder of the request what was measured, and the int8 kernels that were chosen."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.measure.memory_process"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ALONE},
    )
    if done.returncode != 0:
        raise RuntimeError(f"The memory measurement ended with exit code {done.returncode}: {done.stderr[-2000:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found
