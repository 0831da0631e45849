"""What a sweep's jobs did: where and when each ran, what failed and why, what a race stopped. Rows first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

from bench.errors import BadInput
from bench.record import PASSING
from bench.store.reader import Snapshot
from leaderboard.contests import open_contests, price
from leaderboard.dossier import job_words
from leaderboard.format import clock, without_folders
from leaderboard.rows import find_sweep

MOST_BARS = 4000  # attempts in the timeline, the newest
MOST_CAUSES = 100  # of failures that are listed
MOST_CONTESTED = 200  # contested variants that are listed
PAUSE = 900.0  # seconds without any job: what comes after is another run
KINDS = {"build": "build", "study": "study", "evaluate": "evaluate", "LatencyJob": "timing", "MemoryJob": "memory"}

# The records of a sweep: builds of its recipes, jobs with their artefacts.
OF_SWEEP = """
with mine as (select distinct artefact_id from variants where sweep_id = ? and artefact_id is not null),
     declared_in as (VARIANTS),
     prefixes as (select unnest(from_json(json_extract(value, '$.prefixes'), '["varchar"]')) as recipe_id
                  from declared_in),
     measured as (select ordinal, unnest(from_json(json_extract(job, '$.artefact_ids'), '["varchar"]')) as artefact_id
                  from records where kind = 'measure'),
     asked as (select ordinal, unnest(from_json(json_extract(job, '$.asking'), '["varchar"]')) as recipe_id
               from records where kind = 'study'),
     told as (select * from records r where
        (kind = 'build' and recipe_id in (select recipe_id from prefixes))
        or (kind = 'study' and ordinal in (select ordinal from asked semi join prefixes using (recipe_id)))
        or (kind = 'evaluate' and artefact_id in (select artefact_id from mine))
        or (kind = 'measure' and ordinal in (select ordinal from measured semi join mine using (artefact_id))))
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt at a job in the timeline; `lane` counts what ran side by side on a node, from 0."""

    node: str
    lane: int
    kind: str
    what: str
    started: float  # seconds since the epoch
    seconds: float
    failed: bool
    worker: str


@dataclass(frozen=True, slots=True)
class Work:
    """What one kind of job has cost."""

    kind: str
    finished: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cause:
    """Failures of one kind for one reason. `open` of them no later attempt has finished."""

    kind: str
    stage: str
    reason: str
    count: int
    open: int
    last: str  # UTC
    jobs: tuple[str, ...]

    @property
    def passing(self) -> bool:
        return self.kind in PASSING


@dataclass(frozen=True, slots=True)
class Elimination:
    """What a race stopped, by whom and on what evidence."""

    variant: str
    by: str
    raced: str
    look: str
    examples: str
    level: float
    objectives: str
    reason: str


@dataclass(frozen=True, slots=True)
class Contested:
    """Contested variants and what would decide them; without any only the sentence says why."""

    rows: tuple[tuple[str, str, str], ...]  # variant, leases that it has, what is open; of the first on the board
    sentence: str  # what all of it together would cost
    budget: str = ""  # that `settle` would need for that; empty where it decides nothing


def bars(snapshot: Snapshot, sweep_id: str) -> tuple[Bar, ...]:
    """The newest attempts of a sweep, oldest first, each in a lane of its node."""
    rows = snapshot.rows(
        _of_sweep(snapshot) + "select kind, job_type, job, status, started, seconds, worker from told "  # noqa: S608 - fixed texts
        "order by ordinal desc limit ?",
        [sweep_id, sweep_id, MOST_BARS],
    )
    found = []
    for row in rows:
        began = datetime.fromisoformat(row["started"]).timestamp()
        kind = KINDS.get(row["kind"] if row["kind"] != "measure" else row["job_type"], row["kind"])
        what = job_words(row["kind"], row["job_type"], json.loads(row["job"]))
        found.append((began, row["worker"].partition(":")[0], kind, what, row))
    found.sort(key=lambda each: (each[0], each[3]))
    ends: dict[str, list[float]] = {}  # of the lanes of each node
    drawn = []
    for began, node, kind, what, row in found:
        lanes = ends.setdefault(node, [])
        lane = next((i for i, end in enumerate(lanes) if end <= began + 1e-3), len(lanes))
        lanes[lane:] = [began + row["seconds"], *lanes[lane + 1 :]]
        failed = row["status"] == "failed"
        drawn.append(Bar(node, lane, kind, what, began, row["seconds"], failed, row["worker"]))
    return tuple(drawn)


def _of_sweep(snapshot: Snapshot) -> str:
    return OF_SWEEP.replace("VARIANTS", snapshot.variants_declared)


def runs(drawn: Sequence[Bar]) -> list[tuple[Bar, ...]]:
    """The bars of each run, newest first: runs are told apart by a long pause."""
    found: list[list[Bar]] = []
    end = float("-inf")
    for bar in drawn:
        if bar.started - end > PAUSE:
            found.append([])
        found[-1].append(bar)
        end = max(end, bar.started + bar.seconds)
    return [tuple(each) for each in reversed(found)]


def work(snapshot: Snapshot, sweep_id: str) -> tuple[Work, ...]:
    """Attempts and seconds by kind of job."""
    rows = snapshot.rows(
        _of_sweep(snapshot)  # noqa: S608 - fixed texts
        + "select case when kind = 'measure' then job_type else kind end as kind, "
        "count(*) filter (status = 'finished') as finished, count(*) filter (status = 'failed') as failed, "
        "sum(seconds) as seconds from told group by 1 order by 4 desc",
        [sweep_id, sweep_id],
    )
    return tuple(Work(KINDS.get(r["kind"], r["kind"]), r["finished"], r["failed"], r["seconds"]) for r in rows)


def causes(snapshot: Snapshot, sweep_id: str) -> tuple[Cause, ...]:
    """Failures grouped by their cause, those that are still open first. Numbers in a reason make no other cause."""
    rows = snapshot.rows(
        _of_sweep(snapshot)  # noqa: S608 - fixed texts
        + ", done as (select distinct key from told where status = 'finished') "
        "select failure, stage, any_value(reason) as reason, count(*) as count, "
        "count(distinct key) filter (key not in (select key from done)) as open, max(started) as last, "
        "list(distinct {'kind': kind, 'job_type': job_type, 'job': job})[:6] as jobs from told "
        "where status = 'failed' group by failure, stage, regexp_replace(reason, '[0-9]+', '#', 'g') "
        "order by open desc, count desc, last desc limit ?",
        [sweep_id, sweep_id, MOST_CAUSES],
    )
    return tuple(
        Cause(
            kind=row["failure"],
            stage=row["stage"],
            reason=without_folders(row["reason"]),
            count=row["count"],
            open=row["open"],
            last=row["last"],
            jobs=tuple(dict.fromkeys(_titled(each["kind"], each["job_type"], each["job"]) for each in row["jobs"])),
        )
        for row in rows
    )


def _titled(kind: str, job_type: str, text: str) -> str:
    job = json.loads(text)
    name = job.get("name")
    return f"{job_words(kind, job_type, job)}{f' ({name})' if name else ''}"


def eliminations(snapshot: Snapshot, sweep_id: str) -> tuple[Elimination, ...]:
    """The audit of the sweep's races."""
    rows = snapshot.rows("select * from stops where sweep_id = ? order by look, artefact_id", [sweep_id])
    names = {
        row["artefact_id"]: row["name"]
        for row in snapshot.rows(
            "select artefact_id, name from variants where sweep_id = ? order by position desc", [sweep_id]
        )
    }
    return tuple(
        Elimination(
            variant=names.get(row["artefact_id"], row["artefact_id"][:12]),
            by=names.get(row["beaten_by"], row["beaten_by"][:12]),
            raced=row["raced"],
            look=f"{row['look']} of {row['looks']}",
            examples=", ".join(f"{task}: {count}" for task, count in json.loads(row["examples"]).items()),
            level=row["level"],
            objectives=", ".join(" ".join(filter(None, each)) for each in json.loads(row["objectives"])),
            reason=row["reason"],
        )
        for row in rows
    )


