"""Where a number comes from: the artefact's lineage, the records and their conditions, the key, the command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.job import Job
from bench.store.asked import Asked, Row
from bench.store.raw_checks import JOBS
from bench.store.reader import Snapshot
from bench.store.sheets import Cell, Sheet
from bench.sweep_file import SHIPPED

RECORD = (
    "key, kind, job_type, attempt, artefact_id, recipe_id, started, seconds, worker, job, notes, conditions, answer"
)
# What no key holds, by what a job is: it may differ between two records that share one.
OUTSIDE = {
    "scored": (
        "the machine, its load, threads and clock (rounding in the last digits of a logit may still flip an example "
        "that is nearly undecided)",
    ),
    "measured": (
        "the load, clocks and temperature at that time: they are written down with each record, and show in the spread "
        "within and between leases",
        "which machine of the hardware class it was, and which models shared the lease beside the base",
    ),
    "counted": ("the machine: a build that gives other bytes elsewhere is another artefact with numbers of its own",),
}
NEVER = "the names of the sweep and of the variant, the order of jobs, the runner, the workers and the store"


def records(snapshot: Snapshot, identities: Sequence[str]) -> list[dict[str, Any]]:
    """Finished records by key, in order of acknowledgement."""
    return snapshot.rows(
        f"select {RECORD} from records where status = 'finished' and list_contains(?, key) order by ordinal",  # noqa: S608
        [list(identities)],
    )


def builds_of(snapshot: Snapshot, recipe_id: str) -> list[dict[str, Any]]:
    """Finished builds of a recipe, the one that counts first."""
    return snapshot.rows(
        f"select {RECORD} from records where kind = 'build' and status = 'finished' and recipe_id = ? order by ordinal",  # noqa: S608
        [recipe_id],
    )


def lineage(snapshot: Snapshot, asked: Asked) -> tuple[list[dict[str, Any]], Sheet]:
    """The builds from the base model to the variant's artefact, and them as a sheet."""
    chain: list[dict[str, Any]] = []
    recipe_id: str | None = str(asked.variant["recipe_id"])
    while recipe_id is not None:
        found = builds_of(snapshot, recipe_id)
        if not found:
            break
        chain.insert(0, found[0])
        recipe_id = _parent(snapshot, asked, json.loads(found[0]["job"]).get("parent"))
    declared = next(v for v in asked.sweep["variants"] if v["recipe_id"] == asked.variant["recipe_id"])
    steps = [{"step": None, "settings": {"model": declared["model"]}, "seed": None}, *declared["steps"]]
    rows: list[tuple[Cell, ...]] = []
    unknown = len(steps) - len(chain)  # of the first builds, where a record of them is missing
    for number, step in enumerate(steps):
        build = chain[number - unknown] if number >= unknown else None
        job = json.loads(build["job"]) if build else {}
        made = (build["artefact_id"], build["started"], build["seconds"], build["worker"]) if build else (None,) * 4
        learnt = ", ".join(f"{name}: {artefact}" for name, artefact in job.get("teachers", {}).items())
        rows.append((number, step["step"] or "import", _plain(step["settings"]), step["seed"], *made, learnt or None))
    columns = ("number", "step", "settings", "seed", "artefact", "built", "seconds", "worker", "learnt from")
    return chain, Sheet("Lineage", columns, tuple(rows), tuple(_delivered(chain)))


def _parent(snapshot: Snapshot, asked: Asked, artefact_id: str | None) -> str | None:
    """The recipe of the variant's own prefixes that gave an artefact."""
    if artefact_id is None:
        return None
    declared = next(v for v in asked.sweep["variants"] if v["recipe_id"] == asked.variant["recipe_id"])
    rows = snapshot.rows(
        "select recipe_id from records where kind = 'build' and status = 'finished' and artefact_id = ? "
        "and list_contains(?, recipe_id) order by ordinal",
        [artefact_id, list(declared["prefixes"])],
    )
    return str(rows[0]["recipe_id"]) if rows else None


