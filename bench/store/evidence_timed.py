"""The timings behind a number: round by round, lease by lease, first calls apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.measure.figures import Figure
from bench.metrics import TAILS
from bench.statistics.intervals import Interval, block_length, block_median, block_medians
from bench.store.asked import Asked
from bench.store.evidence import Connection, Evidence
from bench.store.sheets import Cell, Sheet
from bench.store.timing import LeaseRecord, level_of, read_calls

FROM_WHOLE = {*TAILS, "tokens_per_second"}  # follow from the samples of latency_ms
COLUMNS = (
    *("lease", "record", "rounds", "estimate", "low", "high", "blocks", "rounds a block", "lowest", "highest"),
    *("base, median", "first call, ms", "calls a visit"),
)


def timed(connection: Connection, asked: Asked, leases: Sequence[LeaseRecord]) -> Evidence | None:
    """The evidence of a metric that leases time, None where none of these leases gives it.

    Args:
        connection: tables that hold the leases' samples.
        asked: what is asked.
        leases: that count for the sweep, in order of acknowledgement.
    """
    artefact_id = str(asked.variant["artefact_id"])
    mine = [record for record in leases if artefact_id in record.artefact_ids]
    named = "latency_ms" if asked.name in FROM_WHOLE else asked.name
    found = [(record, figure) for record in mine if (figure := _figure(record.figures(connection), named, asked.scope))]
    if not found:
        return None
    rows, blocks = [], []
    for record, figure in found:
        series, base = _series(figure, record.artefact_ids.index(artefact_id), named)
        interval = block_median(series, level_of(record)) if np.ptp(series) else None
        rows.append(_row(connection, record, artefact_id, asked.scope, series, base, interval))
        blocks.append((f"{record.lease + 1}", " ".join(f"{value:.5g}" for value in block_medians(series))))
    unit = "ratio to the base" if named.endswith("_ratio") else "ms" if named.endswith("_ms") else "J"
    sheets = [
        Sheet(f"Leases ({unit}, by round)", COLUMNS, tuple(rows), _notes(connection, found, artefact_id)),
        Sheet("Medians of blocks of rounds, in the order measured", ("lease", "medians"), tuple(blocks)),
    ]
    if asked.name in TAILS:
        sheets.append(_calls(connection, mine, artefact_id, asked.scope))
    identities = tuple(record.identity for record, _ in found)
    scopes = _scopes(connection, identities, asked.scope)

    def everything() -> Sheet:
        return _visits(connection, asked, identities, scopes)

    return Evidence(tuple(sheets), identities, _formula(asked, named), everything)


def _figure(figures: Mapping[tuple[str, str], Figure], name: str, scope: str) -> Figure | None:
    return next((f for f in figures.values() if f.scope == scope and name in (f.metric, f.ratio)), None)


def _series(figure: Figure, column: int, name: str) -> tuple[NDArray[np.float64], float]:
    """The variant's value of every round, and the base's median, both in the metric's unit."""
    if name == figure.ratio:
        return figure.table[:, column] / figure.table[:, 0], 1.0
    return figure.scale * figure.table[:, column], float(np.median(figure.scale * figure.table[:, 0]))


