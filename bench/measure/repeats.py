"""What is measured again in fresh processes: the median, and the range as interval. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.job import MEMORY_PROTOCOL
from bench.record import Value
from bench.statistics.repeats import Shift

# What the measurements of one model deviate by, beside their repeats: results/reference/memory_jobs.md. A GPU's figures
# have the host's: nobody has found out theirs. Bytes that are mapped from files are counted, and those of imports
# are the same in every process of a job.
BYTES, SECONDS, COUNTED = Shift(0.01, 0.25e6, 8), Shift(0.2, 0, 8), Shift(0, 0, 8)
BEFORE_5 = Shift(0.08, 1e6, 8)  # of bytes before protocol 5, which has neither neighbours nor glibc's luck in them
KEPT = "repeats"  # key of a record's answer under which more repeats stand than its values tell
TOLD = 3  # of so many, lowest, median and highest are all
OF_SHAPE = ("host_peak", "resident", "first_call_seconds", "cuda_allocated_peak", "cuda_reserved_peak")
Repeats = Mapping[str, Sequence[float]]  # by metric, in the order measured


def repeated(artefact_id: str, repeats: Repeats, scope: str) -> tuple[Value, ...]:
    """One value a metric. `scope` is that of the metrics that depend on a shape."""
    return tuple(
        Value(
            artefact_id=artefact_id,
            metric=metric,
            scope=scope if metric in OF_SHAPE else "",
            estimate=median(numbers),
            low=min(numbers),
            high=max(numbers),
            n=len(numbers),
            method="range of fresh processes",
        )
        for metric, numbers in repeats.items()
    )


def shift_of(metric: str, protocol: int = MEMORY_PROTOCOL) -> Shift:
    """What measurements of that number deviate by, by the protocol of memory that they follow."""
    if metric.endswith("_seconds"):
        return SECONDS
    if metric in ("host_imports", "mapped_weights"):
        return COUNTED
    return BYTES if protocol >= 5 else BEFORE_5


def kept(measured: Mapping[str, Repeats]) -> dict[str, Any] | None:
    """What a record keeps of them, by artefact_id; nothing where its values tell all."""
    most = max((len(numbers) for repeats in measured.values() for numbers in repeats.values()), default=0)
    return {KEPT: {name: dict(repeats) for name, repeats in measured.items()}} if most > TOLD else None
