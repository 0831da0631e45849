"""Openings of held-back examples: what was asked of them, when, and who had looked before. Each is a statement in the
journal, made before the first of the examples is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bench.identity import digest
from bench.record import Frozen
from bench.store.folder import Folder
from bench.store.journal import Entry, parts
from bench.store.reader import Snapshot

OPENED = "opened"  # the kind of entry
WHEN = {"at", "chosen_on"}  # what makes no other opening


class OpenedTask(Frozen):
    """The held-back part of a task."""

    name: str
    data_id: str
    held: int  # examples that are held back
    examples: int  # of the whole task
    metrics: tuple[str, ...]  # that are re-estimated


class OpenedVariant(Frozen):
    """A variant of the shortlist, or its base."""

    recipe_id: str
    name: str
    artefact_id: str
    base: str  # recipe_id of what it is compared with; its own for a base
    jobs: dict[str, tuple[str, ...]]  # task -> keys of the evaluations

    @property
    def is_base(self) -> bool:
        return self.recipe_id == self.base


class Opening(Frozen):
    """One look at held-back examples, for one shortlist at one level."""

    sweep_id: str
    sweep: str  # name
    at: str  # UTC
    level: float
    tasks: tuple[OpenedTask, ...]
    variants: tuple[OpenedVariant, ...]
    chosen_on: tuple[str, ...] = ()  # sweeps of the store that chose by some of these examples

    @property
    def identity(self) -> str:
        """The same for the same question, whenever it is asked."""
        return f"{OPENED} {digest(self.model_dump(mode='json', exclude=WHEN))}"

    @property
    def entry(self) -> Entry:
        return Entry.statement(OPENED, self.identity, self.model_dump(mode="json"))

    @property
    def shortlist(self) -> tuple[OpenedVariant, ...]:
        """Without the bases."""
        return tuple(v for v in self.variants if not v.is_base)

    def shares_data(self, other: Opening) -> bool:
        """Whether both look at examples of the same data: the ends of one order, so that one holds the other."""
        return bool({t.data_id for t in self.tasks} & {t.data_id for t in other.tasks})


def openings_in(journal: Folder | Path) -> list[Opening]:
    """Every opening that a store's journal holds, oldest first: a snapshot may be older than the last of them."""
    found: dict[str, Opening] = {}
    for part in parts(journal):
        table = pq.read_table(part, columns=["identity", "body"], filters=[("entry", "=", OPENED)])
        for row in table.to_pylist():
            found.setdefault(row["identity"], Opening.model_validate_json(row["body"]))
    return sorted(found.values(), key=lambda opening: opening.at)


def held_back(body: Mapping[str, Any]) -> dict[str, int]:
    """Of a sweep's declaration: data_id of each task that holds examples back -> how many it does."""
    told = (task["held_back"] for task in body["tasks"] if "held_back" in task)
    return {part["data_id"]: part["examples"] for part in told}


def chosen_by(snapshot: Snapshot, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of other sweeps of the store whose choosing had some of the examples that a sweep holds back.

    Args:
        snapshot: the published state.
        body: of the sweep's declaration.
    """
    held = held_back(body)
    others = snapshot.rows(
        "select name, json_extract_string(body::json, '$.tasks') as tasks from sweeps where sweep_id != ? "
        "order by declared desc",
        [body["sweep_id"]],
    )
    found = [
        str(other["name"])
        for other in others
        for task in json.loads(other["tasks"])
        if (mine := held.get(task.get("data_id"))) is not None
        and task.get("held_back", {"examples": 0})["examples"] < mine
    ]
    return tuple(dict.fromkeys(found))
