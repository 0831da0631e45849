"""Which evaluations a sweep's scores come from, and the scores, for each artefact that has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import duckdb

from bench.store import policies, quality
from bench.store.fidelity import beside_base, with_right
from bench.store.numbers import Number
from bench.store.stopped import Stop

Declaration = Mapping[str, Any]
Numbers = dict[str, list[Number]]  # artefact_id -> its numbers
Cache = MutableMapping[Any, Any]


def artefacts_of(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """recipe_id -> artefact_id; the first published build wins."""
    rows = connection.execute(
        "select recipe_id, arg_min(artefact_id, ordinal) from records "
        "where kind = 'build' and status = 'finished' and recipe_id is not null group by recipe_id"
    ).fetchall()
    return dict(rows)


def add_scores(
    connection: duckdb.DuckDBPyConnection,
    sweep: Declaration,
    artefacts: Mapping[str, str],
    stops: Mapping[str, Stop],
    numbers: Numbers,
    cache: Cache,
) -> set[str]:
    """Add scores, paired differences to the base and recovery to `numbers`.

    Returns the stopped variants that have only been run on a part of some task; their scores are of that part.
    """
    cut: set[str] = set()
    main: dict[tuple[str, str], Number] = {}
    for base in dict.fromkeys(v["base"] for v in sweep["variants"]):
        mine = [v for v in sweep["variants"] if v["base"] == base and v["recipe_id"] in artefacts]
        base_id = next((artefacts[v["recipe_id"]] for v in mine if v["is_base"]), None)
        known = evaluations(connection, sweep, base_id)
        for task in sweep["tasks"]:
            reference = outcomes_of(connection, known, base_id, task, cache) if base_id else None
            for artefact_id in dict.fromkeys(artefacts[v["recipe_id"]] for v in mine):
                outcomes, beside = outcomes_of(connection, known, artefact_id, task, cache), reference
                stop = None if outcomes else stops.get(artefact_id)
                seen = None if stop is None else stop.examples.get(task["name"])
                if seen is not None:
                    cut.add(artefact_id)
                    there = known.get((artefact_id, task["fingerprint"]), [])
                    part = {**task, "examples": seen}
                    outcomes = outcomes_of(connection, known, artefact_id, part, cache)
                    beside = outcomes_of(connection, known, base_id or "", part, cache, there)
                if outcomes is None:
                    continue
                said = (policies.note(known, artefact_id, task), None if stop is None or seen is None else stop.note)
                note = " ".join(filter(None, said)) or None
                key = ("score", artefact_id, task["fingerprint"], task["name"], base_id if beside else None, note, seen)
                if key not in cache:
                    cache[key] = quality.score(outcomes, task["metrics"], task["name"])
                    if seen is None:
                        cache[key] = with_right(cache[key], outcomes, task["name"])
                    if task["kind"] == "heuristics":
                        cache[key] = quality.with_chance_noted(cache[key], outcomes)
                    if beside is not None and artefact_id != base_id:
                        cache[key] += beside_base(outcomes, beside, task["metrics"], task["name"])
                    if note is not None:
                        cache[key] = quality.with_note(cache[key], note)
                numbers.setdefault(artefact_id, []).extend(cache[key])
                if cache[key] and cache[key][0].metric == task["metrics"][0]:
                    main[artefact_id, task["name"]] = cache[key][0]
        _recovery(sweep, {artefacts[v["recipe_id"]] for v in mine} - cut, base_id, main, numbers)
    return cut


def _recovery(
    sweep: Declaration,
    artefact_ids: set[str],
    base_id: str | None,
    main: Mapping[tuple[str, str], Number],
    numbers: Numbers,
) -> None:
    names = [task["name"] for task in sweep["tasks"]]
    if base_id is None or any((base_id, name) not in main for name in names):
        return
    base = [main[base_id, name] for name in names]
    if any(b.interval.estimate <= 0 for b in base):
        return
    for artefact_id in sorted(artefact_ids):
        if all((artefact_id, name) in main for name in names):
            mine = [main[artefact_id, name] for name in names]
            numbers.setdefault(artefact_id, []).append(quality.recovery(mine, base))


def evaluations(
    connection: duckdb.DuckDBPyConnection, sweep: Declaration, base_id: str | None
) -> dict[tuple[str, str], list[str]]:
    """(artefact_id, task fingerprint) -> identities of finished evaluations on the sweep's device, under its versions.

    Where a task asks the base about the outcome, only those that asked this base count. Where an artefact could be run
    on a task in smaller batches only, those stand under the fingerprint of the task too.
    """
    rows = connection.execute(
        "select r.identity, r.artefact_id, r.job from records r "
        "where r.kind = 'evaluate' and r.status = 'finished' order by r.ordinal"
    ).fetchall()
    found: dict[tuple[str, str], list[str]] = {}
    device = sweep["questions"]["LatencyJob"].get("device", "cpu")
    windows: dict[str, tuple[int, int]] = {}
    fingerprints = dict(
        connection.execute("select identity, any_value(task) from examples group by identity").fetchall()
    )
    for identity, artefact_id, text in rows:
        job = json.loads(text)
        if job.get("judge") not in (None, base_id):
            continue
        alike = job.get("versions") == sweep["versions"] and job.get("device", "cpu") == device
        if alike and identity in fingerprints:
            found.setdefault((artefact_id, fingerprints[identity]), []).append(identity)
            windows[identity] = (job["first"], job["last"])
    artefacts = artefacts_of(connection)
    dependent = {artefacts.get(v["recipe_id"], "") for v in sweep["variants"] if v.get("batch_dependent")}
    policies.settle(found, sweep["tasks"], dependent, windows)
    return found


def outcomes_of(
    connection: duckdb.DuckDBPyConnection,
    known: Mapping[tuple[str, str], list[str]],
    artefact_id: str,
    task: Mapping[str, Any],
    cache: Cache,
    among: Sequence[str] | None = None,
) -> quality.Outcomes | None:
    """What an artefact gave on every example of a task, None unless it was run on all (of those `among` has too)."""
    identities = known.get((artefact_id, task["fingerprint"]), [])
    limits = (task["examples"], None if among is None else tuple(among))
    key = ("outcomes", artefact_id, task["fingerprint"], tuple(identities), limits)
    if key not in cache:
        cache[key] = quality.read_outcomes(connection, identities, task["examples"], among) if identities else None
    found: quality.Outcomes | None = cache[key]
    return found
