"""The leases of timing that a store has finished for a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.job import answers
from bench.store.reader import Snapshot


def finished_leases(snapshot: Snapshot, body: Mapping[str, Any]) -> list[tuple[dict[str, Any], float]]:
    """(job as described, seconds it took) of every finished lease that answers the sweep's question, in order.

    Args:
        snapshot: whose records are looked at.
        body: the sweep's declaration.
    """
    found = []
    for row in snapshot.rows(
        "select key, job, seconds from records where job_type = 'LatencyJob' and status = 'finished' order by ordinal"
    ):
        described = json.loads(row["job"])
        if answers(row["key"], described, body["questions"]["LatencyJob"]):
            found.append((described, float(row["seconds"])))
    return found
