"""Every summary of a store recomputed from its journal, and every record checked against itself. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from bench.identity import short
from bench.job import LatencyJob
from bench.record import Finished, Value
from bench.statistics.looks import planned_looks
from bench.store.artefact_checks import check_artefacts
from bench.store.compare import compare_database, compare_metrics, compare_records, compare_summary
from bench.store.findings import FAULTS, Check, Difference
from bench.store.journal import read_entries
from bench.store.openings import Opening
from bench.store.promise_checks import check_promises
from bench.store.publish import summarised_by
from bench.store.race_checks import check_stops
from bench.store.raw_checks import (
    Raw,
    check_examples,
    check_key,
    check_repeats,
    check_samples,
    job_of,
    read_journal,
)
from bench.store.reader import Snapshot
from bench.store.rebuild import database_of, names_published
from bench.store.summary import summarise
from bench.store.timing import lease_record

CHECKS = {
    "journal": "parts are there, readable, and hold records under their own identities",
    "keys": "a record's key is the hash of what its job asks",
    "outcomes": "evaluations hold the examples that they state, in that order",
    "timings": "leases hold two visits of every model in as many rounds as they state, of the class that they name",
    "stated values": "what a lease states follows from its timings",
    "records": "the snapshot repeats the journal's records, declarations, claims and openings",
    "metrics": "unit, direction and meaning of every metric, as this version knows them",
    "variants": "status, artefact and reason of every variant",
    "numbers": "estimate, interval, count, evidence and note of every number",
    "draws": "bootstrap draws behind the verdicts",
    "verdicts": "verdict, share and reason of every variant",
    "races": "what a race had seen by then shows that each variant that it stopped is beaten",
    "standings": "rank, ties and comparison with the base of every variant on every objective",
    "constraints": "whether every variant keeps the sweep's constraints",
    "fronts": "size, knee and hypervolume of every base's frontier",
    "recipes": "recipes over their training seeds, and where their variance comes from",
    "hits": "which examples count for every variant, for exact tests",
    "confirmations": "numbers on held-back examples, none of which was read before its opening was stated",
    "database": "the query database holds what the journal holds",
    "promises": "whether a step delivered follows from its promise and the facts that were counted",
    "artefacts": "an artefact's files have the hash that it is named after, and its size",
}


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found."""

    store: str
    snapshot: str
    published: str
    sweeps: tuple[str, ...]
    same_code: bool | None  # whether this code published the snapshot; None where it does not say
    later_parts: int  # parts of the journal that came after the snapshot
    checks: tuple[Check, ...]

    @property
    def differences(self) -> tuple[Difference, ...]:
        return tuple(d for check in self.checks for d in check.differences)


