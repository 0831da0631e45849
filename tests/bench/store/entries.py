"""Plain records for the store's tests."""

import numpy as np

from bench.identity import digest
from bench.record import Delivery, Examples, Failed, Finished, Record, Samples, Value
from bench.store.folder import Folder
from bench.store.journal import Entry, entries_in


def record(name: str, attempt: int = 1, *, failed: bool = False, started: str = "2026-01-01T00:00:00.000") -> Record:
    """An attempt at a job of that name."""
    artefact_id = digest({"artefact": name})
    value = Value.exact(artefact_id, "size", 10.0)
    good = Finished(artefact_id=artefact_id, values=(value,))
    return Record(
        key=digest({"job": name}),
        kind="build",
        attempt=attempt,
        outcome=Failed(stage="build", kind="bug", reason="no") if failed else good,
        job={"type": "BuildJob", "recipe_id": digest({"recipe": name})},
        started=started,
        seconds=1.0,
        worker="here:1",
    )


def entry(name: str, attempt: int = 1, *, failed: bool = False) -> Entry:
    return Entry.of(Delivery(record(name, attempt, failed=failed)))


def full_entry(name: str) -> Entry:
    """A record with per-example outcomes and timings."""
    artefact_id = digest({"artefact": name})
    examples = Examples(
        artefact_id=artefact_id,
        task="t" * 64,
        index=np.arange(3),
        label=("a", "b", "a"),
        prediction=("a", "a", "a"),
        score=np.array([1.0, 0.0, 1.0]),
        confidence=np.array([0.9, 0.6, 0.7]),
    )
    samples = Samples(
        artefact_id=(artefact_id,) * 2,
        scope=("batch 1 x 8 tokens",) * 2,
        lease=0,
        round=np.array([0, 0], dtype=np.int32),
        position=np.array([0, 1], dtype=np.int16),
        calls=np.array([5, 5], dtype=np.int32),
        seconds=np.array([0.1, 0.2]),
        first=np.array([0.3, 0.3]),
        each=((0.125, 0.0625), (0.25,)),
        joules=np.array([2.0, np.nan]),
    )
    return Entry.of(Delivery(record(name), examples, samples))


def records_in(folder: Folder) -> list[Record]:
    """Every acknowledged record, each once."""
    return [Record.model_validate_json(body) for entry, body in entries_in(folder) if entry == "record"]