def _row(
    connection: Connection,
    record: LeaseRecord,
    artefact_id: str,
    scope: str,
    series: NDArray[np.float64],
    base: float,
    interval: Interval | None,
) -> tuple[Cell, ...]:
    first, calls = connection.execute(
        "select median(first), median(calls) from samples where identity = ? and artefact_id = ? and scope = ?",
        [record.identity, artefact_id, scope],
    ).fetchone() or (None, None)
    length = block_length(series)
    middle = float(np.median(series))
    return (
        *(record.lease + 1, record.identity, int(series.size)),
        *((interval.estimate, interval.low, interval.high) if interval else (middle, middle, middle)),
        *(series.size // length, length, float(series.min()), float(series.max()), base),
        *(None if first is None else 1e3 * first, None if calls is None else int(calls)),
    )


def _notes(connection: Connection, found: Sequence[tuple[LeaseRecord, Figure]], artefact_id: str) -> tuple[str, ...]:
    """What must be said of the rounds: those left out, and how many models shared them."""
    notes = [
        f"Lease {record.lease + 1} timed {len(record.artefact_ids)} models in each round, this one as number "
        f"{record.artefact_ids.index(artefact_id) + 1}, the base as number 1."
        for record, _ in found
    ]
    for record, figure in found:
        tables = record.tables(connection)
        own = [name for name in tables if name == figure.scope or name.startswith(f"{figure.scope}: ")]
        everything = max(tables[name].shape[0] for name in own)  # each shape ends after rounds of its own
        if figure.table.shape[0] < everything:
            left = everything - figure.table.shape[0]
            notes.append(f"{left} rounds of lease {record.lease + 1} are left out: a shorter part took longer there.")
    return tuple(notes)


def _calls(connection: Connection, leases: Sequence[LeaseRecord], artefact_id: str, scope: str) -> Sheet:
    rows = []
    for record in leases:
        calls = 1e3 * read_calls(connection, record, artefact_id, scope)
        if calls.size:
            ends = float(calls.min()), float(np.median(calls)), float(calls.max())
            rows.append((record.lease + 1, int(calls.size), *ends))
    return Sheet("Single calls kept, ms", ("lease", "calls", "lowest", "median", "highest"), tuple(rows))


def _scopes(connection: Connection, identities: Sequence[str], scope: str) -> list[str]:
    """The scopes of samples that belong to a shape: prefill and first token come with the whole."""
    rows = connection.execute(
        "select distinct scope from samples where list_contains(?, identity) and (scope = ? or starts_with(scope, ?)) "
        "order by scope",
        [list(identities), scope, f"{scope}: "],
    ).fetchall()
    return [name for (name,) in rows]


def _visits(connection: Connection, asked: Asked, identities: Sequence[str], scopes: Sequence[str]) -> Sheet:
    """Every visit to the variant and its base."""
    names = {asked.base["artefact_id"]: "base", asked.variant["artefact_id"]: "variant"}
    rows = connection.execute(
        "select lease + 1, identity, scope, round + 1, position + 1, artefact_id, calls, seconds, first, joules, each "
        "from samples where list_contains(?, identity) and list_contains(?, scope) and list_contains(?, artefact_id) "
        "order by list_position(?, identity), scope, round, position",
        [list(identities), list(scopes), list(names), list(identities)],
    ).fetchall()
    columns = ("lease", "record", "scope", "round", "position", "model", "calls", "seconds", "first", "joules", "each")
    return Sheet(
        "Every visit",
        columns,
        tuple((*row[:5], names[row[5]], *row[6:10], " ".join(f"{call:.9g}" for call in row[10])) for row in rows),
        ("seconds are per call without the first; each are the earliest of those calls, one by one",),
    )


def _formula(asked: Asked, named: str) -> tuple[str, ...]:
    words = [str(asked.metric["meaning"])]
    words.append(
        "Each round visits every model twice, in random order and then in its mirror; a round's value is the mean of "
        "its two visits, a visit's the time of its calls after the first divided by their number."
    )
    if named.endswith("_ratio"):
        words.append("It is divided by the base's value in the same round.")
    theirs = "geometric mean" if named.endswith("_ratio") else "median"
    words.append(f"A lease gives the median over its rounds; several leases give the {theirs} of theirs.")
    if asked.name in TAILS:
        words.append("The quantile is of single calls, which count for as many as are independent.")
    if asked.name == "tokens_per_second":
        words.append("Tokens written by the whole batch, divided by that time.")
    if asked.is_base and named.endswith("_ratio"):
        words.append("This is the base itself: its ratio is 1 by definition.")
    return tuple(words)
