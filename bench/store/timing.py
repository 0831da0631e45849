"""Leases to latency ratios and milliseconds, memory samples to numbers. Pure but for reading the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from bench.job import LatencyJob, parts_of
from bench.measure.figures import Figure, figures, tail, tokens_per_second
from bench.metrics import TAILS
from bench.statistics.intervals import Interval, block_median, hull, mean_over_leases, overlap
from bench.statistics.looks import look_level, planned_looks
from bench.statistics.resample import lease_draws
from bench.store.numbers import DRAWS, SEED, Number

MANY_LEASES = 4  # from here on their count says more than whether they all overlap


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A finished latency record: which models it timed together, the base first, and how."""

    identity: str
    lease: int
    artefact_ids: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    new_tokens: int | None
    first_rounds: int
    max_rounds: int

    def tables(self, connection: duckdb.DuckDBPyConnection, column: str = "seconds") -> dict[str, NDArray[np.float64]]:
        """Seconds (or joules) per call [rounds, models] by the scope of the samples."""
        scopes = [scope for shape in self.shapes for scope in parts_of(shape, self.new_tokens)]
        return {scope: read_rounds(connection, self, scope, column) for scope in scopes}

    def figures(self, connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], Figure]:
        """What the lease's samples give, by metric and scope."""
        tables, joules = self.tables(connection), self.tables(connection, "joules")
        found = figures(tables, joules, self.shapes, self.new_tokens)
        return {(figure.metric, figure.scope): figure for figure in found}


def lease_record(identity: str, job: LatencyJob) -> LeaseRecord:
    """The record of that identity as its job describes it."""
    looks = job.first_rounds, job.max_rounds
    return LeaseRecord(identity, job.lease, job.artefact_ids, job.shapes, job.new_tokens, *looks)


def read_rounds(
    connection: duckdb.DuckDBPyConnection, record: LeaseRecord, scope: str, column: str = "seconds"
) -> NDArray[np.float64]:
    """Seconds (or joules) per call [rounds, models] of one lease and shape: the mean of each round's two visits."""
    found = connection.execute(
        f"select artefact_id, round, avg({column}) as value from samples where identity = ? and scope = ? "  # noqa: S608
        "group by artefact_id, round",
        [record.identity, scope],
    ).fetchnumpy()
    rounds = np.asarray(found["round"], dtype=np.int64)
    table = np.full((int(rounds.max()) + 1, len(record.artefact_ids)), np.nan)
    place = {artefact_id: i for i, artefact_id in enumerate(record.artefact_ids)}
    table[rounds, [place[str(a)] for a in found["artefact_id"].tolist()]] = np.ma.filled(found["value"], np.nan)
    return table


def latency(
    connection: duckdb.DuckDBPyConnection,
    leases: Sequence[LeaseRecord],
    hardware_class: str,
    declared: int,
) -> dict[str, list[Number]]:
    """artefact_id -> its figures and their ratios to the base, pooled over the leases that timed it.

    Models that shared all their leases are resampled jointly. A ratio's interval is Student's over leases, a time's the
    hull of its leases' intervals: what changes between leases is in both. Leases that do not overlap make the row
    unstable.
    """
    figures_of = {record.identity: record.figures(connection) for record in leases}
    groups: dict[tuple[str, ...], list[str]] = {}
    for artefact_id in dict.fromkeys(a for record in leases for a in record.artefact_ids[1:]):
        key = tuple(r.identity for r in leases if artefact_id in r.artefact_ids)
        groups.setdefault(key, []).append(artefact_id)
    by_identity = {record.identity: record for record in leases}
    found: dict[str, list[Number]] = {}
    for key, artefact_ids in groups.items():
        records = [by_identity[identity] for identity in key]
        for name in _shared([figures_of[identity] for identity in key]):
            mine = [figures_of[identity][name] for identity in key]
            for number, artefact_id in _ratios(records, mine, artefact_ids, hardware_class, declared):
                found.setdefault(artefact_id, []).append(number)
    for base in {record.artefact_ids[0] for record in leases}:
        records = [record for record in leases if record.artefact_ids[0] == base]
        for name in _shared([figures_of[r.identity] for r in records]):
            mine = [figures_of[r.identity][name] for r in records]
            found.setdefault(base, []).extend(_base(records, mine, hardware_class))
    for artefact_id, numbers in found.items():
        records = [record for record in leases if artefact_id in record.artefact_ids]
        numbers += [
            n for shape in records[0].shapes for n in _tails(connection, records, artefact_id, shape, hardware_class)
        ]
        numbers += _speeds(records[0], numbers)
    return found


