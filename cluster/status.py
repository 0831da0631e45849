"""What `paredown status` prints: how far a sweep is, who is at it, what its jobs cost, and failures by their cause."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.store.folder import holder
from bench.store.reader import Snapshot
from cluster.progress import clock, of_the_run, to_come
from cluster.show import Printable
from leaderboard.rows import find_sweep
from leaderboard.running import Cause, causes, work, work_rows


def status_tables(snapshot: Snapshot, asked: str | None) -> tuple[Printable, Printable]:
    """The work of a sweep, with all that there is to tell as records, and its failures.

    Raises BadInput where the store has no such sweep.
    """
    sweep = find_sweep(snapshot, asked)
    sweep_id = sweep["sweep_id"]
    progress, held, failures = snapshot.progress(sweep_id), holder(snapshot.folder), causes(snapshot, sweep_id)
    done = work(snapshot, sweep_id)
    records = {
        "sweep": sweep["name"],
        "published": snapshot.info()["published"],
        "held_by": {name: held[name] for name in ("host", "pid", "since", "idle")} if held else None,
        "progress": progress,
        "work": [asdict(each) for each in done],
        "failures": [{**asdict(each), "tried_again_by_a_run": each.passing} for each in failures],
    }
    title = f"Work of {sweep['name']}"
    columns = ("jobs", "finished", "failed attempts", "time of all")
    notes = tuple(_progress(progress, held))
    worked = Printable(title, columns, tuple(work_rows(done)), records, notes, frozenset(columns[1:]))
    return worked, _failures(failures)


def _progress(progress: Mapping[str, Any], held: Mapping[str, Any] | None) -> list[str]:
    """How far the sweep is, in sentences."""
    lines = ["Nobody is running this store." if held is None else _holder(held)]
    if "done" in progress:
        shown = ("done", "running", "failed") if held else ("done", "failed")  # what was cut off runs no more
        left = f"; about {clock(progress['seconds_left'])} left" if held and progress.get("seconds_left") else ""
        verb = progress.get("verb", "run")
        if verb != "run" and (run := of_the_run(progress)):
            lines.append(f"The sweep's own run: {_counts(run, ('done', 'failed'))}.")
        of = "" if verb == "run" else f"`paredown {verb}` {'now' if held else 'since'}: "
        lines.append(f"{of}{_counts(progress, shown)}{left}.")
    if held is not None:
        nodes: Mapping[str, Sequence[float]] = progress.get("nodes", {})
        lines += [f"{node}: {busy:g} of {cpus:g} CPUs." for node, (busy, cpus) in nodes.items()]
        where: Sequence[tuple[str, str, float]] = progress.get("where", ())
        lines += [f"On {node} for {clock(max(0, time.time() - began))}: {title}." for node, title, began in where]
        more = int(progress.get("running", 0)) - len(where) if where else 0  # an older run does not tell where
        if more > 0:
            lines.append(f"{more:,} more run or are about to.")
    return lines


def _counts(told: Mapping[str, Any], shown: Sequence[str]) -> str:
    counts = [f"{int(told.get(name, 0))} {name}" for name in shown]
    coming = int(told.get("open", 0)) if "running" in shown else to_come(told)
    return f"{', '.join(counts)}, {coming} to come"


def _holder(held: Mapping[str, Any]) -> str:
    since = f"since {held['since']}, heard of {held['idle']:.0f} s ago"
    return f"It is being run by process {held['pid']} on {held['host']}, {since}."


def _failures(found: Sequence[Cause]) -> Printable:
    rows = tuple(
        (each.kind, each.stage, str(each.count), str(each.open), each.reason, "; ".join(each.jobs)) for each in found
    )
    notes = []
    if any(each.open for each in found):
        notes = ["The next `paredown run` tries again what may pass by itself; the rest after `paredown retry`."]
    columns = ("failure", "stage", "attempts", "open", "reason", "jobs")
    return Printable("Failures by cause", columns, rows, [], tuple(notes), frozenset(columns[2:4]))
