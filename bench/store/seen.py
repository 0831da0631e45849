"""A hash of what a snapshot says of a sweep, so that a decision names the data that it was made on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bench.errors import BadInput
from bench.identity import digest
from bench.store.reader import Snapshot

# What a person decides by, in a fixed order.
TABLES = {
    "variants": "recipe_id, name, base, is_base, seed, recipe_group, steps, artefact_id, status, reason",
    "numbers": "recipe_id, metric, scope, estimate, low, high, n, method, hardware_class, note",
    "verdicts": "recipe_id, verdict, share, dominated_by, reason",
    "confirmations": "recipe_id, opening, metric, scope, estimate, low, high, level, n, method, chosen, finding",
}
DECLARED = ("name", "hardware_class", "versions", "objectives", "constraints", "tasks", "licences")


def data_digest(snapshot: Snapshot, sweep_id: str) -> str:
    """SHA-256 over what a snapshot says of a sweep: the same for every snapshot and rebuild that says the same.

    Over the declaration's lines in canonical JSON and, of each table, its name and the hash of each variant in order; a
    variant's is over its rows as JSON, sorted. Raises BadInput for a sweep that is not there.
    """
    body = snapshot.body(sweep_id)
    if body is None:
        raise BadInput("This sweep is not in the store any more: choose another one.")
    told = hashlib.sha256(digest({name: body.get(name) for name in DECLARED}).encode())
    for table, columns in TABLES.items():
        told.update(f"\n{table}".encode())
        for hashed in _variants(snapshot, sweep_id, table, columns):
            told.update(hashed.encode())
    return told.hexdigest()


def _variants(snapshot: Snapshot, sweep_id: str, table: str, columns: str) -> Iterator[str]:
    """The hash of each variant, by recipe_id. Part by part: the rows of a large sweep never stand in memory at once."""
    fields = ", ".join(f"{name}: {name}" for name in columns.split(", "))
    first = f"select distinct left(recipe_id, 1) as letter from {table} where sweep_id = ? order by 1"  # noqa: S608
    mine = (
        f"with lines as (select recipe_id, to_json({{{fields}}})::varchar as line from {table} "  # noqa: S608
        "where sweep_id = ? and starts_with(recipe_id, ?)) "
        "select sha256(string_agg(line, chr(10) order by line)) as hash from lines group by recipe_id "
        "order by recipe_id"
    )
    for part in snapshot.rows(first, [sweep_id]):
        for row in snapshot.rows(mine, [sweep_id, part["letter"]]):
            yield str(row["hash"])
