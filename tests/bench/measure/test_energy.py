"""Joules from trees of files like the kernel's power zones, and from a GPU that stands in."""

from pathlib import Path

import pytest

from bench.errors import BadInput
from bench.measure import energy
from bench.measure.energy import absence, cpu_meter, gpu_meter, meter
from tests.bench.measure.readings import QUIET, ScriptedGpu


def zone(folder: Path, name: str, energy_uj: int = 0, most: int = 1_000_000) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(name + "\n", encoding="ascii")
    (folder / "max_energy_range_uj").write_text(f"{most}\n", encoding="ascii")
    return count(folder, energy_uj)


def count(folder: Path, energy_uj: int) -> Path:
    (folder / "energy_uj").write_text(f"{energy_uj}\n", encoding="ascii")
    return folder


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages, of which one has memory; below and around them what they contain already."""
    zone(tmp_path / "intel-rapl:0", "package-0", 100)
    zone(tmp_path / "intel-rapl:0/intel-rapl:0:0", "core", 500)
    zone(tmp_path / "intel-rapl:0/intel-rapl:0:1", "dram", 10)
    zone(tmp_path / "intel-rapl:1", "package-1", 200)
    zone(tmp_path / "intel-rapl:2", "psys", 900)
    zone(tmp_path / "intel-rapl-mmio:0", "package-0", 100)
    for link in ("intel-rapl:0:0", "intel-rapl:0:1"):  # the kernel lists all zones at the top as well
        (tmp_path / link).symlink_to(tmp_path / "intel-rapl:0" / link)
    return tmp_path


def test_packages_and_memory_are_summed_once(powercap: Path) -> None:
    found = meter("cpu", powercap)
    assert found is not None
    assert absence("cpu", powercap) == ""
    assert found.joules() == 0.0
    count(powercap / "intel-rapl:0", 1100)
    count(powercap / "intel-rapl:0/intel-rapl:0:1", 30)
    count(powercap / "intel-rapl:1", 500)
    for containing in ("intel-rapl:2", "intel-rapl-mmio:0", "intel-rapl:0/intel-rapl:0:0"):
        count(powercap / containing, 900_000)
    assert found.joules() == pytest.approx(1320e-6)
    assert found.joules() == pytest.approx(1320e-6)


def test_counters_that_start_again_from_zero(tmp_path: Path) -> None:
    only = zone(tmp_path / "intel-rapl:0", "package-0", 999_000)
    found = meter("cpu", tmp_path)
    assert found is not None
    readings = []
    for value in (999_900, 400, 400, 500_000, 499_999):
        count(only, value)
        readings.append(round(found.joules() * 1e6))
    assert readings == [900, 1400, 1400, 501_000, 1_500_999]
    assert readings == sorted(readings)


def test_two_meters_count_apart(tmp_path: Path) -> None:
    only = zone(tmp_path / "intel-rapl:0", "package-0", 100)
    first = meter("cpu", tmp_path)
    count(only, 1_100)
    second = meter("cpu", tmp_path)
    count(only, 1_300)
    assert first is not None
    assert second is not None
    assert [first.joules(), second.joules()] == pytest.approx([1200e-6, 200e-6])


def test_absences_of_a_cpu_have_reasons(powercap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert meter("cpu", tmp_path / "nothing") is None
    assert "no energy counters of the CPU (RAPL)" in absence("cpu", tmp_path / "nothing")
    only = zone(tmp_path / "virtual" / "intel-rapl:0", "psys")
    assert "no energy counters of the CPU (RAPL)" in absence("cpu", only.parent)
    read = Path.read_text

    def refusing(self: Path, encoding: str | None = None, errors: str | None = None) -> str:
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(self, encoding, errors)

    monkeypatch.setattr(Path, "read_text", refusing)  # root, as tests may run, is refused nothing
    assert meter("cpu", powercap) is None
    assert absence("cpu", powercap).startswith("only root may read the CPU's energy counters here")
    monkeypatch.undo()
    (powercap / "intel-rapl:1/max_energy_range_uj").unlink()
    assert absence("cpu", powercap) == "the CPU's energy counters cannot be read (FileNotFoundError)"
    assert isinstance(cpu_meter(powercap), str)


def test_a_gpu_counts_from_now_on() -> None:
    gpu = ScriptedGpu([QUIET], energy=5000.5)
    found = gpu_meter(gpu)
    assert not isinstance(found, str)
    assert found.joules() == 0.0
    gpu.energy = 5012.0
    assert found.joules() == 11.5
    gpu.energy = 5011.0  # never falls
    assert found.joules() == 11.5


def test_absences_of_a_gpu_have_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "keeps no energy counter" in str(gpu_meter(ScriptedGpu([QUIET], energy=None)))
    monkeypatch.setattr(energy, "open_gpu", lambda device: ScriptedGpu([QUIET], energy=1.0))
    assert absence("cuda:1") == ""
    assert meter("cuda:1") is not None

    def missing(device: str) -> None:
        raise BadInput(f"There is no {device}.")

    monkeypatch.setattr(energy, "open_gpu", missing)
    assert meter("cuda:1") is None
    assert absence("cuda:1") == "There is no cuda:1."
