"""Per-example outcomes of a few variants side by side, filtered and paged in DuckDB: only a page reaches Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]

from bench.errors import BadInput
from bench.metrics import metric
from bench.store.reader import Snapshot
from bench.store.rebuild import parts_with
from bench.store.scored import evaluations

Change = Literal["all", "differ", "lost", "gained"]
DIFFER = "(list_min(scores) <> list_max(scores) or len(list_distinct(predictions)) > 1)"
LOWER, HIGHER = "list_min(scores[2:]) < scores[1]", "list_max(scores[2:]) > scores[1]"


def changes(better: str) -> dict[Change, str]:
    """What a filter keeps, where "higher" or "lower" scores are better; others are compared with the first."""
    lost, gained = (LOWER, HIGHER) if better == "higher" else (HIGHER, LOWER)
    return {"all": "true", "differ": DIFFER, "lost": lost, "gained": gained}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one variant said to one example."""

    prediction: str
    score: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Line:
    """One example, and the variants' answers in the order in which they were asked for."""

    index: int  # its row in the data
    label: str
    part: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """How the others did beside the first on a part of the data; `lost` and `gained` count once an example."""

    part: str
    n: int
    lost: int
    gained: int
    means: tuple[float, ...]  # of the scores


class Outcomes:
    """The examples on which all of the variants were run, as rows (index, label, part, scores, predictions, ...)."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, better: str = "higher") -> None:
        self._connection, self._changes = connection, changes(better)

    def counts(self) -> list[Count]:
        """One for each named part of the data, largest first; a single one with an empty name where none is named."""
        rows = self._connection.execute(
            f"select part, count(*), count(*) filter ({self._changes['lost']}), "  # noqa: S608
            f"count(*) filter ({self._changes['gained']}) from beside group by part order by count(*) desc, part"
        ).fetchall()
        means = self._means()
        return [Count(part, n, lost, gained, means[part]) for part, n, lost, gained in rows]

    def _means(self) -> dict[str, tuple[float, ...]]:
        rows = self._connection.execute(
            "select part, place, avg(score) from (select part, unnest(scores) as score, "
            "generate_subscripts(scores, 1) as place from beside) group by part, place order by part, place"
        ).fetchall()
        found: dict[str, tuple[float, ...]] = {}
        for part, _, mean in rows:
            found[part] = (*found.get(part, ()), float(mean))
        return found

    def count(self, change: Change = "all", part: str | None = None) -> int:
        """How many examples a filter keeps."""
        row = self._connection.execute(f"select count(*) {self._where(change)}", [part, part]).fetchone()
        return int(row[0]) if row else 0

    def lines(self, change: Change = "all", part: str | None = None, *, offset: int = 0, limit: int = 20) -> list[Line]:
        """A page of the examples that a filter keeps, in the order of the data."""
        rows = self._connection.execute(
            f"select index, label, part, predictions, scores, confidences {self._where(change)} "
            "order by index limit ? offset ?",
            [part, part, limit, offset],
        ).fetchall()
        return [
            Line(index, label, named, tuple(Answer(*answer) for answer in zip(*answers, strict=True)))
            for index, label, named, *answers in rows
        ]

    def parquet(self, change: Change = "all", part: str | None = None) -> bytes:
        """All examples that a filter keeps, as a Parquet file."""
        with TemporaryDirectory(prefix="paredown-") as name:
            path = Path(name) / "outcomes.parquet"
            self._connection.execute("create or replace temp table kept as select * from beside where false")
            self._connection.execute(f"insert into kept select * {self._where(change)} order by index", [part, part])
            self._connection.execute(f"copy kept to '{path}' (format parquet)")
            return path.read_bytes()

    def _where(self, change: Change) -> str:
        return f"from beside where {self._changes[change]} and (?::varchar is null or part = ?)"


@contextmanager
def open_outcomes(
    snapshot: Snapshot, sweep: Mapping[str, Any], task: Mapping[str, Any], artefact_ids: Sequence[str], base_id: str
) -> Iterator[Outcomes]:
    """The outcomes of some artefacts on a task of a sweep, paired by example, read from the journal.

    Args:
        snapshot: whose records are looked at.
        sweep: the declaration's body.
        task: one of its tasks.
        artefact_ids: of the variants, the one that the others are compared with first.
        base_id: the base's artefact: some tasks ask it about the outcome.

    Raises BadInput where the journal cannot be read, or one of the variants was not run on the task.
    """
    with duckdb.connect() as connection:
        keys = _take_records(connection, snapshot, [*artefact_ids, base_id])
        found = [str(part) for part in parts_with(snapshot, keys)]
        connection.execute("create temp table examples (identity varchar, task varchar)")
        if found:
            connection.execute(
                "insert into examples select identity, task from read_parquet(?) "
                "where examples is not null and list_contains(?, identity)",
                [found, keys],
            )
        known = evaluations(connection, sweep, base_id)
        chosen = [known.get((artefact_id, task["fingerprint"]), []) for artefact_id in artefact_ids]
        if not all(chosen):
            raise BadInput(f"Not all of these variants were run on {task['name']}: run the sweep on, or choose others.")
        _pair(connection, found, chosen)
        yield Outcomes(connection, metric(task["metrics"][0]).better)


def _take_records(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, artefact_ids: Sequence[str]) -> list[str]:
    """Make the table that `evaluations` looks at; returns the keys of the evaluations."""
    rows = snapshot.rows(
        "select key as identity, kind, status, recipe_id, artefact_id, ordinal, "
        "case when kind = 'evaluate' then job end as job from records where status = 'finished' and artefact_id in "
        "(select unnest(?)) and (kind = 'build' or kind = 'evaluate')",
        [list(artefact_ids)],
    )
    names = ("identity", "kind", "status", "recipe_id", "artefact_id", "job")
    schema = pa.schema([*((name, pa.string()) for name in names), ("ordinal", pa.int64())])
    connection.register("records", pa.Table.from_pylist(rows, schema=schema))
    return [row["identity"] for row in rows if row["kind"] == "evaluate"]


def _pair(connection: duckdb.DuckDBPyConnection, found: Sequence[str], chosen: Sequence[Sequence[str]]) -> None:
    """Make the table `beside`: one row an example, with a list of what each variant did."""
    pairs = [(identity, place) for place, identities in enumerate(chosen) for identity in identities]
    connection.register("chosen", pa.table({"identity": [p[0] for p in pairs], "place": [p[1] for p in pairs]}))
    held = {name for name, *_ in connection.execute("select name from parquet_schema(?)", [found[0]]).fetchall()}
    part = "e.slice" if "slice" in held else "''"  # parts of layout 1 name none
    connection.execute(
        f"""
        create temp table beside as
        select index, any_value(label) as label, any_value(part) as part,
               list(prediction order by place) as predictions, list(score order by place) as scores,
               list(confidence order by place) as confidences
        from (select place, index, any_value(label) as label, any_value(part) as part, any_value(score) as score,
                     any_value(prediction) as prediction, any_value(confidence) as confidence
              from (select chosen.place, e.index, e.label, {part} as part, e.prediction, e.score, e.confidence
                    from (select identity, unnest(examples) as e from read_parquet(?, union_by_name = true)
                          where examples is not null and identity in (select identity from chosen)) p
                    join chosen on chosen.identity = p.identity)
              group by place, index)
        group by index having count(*) = {len(chosen)}
        """,  # noqa: S608 - a number, and one of two fixed names
        [list(found)],
    )


def example_texts(jobs: Sequence[str], name: str) -> dict[int, str]:
    """The words of a task's examples by index, from the first evaluation that has the task; empty where its data
    cannot be read any more.

    Args:
        jobs: evaluations, as JSON.
        name: of the task.
    """
    from bench.job import EvaluateJob

    for text in jobs:
        described = json.loads(text)
        described.pop("type", None)
        task = EvaluateJob.model_validate(described).task
        if task.name == name:
            with suppress(BadInput, OSError):
                return {e.index: e.text if e.pair is None else f"{e.text} | {e.pair}" for e in task.data.examples()}
            return {}
    return {}
