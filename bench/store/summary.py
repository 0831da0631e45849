"""From records and raw material to the rows of the board. The same journal always gives the same rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import duckdb
import numpy as np

from bench.metrics import metric
from bench.statistics.front import front_of
from bench.statistics.objectives import Evidence, Objective, put_together
from bench.statistics.standings import stand
from bench.store import timing
from bench.store.confirmed import confirmations
from bench.store.numbers import Number, exact
from bench.store.planned_leases import planned_leases
from bench.store.recipes import recipe_rows
from bench.store.required import constraint_rows, standing_rows, with_holm
from bench.store.rows import DrawRow, FrontRow, HitsRow, NumberRow, Summary, VariantRow, VerdictRow
from bench.store.scored import Cache, Declaration, Numbers, add_scores, artefacts_of
from bench.store.stopped import Stop, apart, read_stops, standing_of

if TYPE_CHECKING:
    from bench.job import LatencyJob, MeasureJob


def summarise(connection: duckdb.DuckDBPyConnection, sweep: Declaration, cache: Cache) -> Summary:
    """Everything the board shows of one declared sweep.

    Args:
        connection: the query form of the journal.
        sweep: the declaration's body.
        cache: outcomes and scores of earlier calls; filled here.
    """
    artefacts = artefacts_of(connection)
    numbers: Numbers = {}
    for artefact_id, found in _exact_numbers(connection).items():
        numbers.setdefault(artefact_id, []).extend(found)
    for found_by_artefact in (_latency(connection, sweep, artefacts, cache), _memory(connection, sweep)):
        for artefact_id, found in found_by_artefact.items():
            numbers.setdefault(artefact_id, []).extend(found)
    stops = read_stops(connection, sweep["sweep_id"])
    cut = _short_of_leases(connection, sweep, stops)
    cut |= add_scores(connection, sweep, artefacts, stops, numbers, cache)
    for artefact_id in cut:
        numbers[artefact_id] = [apart(number) for number in numbers.get(artefact_id, [])]
    stopped = {artefact_id: stops[artefact_id] for artefact_id in cut}
    failures = _failures(connection)
    summary = Summary()
    for base in dict.fromkeys(v["base"] for v in sweep["variants"]):
        variants = [v for v in sweep["variants"] if v["base"] == base]
        _fill(summary, sweep, variants, artefacts, numbers, failures, stopped)
    summary.recipes = list(recipe_rows(connection, sweep, artefacts, leases(connection, sweep), cache))
    summary.numbers = with_holm(sweep, summary.numbers)
    summary.confirmations = confirmations(connection, sweep["sweep_id"], summary.numbers, cache)
    return summary


def _short_of_leases(connection: duckdb.DuckDBPyConnection, sweep: Declaration, stops: Mapping[str, Stop]) -> set[str]:
    """Which of the stopped variants have fewer leases than were declared."""
    raced = [artefact_id for artefact_id, stop in stops.items() if stop.raced == "leases"]
    mine = leases(connection, sweep) if raced else []
    return {a for a in raced if sum(a in record.artefact_ids for record in mine) < sweep["leases"]}


def _exact_numbers(connection: duckdb.DuckDBPyConnection) -> Numbers:
    rows = connection.execute(
        "select n.artefact_id, n.metric, n.scope, any_value(n.estimate) from numbers n join records r using (identity) "
        "where r.kind = 'build' group by all order by all"
    ).fetchall()
    found: Numbers = {}
    for artefact_id, name, scope, value in rows:
        found.setdefault(artefact_id, []).append(exact(name, scope, value))
    return found


def matching(connection: duckdb.DuckDBPyConnection, sweep: Declaration, kind: str) -> list[tuple[str, MeasureJob]]:
    """(identity, job) of finished measurements that answer the sweep's question, in order of acknowledgement.

    The question is the sweep's own, with the protocol of its day: another version of paredown shows the same numbers.
    """
    rows = connection.execute(
        "select identity, job from records where job_type = ? and status = 'finished' order by ordinal", [kind]
    ).fetchall()
    from bench.job import MEASURES, answers

    described = [(identity, json.loads(text)) for identity, text in rows]
    question = sweep["questions"][kind]
    return [
        (identity, MEASURES[kind].model_validate({name: value for name, value in job.items() if name != "type"}))
        for identity, job in described
        if answers(identity, job, question)
    ]


def leases(connection: duckdb.DuckDBPyConnection, sweep: Declaration) -> list[timing.LeaseRecord]:
    """The finished leases of latency that count for a sweep."""
    found = cast("list[tuple[str, LatencyJob]]", matching(connection, sweep, "LatencyJob"))
    return [timing.lease_record(identity, job) for identity, job in found]


def _latency(
    connection: duckdb.DuckDBPyConnection, sweep: Declaration, artefacts: Mapping[str, str], cache: Cache
) -> Numbers:
    mine = leases(connection, sweep)
    planned = planned_leases(connection, sweep, artefacts, cache)
    key = ("latency", sweep["sweep_id"], tuple(record.identity for record in mine), tuple(sorted(planned.items())))
    if key not in cache:
        about = sweep["hardware_class"], sweep["leases"], planned
        cache[key] = timing.latency(connection, mine, *about) if mine else {}
    found: Numbers = cache[key]
    return found


def _memory(connection: duckdb.DuckDBPyConnection, sweep: Declaration) -> Numbers:
    found: Numbers = {}
    about = sweep["hardware_class"], sweep["questions"]["MemoryJob"]["protocol"]
    for identity, _ in matching(connection, sweep, "MemoryJob"):
        for artefact_id, numbers in timing.memory(connection, identity, *about).items():
            found.setdefault(artefact_id, numbers)
    return found


def _failures(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """recipe_id or artefact_id -> reason of its last failure, where no later attempt at the same key finished."""
    rows = connection.execute(
        "select recipe_id, artefact_id, stage, failure, reason, job from records r where status = 'failed' "
        "and not exists (select 1 from records f where f.key = r.key and f.status = 'finished') order by ordinal"
    ).fetchall()
    found: dict[str, str] = {}
    for recipe_id, artefact_id, stage, kind, reason, text in rows:
        sentence = f"{stage}: {kind}: {reason}"
        job = json.loads(text)
        if job.get("task", {}).get("part") == "held back":
            continue  # what failed when confirming says nothing of what was chosen by
        asking = job.get("asking")  # a study fails for those who asked, not for the artefact that it looked at
        alone = artefact_id if recipe_id is None and asking is None else None
        for subject in (recipe_id, alone, *(asking or ()), *job.get("artefact_ids", ())[1:]):
            if subject:
                found[subject] = sentence
    return found


def _fill(
    summary: Summary,
    sweep: Declaration,
    variants: Sequence[Mapping[str, Any]],
    artefacts: Mapping[str, str],
    numbers: Numbers,
    failures: Mapping[str, str],
    stopped: Mapping[str, Stop],
) -> None:
    """Rows of all variants of one base."""
    sweep_id = sweep["sweep_id"]
    placed = [artefacts.get(v["recipe_id"]) for v in variants]
    told = [numbers.get(a, []) if a else [] for a in placed]
    for variant, artefact_id, mine in zip(variants, placed, told, strict=True):
        row = _variant_row(sweep, variant, artefact_id, mine, failures)
        summary.variants.append(row._replace(status="stopped") if artefact_id in stopped else row)
        for number in mine:
            interval = number.interval
            summary.numbers.append(
                NumberRow(
                    sweep_id,
                    variant["recipe_id"],
                    number.metric,
                    number.scope,
                    interval.estimate,
                    interval.low,
                    interval.high,
                    interval.n,
                    interval.method,
                    number.hardware_class,
                    number.note,
                    number.evidence,
                    number.span,
                    number.p,
                    extended=number.extended,
                )
            )
            if number.right is not None:
                row_of = sweep_id, variant["recipe_id"], number.metric, number.scope
                summary.hits.append(HitsRow(*row_of, interval.n, number.right))
            if number.draws is not None:
                draws = number.draws.astype(np.float32).tolist()
                summary.draws.append(DrawRow(sweep_id, variant["recipe_id"], number.metric, number.scope, draws))
    evidence = [_evidence(o, told, [a in stopped for a in placed]) for o in sweep["objectives"]]
    base = next((i for i, v in enumerate(variants) if v["is_base"]), None)
    found, standings = stand(evidence, base)
    front = front_of(evidence)
    knee = None if front.knee is None else variants[front.knee]["recipe_id"]
    summary.fronts.append(FrontRow(sweep_id, variants[0]["base"], front.size, knee, front.hypervolume))
    summary.standings += standing_rows(sweep, variants, standings)
    summary.constraints += constraint_rows(sweep, variants, placed, told)
    for variant, artefact_id, verdict in zip(variants, placed, found, strict=True):
        stop = stopped.get(artefact_id or "")
        verdict = verdict if stop is None else standing_of(stop, placed)
        by = None if verdict.dominated_by is None else variants[verdict.dominated_by]["recipe_id"]
        summary.verdicts.append(
            VerdictRow(sweep_id, variant["recipe_id"], verdict.state, verdict.share, by, verdict.reason)
        )


def _evidence(objective: Mapping[str, Any], numbers: Sequence[Sequence[Number]], stopped: Sequence[bool]) -> Evidence:
    """The evidence of all variants on one objective; of a stopped one, which saw less than the rest, what is exact."""
    described = metric(objective["metric"])
    key = objective["metric"], objective["scope"]
    found = [
        None if out and not described.exact else next((n for n in mine if (n.metric, n.scope) == key), None)
        for mine, out in zip(numbers, stopped, strict=True)
    ]
    axis = Objective(objective["title"], described.better, objective.get("matters", 0.0))
    return put_together(axis, [None if each is None else each.piece for each in found])


def _variant_row(
    sweep: Declaration,
    variant: Mapping[str, Any],
    artefact_id: str | None,
    numbers: Sequence[Number],
    failures: Mapping[str, str],
) -> VariantRow:
    reason = next((failures[p] for p in (*variant["prefixes"], artefact_id) if p in failures), None)
    have = {(n.metric, n.scope) for n in numbers}
    complete = all((o["metric"], o["scope"]) in have for o in sweep["objectives"])
    if complete:
        status = "complete"
    elif reason is not None:
        status = "failed"
    else:
        status = "partial" if artefact_id else "waiting"
    return VariantRow(
        sweep_id=sweep["sweep_id"],
        recipe_id=variant["recipe_id"],
        position=variant["position"],
        name=variant["name"],
        base=variant["base"],
        is_base=variant["is_base"],
        seed=variant["seed"],
        recipe_group=variant["group"],
        steps=json.dumps(variant["steps"]),
        artefact_id=artefact_id,
        status=status,
        reason=reason,
    )
