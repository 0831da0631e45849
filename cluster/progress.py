"""How far a sweep is: done, running, failed, time left. Drawn in the terminal and published with each snapshot."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cluster.estimates import Estimates
from cluster.forecast import forecast
from cluster.plan import Plan

PACE_SECONDS = 120.0  # over which jobs a minute are counted
MOST_NAMED = 6  # nodes in one line

Use = Mapping[str, tuple[float, float]]  # node -> CPUs that jobs use, all CPUs
COUNTS = ("done", "failed", "open")


class Progress:
    """Follows one run."""

    def __init__(self, console: Console, slots: int) -> None:
        self._slots = slots
        self._began = time.monotonic()
        self._estimates = Estimates()
        self._plan: Plan | None = None
        self._state: dict[str, Any] = {}
        self._pace: deque[tuple[float, int]] = deque()  # (seconds, jobs ended by then) of the last minutes
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

    @property
    def plan(self) -> Plan:
        """The newest plan; one without jobs before the first."""
        return self._plan or Plan((), ())

    def started(self, plan: Plan, estimates: Estimates) -> None:
        """Take in the first plan, and what jobs are known to take."""
        self._estimates = estimates
        self._done_before = plan.count("done")
        self.watch(plan, {})

    def watch(self, plan: Plan, use: Use) -> dict[str, Any]:
        """Take in the newest plan and the use of nodes.

        Returns what is published: counts by status, what runs now, jobs a minute, seconds left, CPUs by node.
        """
        self._plan = plan
        now, done = time.monotonic(), plan.count("done") + plan.count("failed")
        self._pace.append((now, done))
        while len(self._pace) > 2 and self._pace[1][0] < now - PACE_SECONDS:
            self._pace.popleft()
        since, were = self._pace[0]
        slots = int(sum(cpus for _, cpus in use.values())) or self._slots
        left = forecast(plan, self._estimates, slots).seconds
        running = (p.of.title for p in plan.jobs if p.status == "running")
        self._state = {
            "done": plan.count("done"),
            "running": plan.count("running"),
            "failed": plan.count("failed"),
            "open": plan.count("ready") + plan.count("waiting") + sum(e.count for e in plan.expected),
            "now": list(islice(running, 8)),
            "a_minute": round(60 * (done - were) / (now - since), 1) if now > since else 0.0,
            "seconds_left": 5 * round(left / 5),
            "nodes": {node: [round(busy, 2), cpus] for node, (busy, cpus) in sorted(use.items())},
        }
        return self._state

    def _draw(self) -> Table:
        table = Table.grid(padding=(0, 2))
        if self._plan is None:
            table.add_row("starting workers ...")
            return table
        state = self._state
        elapsed = time.monotonic() - self._began
        table.add_row(
            f"[bold]{state['done']}[/] done",
            f"[bold]{state['running']}[/] running",
            f"[bold red]{state['failed']}[/] failed" if state["failed"] else "0 failed",
            f"{state['open']} to come",
            f"{clock(elapsed)} gone, about {clock(state['seconds_left'])} left"
            if state["open"] + state["running"]
            else clock(elapsed),
            f"{state['a_minute']:g} a minute",
        )
        if len(state["nodes"]) > 1:
            table.add_row(Text(_nodes(state["nodes"]), style="dim"))
        for title in state["now"]:
            table.add_row(Text(f"  {title}", style="dim"))
        return table


def of_the_run(told: Mapping[str, Any]) -> dict[str, int]:
    """The counts of a sweep's own run, from what was last published of it: by that run, or by what came after it.

    What was running when the run ended is still to come.
    """
    counts = told.get("run", {}) if "verb" in told else {**told, "open": to_come(told)} if told else {}
    return {name: int(counts[name]) for name in COUNTS if name in counts}


def to_come(told: Mapping[str, Any]) -> int:
    """Jobs that a run which is over left to the next: also those that were cut off."""
    return int(told.get("open", 0)) + int(told.get("running", 0))


def _nodes(use: Mapping[str, Sequence[float]]) -> str:
    """CPUs in use on each node, or on all where they are many."""
    if len(use) > MOST_NAMED:
        return f"{len(use)} nodes, {sum(b for b, _ in use.values()):g} of {sum(c for _, c in use.values()):g} CPUs"
    return "  ".join(f"{node} {busy:g}/{cpus:g}" for node, (busy, cpus) in use.items())


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