def _shared(each: Sequence[Mapping[tuple[str, str], Figure]]) -> list[tuple[str, str]]:
    """What every lease gave: energy may have been readable in one only."""
    return [name for name in each[0] if all(name in found for found in each)]


def _ratios(
    records: Sequence[LeaseRecord],
    mine: Sequence[Figure],
    artefact_ids: Sequence[str],
    hardware_class: str,
    declared: int,
) -> list[tuple[Number, str]]:
    picked = [[record.artefact_ids.index(a) for a in artefact_ids] for record in records]
    pairs = list(zip(mine, picked, strict=True))
    tables = [figure.table[:, columns] / figure.table[:, :1] for figure, columns in pairs]
    # Another luck for each group: those of the same size would else be lucky alike, and seem closer than they are.
    rng = np.random.default_rng([SEED, *"".join(record.identity for record in records).encode()])
    draws, freedom = lease_draws(tables, DRAWS, rng)
    result = []
    for column, artefact_id in enumerate(artefact_ids):
        ratios = [table[:, column] for table in tables]
        each = [block_median(r, level_of(record)) for r, record in zip(ratios, records, strict=True)]
        pooled = mean_over_leases(each, draws[:, column], freedom[column])
        own = [figure.scale * figure.table[:, columns[column]] for figure, columns in pairs]
        absolute = [block_median(s, level_of(r)) for s, r in zip(own, records, strict=True)]
        blocks = int(freedom[column]) + 1 if np.isfinite(freedom[column]) else None
        note = f"{len(each)} leases" if len(each) >= MANY_LEASES else _note(each, declared)
        scope = mine[0].scope
        result += [
            (
                Number(mine[0].ratio, scope, pooled, draws[:, column], blocks, 0.0, hardware_class, note),
                artefact_id,
            ),
            (Number(mine[0].metric, scope, hull(absolute), None, None, 0.0, hardware_class, note), artefact_id),
        ]
    return result


def _base(records: Sequence[LeaseRecord], mine: Sequence[Figure], hardware_class: str) -> list[Number]:
    """The base's own row: a ratio of exactly 1, and its figure over every lease that it took part in."""
    each = [block_median(f.scale * f.table[:, 0], level_of(r)) for f, r in zip(mine, records, strict=True)]
    one = Interval(1.0, 1.0, 1.0, 0.95, sum(i.n for i in each), "the base itself")
    return [
        Number(mine[0].ratio, mine[0].scope, one, np.ones(DRAWS), None, 0.0, hardware_class),
        Number(mine[0].metric, mine[0].scope, hull(each), None, None, 0.0, hardware_class),
    ]


def _tails(
    connection: duckdb.DuckDBPyConnection,
    records: Sequence[LeaseRecord],
    artefact_id: str,
    shape: tuple[int, int],
    hardware_class: str,
) -> list[Number]:
    """Quantiles of single calls, where there are enough of them in every lease."""
    scope = parts_of(shape, records[0].new_tokens)[-1]
    calls = [read_calls(connection, record, artefact_id, scope) for record in records]
    found = []
    for name, q in TAILS.items():
        each = [tail(seconds, q, 0.95) if seconds.size else None for seconds in calls]
        enough = [interval for interval in each if interval is not None]
        if len(enough) == len(each):
            found.append(Number(name, scope, hull(enough), None, None, 0.0, hardware_class))
    return found


def read_calls(
    connection: duckdb.DuckDBPyConnection, record: LeaseRecord, artefact_id: str, scope: str
) -> NDArray[np.float64]:
    """Seconds of single calls of one model, in the order measured."""
    found = connection.execute(
        "select unnest(each) as seconds from (select each from samples where identity = ? and artefact_id = ? "
        "and scope = ? order by round, position)",
        [record.identity, artefact_id, scope],
    ).fetchnumpy()
    return np.asarray(found["seconds"], dtype=np.float64)


def _speeds(record: LeaseRecord, numbers: Sequence[Number]) -> list[Number]:
    """Tokens per second, from the time that writing them took."""
    if record.new_tokens is None:
        return []
    batches = {parts_of(shape, record.new_tokens)[-1]: shape[0] for shape in record.shapes}
    return [
        Number(
            "tokens_per_second",
            n.scope,
            tokens_per_second(n.interval, batches[n.scope], record.new_tokens),
            None,
            None,
            0.0,
            n.hardware_class,
            n.note,
        )
        for n in numbers
        if n.metric == "latency_ms"
    ]


def level_of(record: LeaseRecord) -> float:
    """The level at which a lease's intervals are taken, so that all its planned looks together keep 95%."""
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
