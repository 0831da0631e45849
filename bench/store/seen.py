"""A hash of what a snapshot says of a sweep, so that a decision names the data that it was made on."""

from __future__ import annotations

import hashlib

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

    Over the declaration's lines in canonical JSON and, of each table, the hash of its variants' hashes; a variant's is
    over its rows as JSON, sorted. Raises BadInput for a sweep that is not there.
    """
    body = next((s["body"] for s in snapshot.sweeps() if s["sweep_id"] == sweep_id), None)
    if body is None:
        raise BadInput("This sweep is not in the store any more: choose another one.")
    parts = [digest({name: body.get(name) for name in DECLARED})]
    for table, columns in TABLES.items():
        fields = ", ".join(f"{name}: {name}" for name in columns.split(", "))
        # Hashed variant by variant: the rows of a large sweep never stand in memory as one text.
        ((found,),) = snapshot.connection.execute(
            f"with lines as (select recipe_id, to_json({{{fields}}})::varchar as line from {table} "  # noqa: S608
            "where sweep_id = ?), "
            "each as (select recipe_id, sha256(string_agg(line, chr(10) order by line)) as hash from lines group by 1) "
            "select sha256(coalesce(string_agg(hash, chr(10) order by recipe_id), '')) from each",
            [sweep_id],
        ).fetchall()
        parts.append(f"{table} {found}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
