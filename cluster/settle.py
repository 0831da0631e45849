"""Settling: after a sweep, more leases where the frontier is contested, as far as a budget goes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from bench.errors import BadInput
from bench.job import LatencyJob
from bench.statistics.settling import decisions, group_to_measure
from bench.store.journal import Entry
from bench.store.reader import Snapshot
from bench.sweep_file import LimitsSection
from cluster.groups import LARGEST_GROUP
from cluster.plan import Plan
from cluster.standing import Known, standing
from leaderboard.contests import Open, open_contests

LARGEST_BATCH = 2  # leases between two looks at the board
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def budget_seconds(text: str) -> float:
    """Seconds of "30m", "90s", "1.5h". Raises BadInput for anything else, and for none at all."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    if match is None:
        raise BadInput(f"--budget is {text!r}, but a budget is a time such as 90s, 30m or 2h: give one.")
    seconds = float(match[1]) * UNITS[match[2]]
    if not seconds:
        raise BadInput(f"--budget is {text!r}, which buys nothing: give a time above 0, such as 30m.")
    if not math.isfinite(seconds):
        raise BadInput("--budget is longer than any number of seconds can say: give a time such as 90s, 30m or 2h.")
    return seconds


@dataclass(frozen=True)
class Contest(Open):
    """What is open among the variants of one base, and the leases that would go on from there."""

    template: LatencyJob  # a finished lease
    next_lease: int


def contests(snapshot: Snapshot, sweep: Mapping[str, Any]) -> list[Contest]:
    """What is open on a sweep's declared objectives, for each of its bases. Raises BadInput where nothing was timed."""
    return [_from_there(found, int(sweep["body"]["leases"])) for found in open_contests(snapshot, sweep)]


def _from_there(found: Open, declared: int) -> Contest:
    last = {key: value for key, value in found.finished[-1].job.items() if key != "type"}
    return Contest(
        **{each.name: getattr(found, each.name) for each in fields(found)},
        template=LatencyJob.model_validate(last),
        # Those that the sweep declares are its own, also where a run that was cut off has not taken them yet.
        next_lease=max(declared, 1 + max(int(lease.job["lease"]) for lease in found.finished)),
    )


@dataclass(frozen=True)
class Batch:
    """A few leases of one group, to be run before the next look. Its plan is pure."""

    jobs: tuple[LatencyJob, ...]
    entry: Entry
    sweep_id: str
    limits: LimitsSection
    device: str
    hardware_class: str
    seconds: float  # predicted
    run: Mapping[str, int] = field(default_factory=dict)  # counts of the sweep's own run

    def __call__(self, known: Known, in_flight: frozenset[str]) -> Plan:
        quiet = True
        planned = []
        for job in self.jobs:
            found = standing(job, known, in_flight, self.limits.attempts)
            if found.status == "ready" and not quiet:
                continue  # one lease at a time
            quiet = quiet and found.status not in ("ready", "running")
            planned.append(found)
        return Plan(tuple(planned), ())


def next_batch(
    sweep: Mapping[str, Any], found: Sequence[Contest], budget: float, run: Mapping[str, int] | None = None
) -> Batch | None:
    """The leases that decide the most for their time; None where none that fits into the budget decides anything.

    Args:
        sweep: a row of `Snapshot.sweeps`.
        found: what is open.
        budget: seconds that are left.
        run: counts of the sweep's own run.
    """
    options = []
    for contest in found:
        room = int(budget / contest.lease_seconds) - 1  # beside the base; an overrun leaves less than nothing
        decided = decisions(contest.pairs, LARGEST_GROUP, contest.always)
        best = group_to_measure(decided, min(LARGEST_GROUP, room))
        if best.leases:
            options.append((best.decided / (best.leases * contest.cost(best.members)), contest, best))
    if not options:
        return None
    _, contest, best = max(options, key=lambda option: option[0])
    group = best.members
    count = max(1, min(best.leases, LARGEST_BATCH, int(budget / contest.cost(group))))
    jobs = tuple(_job(contest, group, contest.next_lease + number) for number in range(count))
    body = sweep["body"]
    statement = {
        "sweep_id": sweep["sweep_id"],
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "variants": [contest.rows[i].recipe_id for i in group],
        "leases": [job.lease for job in jobs],
    }
    return Batch(
        jobs=jobs,
        entry=Entry.statement("settle", f"settle {jobs[0].key}", statement),
        sweep_id=sweep["sweep_id"],
        limits=LimitsSection.model_validate(body["limits"]),
        device=body["questions"]["LatencyJob"]["device"],
        hardware_class=body["hardware_class"],
        seconds=count * contest.cost(group),
        run=run or {},
    )


def _job(contest: Contest, group: Sequence[int], lease: int) -> LatencyJob:
    models: dict[str, str] = {}  # recipes that gave the same bytes are one
    for i in (0, *group):
        row = contest.rows[i]
        models.setdefault(str(row.artefact_id), "base" if row.is_base else row.name)
    return contest.template.model_copy(
        update={
            "artefact_ids": tuple(models),
            "names": tuple(models.values()),
            "lease": lease,
            "rounds": contest.rounds,
        }
    )
