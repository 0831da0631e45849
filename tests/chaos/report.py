"""The table of a chaos run: promises kept, what blows cost, and every seed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import psutil

from bench.processor import cpu

PROMISES = ("lost", "doubled", "missing")


def markdown(sweeps: Sequence[dict[str, Any]], failures: Sequence[str], *, commit: str, date: str) -> str:
    """What was measured, as a page."""
    blows, moments = [blow for sweep in sweeps for blow in sweep["blows"]], _moments(sweeps)
    total = {name: sum(sweep[name] for sweep in sweeps) for name in ("jobs", "acknowledged", "attempts", *PROMISES)}
    more = total["attempts"] - total["jobs"]
    memory = psutil.virtual_memory().total / 2**30
    lines = [
        "# Chaos: random kills of processes and hosts in the middle of sweeps",
        "",
        f"{date}, commit {commit}, {psutil.cpu_count()} cores of {cpu()[0]}, {memory:.0f} GiB. A head and two workers "
        "with one CPU each, hosts made of network namespaces on this one machine; sweeps of "
        f"{sweeps[0]['jobs']} jobs of 0.2 to 1 s; `make chaos`.",
        "",
        f"{len(blows)} blows in {len(sweeps)} sweeps of {total['jobs']} jobs. By the workers' own notes "
        f"{total['acknowledged']} records were acknowledged: **{total['lost']} lost, {total['doubled']} doubled**; "
        f"{total['missing']} jobs without a finished record at the end of their sweep.",
        f"Extra work: {more} attempts more than jobs, {more / total['jobs']:.0%} of the work, {more / len(blows):.2f} "
        "a blow.",
        f"Sweeps that stood still for good after a blow: {len(failures)}.",
        "",
        "Time to recover: from the blow until every attempt that it ended has begun again and a further record is "
        "acknowledged. A host that was switched off comes back after 0.5 to 4 s, a cut cable is mended after 1 to 20 "
        "s, a dead driver is followed by another at once, on any host. Half of the moments see two or three blows at "
        "once; they are timed apart.",
        "",
        "| blow | times | of them alone | attempts lost | median s | worst s |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind in sorted({blow["kind"] for blow in blows}):
        mine = [blow for blow in blows if blow["kind"] == kind]
        lines.append(_row(kind, len(mine), [blow for blow in mine if blow["together"] == 1]))
    several = [blow for blow in moments if blow["together"] > 1]
    lines.append(_row("two or three at once", sum(blow["together"] for blow in several), several))
    lines += [_row("all moments", len(blows), moments), ""]
    lines += ["| seed | blows | acknowledged | lost | doubled | attempts | worst s |"]
    lines += ["| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for sweep in sweeps:
        worst = max((blow["recovered"] for blow in sweep["blows"]), default=0.0)
        cells = [sweep["seed"], len(sweep["blows"]), sweep["acknowledged"], sweep["lost"], sweep["doubled"]]
        lines.append("| " + " | ".join(map(str, [*cells, sweep["attempts"], f"{worst:.1f}"])) + " |")
    if failures:
        lines += ["", "Not recovered:", "", *(f"- {failure}" for failure in failures)]
    return "\n".join(lines) + "\n"


def _moments(sweeps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of the blows that fell at the same moment, for each moment."""
    return [
        blow
        for sweep in sweeps
        for before, blow in zip([None, *sweep["blows"]], sweep["blows"], strict=False)
        if before is None or (before["after"], before["recovered"]) != (blow["after"], blow["recovered"])
    ]


def _row(kind: str, times: int, timed: Sequence[dict[str, Any]]) -> str:
    """A row of the table; times to recover are of the blows that are `timed`, for which nothing else fell at once."""
    seconds = [blow["recovered"] for blow in timed]
    middle, worst = (f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}") if seconds else ("", "")
    return f"| {kind} | {times} | {len(timed)} | {sum(blow['lost'] for blow in timed)} | {middle} | {worst} |"
