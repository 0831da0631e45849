"""What a store knows when a run begins, and what it is told to forget."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from bench.errors import unknown
from bench.record import PASSING, Failed, FailureKind, Finished, Record
from bench.store.folder import Folder, is_store, open_folder, take_lease
from bench.store.journal import Entry, entries_in
from bench.store.raw import Raw
from bench.store.writer import Writer
from cluster.standing import Known


def known_in(folder: Folder) -> Known:
    """What of a store's records counts at the start of a run.

    Failures that may pass by themselves get a new chance with every run; the others stand until `retry`.
    """
    known = Known()
    retried: dict[str, str] = {}  # job key -> UTC time before which its failures no longer count
    failures: dict[str, list[Record]] = {}  # after which nothing of their key has finished
    for entry, body in entries_in(folder):
        if entry == "retry":
            statement = json.loads(body)
            for key in statement["keys"]:
                retried[key] = max(statement["declared"], retried.get(key, ""))
        elif entry == "record":
            record = Record.model_validate_json(body)
            if record.finished:
                known.add(record)
                failures.pop(record.key, None)
            elif isinstance(record.outcome, Failed) and record.outcome.kind not in PASSING:
                failures.setdefault(record.key, []).append(record)
    for record in (record for each in failures.values() for record in each):
        if record.started > retried.get(record.key, ""):
            known.add(record)
    made = {r.outcome.artefact_id or "" for r in known.finished.values() if isinstance(r.outcome, Finished)}
    known.lost = folder.open_artefacts().missing(made - {""})
    known.raw = Raw(folder)
    return known


def known_without_writing(root: Path) -> Known:
    """What a store knows, read from its journal only: for `paredown plan`, which changes nothing."""
    if not is_store(root):
        return Known()
    return known_in(open_folder(root))


def forget_failures(root: Path, kind: str | None) -> int:
    """State in the journal that earlier failures no longer count; returns how many jobs that concerns.

    Raises BadInput for a store that is not there or in use, or a kind of failure that does not exist.
    """
    kinds = get_args(FailureKind)
    if kind is not None and kind not in kinds:
        raise unknown("kind of failure", kind, kinds)
    folder = open_folder(root)
    lease = take_lease(folder)
    try:
        writer = Writer(folder, lease.epoch)
        known = known_in(folder)
        keys = sorted(
            key
            for key, records in known.failed.items()
            if any(isinstance(r.outcome, Failed) and kind in (None, r.outcome.kind) for r in records)
        )
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        if keys:
            writer.append([Entry.statement("retry", f"retry {now}", {"keys": keys, "declared": now})])
        writer.close()
    finally:
        lease.release()
    return len(keys)
