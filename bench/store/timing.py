"""Leases to latency ratios and milliseconds, memory samples to numbers. Pure but for reading the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from bench.statistics.intervals import Interval, block_length, block_median, hull, overlap
from bench.statistics.looks import look_level, planned_looks
from bench.statistics.resample import lease_draws
from bench.store.numbers import DRAWS, SEED, Number


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A finished latency record: which models it timed together, the base first."""

    identity: str
    lease: int
    artefact_ids: tuple[str, ...]
    scopes: tuple[str, ...]
    first_rounds: int
    max_rounds: int


def read_rounds(connection: duckdb.DuckDBPyConnection, record: LeaseRecord, scope: str) -> NDArray[np.float64]:
    """Seconds per call [rounds, models] of one lease and shape: the mean of the two visits of each round."""
    found = connection.execute(
        "select artefact_id, round, avg(seconds) as seconds from samples where identity = ? and scope = ? "
        "group by artefact_id, round",
        [record.identity, scope],
    ).fetchnumpy()
    rounds = np.asarray(found["round"], dtype=np.int64)
    table = np.full((int(rounds.max()) + 1, len(record.artefact_ids)), np.nan)
    column = {artefact_id: i for i, artefact_id in enumerate(record.artefact_ids)}
    table[rounds, [column[str(a)] for a in found["artefact_id"].tolist()]] = found["seconds"]
    return table


def latency(
    connection: duckdb.DuckDBPyConnection,
    leases: Sequence[LeaseRecord],
    hardware_class: str,
    declared: int,
) -> dict[str, list[Number]]:
    """artefact_id -> latency ratios and milliseconds, pooled over the leases that timed it.

    Models that shared all their leases are resampled jointly. The interval is the hull of the leases' intervals, so
    that what changes between leases is in it; leases that do not overlap make the row unstable.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for artefact_id in dict.fromkeys(a for record in leases for a in record.artefact_ids[1:]):
        key = tuple(r.identity for r in leases if artefact_id in r.artefact_ids)
        groups.setdefault(key, []).append(artefact_id)
    by_identity = {record.identity: record for record in leases}
    found: dict[str, list[Number]] = {}
    for key, artefact_ids in groups.items():
        records = [by_identity[identity] for identity in key]
        for scope in records[0].scopes:
            rounds = [read_rounds(connection, record, scope) for record in records]
            for number, artefact_id in _ratios(records, rounds, artefact_ids, scope, hardware_class, declared):
                found.setdefault(artefact_id, []).append(number)
    for base in {record.artefact_ids[0] for record in leases}:
        mine = [record for record in leases if record.artefact_ids[0] == base]
        found[base] = [n for scope in mine[0].scopes for n in _base(connection, mine, scope, hardware_class)]
    return found


def _ratios(
    records: Sequence[LeaseRecord],
    rounds: Sequence[NDArray[np.float64]],
    artefact_ids: Sequence[str],
    scope: str,
    hardware_class: str,
    declared: int,
) -> list[tuple[Number, str]]:
    picked = [[record.artefact_ids.index(a) for a in artefact_ids] for record in records]
    tables = [table[:, columns] / table[:, :1] for table, columns in zip(rounds, picked, strict=True)]
    draws = lease_draws(tables, DRAWS, np.random.default_rng(SEED))
    result = []
    for column, artefact_id in enumerate(artefact_ids):
        ratios = [table[:, column] for table in tables]
        each = [block_median(r, _level(record)) for r, record in zip(ratios, records, strict=True)]
        seconds = [table[:, columns[column]] for table, columns in zip(rounds, picked, strict=True)]
        milliseconds = [block_median(1e3 * s, _level(r)) for s, r in zip(seconds, records, strict=True)]
        blocks = max(2, min(r.size // block_length(r) for r in ratios))
        note = _note(each, declared)
        ratio = Number("latency_ratio", scope, hull(each), draws[:, column], blocks, 0.0, hardware_class, note)
        absolute = Number("latency_ms", scope, hull(milliseconds), None, None, 0.0, hardware_class, note)
        result += [(ratio, artefact_id), (absolute, artefact_id)]
    return result


def _base(
    connection: duckdb.DuckDBPyConnection, records: Sequence[LeaseRecord], scope: str, hardware_class: str
) -> list[Number]:
    """The base's own row: a ratio of exactly 1, and its milliseconds over every lease that it took part in."""
    each = [block_median(1e3 * read_rounds(connection, r, scope)[:, 0], _level(r)) for r in records]
    one = Interval(1.0, 1.0, 1.0, 0.95, sum(i.n for i in each), "the base itself")
    return [
        Number("latency_ratio", scope, one, np.ones(DRAWS), None, 0.0, hardware_class),
        Number("latency_ms", scope, hull(each), None, None, 0.0, hardware_class),
    ]


def _level(record: LeaseRecord) -> float:
    return look_level(looks=len(planned_looks(record.first_rounds, record.max_rounds)))


def _note(each: Sequence[Interval], declared: int) -> str | None:
    if len(each) < declared:
        return f"{len(each)} of {declared} leases"
    apart = any(not overlap(a, b) for i, a in enumerate(each) for b in each[i + 1 :])
    return "unstable: leases disagree" if apart else None


def memory(connection: duckdb.DuckDBPyConnection, identity: str, hardware_class: str) -> dict[str, list[Number]]:
    """artefact_id -> memory figures of one record: median and range of repeated fresh processes."""
    rows = connection.execute(
        "select artefact_id, metric, scope, estimate, low, high, n, method from numbers where identity = ?", [identity]
    ).fetchall()
    found: dict[str, list[Number]] = {}
    for artefact_id, metric, scope, estimate, low, high, n, method in rows:
        # The repeats are few: a draw is one of their smallest, median and largest, independently for each model.
        rng = np.random.default_rng([SEED, int(artefact_id[:12], 16)])
        draws = rng.choice([low, estimate, high], size=DRAWS)
        interval = Interval(estimate, low, high, 0.95, n, method)
        found.setdefault(artefact_id, []).append(Number(metric, scope, interval, draws, max(2, n), 0.0, hardware_class))
    return found
