"""Leases to latency ratios and milliseconds, memory samples to numbers. Pure but for reading the samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import duckdb
import numpy as np
from numpy.typing import NDArray

from bench.job import LatencyJob, parts_of
from bench.measure.figures import Figure, figures, tail, tokens_per_second
from bench.measure.repeats import shift_of
from bench.metrics import TAILS
from bench.statistics.intervals import Interval, block_median, hull, mean_over_leases, overlap
from bench.statistics.looks import look_level, planned_looks
from bench.statistics.repeats import error as repeated_error
from bench.statistics.repeats import interval as repeated_interval
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
    looks = job.first_rounds, job.last_round
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
    planned: Mapping[str, int],
) -> dict[str, list[Number]]:
    """artefact_id -> its figures and their ratios to the base, pooled over the leases that timed it.

    Every lease is resampled once for all its models, by a stream of its own. A ratio's interval is Student's over
    leases, a time's the hull of its leases' intervals: what changes between leases is in both. Leases that do not
    overlap make the row unstable.

    Args:
        connection: the query form of the journal.
        leases: that count.
        hardware_class: on which they were taken.
        declared: how many the sweep wants of each model.
        planned: of each model, how many were before anybody looked (`planned_leases`).
    """
    leases = sorted(leases, key=lambda record: (record.lease, record.artefact_ids))  # not as they happened to come in
    figures_of = {record.identity: record.figures(connection) for record in leases}
    found: dict[str, list[Number]] = {}
    for base in dict.fromkeys(record.artefact_ids[0] for record in leases):
        records = [record for record in leases if record.artefact_ids[0] == base]
        each = [figures_of[record.identity] for record in records]
        for name in dict.fromkeys(name for one in each for name in one):
            gave = [(record, one[name]) for record, one in zip(records, each, strict=True) if name in one]
            # What some of its leases lack (energy may have been readable in one only) a model has no number for.
            without = {
                a for record, one in zip(records, each, strict=True) if name not in one for a in record.artefact_ids
            }
            timed = [a for a in dict.fromkeys(a for record, _ in gave for a in record.artefact_ids) if a not in without]
            if timed[:1] == [base]:
                found.setdefault(base, []).extend(_base(gave, hardware_class))
            for number, artefact_id in _ratios(
                gave, [a for a in timed if a != base], hardware_class, declared, planned
            ):
                found.setdefault(artefact_id, []).append(number)
    for artefact_id, numbers in found.items():
        records = [record for record in leases if artefact_id in record.artefact_ids]
        numbers += [
            n for shape in records[0].shapes for n in _tails(connection, records, artefact_id, shape, hardware_class)
        ]
        numbers += _speeds(records[0], numbers)
    return found


def _ratios(
    gave: Sequence[tuple[LeaseRecord, Figure]],
    artefact_ids: Sequence[str],
    hardware_class: str,
    declared: int,
    planned: Mapping[str, int],
) -> Iterator[tuple[Number, str]]:
    """Of each artefact, its ratio to the base and its own figure, from the leases that timed it."""
    column = {artefact_id: i for i, artefact_id in enumerate(artefact_ids)}
    held = [[(at, column[a]) for at, a in enumerate(record.artefact_ids) if a in column] for record, _ in gave]
    leases = [(record, figure, here) for (record, figure), here in zip(gave, held, strict=True) if here]
    if not leases:
        return
    tables = [figure.table[:, [at for at, _ in here]] / figure.table[:, :1] for _, figure, here in leases]
    places = [[place for _, place in here] for *_, here in leases]
    streams = [stream_of(record.identity) for record, *_ in leases]
    draws, freedom = lease_draws(tables, DRAWS, streams, places)
    mine: dict[int, list[tuple[LeaseRecord, Figure]]] = {}
    for record, figure, here in leases:
        for _, place in here:
            mine.setdefault(place, []).append((record, figure))
    for artefact_id, place in column.items():
        freed = float(freedom[place])
        extended = len(mine[place]) / max(1, planned.get(artefact_id, declared))
        yield from _of_one(mine[place], artefact_id, draws[:, place], freed, hardware_class, declared, extended)


def stream_of(identity: str) -> np.random.Generator:
    """The luck of a lease, by its identity: the same for all its models and figures, whichever others there are."""
    words = np.frombuffer(sha256(identity.encode()).digest(), dtype="<u4")
    return np.random.default_rng([SEED, *words.tolist()])


def _of_one(
    leases: Sequence[tuple[LeaseRecord, Figure]],
    artefact_id: str,
    draws: NDArray[np.float64],
    freedom: float,
    hardware_class: str,
    declared: int,
    extended: float,
) -> Iterator[tuple[Number, str]]:
    each, absolute = [], []
    for record, figure in leases:
        own, level = figure.table[:, record.artefact_ids.index(artefact_id)], level_of(record)
        each.append(block_median(own / figure.table[:, 0], level))
        absolute.append(block_median(figure.scale * own, level))
    blocks = int(freedom) + 1 if np.isfinite(freedom) else None
    note = lease_note(each, declared)
    about = leases[0][1]
    pooled = mean_over_leases(each, draws, freedom)
    yield Number(about.ratio, about.scope, pooled, draws, blocks, 0.0, hardware_class, note, extended), artefact_id
    yield Number(about.metric, about.scope, hull(absolute), None, None, 0.0, hardware_class, note), artefact_id


def _base(gave: Sequence[tuple[LeaseRecord, Figure]], hardware_class: str) -> list[Number]:
    """The base's own row: a ratio of exactly 1, and its figure over every lease that it took part in."""
    each = [block_median(figure.scale * figure.table[:, 0], level_of(record)) for record, figure in gave]
    about = gave[0][1]
    one = Interval(1.0, 1.0, 1.0, 0.95, sum(i.n for i in each), "the base itself")
    return [
        Number(about.ratio, about.scope, one, np.ones(DRAWS), None, 0.0, hardware_class),
        Number(about.metric, about.scope, hull(each), None, None, 0.0, hardware_class),
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


def lease_note(each: Sequence[Interval], declared: int) -> str | None:
    """What must be said of the leases behind a number, by their intervals; None for nothing."""
    if len(each) < declared:
        return f"{len(each)} of {declared} leases"
    if len(each) >= MANY_LEASES and len(each) > declared + 1:  # that one more is for leases that disagree
        return f"{len(each)} leases"
    apart = any(not overlap(a, b) for i, a in enumerate(each) for b in each[i + 1 :])
    return "unstable: leases disagree" if apart else None


def memory(
    connection: duckdb.DuckDBPyConnection, identity: str, hardware_class: str, protocol: int
) -> dict[str, list[Number]]:
    """artefact_id -> memory figures of one record by a protocol: medians of repeated fresh processes."""
    rows = connection.execute(
        "select artefact_id, metric, scope, estimate, low, high, n from numbers where identity = ?", [identity]
    ).fetchall()
    found: dict[str, list[Number]] = {}
    for artefact_id, metric, scope, estimate, low, high, n in rows:
        about = repeated_error(estimate, low, high, n, shift_of(metric, protocol))
        interval = repeated_interval(estimate, n, about)
        draws = evidence = None
        if about.deviation:
            # Independent for each model: their processes share nothing that is known of.
            rng = np.random.default_rng([SEED, int(artefact_id[:12], 16)])
            draws, evidence = estimate + about.deviation * rng.standard_normal(DRAWS), int(about.freedom) + 1
        number = Number(metric, scope, interval, draws, evidence, 0.0, hardware_class)
        found.setdefault(artefact_id, []).append(number)
    return found
