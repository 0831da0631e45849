"""How far a sweep is: done, running, failed, time left. Drawn in the terminal and published with each snapshot."""

from __future__ import annotations

import time
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bench.job import Job, LatencyJob
from bench.record import Record
from cluster.plan import Plan

# Before anything has finished, a guess; after that, the mean of what has.
FIRST_GUESS = {"build": 15.0, "study": 10.0, "evaluate": 10.0, "memory": 15.0, "latency": 60.0}
VISITS_A_ROUND = 2


def job_kind(job: Job) -> str:
    """The row of the progress display that a job belongs to."""
    if job.kind != "measure":
        return job.kind
    return "latency" if isinstance(job, LatencyJob) else "memory"


class Progress:
    """Follows one run."""

    def __init__(self, console: Console, slots: int) -> None:
        self._slots = slots
        self._began = time.monotonic()
        self._seconds: dict[str, list[float]] = {}
        self._plan: Plan | None = None
        self._live = Live(console=console, refresh_per_second=2, transient=False, get_renderable=self._draw)
        self._done_before = 0

    def __enter__(self) -> Progress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.transient = self._plan is None  # a run that never began leaves nothing but its error
        self._live.stop()
        if not self._live.console.is_terminal and self._plan is not None:
            self._live.console.print()  # a display that is not redrawn ends without a new line

    def started(self, plan: Plan) -> None:
        self._plan = plan
        self._done_before = plan.count("done")

    def took(self, record: Record) -> None:
        """Learn how long a job of this kind takes."""
        kind = record.kind if record.kind != "measure" else record.job["type"].removesuffix("Job").lower()
        if record.finished:
            self._seconds.setdefault(kind, []).append(record.seconds)

    def watch(self, plan: Plan) -> dict[str, Any]:
        """Take in the newest plan; returns what is published of it."""
        self._plan = plan
        return self.published(plan)

    def published(self, plan: Plan) -> dict[str, Any]:
        """Counts by status, what runs now and about how many seconds are left."""
        left = self.seconds_left(plan)
        return {
            "done": plan.count("done"),
            "running": plan.count("running"),
            "failed": plan.count("failed"),
            "open": plan.count("ready") + plan.count("waiting") + sum(e.count for e in plan.expected),
            "now": [p.job.title for p in plan.jobs if p.status == "running"][:8],
            "seconds_left": 5 * round(left / 5),
        }

    def seconds_left(self, plan: Plan) -> float:
        """About how long the rest will take: latency alone on its node, everything else side by side."""
        shared = alone = 0.0
        for planned in plan.jobs:
            if planned.status in ("ready", "running", "waiting"):
                kind = job_kind(planned.job)
                seconds = self._guess(kind, planned.job)
                seconds *= 0.5 if planned.status == "running" else 1.0
                if planned.job.exclusive:
                    alone += seconds
                else:
                    shared += seconds
        for expected in plan.expected:
            seconds = expected.count * self._guess(expected.kind, None)
            if expected.kind == "latency":
                alone += seconds
            else:
                shared += seconds
        return shared / max(1, self._slots) + alone

    def _guess(self, kind: str, job: Job | None) -> float:
        if kind in self._seconds:
            return fmean(self._seconds[kind])
        if isinstance(job, LatencyJob):
            visits = len(job.artefact_ids) * VISITS_A_ROUND * job.first_rounds * len(job.shapes)
            return 5 + visits * job.burst_ms / 1e3 * 1.2
        return FIRST_GUESS[kind]

    def _draw(self) -> Table:
        table = Table.grid(padding=(0, 2))
        if self._plan is None:
            table.add_row("starting workers ...")
            return table
        state = self.published(self._plan)
        elapsed = time.monotonic() - self._began
        table.add_row(
            f"[bold]{state['done']}[/] done",
            f"[bold]{state['running']}[/] running",
            f"[bold red]{state['failed']}[/] failed" if state["failed"] else "0 failed",
            f"{state['open']} to come",
            f"{clock(elapsed)} gone, about {clock(state['seconds_left'])} left"
            if state["open"] + state["running"]
            else clock(elapsed),
        )
        for title in state["now"]:
            table.add_row(Text(f"  {title}", style="dim"))
        return table


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