def _delivered(chain: Sequence[Row]) -> Iterator[str]:
    """Steps whose promise was not kept."""
    for build in chain:
        told = (json.loads(build["answer"]) if build["answer"] else {}).get("delivered")
        if isinstance(told, dict) and told.get("verdict") == "not delivered":
            yield f"{told.get('step')} did not deliver: {told.get('reason')}"


def conditions(found: Sequence[Row]) -> Sheet:
    """The conditions of each record, a column each; what differs between them is named below."""
    told = [flat(json.loads(row["conditions"] or "{}")) for row in found]
    names = list(dict.fromkeys(name for each in told for name in each))
    rows = tuple((name, *(each.get(name) for each in told)) for name in names)
    differing = [row[0] for row in rows if len({str(cell) for cell in row[1:]}) > 1]
    note = f"Not the same in all: {', '.join(map(str, differing))}." if differing else "The same in all of them."
    columns = ("condition", *(f"record {number}" for number in range(1, len(told) + 1)))
    return Sheet("Conditions", columns, rows, (note,) if len(told) > 1 else ())


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Cell]:
    """Conditions by name, those within others too."""
    found: dict[str, Cell] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, "" if key == "details" else f"{prefix}{key} ")
        else:
            found[prefix + key] = _plain(value)
    return found


def record_sheet(found: Sequence[Row]) -> Sheet:
    """The records that a number stands on."""
    columns = ("record", "key", "job", "attempt", "started", "seconds", "worker", "notes")
    rows = tuple(
        (number, row["key"], _title(row), row["attempt"], row["started"], row["seconds"], row["worker"], _notes(row))
        for number, row in enumerate(found, start=1)
    )
    return Sheet("Records", columns, rows)


def _notes(row: Row) -> str:
    notes = json.loads(row["notes"] or "{}")
    return ", ".join(f"{key} {value}" for key, value in notes.items() if key != "order")


def _title(row: Row) -> str:
    job = _job(row)
    return job.title if job else str(row["job_type"])


def _job(row: Row) -> Job | None:
    described = json.loads(row["job"])
    cls = JOBS.get(str(described.pop("type", "")))
    return cls.model_validate(described) if cls else None


def key_sheet(found: Sequence[Row]) -> Sheet:
    """What the key of a record holds; where records differ in it, all values."""
    values: dict[str, list[Cell]] = {}
    for row in found:
        job = _job(row)
        for name, value in (_entering(job) if job else {}).items():
            kept = values.setdefault(name, [])
            if value not in kept:
                kept.append(value)
    rows = tuple((name, "; ".join(map(str, kept))) for name, kept in values.items())
    note = "Another value is another key: the number is then made anew, and stands beside this one."
    return Sheet("What enters the key", ("what", "value"), rows, (note,))


def _entering(job: Job) -> dict[str, Cell]:
    """What decides a job's answer; a task's fingerprint is opened, for it hides most of it."""
    found: dict[str, Any] = {"job": type(job).__name__, **job.identity()}
    task = getattr(job, "task", None)
    if task is not None:
        found.pop("task", None)
        found |= {"task kind": task.kind, "task version": task.version, "task settings": task.settings}
        found |= {"data": f"{task.data.source} ({task.data_id})"}
        if task.part != "all":
            found |= {"part of the data": f"{task.part}; {task.held} examples are held back"}
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Cell:
    """Anything JSON can hold, in a cell."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(str(_plain(inner)) for inner in value) or "none"
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def command(sweep: Row) -> tuple[str, str]:
    """The command that gives the number again, and what must be known about it."""
    asked = [str(word) for word in sweep.get("asked", ())]
    note = "A new folder, because on this store it repeats nothing that is finished."
    if not asked:
        shipped = [
            path.stem for path in sorted(SHIPPED.glob("*.yaml")) if f"name: {sweep['name']}\n" in path.read_text()
        ]
        asked = shipped[:1] or ["SWEEP.yaml"]
        note += " The store does not say how the sweep was named and overridden on the command line" + (
            "." if shipped else f": SWEEP.yaml is the file whose name is {sweep['name']}."
        )
    return f"paredown run {shlex.join(asked)} --store NEW_FOLDER", note
