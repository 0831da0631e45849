"""Stand-ins for NVIDIA's libraries, with the names and types of the real ones: libcuda's calls, the module pynvml."""

import ctypes
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

BOARD = UUID("0d7d5a44-5d52-4c3c-8a5e-6f1b7a1c2d3e")
SLICE = UUID("5b1c8f6e-1111-5222-9333-444455556666")
OTHER = UUID("99999999-0000-4000-8000-000000000001")


class Driver:
    """libcuda with some devices. What would make a context it does not have."""

    def __init__(self, uuids: Sequence[UUID], code: int = 0) -> None:
        self.uuids, self.code = list(uuids), code

    def cuInit(self, flags: int) -> int:  # noqa: N802 - libcuda's name
        assert flags == 0
        return self.code

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.uuids)
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = 70 + index  # a handle, not the index
        return 0

    def cuDeviceGetUuid_v2(self, raw: Any, device: ctypes.c_int) -> int:  # noqa: N802
        ctypes.memmove(raw._obj, self.uuids[device.value - 70].bytes, 16)
        return 0


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


def listed(pid: int, held: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=held)


ANSWERS: dict[str, Any] = {
    "nvmlInit": None,
    "nvmlDeviceIsMigDeviceHandle": 0,
    "nvmlSystemGetDriverVersion": "570.124.06",
    "nvmlDeviceGetName": {"board": "NVIDIA H100 80GB HBM3", "slice": "NVIDIA H100 80GB HBM3 MIG 1g.10gb"},
    "nvmlDeviceGetUUID": {"board": f"GPU-{BOARD}", "slice": f"MIG-{SLICE}"},
    "nvmlDeviceGetPciInfo": SimpleNamespace(busId="00000000:3B:00.0"),
    "nvmlDeviceGetPowerManagementLimit": 700000,
    "nvmlDeviceGetPersistenceMode": 1,
    "nvmlDeviceGetComputeMode": 0,
    "nvmlDeviceGetMaxClockInfo": 1980,
    "nvmlDeviceGetClockInfo": {1: 1755, 2: 2619},  # by kind of clock: SM, memory
    "nvmlDeviceGetTemperatureV": 41,
    "nvmlDeviceGetTemperature": 40,
    "nvmlDeviceGetCurrentClocksEventReasons": 4,
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=6_000_000_000),
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=40),
    "nvmlDeviceGetComputeRunningProcesses": [listed(300, 5_000_000_000), listed(200, None)],
    "nvmlDeviceGetMPSComputeRunningProcesses": [listed(300, 5_000_000_000)],
    "nvmlDeviceGetGraphicsRunningProcesses": [listed(9, 400)],
    "nvmlDeviceGetTotalEnergyConsumption": 12_345_678,
}


class Library:
    """The module pynvml. A function's code under `errors` is raised in place of its answer."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    nvmlMemory_v2 = 0x02000028  # noqa: N815 - the module's name

    def __init__(self, errors: Mapping[str, int] | None = None, **answers: Any) -> None:
        self.errors, self.answers = dict(errors or {}), {**ANSWERS, **answers}
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        if name not in self.answers:
            raise AttributeError(name)

        def call(*arguments: Any) -> Any:
            self.asked.append((name, arguments))
            if name in self.errors:
                raise NVMLError(self.errors[name])
            answer = self.answers[name]
            return answer[arguments[-1]] if isinstance(answer, dict) else answer

        return call

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in (f"GPU-{BOARD}", f"MIG-{SLICE}"):
            raise NVMLError(6)
        return "board" if uuid.startswith("GPU") else "slice"

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:  # noqa: N802
        assert handle == "slice"
        return "board"
