"""Under which conditions the numbers of an artefact were had, over all records that count for a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from bench.job import answers
from bench.store.asked import Row
from bench.store.origin import flat
from bench.store.reader import Snapshot
from bench.store.sheets import Cell, Sheet

KINDS = {"build": "built", "EvaluateJob": "scored", "LatencyJob": "timed", "MemoryJob": "memory"}
NOWHERE = ("host",)  # which machine it was: no condition, and nothing to pass on
MOST_VALUES = 3  # of what differs between records, in words


def circumstances(snapshot: Snapshot, sweep: Row, artefact_id: str) -> Sheet:
    """A column for each kind of record; numbers that differ are told as a range, other values one after the other."""
    told: dict[str, list[Mapping[str, Cell]]] = {}
    for row in snapshot.rows(
        "select key, kind, job_type, job, conditions from records where status = 'finished' and conditions is not null "
        "and (artefact_id = ? or (kind = 'measure' and contains(job, ?))) and kind in ('build', 'evaluate', 'measure') "
        "order by ordinal",
        [artefact_id, artefact_id],
    ):
        question = sweep["questions"].get(row["job_type"]) if row["kind"] == "measure" else None
        if row["kind"] == "measure" and (question is None or not answers(row["key"], json.loads(row["job"]), question)):
            continue
        name = KINDS.get("build" if row["kind"] == "build" else row["job_type"])
        if name is not None:
            told.setdefault(name, []).append(flat(json.loads(row["conditions"])))
    columns = [name for name in KINDS.values() if name in told]
    names = dict.fromkeys(name for column in columns for each in told[column] for name in each)
    every = (
        (name, *(_together([each.get(name) for each in told[c]]) for c in columns))
        for name in names
        if name not in NOWHERE
    )
    rows = tuple(row for row in every if any(cell is not None for cell in row[1:]))
    return Sheet("Conditions", ("condition", *columns), rows)


def _together(values: Sequence[Cell]) -> Cell:
    """What several records say, in one cell."""
    found = list(dict.fromkeys(value for value in values if value is not None))
    if len(found) < 2:
        return found[0] if found else None
    numbers = [value for value in found if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(found):
        return f"{min(numbers):.6g} to {max(numbers):.6g}"
    more = f"; {len(found) - MOST_VALUES} more" if len(found) > MOST_VALUES else ""
    return "; ".join(map(str, found[:MOST_VALUES])) + more
