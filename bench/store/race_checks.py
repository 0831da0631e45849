"""Whether what a race had seen by the look at which it stopped a variant shows that another one beats it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import duckdb
import numpy as np

from bench.job import LatencyJob
from bench.metrics import TIMED, metric
from bench.race_evidence import Tables, exact, in_words, repeated, scored, timed
from bench.record import Value
from bench.statistics.racing import Raced
from bench.store.findings import Check
from bench.store.quality import read_outcomes
from bench.store.scored import Declaration, artefacts_of, evaluations
from bench.store.summary import matching
from bench.store.timing import lease_record
from bench.tasks.spec import WINDOW


@dataclass(frozen=True, slots=True)
class Stated:
    """One row of the audit."""

    artefact_id: str
    by: str
    raced: str  # examples | leases
    look: int
    examples: Mapping[str, int]  # by task
    level: float
    objectives: Sequence[tuple[str, str]]  # (metric, scope)
    reason: str

    @property
    def pair(self) -> tuple[str, str]:
        """Who beats, who is beaten."""
        return self.by, self.artefact_id


class Gone(Exception):  # noqa: N818 - nobody has erred
    """Something that the race saw is not in the journal."""


def check_stops(connection: duckdb.DuckDBPyConnection, sweep: Declaration, check: Check) -> None:
    """Test every elimination of a sweep again, by the raw material that its look had."""
    stops = list(_stated(connection, sweep["sweep_id"]))
    if not stops:
        return
    artefacts = artefacts_of(connection)
    names: dict[str, str] = {}  # of artefacts that several recipes give, the first
    bases: dict[str, str | None] = {}  # artefact_id -> that of its base
    for variant in sweep["variants"]:
        artefact_id = artefacts.get(variant["recipe_id"])
        if artefact_id is not None:
            names.setdefault(artefact_id, variant["name"])
            mine = (v for v in sweep["variants"] if v["is_base"] and v["base"] == variant["base"])
            bases.setdefault(artefact_id, next((artefacts.get(v["recipe_id"]) for v in mine), None))
    seen = _Seen(connection, sweep, bases)
    for stop in stops:
        subject = f"{names.get(stop.artefact_id, stop.artefact_id[:10])}, stopped by {names.get(stop.by, stop.by[:10])}"
        check.compared += 1
        try:
            named = [(key, each) for key in stop.objectives for each in seen.evidence(stop, *key)]
        except Gone as error:
            check.differs(subject, f"{error} that the race had seen is not in the journal")
            continue
        missed = [key for key, each in named if not each.no_worse(stop.level)[0, 1]]
        if missed:
            fields = tuple((" ".join(filter(None, key)), "beaten", "not shown") for key in missed)
            check.differs(subject, "what the race had seen by then does not show that it is beaten", "", "", *fields)
            continue
        said = in_words([each for _, each in named], 0, 1, stop.level)
        if not stop.reason.endswith(f" {said}"):
            check.differs(subject, "is not how it is beaten", "", "", ("reason", stop.reason, said))


def _stated(connection: duckdb.DuckDBPyConnection, sweep_id: str) -> Iterator[Stated]:
    rows = connection.execute(
        "select artefact_id, beaten_by, raced, look, examples, level, objectives, reason from stops "
        "where sweep_id = ? order by look, artefact_id",
        [sweep_id],
    ).fetchall()
    for artefact_id, by, raced, look, examples, level, objectives, reason in rows:
        keys = [(name, scope) for name, scope in json.loads(objectives)]
        yield Stated(artefact_id, by, raced, look, json.loads(examples), level, keys, reason)


class _Seen:
    """What was known of two variants at a look."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, sweep: Declaration, bases: Mapping[str, str | None]
    ) -> None:
        self._connection = connection
        self._sweep = sweep
        self._bases = bases
        self._last: dict[str, int] = dict(
            connection.execute(
                "select identity, json_extract(job, '$.last')::bigint from records where kind = 'evaluate'"
            ).fetchall()
        )
        self._evaluations: dict[str | None, dict[tuple[str, str], list[str]]] = {}
        self._timed = cast("list[tuple[str, LatencyJob]]", matching(connection, sweep, "LatencyJob"))
        self._tables: dict[str, tuple[Tables, Tables]] = {}

    def evidence(self, stop: Stated, name: str, scope: str) -> list[Raced]:
        """On one objective, the one that beats before the other. Raises Gone."""
        if name in {f"{each}_ratio" for each in TIMED}:
            return [timed(name, scope, stop.pair, self._leases(stop))]
        if metric(name).exact:
            return [exact(name, [self._counted(artefact_id, name) for artefact_id in stop.pair])]
        if name != "recovery" and not metric(name).source:
            return [repeated([self._repeated(artefact_id, name, scope) for artefact_id in stop.pair])]
        tasks = [t for t in self._sweep["tasks"] if name == "recovery" or t["name"] == scope]
        return [self._scores(stop, task, task["metrics"][0] if name == "recovery" else name) for task in tasks]

    def _leases(self, stop: Stated) -> Iterator[tuple[LatencyJob, tuple[Tables, Tables]]]:
        """Those that had been taken: of what came later none counts."""
        seen = stop.look if stop.raced == "leases" else self._sweep["leases"]
        base = self._bases.get(stop.artefact_id)
        for identity, job in self._timed:
            if job.lease < seen and job.artefact_ids[0] == base and set(stop.pair) & set(job.artefact_ids):
                if identity not in self._tables:
                    record = lease_record(identity, job)
                    seconds, joules = (record.tables(self._connection, each) for each in ("seconds", "joules"))
                    self._tables[identity] = seconds, joules
                yield job, self._tables[identity]

    def _counted(self, artefact_id: str, name: str) -> float:
        found = self._connection.execute(
            "select any_value(n.estimate) from numbers n join records r using (identity) "
            "where r.kind = 'build' and n.artefact_id = ? and n.metric = ?",
            [artefact_id, name],
        ).fetchall()
        if found[0][0] is None:
            raise Gone(f"the {metric(name).title}")
        return float(found[0][0])

    def _repeated(self, artefact_id: str, name: str, scope: str) -> Value:
        """The first measurement; of the base, which is in all of them, with the range of all."""
        found = [
            Value(artefact_id=artefact_id, metric=name, scope=scope, estimate=e, low=low, high=high, n=n, method=how)
            for identity, _ in matching(self._connection, self._sweep, "MemoryJob")
            for e, low, high, n, how in self._connection.execute(
                "select estimate, low, high, n, method from numbers "
                "where identity = ? and artefact_id = ? and metric = ? and scope = ?",
                [identity, artefact_id, name, scope],
            ).fetchall()
        ]
        if not found:
            raise Gone("a measurement of memory")
        ends = {"low": min(each.low for each in found), "high": max(each.high for each in found)}
        return found[0].model_copy(update=ends)

    def _scores(self, stop: Stated, task: Mapping[str, Any], name: str) -> Raced:
        """On the first windows of a task: no job reaches from one look into the next."""
        base = self._bases.get(stop.artefact_id)
        if base not in self._evaluations:
            self._evaluations[base] = evaluations(self._connection, self._sweep, base)
        count = stop.examples[task["name"]]
        windows = -(-count // WINDOW)
        rows = []
        for artefact_id in stop.pair:
            every = self._evaluations[base].get((artefact_id, task["fingerprint"]), [])
            mine = [identity for identity in every if self._last[identity] <= windows]
            outcomes = read_outcomes(self._connection, mine, count) if mine else None
            if outcomes is None:
                raise Gone(f"an outcome of the {count:,} examples of {task['name']}")
            rows.append(outcomes.columns[metric(name).source[1]])
        return scored(name, np.array(rows))
