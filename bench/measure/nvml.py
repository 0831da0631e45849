"""Readings of NVIDIA GPUs through NVML (package nvidia-ml-py, the extra `gpu`), and which GPU is torch's `cuda:N`.

CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER renumber devices for CUDA and not for NVML, so a device is found by its UUID,
which the CUDA driver tells without making a context: asking must not make this process one that uses the GPU.

Tested against a stand-in with the names and types of the real module; never run beside a real GPU.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

from bench.device import gpu_index
from bench.errors import BadInput
from bench.measure.gpu import Process, Reading, Setup

NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
MPS_FOLDER = "/tmp/nvidia-mps"  # noqa: S108 - where NVIDIA's control daemon has its pipe unless told otherwise
COMPUTE_MODES = {0: "default", 1: "exclusive thread", 2: "prohibited", 3: "exclusive process"}
# Not supported, no permission, function not found, argument version mismatch: the device does not tell.
SILENT = (3, 4, 13, 25)


def cuda_uuids(driver: Any = None) -> list[UUID]:
    """UUIDs of the devices that CUDA shows to this process, in torch's order: of a GPU, or of a slice of one.

    Args:
        driver: NVIDIA's libcuda, for tests.

    Raises:
        BadInput: there is no driver.
    """
    if driver is None:
        try:
            driver = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise BadInput(
                f"A CUDA device was asked for, but NVIDIA's driver cannot be loaded here ({error}): set device=cpu, or "
                "run where that device is."
            ) from None
    code = driver.cuInit(0)
    if code == NO_DEVICE:
        return []
    count = ctypes.c_int()
    _check(code or driver.cuDeviceGetCount(ctypes.byref(count)))
    found = []
    for index in range(count.value):
        device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        _check(driver.cuDeviceGet(ctypes.byref(device), index))
        _check(driver.cuDeviceGetUuid_v2(ctypes.byref(raw), device))
        found.append(UUID(bytes=bytes(raw)))
    return found


def _check(code: int) -> None:
    if code:
        raise RuntimeError(f"NVIDIA's driver answers with CUDA error {code}")


def open_gpu(device: str, driver: Any = None, library: Any = None) -> NvmlGpu:
    """The device that torch calls `device`, through NVML.

    Args:
        device: "cuda" or "cuda:N".
        driver: NVIDIA's libcuda, for tests.
        library: the module pynvml, for tests.

    Raises:
        BadInput: no driver, no such device, no NVML.
    """
    index, uuids = gpu_index(device), cuda_uuids(driver)
    if index is None or index >= len(uuids):
        seen = f"{len(uuids)} CUDA device{'s' if len(uuids) > 1 else ''}" if uuids else "no CUDA device"
        raise BadInput(
            f"device is {device!r}, but this process sees {seen}: name one of "
            f"{', '.join(['cpu', *(f'cuda:{i}' for i in range(len(uuids)))])}, or see to CUDA_VISIBLE_DEVICES."
        )
    if library is None:
        try:
            library = import_module("pynvml")
        except ImportError:
            raise BadInput(
                f"device is {device!r}, but a GPU's conditions are read with the package nvidia-ml-py, which is not "
                "installed: run pip install 'paredown[gpu]'."
            ) from None
    try:
        library.nvmlInit()
        handle = _handle(library, uuids[index])
    except library.NVMLError as error:
        raise BadInput(
            f"device is {device!r}, but NVML cannot show that GPU ({error}): see to the driver's installation."
        ) from None
    return NvmlGpu(library, handle)


def _handle(library: Any, uuid: UUID) -> Any:
    try:
        return library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except library.NVMLError:
        return library.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")


class NvmlGpu:
    """A GPU, or a slice of one (MIG). A slice has its own memory and processes; clocks, heat and power are the GPU's.

    Args:
        library: the module pynvml, initialised.
        handle: NVML's, of the GPU or the slice.
    """

    def __init__(self, library: Any, handle: Any) -> None:
        self._nvml, self._device = library, handle
        self._is_slice = bool(self._ask("nvmlDeviceIsMigDeviceHandle", handle))
        self._board = library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle) if self._is_slice else handle

    def setup(self) -> Setup:
        """What the device is, and how it is set."""
        name = self._nvml.nvmlDeviceGetName(self._board)
        mig = None
        if self._is_slice:  # its name is the GPU's, then "MIG 1g.10gb"
            mig = self._nvml.nvmlDeviceGetName(self._device).removeprefix(name).replace("MIG", "").strip()
        cap = self._ask("nvmlDeviceGetPowerManagementLimit", self._board)
        persistence = self._ask("nvmlDeviceGetPersistenceMode", self._board)
        return Setup(
            name=name,
            uuid=self._nvml.nvmlDeviceGetUUID(self._device),
            driver=self._nvml.nvmlSystemGetDriverVersion(),
            mig=mig,
            mps=mps(),
            power_cap_watts=None if cap is None else cap / 1e3,
            persistence=None if persistence is None else bool(persistence),
            compute_mode=COMPUTE_MODES.get(self._ask("nvmlDeviceGetComputeMode", self._board)),
            top_sm_mhz=self._ask("nvmlDeviceGetMaxClockInfo", self._board, self._nvml.NVML_CLOCK_SM),
        )

    def bus_id(self) -> str | None:
        """Where the GPU is plugged in, as the kernel writes it: "0000:3b:00.0". NVML's domain has twice the digits."""
        found = self._ask("nvmlDeviceGetPciInfo", self._board)
        if found is None:
            return None
        text = found.busId.decode("ascii") if isinstance(found.busId, bytes) else str(found.busId)
        domain, _, rest = text.lower().partition(":")
        return f"{int(domain, 16):04x}:{rest}"

    def reading(self) -> Reading:
        """The device now. `reserved_bytes` is left to whoever knows this process's allocator."""
        board, nvml = self._board, self._nvml
        memory = self._ask("nvmlDeviceGetMemoryInfo", self._device, nvml.nvmlMemory_v2)
        use = self._ask("nvmlDeviceGetUtilizationRates", self._device)
        heat = self._ask("nvmlDeviceGetTemperatureV", board, nvml.NVML_TEMPERATURE_GPU)
        if heat is None:  # drivers before 570 know only the older name
            heat = self._ask("nvmlDeviceGetTemperature", board, nvml.NVML_TEMPERATURE_GPU)
        return Reading(
            sm_mhz=self._ask("nvmlDeviceGetClockInfo", board, nvml.NVML_CLOCK_SM),
            memory_mhz=self._ask("nvmlDeviceGetClockInfo", board, nvml.NVML_CLOCK_MEM),
            celsius=heat,
            reasons=self._ask("nvmlDeviceGetCurrentClocksEventReasons", board),
            used_bytes=None if memory is None else int(memory.used),
            percent=None if use is None else int(use.gpu),
            processes=self._processes(
                "nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses"
            ),
            graphics=self._processes("nvmlDeviceGetGraphicsRunningProcesses") or (),
        )

    def joules(self) -> float | None:
        """Energy since the driver was loaded; None where the device keeps no count of its own, as a slice."""
        millijoules = None if self._is_slice else self._ask("nvmlDeviceGetTotalEnergyConsumption", self._board)
        return None if millijoules is None else millijoules / 1e3

    def _processes(self, *functions: str) -> tuple[Process, ...] | None:
        answers = [a for name in functions if (a := self._ask(name, self._device)) is not None]
        if not answers:
            return None
        found: Iterable[tuple[int, int | None]] = ((int(p.pid), p.usedGpuMemory) for a in answers for p in a)
        return tuple(Process(pid, held) for pid, held in sorted(dict(found).items()))

    def _ask(self, function: str, *arguments: Any) -> Any:
        """NVML's answer, None where this device or driver does not tell."""
        try:
            return getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as error:
            if error.value in SILENT:
                return None
            raise


def mps() -> str | None:
    """How much of a GPU the multi-process service grants this process; None where its control daemon has no pipe."""
    folder = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY") or MPS_FOLDER)
    if not (folder / "control").exists():
        return None
    return f"{os.environ.get('CUDA_MPS_ACTIVE_THREAD_PERCENTAGE') or 100}%"
