"""What stands beside every number: the hardware class in words, threads, versions, load."""

import os
import platform
import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import processor
from bench.errors import BadInput, Contaminated
from bench.measure import conditions
from bench.measure.conditions import Watch, capture, cpu_quota, hardware_class
from bench.measure.container import Limits
from bench.measure.gpu_watch import GpuWatch
from tests.bench.measure.readings import BUSY, QUIET, SETUP, ScriptedGpu, hidden


def test_hardware_class_names_what_milliseconds_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "cpu", lambda: ("Some CPU @ 2 GHz", frozenset()))
    monkeypatch.setattr(conditions, "instruction_sets", lambda: ("avx2", "avx512f"))
    monkeypatch.setattr(conditions, "cpu_quota", lambda: 2.5)
    monkeypatch.setattr(conditions, "library_versions", lambda names: dict.fromkeys(names, "2.13.0+cpu"))
    assert hardware_class(1) == "Some CPU @ 2 GHz | avx2 avx512f | 1 of 2.5 CPUs | torch 2.13"
    assert hardware_class(2) == "Some CPU @ 2 GHz | avx2 avx512f | 2 of 2.5 CPUs | torch 2.13"
    monkeypatch.setattr(conditions, "instruction_sets", tuple)
    assert "no vector sets" in hardware_class(1)


@pytest.mark.parametrize(("quota", "cpus"), [(None, 4.0), (1.5, 1.5), (9.0, 4.0)])
def test_quota_of_a_container(quota: float | None, cpus: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "limits", lambda: Limits(quota, None))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert cpu_quota() == cpus  # a quota beyond the CPUs that one may use gives no more


class OneGpu:
    """Stands in for `open_gpu`; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, device: str) -> ScriptedGpu:
        self.asked.append(device)
        return ScriptedGpu([QUIET])


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> OneGpu:
    found = OneGpu()
    monkeypatch.setattr(conditions, "open_gpu", found)
    monkeypatch.setattr(conditions, "library_versions", lambda names: dict.fromkeys(names, "2.13.0+cu130"))
    return found


def test_hardware_class_of_a_gpu_names_the_device_and_not_its_number(one_gpu: OneGpu) -> None:
    expected = "NVIDIA H100 80GB HBM3 | 700 W | driver 570 | torch 2.13"
    assert hardware_class(1, "cuda") == hardware_class(8, "cuda:3") == expected
    assert one_gpu.asked == ["cuda", "cuda:3"]


def test_capture_on_a_gpu(one_gpu: OneGpu) -> None:
    found = capture(2, "cuda:1", gpu_looks=4)
    assert (found.device, found.threads) == ("cuda:1", 2)
    assert found.hardware_class.startswith("NVIDIA H100")
    assert found.details["gpu_uuid"] == SETUP.uuid
    assert found.details["gpu_looks"] == 4
    assert found.details["cpu"] == processor.cpu()[0]  # it launches the kernels


def test_a_gpu_that_is_not_there_is_bad_input() -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")
    for ask in (lambda: hardware_class(1, "cuda:7"), lambda: capture(1, "cuda:7"), lambda: Watch("cuda:7", 1)):
        with pytest.raises(BadInput, match=r"device"):
            ask()


def test_capture() -> None:
    found = capture(3, load_before=0.5)
    assert found.threads == 3
    assert found.hardware_class == hardware_class(3)
    assert found.host == socket.gethostname()
    assert found.versions["python"] == platform.python_version()
    assert found.device == "cpu"
    expected = {"python", "torch", "transformers", "safetensors", "numpy", "tokenizers", "torchao"}
    assert expected - {"torchao"} <= set(found.versions) <= expected  # torchao may be absent
    assert "absent" not in found.versions.values()
    assert found.details["load_before"] == 0.5
    assert {"load_1min", "load_5min", "mhz", "governor", "kernel"} <= found.details.keys()
    assert {"cpu", "cpus_allowed", "pinned", "numa_nodes", "quota_cpus", "memory_limit_bytes"} <= found.details.keys()
    assert not [name for name in found.details if name.startswith("gpu")]


@pytest.fixture
def torch_threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that torch says it uses; the last entry counts."""
    threads = [3]
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_num_threads=lambda: threads[-1]))
    return threads


