"""What a store knows of one variant beyond its row: lineage, layers, attempts, how to have it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.errors import BadInput
from bench.store import origin
from bench.store.asked import Asked, understand
from bench.store.layers import Stack, layer_stacks
from bench.store.reader import Snapshot
from bench.store.sheets import Sheet
from bench.store.why import Why, explain
from leaderboard.format import without_folders
from leaderboard.held_back import HeldBack, read_held_back
from leaderboard.rows import Key

MOST_ATTEMPTS = 500
MEASURED = {"LatencyJob": "time", "MemoryJob": "memory"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job: what it was, how it went, where and when."""

    what: str
    status: str
    cause: str  # empty where it finished
    number: int
    started: str  # UTC
    seconds: float
    worker: str  # host:process


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything about one variant that its page shows beside its numbers."""

    model: str  # what its base was made from
    licence: str | None
    lineage: Sheet
    stacks: tuple[Stack, ...]
    elsewhere: bool  # the store lies in a bucket, and artefacts are not copied only to be looked at
    tasks: tuple[Mapping[str, Any], ...]
    held_back: HeldBack
    command: str
    command_note: str


def read_dossier(snapshot: Snapshot, sweep_id: str, recipe_id: str) -> Dossier:
    """Gather it. Raises BadInput for a variant or a sweep that is not there."""
    body, variant, base = _declared(snapshot, sweep_id, recipe_id)
    chain, lineage = origin.lineage(snapshot, Asked(body, variant, base, {}, "", None, ()))
    told: Mapping[str, Any] = next(v for v in body["variants"] if v["recipe_id"] == recipe_id)
    try:
        stacks = layer_stacks(snapshot.folder, chain)
    except (OSError, ValueError, KeyError, TypeError):  # artefacts that are gone or broken tell nothing
        stacks = ()
    command, note = origin.command(body)
    return Dossier(
        model=without_folders(str(told["model"])),
        licence=told.get("licence"),
        lineage=lineage,
        stacks=stacks,
        elsewhere=snapshot.folder.bucket is not None,
        tasks=tuple(body["tasks"]),
        held_back=read_held_back(snapshot, body, recipe_id),
        command=without_folders(command),
        command_note=note,
    )


def read_why(snapshot: Snapshot, sweep_id: str, recipe_id: str, key: Key) -> Why:
    """What stands behind a number of a variant. Raises BadInput where the journal cannot be read."""
    sweep = next((s for s in snapshot.sweeps() if s["sweep_id"] == sweep_id), None)
    if sweep is None:
        raise BadInput("This sweep is not in the store any more: choose another one.")
    found = explain(snapshot, understand(snapshot, sweep, recipe_id, key[0], key[1]))
    return replace(found, missing=found.missing and without_folders(found.missing))


def _declared(snapshot: Snapshot, sweep_id: str, recipe_id: str) -> tuple[dict[str, Any], Any, Any]:
    """The sweep's declaration, the variant's row and its base's."""
    body = snapshot.body(sweep_id, [recipe_id])
    rows = snapshot.rows(
        # Two questions: DuckDB looks for one variant in few blocks of rows, and with an "or" in all of them.
        "select * from variants where sweep_id = ? and recipe_id = ? union all by name "
        "select * from variants where sweep_id = ? and is_base and recipe_id != ? order by position",
        [sweep_id, recipe_id, sweep_id, recipe_id],
    )
    variant = next((row for row in rows if row["recipe_id"] == recipe_id), None)
    if variant is None or body is None:
        raise BadInput("This variant is not in the store any more: choose another one.")
    base = next((row for row in rows if row["is_base"] and row["base"] == variant["base"]), variant)
    return body, variant, base


def read_attempts(snapshot: Snapshot, sweep_id: str, recipe_id: str) -> tuple[int, tuple[Attempt, ...]]:
    """How many attempts at jobs concern a variant, and the newest of them, the last first. Raises BadInput.

    All records are searched.
    """
    body, variant, _ = _declared(snapshot, sweep_id, recipe_id)
    told: Mapping[str, Any] = next(v for v in body["variants"] if v["recipe_id"] == recipe_id)
    artefact_id, prefixes = variant["artefact_id"], told["prefixes"]
    rows = snapshot.rows(
        "select kind, job_type, status, stage, failure, reason, attempt, started, seconds, worker, job, "
        "count(*) over () as of from records "
        "where (kind = 'build' and list_contains(?, recipe_id)) "
        "or (kind != 'build' and (artefact_id = ? or (kind = 'measure' and contains(job, ?)))) "
        "order by ordinal desc limit ?",
        [list(prefixes), artefact_id, artefact_id, MOST_ATTEMPTS],
    )
    found = tuple(
        Attempt(
            what=job_words(row["kind"], row["job_type"], json.loads(row["job"])),
            status=row["status"],
            cause=without_folders(f"{row['stage']}: {row['failure']}: {row['reason']}")
            if row["status"] == "failed"
            else "",
            number=row["attempt"],
            started=row["started"],
            seconds=row["seconds"],
            worker=row["worker"],
        )
        for row in rows
    )
    return (rows[0]["of"] if rows else 0), found


def job_words(kind: str, job_type: str, job: Mapping[str, Any]) -> str:
    """What a job does, in a few words, without the name of the variant."""
    if kind == "build":
        return f"build: {job.get('step') or 'import the base model'}"
    if kind == "evaluate":
        task = job.get("task") or {}
        first, last = job.get("first", 0), job.get("last", 0) - 1
        windows = f"window {first}" if last <= first else f"windows {first} to {last}"
        return f"evaluate on {task.get('name', 'a task')}, {windows}"
    if kind == "measure":
        lease = f", lease {job['lease'] + 1}" if isinstance(job.get("lease"), int) else ""
        return f"measure {MEASURED.get(job_type, job_type)}{lease}, {len(job.get('artefact_ids', ()))} models"
    return f"{kind}: {job.get('question', {}).get('key') or job.get('step') or job_type}"
