"""What a number depends on beside the model's bytes: the machine, its load, the libraries.

`capture` describes a moment, `Watch` the time of a measurement, and refuses it where something outside spoiled it.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import time

from bench.device import gpu_index
from bench.errors import Contaminated
from bench.job import library_versions
from bench.measure import gpu, host
from bench.measure.container import limits
from bench.measure.gpu_watch import GpuWatch, TorchRuntime
from bench.measure.host import Detail
from bench.measure.nvml import open_gpu
from bench.processor import cpu, instruction_sets
from bench.record import Conditions

RECORDED = ("torch", "transformers", "safetensors", "numpy", "tokenizers", "torchao")


def cpu_quota() -> float:
    """CPUs that this process may use at once: the container's quota, or the CPUs it is allowed on."""
    allowed = float(len(os.sched_getaffinity(0)))
    quota = limits().cpus
    return allowed if quota is None else min(allowed, quota)


def hardware_class(threads: int, device: str = "cpu") -> str:
    """The class of machines whose milliseconds may be compared.

    Of a CPU: model, instruction sets, threads, quota, torch minor. Of a GPU: model, MIG profile, sharing, power cap,
    driver, torch minor; the threads and the CPU beside it stand in the conditions.

    Raises:
        BadInput: the device is not there.
    """
    minor = ".".join(library_versions(("torch",))["torch"].split(".")[:2])
    if gpu_index(device) is not None:
        return gpu.hardware_class(open_gpu(device).setup(), minor)
    model, sets = cpu()[0], instruction_sets()
    quota = f"{cpu_quota():g} CPUs"
    return f"{model} | {' '.join(sets) or 'no vector sets'} | {threads} of {quota} | torch {minor}"


def capture(threads: int, device: str = "cpu", **details: Detail) -> Conditions:
    """The conditions of this process now. `details` adds what only the measurement knows.

    Raises:
        BadInput: the device is not there.
    """
    load = os.getloadavg()
    known: dict[str, Detail] = {
        "load_1min": round(load[0], 2),
        "load_5min": round(load[1], 2),
        "mhz": host.megahertz(),
        "kernel": platform.release(),
        **host.description(),
    }
    if gpu_index(device) is not None:
        known |= {**gpu.description(open_gpu(device).setup()), "cuda": _cuda_of_torch()}
    versions = {name: found for name, found in library_versions(RECORDED).items() if found != "absent"}
    return Conditions(
        hardware_class=hardware_class(threads, device),
        device=device,
        host=socket.gethostname(),
        threads=threads,
        versions={"python": platform.python_version(), **versions},
        details={**known, **details},
    )


class Watch:
    """The machine and the device from the start of one measurement to its end.

    Call `start` before the measurement, on a GPU best before its models are loaded; `look` between visits, as often as
    is convenient; `finish` after it. On a CPU `look` does nothing and the others take milliseconds; on a GPU `start`
    and `finish` each wait 1.2 s, in which nobody may use the device.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        threads: declared for the measurement; torch must be set to them, and stay so.
        gpu: what watches the GPU, for tests.

    Raises:
        BadInput: the device is not there.
    """

    def __init__(self, device: str = "cpu", threads: int = 1, gpu: GpuWatch | None = None) -> None:
        index = gpu_index(device)
        self._threads = threads
        self._gpu = gpu if index is None or gpu else GpuWatch(open_gpu(device), TorchRuntime(index))
        self._before: host.Reading | None = None
        self._began = 0.0

    def start(self) -> None:
        """Note how things are. Raises RuntimeError where torch is not set to the declared threads."""
        if _torch_threads() not in (None, self._threads):
            raise RuntimeError(f"torch uses {_torch_threads()} threads, and {self._threads} were declared")
        if self._gpu:
            self._gpu.start()
        self._began = time.monotonic()
        self._before = host.read()

    def look(self) -> None:
        """See how the GPU does, at most twice a second."""
        if self._gpu:
            self._gpu.look()

    def part(self) -> None:
        """Say that other work follows: clocks are judged within each part."""
        if self._gpu:
            self._gpu.part()

    def finish(self) -> dict[str, Detail]:
        """What happened since `start`, as details of conditions.

        Raises:
            Contaminated: the measurement is refused: CPUs, quota, governor, threads or the GPU's setup changed, a
                stranger used the GPU, it slowed itself down, or a clock of it fell.
        """
        if self._before is None:
            raise RuntimeError("a watch must be started before it is finished")
        after, seconds = host.read(), time.monotonic() - self._began
        found = {"watched_seconds": round(seconds, 3), **host.between(self._before, after)}
        threads = _torch_threads()
        if threads not in (None, self._threads):
            raise Contaminated(
                f"The threads of torch changed from {self._threads} to {threads} while the measurement ran, "
                "and a number belongs to one count: keep it fixed and run again."
            )
        return {**found, **(self._gpu.finish() if self._gpu else {})}


def _torch_threads() -> int | None:
    """Threads of one operator; None where this process has not imported torch."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _cuda_of_torch() -> str | None:
    """The CUDA that torch was built for; None where this process has not imported torch."""
    torch = sys.modules.get("torch")
    return None if torch is None else torch.version.cuda
