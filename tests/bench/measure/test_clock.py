"""The processor's clock, and how a GPU's is driven, which can be seen without one."""

import time
from typing import Any

import pytest
import torch

from bench.measure import clock
from bench.measure.clock import clock_of, host_seconds


def test_the_host_clock_times_a_call() -> None:
    assert clock_of("cpu") is host_seconds
    assert 0.01 <= host_seconds(lambda: time.sleep(0.01)) < 5.0  # seconds, and not milliseconds


def test_a_gpu_is_idle_before_and_waited_for_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of what is asked of the device, with events that note it."""
    log: list[str] = []

    class Event:
        def record(self) -> None:
            log.append("record")

        def synchronize(self) -> None:
            log.append("wait for the end")

        def elapsed_time(self, other: object) -> float:
            del other
            return 12.5

    class Current:
        def __init__(self, device: Any) -> None:
            log.append(f"on {device}")

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(clock, "_event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append(f"idle {device}"))
    monkeypatch.setattr(torch.cuda, "device", Current)
    seconds = clock_of("cuda:1")(lambda: log.append("call"))
    assert seconds == 0.0125
    assert log == ["idle cuda:1", "on cuda:1", "record", "call", "record", "wait for the end"]
