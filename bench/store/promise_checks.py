"""Whether what a record says of a step's promise follows from the promise and the facts that it keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import duckdb
from pydantic import ValidationError

from bench.artefacts import Artefacts
from bench.errors import BadInput
from bench.measure.delivered import DELIVERED, Facts, delivered, promised
from bench.methods.checkpoint import Checkpoint
from bench.recipe import Promise, step_class
from bench.store.findings import Check
from bench.store.folder import Folder

STATED = ("parameters", "layers", "flops")  # what a build states as numbers beside its facts


def check_promises(folder: Folder, connection: duckdb.DuckDBPyConnection, check: Check) -> None:
    """Judge every step again by the facts that were counted when it was built, which `--deep` counts anew."""
    artefacts = folder.open_artefacts()
    rows = connection.execute(
        "select identity, job, answer, artefact_id from records where kind = 'build' and status = 'finished' "
        "and json_extract(answer, ?) is not null order by ordinal",
        [f"$.{DELIVERED}"],
    ).fetchall()
    gone = 0
    for identity, job, answer, artefact_id in rows:
        described, told = json.loads(job), json.loads(answer)[DELIVERED]
        title = f"build of {described['name']} ({identity[:10]})"
        stated = dict(
            connection.execute(
                "select metric, estimate from numbers where identity = ? and artefact_id = ?", [identity, artefact_id]
            ).fetchall()
        )
        try:
            found = _judged(described, told, artefacts)
            facts = {name: told["after"][name] for name in STATED if name in stated}
        except (BadInput, ValidationError):
            check.notes.append(f"{title}: this version knows no such step, so its promise is not judged")
            continue
        except (KeyError, TypeError, AttributeError) as error:
            check.compared += 1
            check.differs(title, f"what it says of its promise cannot be read ({type(error).__name__}: {error})")
            continue
        if found is None:
            gone += 1
            continue
        reason = "does not follow from what this step promises and what was counted"
        check.compare(title, {"verdict": told.get("verdict")}, {"verdict": found}, reason)
        check.compare(title, {name: stated[name] for name in facts}, facts, "is not what its facts say")
    if gone:
        check.notes.append(f"of {gone} steps the model before them is not in the store any more: they are not judged")


def _judged(described: Mapping[str, Any], told: Mapping[str, Any], artefacts: Artefacts) -> str | None:
    """The verdict on a step, None where the models that its promise depends on are gone."""
    step = step_class(described["step"]).model_validate(described["settings"])
    promise = Promise()
    if not isinstance(step, Checkpoint):
        teachers: Mapping[str, str] = described.get("teachers", {})
        if any(name not in artefacts for name in (described["parent"], *teachers.values())):
            return None
        folders = {name: artefacts.path(artefact_id) for name, artefact_id in teachers.items()}
        promise = promised(step, artefacts.path(described["parent"]), folders)
    before = told["before"]
    verdict: str = delivered(step.name, promise, before and _facts(before), _facts(told["after"]))["verdict"]
    return verdict


def _facts(kept: Mapping[str, Any]) -> Facts:
    """Facts as a record keeps them: JSON has no tuples."""
    return Facts(**{**kept, "left": tuple(kept["left"])})
