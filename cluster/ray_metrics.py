"""What Prometheus is told of a sweep, through Ray's metrics agents."""

from __future__ import annotations

from typing import Any

from ray.util.metrics import Counter, Gauge, Histogram

from bench.record import Failed, Record

SECONDS = [0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0]


class SweepMetrics:
    """The driver's: attempts by outcome and kind, how long they took, where the sweep stands, what nodes do."""

    def __init__(self) -> None:
        self._attempts = Counter(
            "paredown_attempts_total", description="Attempts that ended.", tag_keys=("kind", "outcome")
        )
        self._seconds = Histogram(
            "paredown_attempt_seconds", description="Seconds of an attempt.", boundaries=SECONDS, tag_keys=("kind",)
        )
        self._jobs = Gauge("paredown_jobs", description="Jobs of the sweep by status.", tag_keys=("status",))
        self._cpus = Gauge("paredown_cpus", description="CPUs of a node, in use or all.", tag_keys=("node", "which"))

    def ended(self, record: Record) -> None:
        """Count one attempt."""
        outcome = record.outcome.kind if isinstance(record.outcome, Failed) else "finished"
        self._attempts.inc(1, tags={"kind": record.kind, "outcome": outcome})
        self._seconds.observe(record.seconds, tags={"kind": record.kind})

    def stands(self, progress: dict[str, Any], nodes: dict[str, tuple[float, float]]) -> None:
        """Say how many jobs are done, running, failed and open, and how busy each node is."""
        for status in ("done", "running", "failed", "open"):
            if isinstance(progress.get(status), int):
                self._jobs.set(progress[status], tags={"status": status})
        for node, (busy, cpus) in nodes.items():
            self._cpus.set(busy, tags={"node": node, "which": "busy"})
            self._cpus.set(cpus, tags={"node": node, "which": "all"})


class WriterMetrics:
    """The writer's: what it has acknowledged, and how long publishing takes."""

    def __init__(self) -> None:
        self._entries = Counter("paredown_acknowledged_total", description="Entries made durable and acknowledged.")
        self._parts = Counter("paredown_parts_total", description="Parts written to the journal.")
        self._publish = Histogram(
            "paredown_publish_seconds", description="Seconds of one snapshot.", boundaries=SECONDS
        )

    def acknowledged(self, entries: int) -> None:
        """Count one part of so many entries."""
        self._entries.inc(entries)
        self._parts.inc(1)

    def published(self, seconds: float) -> None:
        """Take in how long a snapshot took."""
        self._publish.observe(seconds)
