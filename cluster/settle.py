"""Settling: after a sweep, more leases where the frontier is contested, as far as a budget goes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.errors import BadInput
from bench.job import LatencyJob, answers
from bench.metrics import TIMED
from bench.statistics.objectives import Evidence
from bench.statistics.resample import MANY_LEASES
from bench.statistics.settling import OpenPair, group_to_measure, open_pairs
from bench.statistics.simultaneous import half_widths
from bench.store.journal import Entry
from bench.store.reader import Snapshot
from bench.sweep_file import LimitsSection
from cluster.groups import LARGEST_GROUP
from cluster.plan import Plan
from cluster.standing import Known, standing
from leaderboard.judging import evidence_of
from leaderboard.rows import Board, Row, judged_as, read_board, read_draws

LEVEL = 0.95
LARGEST_BATCH = 4  # leases between two looks at the board
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
NEVER_TIMED = "The sweep {name!r} times nothing that its objectives name, and settling buys time: name latency in them."


def budget_seconds(text: str) -> float:
    """Seconds of "30m", "90s", "1.5h". Raises BadInput for anything else, and for none at all."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    if match is None:
        raise BadInput(f"--budget is {text!r}, but a budget is a time such as 90s, 30m or 2h: give one.")
    seconds = float(match[1]) * UNITS[match[2]]
    if not seconds:
        raise BadInput(f"--budget is {text!r}, which buys nothing: give a time above 0, such as 30m.")
    return seconds


@dataclass(frozen=True)
class Contest:
    """What is open among the variants of one base."""

    rows: tuple[Row, ...]  # the base first
    pairs: tuple[OpenPair, ...]
    leases: tuple[int, ...]  # of each row
    template: LatencyJob  # a finished lease
    lease_seconds: float  # for each model of a lease
    next_lease: int

    @property
    def contested(self) -> tuple[Row, ...]:
        """The rows that some open pair keeps contested."""
        return tuple(self.rows[i] for i in sorted({pair.of for pair in self.pairs}))

    def cost(self, group: Sequence[int]) -> float:
        """Predicted seconds of one lease."""
        return self.lease_seconds * (1 + len(group))

    def missing(self, row: Row) -> str:
        """What would decide a contested row, in words."""
        mine = [pair for pair in self.pairs if self.rows[pair.of].recipe_id == row.recipe_id]
        closed = [pair.leases for pair in mine if pair.leases is not None]
        never = len(mine) - len(closed)
        told = []
        if closed:
            most = max(closed) - min(self.leases[pair.of] for pair in mine)
            hours = most * self.cost([0, 0]) / 3600
            told.append(f"{len(closed)} of {len(mine)} open comparisons by about {most} more leases ({hours:.1f} h)")
        if never:
            told.append(f"{never} by no number of leases: tied on time, or a matter of scores")
        return "; ".join(told)


def contests(snapshot: Snapshot, sweep: Mapping[str, Any]) -> list[Contest]:
    """What is open on a sweep's declared objectives, for each of its bases. Raises BadInput where nothing was timed."""
    body = sweep["body"]
    if not any(o["metric"] in _timed() for o in body["objectives"]):
        raise BadInput(NEVER_TIMED.format(name=body["name"]))
    board = read_board(snapshot, sweep["sweep_id"])
    leases = _leases(snapshot, body)
    draws = read_draws(snapshot, board, board.objectives)
    found = []
    for base in board.bases:
        rows = sorted((row for row in board.rows if row.base == base), key=lambda row: not row.is_base)
        mine = [(job, seconds) for job, seconds in leases if job.artefact_ids[0] == rows[0].artefact_id]
        if mine:
            found.append(
                _contest(board, rows, [evidence_of(board, key, rows, draws) for key in board.objectives], mine)
            )
    if not found:
        raise BadInput(
            f"The sweep {body['name']!r} has no finished lease yet: run it to its end with `paredown run`, then settle."
        )
    return found


def _timed() -> frozenset[str]:
    return frozenset(f"{name}_ratio" for name in TIMED)


def _leases(snapshot: Snapshot, body: Mapping[str, Any]) -> list[tuple[LatencyJob, float]]:
    """Every finished lease that answers the sweep's question, with its seconds."""
    found = []
    for row in snapshot.rows(
        "select key, job, seconds from records where job_type = 'LatencyJob' and status = 'finished' order by ordinal"
    ):
        described = json.loads(row["job"])
        if answers(row["key"], described, body["questions"]["LatencyJob"]):
            described.pop("type")
            found.append((LatencyJob.model_validate(described), row["seconds"]))
    return found


def _contest(
    board: Board, rows: Sequence[Row], evidence: Sequence[Evidence], leases: Sequence[tuple[LatencyJob, float]]
) -> Contest:
    counts = tuple(sum(row.artefact_id in job.artefact_ids for job, _ in leases) for row in rows)
    measured = [judged_as(key)[0] in _timed() for key in board.objectives]
    pairs = open_pairs(evidence, half_widths(tuple(evidence), LEVEL), measured, counts)
    return Contest(
        rows=tuple(rows),
        pairs=tuple(pairs),
        leases=counts,
        template=leases[-1][0],
        lease_seconds=sum(s for _, s in leases) / sum(len(job.artefact_ids) for job, _ in leases),
        next_lease=1 + max(job.lease for job, _ in leases),
    )


@dataclass(frozen=True)
class Batch:
    """A few leases of one group, to be run before the next look. Its plan is pure."""

    jobs: tuple[LatencyJob, ...]
    entry: Entry
    limits: LimitsSection
    device: str
    seconds: float  # predicted

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


def next_batch(sweep: Mapping[str, Any], found: Sequence[Contest], budget: float) -> Batch | None:
    """The leases that close the most for their time; None where none that fits into the budget closes anything.

    Args:
        sweep: a row of `Snapshot.sweeps`.
        found: what is open.
        budget: seconds that are left.
    """
    options = []
    for contest in found:
        group = group_to_measure(contest.pairs, LARGEST_GROUP, frozenset({0}))
        if not group:
            continue
        wanted = min(p.leases for p in contest.pairs if p.leases is not None)
        have = min(contest.leases[i] for i in group)
        count = min(max(1, wanted - have, MANY_LEASES - have), max(LARGEST_BATCH, MANY_LEASES - have))
        affordable = int(budget / contest.cost(group))
        count = min(count, affordable)
        # Leases that are still too few to be averaged narrow nothing.
        if count >= 1 and have + count >= MANY_LEASES:
            options.append((count * contest.cost(group), contest, group, count))
    if not options:
        return None
    seconds, contest, group, count = min(options, key=lambda option: option[0])
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
        limits=LimitsSection.model_validate(body["limits"]),
        device=body["questions"]["LatencyJob"]["device"],
        seconds=seconds,
    )


def _job(contest: Contest, group: Sequence[int], lease: int) -> LatencyJob:
    rows = [contest.rows[0], *(contest.rows[i] for i in group)]
    return contest.template.model_copy(
        update={
            "artefact_ids": tuple(str(row.artefact_id) for row in rows),
            "names": tuple("base" if row.is_base else row.name for row in rows),
            "lease": lease,
        }
    )
