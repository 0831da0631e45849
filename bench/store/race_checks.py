"""Whether what a race had seen by the look at which it stopped a variant shows that another one beats it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import duckdb
import numpy as np
from numpy.typing import NDArray

from bench.errors import BadInput
from bench.job import LatencyJob
from bench.metrics import TIMED, metric
from bench.race_evidence import Tables, exact, in_words, repeated, scored, timed
from bench.record import Value
from bench.statistics.racing import Raced, race_level, race_looks
from bench.store.findings import FAULTS, Check, Field, nearly
from bench.store.quality import read_outcomes
from bench.store.scored import Declaration, evaluations
from bench.store.stopped import identity_of
from bench.store.summary import matching
from bench.store.timing import lease_record
from bench.tasks.spec import WINDOW

FloatArray = NDArray[np.float64]

BELOW_ONE = 1 - 1e-9
COLUMNS = "artefact_id, beaten_by, raced, look, examples, level, objectives, reason"


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


def check_stops(
    connection: duckdb.DuckDBPyConnection,
    sweep: Declaration,
    declared: Sequence[Declaration],
    in_force: Collection[str | None],
    check: Check,
) -> None:
    """Test every elimination of a sweep again, by the raw material that its look had.

    Args:
        connection: the query form of the journal.
        sweep: the newest declaration's body.
        declared: those of all its declarations: racing may have been asked for otherwise each time.
        in_force: artefacts that stand as stopped. Evidence that fails against any other is a note: it was completed,
            or comes from a store that was merged, whose leases may have been others.
        check: takes what is found.
    """
    rows = connection.execute(
        f"select {COLUMNS} from stops where sweep_id = ? order by look, artefact_id",  # noqa: S608 - ours
        [sweep["sweep_id"]],
    ).fetchall()
    if not rows:
        return
    members = _Members(connection, sweep, declared)
    seen = _Seen(connection, sweep, members)
    for row in rows:
        check.compared += 1
        subject = f"{members.name(row[0])}, stopped by {members.name(row[1])}"
        try:
            stop = _stated(row)
            if impossible := members.impossible(stop):
                check.differs(subject, "is not what a race of this sweep can state", "", "", *impossible)
                continue
            amiss = _amiss(stop, seen)
        except (*FAULTS, BadInput) as error:
            check.differs(subject, f"cannot be tested again ({type(error).__name__}: {error})")
            continue
        if amiss is None:
            continue
        reason, fields = amiss
        if stop.artefact_id in in_force:
            check.differs(subject, reason, "", "", *fields)
        else:
            check.notes.append(f"{subject}: {reason}, and no verdict rests on that stop any more")


def _stated(row: Sequence[Any]) -> Stated:
    artefact_id, by, raced, look, examples, level, objectives, reason = row
    keys = [(name, scope) for name, scope in json.loads(objectives)]
    return Stated(artefact_id, by, raced, look, json.loads(examples), level, keys, reason)


def _amiss(stop: Stated, seen: _Seen) -> tuple[str, tuple[Field, ...]] | None:
    """Why what the race had seen by then does not bear a stop out, and in what; None where it does."""
    try:
        named = [(key, each) for key in stop.objectives for each in seen.evidence(stop, *key)]
    except Gone as error:
        return f"{error} that the race had seen is not in the journal", ()
    missed = [key for key, each in named if not each.no_worse(stop.level)[0, 1]]
    if missed:
        fields = tuple((" ".join(filter(None, key)), "beaten", "not shown") for key in missed)
        return "what the race had seen by then does not show that it is beaten", fields
    said = in_words([each for _, each in named], 0, 1, stop.level)
    if not stop.reason.endswith(f" {said}"):
        return "is not how it is beaten", (("reason", stop.reason, said),)
    return None


class _Members:
    """Who raced, by what the sweep has declared."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, sweep: Declaration, declared: Sequence[Declaration]
    ) -> None:
        self._sweep = sweep
        self._races = [body.get("race") for body in declared]
        # Not the first build of each recipe alone: a store that was merged into this one may have got other bytes.
        made: dict[str, list[str]] = {}
        for recipe_id, artefact_id in connection.execute(
            "select recipe_id, artefact_id from records where kind = 'build' and status = 'finished' order by ordinal"
        ).fetchall():
            made.setdefault(recipe_id, []).append(artefact_id)
        every = [(v, artefact_id) for v in sweep["variants"] for artefact_id in made.get(v["recipe_id"], ())]
        self._variants: dict[str, Mapping[str, Any]] = {}  # of artefacts that several recipes give, the first
        self._recipes: dict[str, set[str]] = {}
        self._bases: dict[str, str] = {}  # name -> artefact_id
        for variant, artefact_id in every:
            self._variants.setdefault(artefact_id, variant)
            self._recipes.setdefault(artefact_id, set()).add(variant["recipe_id"])
            if variant["is_base"]:
                self._bases.setdefault(variant["base"], artefact_id)

    def name(self, artefact_id: str) -> str:
        """What people call it."""
        return str(self._variants[artefact_id]["name"]) if artefact_id in self._variants else str(artefact_id)[:10]

    def base(self, artefact_id: str) -> str | None:
        """The artefact of its base."""
        return self._bases.get(self._variants[artefact_id]["base"])

    def impossible(self, stop: Stated) -> list[Field]:
        """What of a stop no race of this sweep could have stated, with what it could."""
        pair = (("artefact_id", stop.artefact_id), ("beaten_by", stop.by))
        found: list[Field] = [(name, a, "a variant's") for name, a in pair if a not in self._variants]
        if not found and len({self._variants[a]["base"] for a in stop.pair}) > 1:
            found.append(("beaten_by", self.name(stop.by), "a variant of the same base"))
        if why := self._kept(stop.artefact_id):
            found.append(("artefact_id", self.name(stop.artefact_id), f"none that is {why}"))
        objectives = [(o["metric"], o["scope"]) for o in self._sweep["objectives"]]
        if set(stop.objectives) != set(objectives):
            found.append(("objectives", stop.objectives, objectives))
        tasks = [task["name"] for task in self._sweep["tasks"]]
        if set(stop.examples) != set(tasks):
            found.append(("examples", list(stop.examples), tasks))
        elif stop.examples != (due := self._examples(stop)):
            found.append(("examples", dict(stop.examples), due))
        last = self._looks(stop.raced)
        if not 1 <= stop.look <= last:
            found.append(("look", stop.look, f"1 to {last}" if last else "none: there was nothing to race"))
            return found
        largest = self._largest_level(last)
        if stop.level > largest and not nearly(stop.level, largest):
            found.append(("level", stop.level, largest))
        return found

    def _kept(self, artefact_id: str) -> str | None:
        """Why a race never stops an artefact."""
        if artefact_id not in self._variants:
            return None
        if self._variants[artefact_id]["is_base"]:
            return "a base"
        mine = self._recipes[artefact_id]
        return "pinned" if all(race is not None and mine.intersection(race["pinned"]) for race in self._races) else None

    def _examples(self, stop: Stated) -> dict[str, int]:
        """What its look has seen of each task: all, where leases are raced; a short task ends before others do."""
        due = {task["name"]: task["examples"] for task in self._sweep["tasks"]}
        if stop.raced == "examples":
            looks = self._windows
            due = {name: min(n, WINDOW * looks[name][: max(1, stop.look)][-1]) for name, n in due.items()}
        return due

    @cached_property
    def _windows(self) -> dict[str, tuple[int, ...]]:
        """Of each task, after how many windows to look."""
        return {task["name"]: race_looks(-(-task["examples"] // WINDOW)) for task in self._sweep["tasks"]}

    def _looks(self, raced: str) -> int:
        """At how many looks somebody can be stopped: not at the last, after which nothing is left to spare."""
        most = max(len(looks) for looks in self._windows.values())
        return {"examples": most, "leases": int(self._sweep["leases"])}[raced] - 1

    def _largest_level(self, looks: int) -> float:
        """The largest one-sided level of a comparison; 0 where there is nobody to compare."""
        sizes = list(Counter(variant["base"] for variant in self._sweep["variants"]).values())
        if max(sizes) < 2:
            return 0.0
        # Older declarations do not say it, but it was below 1.
        alpha = max(BELOW_ONE if race is None else race["alpha"] for race in self._races)
        return race_level(alpha, looks, sizes)


class _Seen:
    """What was known of two variants at a look."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, sweep: Declaration, members: _Members) -> None:
        self._connection = connection
        self._sweep = sweep
        self._members = members
        self._evaluations: dict[str | None, dict[tuple[str, str], list[str]]] = {}
        self._columns: dict[tuple[str | None, str, str, int, str], FloatArray] = {}
        self._tables: dict[str, tuple[Tables, Tables]] = {}

    @cached_property
    def _places(self) -> dict[str, int]:
        """identity -> place in the journal."""
        query = "select identity, row_number() over (order by part, position) from entries"
        return dict(self._connection.execute(query).fetchall())

    @cached_property
    def _last(self) -> dict[str, int]:
        """identity of an evaluation -> the window at which it ends."""
        query = "select identity, json_extract(job, '$.last')::bigint from records where kind = 'evaluate'"
        return dict(self._connection.execute(query).fetchall())

    @cached_property
    def _timed(self) -> list[tuple[str, LatencyJob]]:
        return cast("list[tuple[str, LatencyJob]]", matching(self._connection, self._sweep, "LatencyJob"))

    @cached_property
    def _weighed(self) -> list[tuple[str, str]]:
        """(identity, artefact_id of the base) of measurements of memory."""
        found = matching(self._connection, self._sweep, "MemoryJob")
        return [(identity, job.artefact_ids[0]) for identity, job in found]

    def _before(self, stop: Stated, identity: str) -> bool:
        """Whether a record was there when the stop was stated: a race sees none that comes later."""
        stated = self._places[identity_of(self._sweep["sweep_id"], stop.artefact_id)]
        return self._places[identity] < stated

    def evidence(self, stop: Stated, name: str, scope: str) -> list[Raced]:
        """On one objective, the one that beats before the other. Raises Gone."""
        if name in {f"{each}_ratio" for each in TIMED}:
            return [timed(name, scope, stop.pair, self._leases(stop))]
        if metric(name).exact:
            return [exact(name, [self._counted(artefact_id, name) for artefact_id in stop.pair])]
        if name != "recovery" and not metric(name).source:
            return [repeated([self._repeated(stop, artefact_id, name, scope) for artefact_id in stop.pair])]
        tasks = [t for t in self._sweep["tasks"] if name == "recovery" or t["name"] == scope]
        return [self._scores(stop, task, task["metrics"][0] if name == "recovery" else name) for task in tasks]

    def _leases(self, stop: Stated) -> Iterator[tuple[LatencyJob, tuple[Tables, Tables]]]:
        """Those that had been taken: of what came later none counts."""
        seen = stop.look if stop.raced == "leases" else self._sweep["leases"]
        base = self._members.base(stop.artefact_id)
        for identity, job in self._timed:
            mine = job.lease < seen and job.artefact_ids[0] == base and set(stop.pair) & set(job.artefact_ids)
            if mine and self._before(stop, identity):
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

    def _repeated(self, stop: Stated, artefact_id: str, name: str, scope: str) -> Value:
        """The first measurement; of the base, which is in all of them, with the range of all."""
        base = self._members.base(stop.artefact_id)
        mine = [identity for identity, of in self._weighed if of == base and self._before(stop, identity)]
        rows = self._connection.execute(
            "select n.estimate, n.low, n.high, n.n, n.method from numbers n join records r using (identity) "
            "where list_contains(?, n.identity) and n.artefact_id = ? and n.metric = ? and n.scope = ? "
            "order by r.ordinal",
            [mine, artefact_id, name, scope],
        ).fetchall()
        if not rows:
            raise Gone("a measurement of memory")
        estimate, _, _, n, how = rows[0]
        low, high = min(row[1] for row in rows), max(row[2] for row in rows)
        return Value(
            artefact_id=artefact_id, metric=name, scope=scope, estimate=estimate, low=low, high=high, n=n, method=how
        )

    def _scores(self, stop: Stated, task: Mapping[str, Any], name: str) -> Raced:
        """On the first windows of a task."""
        column = metric(name).source[1]
        return scored(name, np.array([self._column(stop, a, task, column) for a in stop.pair]))

    def _column(self, stop: Stated, artefact_id: str, task: Mapping[str, Any], column: str) -> FloatArray:
        """One statistic of every example of a look: no job reaches from one look into the next."""
        base, count = self._members.base(stop.artefact_id), stop.examples[task["name"]]
        key = (base, artefact_id, task["name"], count, column)
        if key not in self._columns:
            if base not in self._evaluations:
                self._evaluations[base] = evaluations(self._connection, self._sweep, base)
            every = self._evaluations[base].get((artefact_id, task["fingerprint"]), [])
            mine = [identity for identity in every if self._last[identity] <= -(-count // WINDOW)]
            outcomes = read_outcomes(self._connection, mine, count) if mine else None
            if outcomes is None:
                raise Gone(f"an outcome of the {count:,} examples of {task['name']}")
            self._columns[key] = outcomes.columns[column]  # alone: predictions may be long texts
        return self._columns[key]