def test_a_watch_tells_what_happened_in_between(torch_threads: list[int]) -> None:
    watch = Watch("cpu", 3)
    watch.start()
    watch.look()  # nothing to see
    found = watch.finish()
    assert 0 <= float(found["watched_seconds"] or 0) < 60
    expected = {"load_before", "load_after", "mhz_before", "mhz_after", "stolen_share", "strangers_share"}
    assert expected | {"throttled_periods", "throttled_seconds"} <= found.keys()
    assert capture(3, "cpu", **found).details["load_after"] == found["load_after"]


def test_a_watch_refuses_what_changed(torch_threads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch("cpu", 3)
    watch.start()
    torch_threads.append(2)
    with pytest.raises(Contaminated, match="torch changed from 3 to 2"):
        watch.finish()
    with pytest.raises(RuntimeError, match="torch uses 2 threads, and 3 were declared"):
        Watch("cpu", 3).start()
    watch = Watch("cpu", 2)
    watch.start()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {63})
    with pytest.raises(Contaminated, match=r"CPUs that this process may use changed from .* to 63"):
        watch.finish()


def test_a_watch_must_be_started() -> None:
    with pytest.raises(RuntimeError, match="must be started"):
        Watch().finish()


def test_a_watch_of_a_gpu_judges_both(torch_threads: list[int]) -> None:
    class Runtime:
        def started(self) -> bool:
            return True

        def settle(self) -> None:
            pass

        def reserved_bytes(self) -> int:
            return QUIET.reserved_bytes

    def watched(percent: int) -> dict[str, str | float | int | bool | None]:
        gpu = ScriptedGpu([hidden(QUIET), hidden(BUSY), replace(hidden(QUIET), percent=percent)])
        watch = Watch("cuda", 3, GpuWatch(gpu, Runtime(), sleep=lambda seconds: None))
        watch.start()
        watch.look()
        return watch.finish()

    found = watched(0)
    assert (found["gpu_percent_after"], found["gpu_looks"]) == (0, 2)
    assert "strangers_share" in found
    with pytest.raises(Contaminated, match="busy 80% of the time just after"):
        watched(80)


def test_amx_counts_only_where_it_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = frozenset({"avx2", "avx512f", "amx_int8", "amx_bf16", "amx_tile", "sse"})
    monkeypatch.setattr(processor, "cpu", lambda: ("x", flags))
    monkeypatch.delenv(processor.CAP, raising=False)
    assert processor.instruction_sets() == ("avx2", "avx512f", "amx_int8", "amx_bf16")
    monkeypatch.setenv(processor.CAP, processor.WITHOUT_TILES)
    assert processor.instruction_sets() == ("avx2", "avx512f")
    monkeypatch.setenv(processor.CAP, "AVX512_CORE_AMX")
    assert "amx_int8" in processor.instruction_sets()


@pytest.mark.parametrize(
    ("flags", "survives", "preset", "cap", "probes"),
    [
        ({"avx2"}, False, {}, None, 0),  # nothing announced, nothing to try
        ({"amx_tile"}, True, {}, None, 1),
        ({"amx_tile"}, False, {}, processor.WITHOUT_TILES, 1),
        ({"amx_tile"}, False, {processor.CAP: "AVX2"}, "AVX2", 0),  # the user has decided
        ({"amx_tile"}, False, {processor.CHECKED: "1"}, None, 0),  # the parent has asked
    ],
)
def test_prepare(
    flags: set[str],
    survives: bool,
    preset: dict[str, str],
    cap: str | None,
    probes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An announced instruction that kills the process is found out in another process, once."""
    environment = dict(preset)
    asked: list[int] = []

    def probe() -> bool:
        asked.append(1)
        return survives

    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(processor, "cpu", lambda: ("x", frozenset(flags)))
    monkeypatch.setattr(processor, "_survives_probe", probe)
    processor.prepare()
    processor.prepare()
    assert environment.get(processor.CAP) == cap
    assert len(asked) == probes


def test_a_probe_that_dies_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = processor._survives_probe.__wrapped__
    monkeypatch.setattr(processor, "PROBE", "import os; os.kill(os.getpid(), 4)")
    assert probe() is False
    monkeypatch.setattr(processor, "PROBE", "print(1)")
    assert probe() is True
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert probe() is False
