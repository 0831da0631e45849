"""One training in several processes on this machine: they meet over gloo, and accelerate averages their gradients.

Each process is a fresh interpreter. A forked one would inherit the locks of a running torch, and multiprocessing's
spawn would run the worker's main module again and is denied to daemons.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data import DataSpec
from bench.errors import BadInput
from bench.processor import prepare
from bench.recipe import Workplace, step_class

if TYPE_CHECKING:
    from bench.methods.trained import Trained
    from bench.models import Loaded

ROOT = Path(__file__).parents[2]
PATIENCE = timedelta(minutes=30)  # that a process waits for the slowest of the others
TRAINED = "trained.safetensors"


def fit_in_processes(step: Trained, model: Loaded, work: Workplace) -> dict[str, Any]:
    """`step.fit` in `step.processes` processes; the trained weights end up in `model`.

    Raises BadInput as the first process that failed did, and RuntimeError with its words for another error.
    """
    from bench.models import save

    with tempfile.TemporaryDirectory(prefix="paredown-") as name:
        folder = Path(name)
        save(model, folder / "student")
        job = {
            "step": step.name,
            "settings": step.model_dump(mode="json"),
            "seed": work.seed,
            "threads": work.threads,
            "data": {key: spec.model_dump(mode="json") for key, spec in work.data.items()},
            "teachers": {key: str(path) for key, path in work.teachers.items()},
            "answers": dict(work.answers),
            "passes": {key: str(path) for key, path in work.passes.items()},
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        _run(folder, step.processes)
        _take_over(model, folder / TRAINED)
        found: dict[str, Any] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
        return found


def _run(folder: Path, count: int) -> None:
    """Start the processes and wait for all; where one fails the others are ended."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(count):
            environment = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
                **{key: str(rank) for key in ("RANK", "LOCAL_RANK")},
                **{key: str(count) for key in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")},
                "OMP_NUM_THREADS": "1",
            }
            command = [sys.executable, "-m", "bench.methods.processes", str(folder), str(rank), str(count)]
            with (folder / f"log-{rank}").open("wb") as log:
                running.append(
                    subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)
                )
        while any(process.poll() is None for process in running):
            if any(process.poll() for process in running):
                break
            time.sleep(0.02)
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
    for rank in range(count):
        refused = folder / f"refused-{rank}"
        if refused.exists():  # the others then failed because of this one
            raise BadInput(refused.read_text(encoding="utf-8"))
    if any(process.returncode for process in running):
        logs = [(folder / f"log-{rank}").read_text(encoding="utf-8", errors="replace") for rank in range(count)]
        ends = [process.returncode for process in running]
        words = next((log for log, code in zip(logs, ends, strict=True) if code not in (0, -signal.SIGKILL)), logs[0])
        raise RuntimeError(f"The {count} processes of a training ended with {ends}: {words[-2000:]}")


def _take_over(model: Loaded, path: Path) -> None:
    """Put the weights that the processes have trained into the model."""
    from safetensors.torch import load_file

    from bench.models import unique_state

    state = load_file(path)
    if set(state) != set(unique_state(model.model)):
        raise ValueError("the processes have trained another model")
    model.model.load_state_dict(state, strict=False)  # a tensor of two names is saved under the first


def share_of(folder: Path, rank: int, count: int) -> None:
    """What one of the processes does, from reading the job to, for the first one, writing the weights."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    import torch
    from accelerate import Accelerator, DistributedDataParallelKwargs  # type: ignore[import-untyped]
    from safetensors.torch import save_file

    from bench.models import load, unique_state

    torch.set_num_threads(max(1, job["threads"] // count))
    torch.manual_seed(job["seed"] + rank)  # each process drops out other units
    meeting = f"file://{folder / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count, timeout=PATIENCE)
    # A head that the loss does not reach gets no gradient.
    accelerator = Accelerator(cpu=True, kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    data = {key: DataSpec.model_validate(spec) for key, spec in job["data"].items()}
    teachers, passes = ({key: Path(path) for key, path in job[name].items()} for name in ("teachers", "passes"))
    work = Workplace(job["seed"], data, job["threads"], teachers, answers=job["answers"], passes=passes)
    step: Any = step_class(job["step"]).model_validate(job["settings"])
    model = load(folder / "student")
    found = step.fit(model, work, accelerator)
    if rank == 0:
        save_file(unique_state(model.model), folder / TRAINED)
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    torch.distributed.destroy_process_group()


def _end_with_parent() -> None:
    """The parent holds the other end of standard input: when it is gone, nobody waits for this process."""
    while os.read(0, 1):  # not through sys.stdin, whose lock the interpreter wants when it ends
        pass
    os._exit(1)


def main(folder: Path, rank: int, count: int) -> int:
    """Exit code of a process: 0 done, 3 refused with a sentence in `refused-RANK`."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare()
    try:
        share_of(folder, rank, count)
    except BadInput as error:
        (folder / f"refused-{rank}").write_text(str(error), encoding="utf-8")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
