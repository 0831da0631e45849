"""Host memory of a model: what a process needs beyond its own imports.

`python -m bench.measure.memory` imports what loading needs, then forks one fresh child for each measurement. A child
resets its peak, loads the model, runs the largest declared shape once and reports. Nothing can be left over from an
earlier one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.architecture import MARKER
from bench.artefacts import Artefacts
from bench.job import MemoryJob, shape_scope
from bench.measure.conditions import capture
from bench.processor import prepare
from bench.record import Conditions, Finished, Value

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


def run_memory(job: MemoryJob, artefacts: Artefacts) -> tuple[Finished, Conditions]:
    """Measure each artefact `job.repeats` times. Interval: from the smallest to the largest of the repeats."""
    request = {
        "folders": [str(artefacts.path(a)) for a in job.artefact_ids],
        "inputs": job.inputs.model_dump(mode="json"),
        "shape": list(job.shape),
        "repeats": job.repeats,
    }
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.measure.memory"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        raise RuntimeError(f"The memory measurement ended with exit code {done.returncode}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])

    scope = shape_scope(*job.shape)
    values = tuple(v for a, samples in zip(job.artefact_ids, found, strict=True) for v in _values(a, samples, scope))
    return Finished(values=values, notes={"repeats": job.repeats}), capture(threads=1)


def _values(artefact_id: str, samples: Sequence[dict[str, float]], scope: str) -> list[Value]:
    """One value a metric: the median of the repeats, with their range."""
    values = []
    for metric, where in (("host_peak", scope), ("resident", scope), ("host_imports", ""), ("load_seconds", "")):
        numbers = [s[metric] for s in samples]
        values.append(
            Value(
                artefact_id=artefact_id,
                metric=metric,
                scope=where,
                estimate=median(numbers),
                low=min(numbers),
                high=max(numbers),
                n=len(numbers),
                method="range of fresh processes",
            )
        )
    return values


def _kib(field: str) -> int:
    """A field of this process's status, in bytes."""
    for line in STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} has no {field}")


def _measure(folder: Path, tokens: dict[str, list[list[int]]], pages: Sequence[int]) -> dict[str, float]:
    """Load and run one model in this process, which must be fresh; `pages` are those that its parent had touched."""
    import ctypes
    import time

    import torch

    from bench.models import load

    torch.set_num_threads(1)
    for page in pages:
        ctypes.c_char.from_address(page).value  # noqa: B018 - reading is the point
    RESET.write_text("5")  # the peak starts again from what is resident now
    imports = _kib("VmHWM")
    begin = time.perf_counter()
    loaded = load(folder)
    seconds = time.perf_counter() - begin
    with torch.inference_mode():
        loaded.model(**{key: torch.tensor(rows) for key, rows in tokens.items()})
    return {
        "host_peak": max(0, _kib("VmHWM") - imports),
        "resident": max(0, _kib("VmRSS") - imports),
        "host_imports": imports,
        "load_seconds": seconds,
    }


def _library_pages() -> list[int]:
    """Addresses of the pages of mapped files (code, constants) that this process has touched so far.

    A fork copies the page table of private memory only. The libraries' pages would enter a child's count when it
    touches them again, as if its model needed them: about 20 MB.
    """
    size = os.sysconf("SC_PAGE_SIZE")
    found: list[int] = []
    with Path("/proc/self/maps").open(encoding="utf-8") as maps, Path("/proc/self/pagemap").open("rb") as table:
        for line in maps:
            span, rights, _, _, inode, *_ = line.split()
            if inode == "0" or not rights.startswith("r"):
                continue
            first, last = (int(end, 16) // size for end in span.split("-"))
            table.seek(8 * first)
            entries = table.read(8 * (last - first))
            # The top bit of an entry, which ends with its highest byte, says that the page is there.
            found += [(first + i) * size for i, high in enumerate(entries[7::8]) if high & 0x80]
    return found


def _choose_kernels(folder: Path) -> None:
    """Decide on int8 kernels here: the buffers of that trial are no part of any model's peak."""
    from safetensors import safe_open

    from bench.methods.int8_backends import choose_backend

    marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    if marker["loader"] != "int8_dynamic":
        return
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - no dict
                if key.endswith(".weight_int8"):
                    choose_backend(marker["settings"]["activations"], "cpu", *tensors.get_slice(key).get_shape())


def _in_child(folder: Path, tokens: dict[str, list[list[int]]], pages: Sequence[int]) -> dict[str, float]:
    """`_measure` in a forked child, which ends with it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            with os.fdopen(write, "w") as pipe:
                json.dump(_measure(folder, tokens, pages), pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise RuntimeError(f"the measuring process for {folder.name} ended with status {status}")
    measured: dict[str, float] = json.loads(text)
    return measured


def main() -> None:
    """Read a request from standard input, print one line of JSON: for each folder the list of its measurements."""
    request: dict[str, Any] = json.load(sys.stdin)
    prepare()
    import torch

    import bench.methods.int8_linear
    import bench.models  # here, so that no child pays for it
    from bench.measure.inputs import inputs_of_shape
    from bench.tasks.spec import TaskSpec

    torch.set_num_threads(1)
    torch.ones(64, 64) @ torch.ones(64, 64)  # the kernels' own buffers are no part of a model either
    for name in request["folders"]:
        bench.models.model_class(Path(name))  # imports the architecture's module
        _choose_kernels(Path(name))
    examples = TaskSpec.model_validate(request["inputs"]).data.examples()
    results = []
    for name in request["folders"]:
        folder = Path(name)
        tokens = inputs_of_shape(bench.models.load_tokenizer(folder), examples, *request["shape"])
        lists = {key: tensor.tolist() for key, tensor in tokens.items()}
        pages = _library_pages()
        results.append([_in_child(folder, lists, pages) for _ in range(request["repeats"])])
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
