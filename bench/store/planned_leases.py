"""How many leases of timing were planned for a model before anybody could look at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import duckdb

from bench.store.scored import Cache, Declaration

# A sweep's first declaration, by the identities of its entries: the tables keep the newest.
EARLIER = """with begun as (
    select split_part(identity, ' ', 2) as sweep_id, min(split_part(identity, ' ', 3)) as first
    from entries where entry = 'sweep' group by all
)
select sweep_id, declared from sweeps join begun using (sweep_id)
where first <= (select first from begun where sweep_id = ?) and sweep_id != ?"""


class Planned(NamedTuple):
    """What a sweep plans of timing."""

    leases: int
    question: Any
    recipe_ids: tuple[str, ...]


def planned_leases(
    connection: duckdb.DuckDBPyConnection, sweep: Declaration, artefacts: Mapping[str, str], cache: Cache
) -> dict[str, int]:
    """artefact_id -> the fewest leases that the sweep, or one declared before it, plans to time it in.

    Only sweeps that ask the same question count, for they share leases. Whoever declares more of them because a look
    left something open extends what was planned, as `paredown settle` does.

    Args:
        connection: the query form of the journal.
        sweep: the declaration's body.
        artefacts: recipe_id -> artefact_id.
        cache: declarations that were read before; filled here.
    """
    made = (artefacts.get(variant["recipe_id"]) for variant in sweep["variants"])
    found = {artefact_id: int(sweep["leases"]) for artefact_id in made if artefact_id is not None}
    for sweep_id, declared in connection.execute(EARLIER, [sweep["sweep_id"]] * 2).fetchall():
        key = ("planned leases", sweep_id, declared)
        if key not in cache:
            cache[key] = _planned(connection, sweep_id)
        other: Planned = cache[key]
        if not 0 < other.leases < sweep["leases"] or other.question != sweep["questions"]["LatencyJob"]:
            continue
        for artefact_id in map(artefacts.get, other.recipe_ids):
            if artefact_id in found:
                found[artefact_id] = min(found[artefact_id], other.leases)
    return found


def _planned(connection: duckdb.DuckDBPyConnection, sweep_id: str) -> Planned:
    ((text,),) = connection.execute("select body from sweeps where sweep_id = ?", [sweep_id]).fetchall()
    body = json.loads(text)
    recipe_ids = tuple(variant["recipe_id"] for variant in body["variants"])
    return Planned(int(body["leases"]), body["questions"]["LatencyJob"], recipe_ids)
