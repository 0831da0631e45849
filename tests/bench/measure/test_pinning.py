"""A GPU's work runs on the cores beside it, and this process has all its CPUs back afterwards."""

import os
from pathlib import Path

import pytest

from bench.measure.host import description, listed
from bench.measure.nvml import NvmlGpu, open_gpu
from bench.measure.pinning import beside, local_cpus
from tests.bench.measure.stand_ins import BOARD, Driver, Library

SLOT = "0000:3b:00.0"


@pytest.fixture
def gpu() -> NvmlGpu:
    return open_gpu("cuda", Driver([BOARD]), Library())


def machine(root: Path, cpus: str) -> Path:
    folder = root / "sys/bus/pci/devices" / SLOT
    folder.mkdir(parents=True)
    (folder / "local_cpulist").write_text(f"{cpus}\n")
    return root


def test_on_the_cores_beside_the_gpu(tmp_path: Path, gpu: NvmlGpu) -> None:
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("one CPU only")
    first = min(allowed)
    root = machine(tmp_path, f"{first},{max(allowed) + 100}")
    with beside("cuda", 1, gpu, root):
        assert os.sched_getaffinity(0) == {first}
        assert description()["cpus_allowed"] == str(first)  # the conditions say so
    assert os.sched_getaffinity(0) == allowed
    with beside("cuda", 2, gpu, root):  # for two threads one core is too few
        assert os.sched_getaffinity(0) == allowed


@pytest.mark.parametrize("cpus", ["5000-5003", "", "all of them"])
def test_nowhere_else_where_the_machine_does_not_tell(tmp_path: Path, gpu: NvmlGpu, cpus: str) -> None:
    allowed = os.sched_getaffinity(0)
    with beside("cuda", 1, gpu, machine(tmp_path, cpus)):
        assert os.sched_getaffinity(0) == allowed
    with beside("cuda", 1, gpu, tmp_path / "nothing"), beside("cpu"):
        assert os.sched_getaffinity(0) == allowed


def test_cpus_are_given_back_after_a_fault(tmp_path: Path, gpu: NvmlGpu) -> None:
    allowed = os.sched_getaffinity(0)
    root = machine(tmp_path, str(min(allowed)))
    with pytest.raises(ZeroDivisionError), beside("cuda", 1, gpu, root):
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == allowed
    assert local_cpus(SLOT, root) == {min(allowed)}
    assert listed(allowed) == description()["cpus_allowed"]
