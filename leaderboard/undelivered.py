"""Steps that did not do to a model what they promise, as the records of their builds tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bench.store.reader import Snapshot


def undelivered_in(snapshot: Snapshot, variants: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """recipe_id -> what its steps promised and did not deliver, in their order."""
    found: dict[str, str] = {}  # by the recipe that the step ends; the first published build counts
    for r in snapshot.rows(
        "select recipe_id, answer from records where kind = 'build' and status = 'finished' "
        "and answer like '%not delivered%' order by ordinal"
    ):
        told = json.loads(r["answer"]).get("delivered", {})
        if told.get("verdict") == "not delivered":
            found.setdefault(r["recipe_id"], told["reason"])
    return {v["recipe_id"]: tuple(found[p] for p in own_builds(v) if p in found) for v in variants}


def own_builds(variant: Mapping[str, Any]) -> Sequence[str]:
    """recipe_ids of a declared variant's own builds in order; an older declaration has its teachers' among them."""
    found: Sequence[str] = variant.get("chain", variant["prefixes"])
    return found
