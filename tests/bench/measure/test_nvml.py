"""Readings through NVML, against a stand-in whose names and types are checked against the real module.

What only a GPU can show is not shown here: that the driver answers as its documentation says.
"""

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BadInput
from bench.measure import nvml
from bench.measure.gpu import Process
from bench.measure.nvml import cuda_uuids, open_gpu
from tests.bench.measure.stand_ins import ANSWERS, BOARD, OTHER, SLICE, Driver, Library


@pytest.fixture(autouse=True)
def no_sharing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the multi-process service's pipes, which is empty."""
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    monkeypatch.delenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", raising=False)
    return tmp_path


def test_the_stand_in_is_like_the_module() -> None:
    real: Any = pytest.importorskip("pynvml")
    for name in (*ANSWERS, "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetDeviceHandleFromMigDeviceHandle"):
        assert callable(getattr(real, name)), name
    for name in ("NVML_CLOCK_SM", "NVML_CLOCK_MEM", "NVML_TEMPERATURE_GPU", "nvmlMemory_v2"):
        assert getattr(real, name) == getattr(Library, name), name
    codes = ("NOT_SUPPORTED", "NO_PERMISSION", "FUNCTION_NOT_FOUND", "ARGUMENT_VERSION_MISMATCH")
    assert tuple(getattr(real, f"NVML_ERROR_{code}") for code in codes) == nvml.SILENT
    assert real.NVMLError(3).value == 3
    reasons = ("GpuIdle", "SwPowerCap", "HwSlowdown")
    assert [getattr(real, f"nvmlClocksEventReason{r}") for r in reasons] == [1, 4, 8]
    slowed = ("SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
    assert [getattr(real, f"nvmlClocksEventReason{r}") for r in slowed] == [0x20, 0x40, 0x80]


def test_the_setup_of_a_whole_gpu() -> None:
    setup = open_gpu("cuda", Driver([BOARD]), Library()).setup()
    assert (setup.name, setup.driver, setup.mig, setup.mps) == ("NVIDIA H100 80GB HBM3", "570.124.06", None, None)
    assert setup.uuid == f"GPU-{BOARD}"
    assert (setup.power_cap_watts, setup.persistence, setup.compute_mode) == (700.0, True, "default")
    assert setup.top_sm_mhz == 1980


def test_a_reading() -> None:
    reading = open_gpu("cuda:0", Driver([BOARD]), Library()).reading()
    assert (reading.sm_mhz, reading.memory_mhz, reading.celsius) == (1755, 2619, 41)
    assert (reading.reasons, reading.used_bytes, reading.percent) == (4, 6_000_000_000, 97)
    assert reading.processes == (Process(200, None), Process(300, 5_000_000_000))
    assert reading.graphics == (Process(9, 400),)
    assert reading.busy


def test_a_slice_has_its_own_memory_and_the_clocks_of_its_gpu() -> None:
    library = Library(errors={"nvmlDeviceGetUtilizationRates": 3}, nvmlDeviceIsMigDeviceHandle=1)
    gpu = open_gpu("cuda:0", Driver([SLICE]), library)
    setup, reading = gpu.setup(), gpu.reading()
    assert (setup.name, setup.mig, setup.uuid) == ("NVIDIA H100 80GB HBM3", "1g.10gb", f"MIG-{SLICE}")
    assert reading.percent is None
    assert gpu.joules() is None
    handles = {name: arguments[0] for name, arguments in library.asked if arguments}
    assert handles["nvmlDeviceGetMemoryInfo"] == handles["nvmlDeviceGetComputeRunningProcesses"] == "slice"
    assert handles["nvmlDeviceGetClockInfo"] == handles["nvmlDeviceGetPowerManagementLimit"] == "board"


def test_the_slot_as_the_kernel_writes_it() -> None:
    assert open_gpu("cuda", Driver([BOARD]), Library()).bus_id() == "0000:3b:00.0"
    assert open_gpu("cuda", Driver([BOARD]), Library(errors={"nvmlDeviceGetPciInfo": 3})).bus_id() is None


def test_joules() -> None:
    assert open_gpu("cuda", Driver([BOARD]), Library()).joules() == 12345.678
    silent = Library(errors={"nvmlDeviceGetTotalEnergyConsumption": 3})
    assert open_gpu("cuda", Driver([BOARD]), silent).joules() is None


def test_torchs_order_is_not_nvmls() -> None:
    """The device is found by UUID: the second that CUDA shows may be NVML's first."""
    driver = Driver([OTHER, BOARD])
    assert cuda_uuids(driver) == [OTHER, BOARD]
    assert open_gpu("cuda:1", driver, Library()).setup().uuid == f"GPU-{BOARD}"
    with pytest.raises(BadInput, match="NVML cannot show that GPU"):
        open_gpu("cuda:0", driver, Library())


@pytest.mark.parametrize("code", [3, 4, 13, 25])
def test_what_the_device_does_not_tell_is_none(code: int) -> None:
    quiet = {name: code for name in ANSWERS if name.startswith("nvmlDeviceGet") and name not in NEEDED}
    gpu = open_gpu("cuda", Driver([BOARD]), Library(errors=quiet))
    setup, reading = gpu.setup(), gpu.reading()
    told = (setup.power_cap_watts, setup.persistence, setup.compute_mode, setup.top_sm_mhz)
    assert told == (None,) * 4
    assert reading == type(reading)()
    assert gpu.joules() is None


NEEDED = ("nvmlDeviceGetName", "nvmlDeviceGetUUID")


def test_a_lost_gpu_is_an_error() -> None:
    gpu = open_gpu("cuda", Driver([BOARD]), Library(errors={"nvmlDeviceGetClockInfo": 15}))
    with pytest.raises(Library.NVMLError, match="error 15"):
        gpu.reading()


def test_older_drivers_know_an_older_name_for_heat() -> None:
    library = Library(errors={"nvmlDeviceGetTemperatureV": 13})
    assert open_gpu("cuda", Driver([BOARD]), library).reading().celsius == 40


@pytest.mark.parametrize(
    ("device", "uuids", "words"),
    [
        (
            "cuda:2",
            [BOARD, OTHER],
            "device is 'cuda:2', but this process sees 2 CUDA devices: name one of cpu, cuda:0, cuda:1",
        ),
        ("cuda:1", [BOARD], "sees 1 CUDA device: name one of cpu, cuda:0,"),
        ("cuda", [], "sees no CUDA device: name one of cpu, or see to CUDA_VISIBLE_DEVICES"),
        ("cpu", [BOARD], "device is 'cpu'"),
    ],
)
def test_a_gpu_that_is_not_there(device: str, uuids: list[Any], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_gpu(device, Driver(uuids), Library())
    assert words in str(caught.value)


def test_no_device_no_driver_no_module_no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda_uuids(Driver([], code=100)) == []
    with pytest.raises(RuntimeError, match="CUDA error 3"):
        cuda_uuids(Driver([], code=3))

    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(BadInput, match=r"driver cannot be loaded here \(libcuda"):
        open_gpu("cuda")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(BadInput, match=r"nvidia-ml-py, which is not installed: run pip install 'paredown\[gpu\]'"):
        open_gpu("cuda", Driver([BOARD]))
    with pytest.raises(BadInput, match=r"NVML cannot show that GPU \(error 12\)"):
        open_gpu("cuda", Driver([BOARD]), Library(errors={"nvmlInit": 12}))


def test_the_multi_process_service(no_sharing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nvml.mps() is None
    (no_sharing / "control").touch()
    assert nvml.mps() == "100%"
    monkeypatch.setenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "25")
    assert nvml.mps() == "25%"
    assert open_gpu("cuda", Driver([BOARD]), Library()).setup().mps == "25%"