def contested(snapshot: Snapshot, sweep_id: str) -> Contested:
    """What more leases would decide, or a sentence on why that cannot be told."""
    try:
        found = open_contests(snapshot, find_sweep(snapshot, sweep_id))
    except BadInput as error:
        return Contested((), str(error))
    count, others = sum(len(each.contested) for each in found), sum(each.others for each in found)
    if not count and not others:
        return Contested((), "Nothing is contested: more leases would decide nothing.")
    lines: list[tuple[str, str, str]] = []
    for each in found:
        leases = {row.recipe_id: n for row, n in zip(each.rows, each.leases, strict=True)}
        shown = each.contested[: MOST_CONTESTED - len(lines)]
        lines += [(row.name, str(leases[row.recipe_id]), each.missing(row)) for row in shown]
    whole = price(found)
    said = [whole.sentence() or "Nothing is contested among those nearest to the frontier."]
    if count > len(lines):
        said.append(f"Of {count:,} contested variants the first {len(lines):,} on the board are listed.")
    if others:
        said.append(f"{others:,} more that may be on the frontier are farther from it and not counted.")
    return Contested(tuple(lines), " ".join(said), f"{ceil(whole.seconds / 60)}m" if whole.closed else "")


def running_now(progress: Mapping[str, Any]) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """(node, job, when it began) of what runs, and (node, CPUs in use) of each, as the run last said; else nothing."""
    # Where jobs run is told more often than how many are to: of the two the newer one counts.
    where = progress.get("where")
    told = where or [("", title, None) for title in progress.get("now", ())]  # an older run's
    count = max(int(progress.get("running", 0)), len(where or ()))
    jobs = [(str(node), str(title), _at(began)) for node, title, began in told][:count]
    if count > len(jobs):
        jobs.append(("", f"{count - len(jobs):,} more: about to begin, or not listed", ""))
    nodes = progress.get("nodes", {}) if count else {}
    return jobs, [(str(node), f"{busy:g} of {cpus:g}") for node, (busy, cpus) in nodes.items()]


def _at(began: float | None) -> str:
    return "" if began is None else datetime.fromtimestamp(began, UTC).strftime("%H:%M:%S")


def work_rows(found: Sequence[Work]) -> list[tuple[str, str, str, str]]:
    """As a table: (kind, finished, failed, time of all together)."""
    return [(each.kind, f"{each.finished:,}", f"{each.failed:,}", clock(each.seconds)) for each in found]
