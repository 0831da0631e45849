"""How many leases of timing were planned for a model before anybody could look at it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import duckdb

from bench.store.scored import Declaration

# A sweep's first declaration, by the identities of its entries: the tables keep the newest.
EARLIER = """with declared as (
    select split_part(identity, ' ', 2) as sweep_id, min(split_part(identity, ' ', 3)) as first
    from entries where entry = 'sweep' group by all
)
select body from sweeps join declared using (sweep_id)
where first <= (select first from declared where sweep_id = ?) and sweep_id != ?"""


def planned_leases(
    connection: duckdb.DuckDBPyConnection, sweep: Declaration, artefacts: Mapping[str, str]
) -> dict[str, int]:
    """artefact_id -> the fewest leases that the sweep, or one declared before it, plans to time it in.

    Only sweeps that ask the same question count, for they share leases. Whoever declares more of them because a look
    left something open extends what was planned, as `paredown settle` does.

    Args:
        connection: the query form of the journal.
        sweep: the declaration's body.
        artefacts: recipe_id -> artefact_id.
    """
    made = (artefacts.get(variant["recipe_id"]) for variant in sweep["variants"])
    found = {artefact_id: int(sweep["leases"]) for artefact_id in made if artefact_id is not None}
    for (text,) in connection.execute(EARLIER, [sweep["sweep_id"]] * 2).fetchall():
        other = json.loads(text)
        if not other["leases"] or other["questions"]["LatencyJob"] != sweep["questions"]["LatencyJob"]:
            continue
        for variant in other["variants"]:
            artefact_id = artefacts.get(variant["recipe_id"])
            if artefact_id in found:
                found[artefact_id] = min(found[artefact_id], int(other["leases"]))
    return found
