"""What stands beside every number: the hardware class in words, threads, versions, load."""

import os
import platform
import socket
import sys
from pathlib import Path

import pytest

from bench import processor
from bench.measure import conditions
from bench.measure.conditions import capture, cpu_quota, hardware_class


def test_hardware_class_names_what_milliseconds_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "cpu", lambda: ("Some CPU @ 2 GHz", frozenset()))
    monkeypatch.setattr(conditions, "instruction_sets", lambda: ("avx2", "avx512f"))
    monkeypatch.setattr(conditions, "cpu_quota", lambda: 2.5)
    monkeypatch.setattr(conditions, "library_versions", lambda names: dict.fromkeys(names, "2.13.0+cpu"))
    assert hardware_class(1) == "Some CPU @ 2 GHz | avx2 avx512f | 1 of 2.5 CPUs | torch 2.13"
    assert hardware_class(2) == "Some CPU @ 2 GHz | avx2 avx512f | 2 of 2.5 CPUs | torch 2.13"
    monkeypatch.setattr(conditions, "instruction_sets", tuple)
    assert "no vector sets" in hardware_class(1)


def test_quota_of_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(conditions, "Path", lambda _: limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert cpu_quota() == 4
    limit.write_text("150000 100000\n", encoding="utf-8")
    assert cpu_quota() == 1.5
    limit.write_text("max 100000\n", encoding="utf-8")
    assert cpu_quota() == 4
    limit.write_text("900000 100000\n", encoding="utf-8")
    assert cpu_quota() == 4  # a quota beyond the CPUs one may use gives no more


def test_capture() -> None:
    found = capture(3, load_before=0.5)
    assert found.threads == 3
    assert found.hardware_class == hardware_class(3)
    assert found.host == socket.gethostname()
    assert found.versions["python"] == platform.python_version()
    assert set(found.versions) == {"python", "torch", "transformers", "safetensors", "numpy"}
    assert "absent" not in found.versions.values()
    assert found.details["load_before"] == 0.5
    assert {"load_1min", "load_5min", "mhz", "governor", "kernel"} <= found.details.keys()


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