def verify(
    snapshot: Snapshot,
    sweeps: Sequence[dict[str, Any]],
    *,
    deep: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Verified:
    """Recompute what `snapshot` shows of these sweeps, and check every record and artefact of its store.

    Args:
        snapshot: the published state; a sweep may go on writing meanwhile.
        sweeps: rows of `Snapshot.sweeps`.
        deep: read every artefact whatever its size, and load it to count again.
        tell: hears what is being done.
    """
    checks = {name: Check(name, meaning) for name, meaning in CHECKS.items()}
    published = names_published(snapshot)
    tell("reading the journal")
    readable, records = read_journal(snapshot.folder, published, checks["journal"])
    questions = [sweep["body"]["questions"] for sweep in snapshot.sweeps()]
    leases = []
    for raw in records:
        check_key(raw, questions, checks["keys"])
        check_examples(raw, checks["outcomes"])
        check_samples(raw, checks["timings"])
        check_repeats(raw, checks["stated values"])
        if raw.samples is not None:
            leases.append(raw)
    chosen = [part for part in readable if part.name in published]
    with database_of(chosen) as connection:
        _check_stated(connection, [raw for raw in leases if raw.part in published], checks["stated values"])
        _check_opened(connection, checks["confirmations"])
        compare_records(snapshot, connection, checks["records"])
        compare_metrics(snapshot, checks["metrics"])
        _recompute(snapshot, connection, sweeps, _declarations(connection, chosen), checks, tell)
        tell("comparing the query database")
        compare_database(snapshot.folder, connection, checks["database"])
        tell("judging promises")
        check_promises(snapshot.folder, connection, checks["promises"])
        tell("hashing artefacts")
        check_artefacts(snapshot.folder, connection, deep=deep, check=checks["artefacts"])
    info = snapshot.info()
    made_by = json.loads(info["summarised_by"]) if "summarised_by" in info else None
    return Verified(
        snapshot.folder.location,
        snapshot.name,
        info["published"],
        tuple(str(sweep["name"]) for sweep in sweeps),
        None if made_by is None else made_by == summarised_by(),
        len(readable) - len(chosen),
        tuple(checks.values()),
    )


def _recompute(
    snapshot: Snapshot,
    connection: duckdb.DuckDBPyConnection,
    sweeps: Sequence[dict[str, Any]],
    declared: Mapping[str, Sequence[dict[str, Any]]],
    checks: dict[str, Check],
    tell: Callable[[str], None],
) -> None:
    """Summarise each sweep from the raw material, by the journal's own declaration of it."""
    cache: dict[Any, Any] = {}
    bodies = dict(connection.execute("select sweep_id, body from sweeps").fetchall())
    for sweep in sweeps:
        if sweep["sweep_id"] not in bodies:
            continue  # `compare_records` has said so
        tell(f"recomputing {sweep['name']}")
        body = json.loads(bodies[sweep["sweep_id"]])
        try:
            summary = summarise(connection, body, cache)
        except FAULTS as error:
            reason = f"cannot be summarised from its journal ({type(error).__name__}: {error})"
            checks["numbers"].differs(f"sweep {sweep['name']}", reason)
            continue
        compare_summary(snapshot, body, summary, checks)
        stopped = {row.artefact_id for row in summary.variants if row.status == "stopped"}
        check_stops(connection, body, declared[sweep["sweep_id"]], stopped, checks["races"])


def _declarations(connection: duckdb.DuckDBPyConnection, chosen: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """sweep_id -> every declaration of it, of which the tables keep the newest."""
    rows = connection.execute("select distinct part from entries where entry = 'sweep'").fetchall()
    names = {name for (name,) in rows}
    found: dict[str, list[dict[str, Any]]] = {}
    for part in (part for part in chosen if part.name in names):
        for body in (json.loads(body) for entry, _, body in read_entries(part) if entry == "sweep"):
            found.setdefault(body["sweep_id"], []).append(body)
    return found


def _check_stated(connection: duckdb.DuckDBPyConnection, leases: Sequence[Raw], check: Check) -> None:
    """What each lease states against what its timings give."""
    for raw in leases:
        job, outcome = job_of(raw.record), raw.record.outcome
        if not isinstance(job, LatencyJob) or not isinstance(outcome, Finished) or not outcome.values:
            continue
        try:
            found = _values(connection, raw.record.identity, job)
        except FAULTS as error:
            check.differs(raw.title, f"its timings cannot be summarised ({type(error).__name__}: {error})")
            continue
        names = dict(zip(job.artefact_ids, job.names, strict=True))
        stated = {(v.artefact_id, v.metric, v.scope): v for v in outcome.values}
        given = {(v.artefact_id, v.metric, v.scope): v for v in found}
        for key in dict.fromkeys((*stated, *given)):
            artefact_id, metric, scope = key
            subject, of = f"{names.get(artefact_id, short(artefact_id))} in {raw.title}", (metric, scope)
            if key in stated and key in given:
                mine, theirs = stated[key].model_dump(), given[key].model_dump()
                check.compare(subject, mine, theirs, "is not what its timings give", *of)
            else:
                check.compared += 1
                reason = "is stated, though no timings give it" if key in stated else "follows from its timings only"
                check.differs(subject, reason, *of)


def _check_opened(connection: duckdb.DuckDBPyConnection, check: Check) -> None:
    """Every evaluation of held-back examples against the openings that came before it."""
    stated = {
        key
        for (body,) in connection.execute("select body from openings").fetchall()
        for variant in Opening.model_validate_json(body).variants
        for keys in variant.jobs.values()
        for key in keys
    }
    rows = connection.execute(
        "select key, job from records where kind = 'evaluate' and json_extract_string(job, '$.task.part') = ?",
        ["held back"],
    ).fetchall()
    for key, job in rows:
        check.compared += 1
        if key not in stated:
            title = f"evaluation of {json.loads(job)['name']} ({key[:10]})"
            check.differs(title, "read held-back examples that no statement says were opened for it")


def _values(connection: duckdb.DuckDBPyConnection, identity: str, job: LatencyJob) -> tuple[Value, ...]:
    """What the worker stated, from the timings that it left."""
    from bench.measure.latency import lease_values

    record = lease_record(identity, job)
    tables, joules = record.tables(connection), record.tables(connection, "joules")
    looks = planned_looks(job.first_rounds, job.last_round)
    return lease_values(tables, joules, job.artefact_ids, job.shapes, job.new_tokens, looks)
