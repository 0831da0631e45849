"""Variants that a race has stopped: what is still said of them, and where they stand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from bench.statistics.frontier import Verdict
from bench.store.numbers import Number


@dataclass(frozen=True, slots=True)
class Stop:
    """One elimination. A variant that was completed later has left it behind."""

    by: str  # artefact_id
    raced: str  # examples | leases
    look: int
    looks: int
    examples: Mapping[str, int]  # by task
    reason: str

    @property
    def note(self) -> str:
        """What stands beside its numbers."""
        return f"stopped at look {self.look} of {self.looks}"


def identity_of(sweep_id: str, artefact_id: str) -> str:
    """Under which a stop stands in the journal: the first one counts."""
    return f"stop {sweep_id} {artefact_id}"


def read_stops(connection: duckdb.DuckDBPyConnection, sweep_id: str) -> dict[str, Stop]:
    """artefact_id -> its elimination in a sweep."""
    rows = connection.execute(
        "select artefact_id, beaten_by, raced, look, looks, examples, reason from stops where sweep_id = ?", [sweep_id]
    ).fetchall()
    return {a: Stop(by, raced, look, looks, json.loads(n), reason) for a, by, raced, look, looks, n, reason in rows}


def apart(number: Number) -> Number:
    """A number of a stopped variant: it keeps its interval, without a part in joint resampling or families of tests.

    When it was stopped depends on the examples that a test would count.
    """
    return replace(number, draws=None, p=None)


def standing_of(stop: Stop, artefacts: Sequence[str | None]) -> Verdict:
    """Where a stopped variant stands among the variants of its base."""
    by = artefacts.index(stop.by) if stop.by in artefacts else None
    return Verdict("dominated", 0.0, by, f"{stop.note}: {stop.reason}")
