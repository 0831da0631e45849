"""Writes what large sweeps are read by (`leaderboard.index`), in a process of its own."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import duckdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bench.statistics.objectives import about_estimates
from leaderboard.rows import AS_BASE
from leaderboard.undelivered import own_builds

WIDTH = 4  # bytes of a resample
BATCH = 2000  # variants whose resamples are looked at together, or whose rows are written together
TABLES: tuple[str, ...] = ("info", "metrics", "variants", "numbers", "verdicts", "stops", "openings", "confirmations")
TABLES += ("standings", "constraints", "hits", "draws", "claims", "fronts", "recipes")


def write(asked: str) -> None:
    """Write an index, beside and then renamed: what a page that needs it runs."""
    told = json.loads(asked)
    path, name = Path(told["path"]), uuid4().hex
    draft = path.with_name(f".{name}.indexing")
    # Beside it under names of their own: whoever else writes this index has others.
    draws, rows = (path.with_name(f"{path.name}.{name}.{what}") for what in BESIDE)
    try:
        with duckdb.connect(str(draft), config={"memory_limit": "1GB", "threads": 2}) as connection:
            connection.execute("set preserve_insertion_order = false")
            connection.execute(f"attach '{quoted(Path(told['near']))}' as snap (read_only)")
            connection.execute("create temp table large as select unnest(?) as sweep_id", [told["sweeps"]])
            with draws.open("wb") as file:
                _fill(connection, told["segments"], file)
            with rows.open("wb") as file:
                for spots in _rows(connection, file):
                    _insert(connection, "spots", spots)
            connection.execute("create table beside as select ? as draws, ? as rows", [draws.name, rows.name])
        draft.replace(path)
    except BaseException:
        for each in (draft, draws, rows, draft.with_name(f"{draft.name}.wal")):
            each.unlink(missing_ok=True)
        raise


# Files of an index that are read at places far apart: resamples, each where `spreads.nth` says, and rows, each whole
# where `spots` says. In a table what a page needs lies far apart in every column.
BESIDE = ("draws", "rows")


def _undelivered(connection: duckdb.DuckDBPyConnection, segments: list[str]) -> pa.Table:
    """(recipe_id of the step, sentence) of every build that did not do what it promised; the first one counts."""
    columns = "select recipe_id, answer, ordinal from {} where kind = 'build' and status = 'finished' and answer like ?"
    parts = [columns.format("snap.records"), *([columns.format("read_parquet(?)")] if segments else [])]
    like = "%not delivered%"
    found: dict[str, str] = {}
    for recipe_id, answer, _ in connection.execute(
        f"{' union all '.join(parts)} order by ordinal", [like, *([segments, like] if segments else [])]
    ).fetchall():
        told = json.loads(answer).get("delivered", {})
        if told.get("verdict") == "not delivered":
            found.setdefault(recipe_id, told["reason"])
    return pa.table({"build": pa.array(found, pa.string()), "reason": pa.array(found.values(), pa.string())})


def _declarations(connection: duckdb.DuckDBPyConnection) -> None:
    """Declarations without their variants, and each variant of a large one by itself, with what its builds are."""
    connection.execute("create table heads (sweep_id varchar, name varchar, declared varchar, body varchar)")
    connection.execute("create table declared (sweep_id varchar, recipe_id varchar, body varchar, builds varchar[])")
    large = {sweep_id for (sweep_id,) in connection.execute("from large").fetchall()}
    for sweep_id, name, when in connection.execute("select sweep_id, name, declared from snap.sweeps").fetchall():
        ((text,),) = connection.execute("select body from snap.sweeps where sweep_id = ?", [sweep_id]).fetchall()
        body = json.loads(text)
        variants = body["variants"]
        if sweep_id in large:
            body["variants"] = []
        connection.execute("insert into heads values (?, ?, ?, ?)", [sweep_id, name, when, json.dumps(body)])
        if sweep_id in large:
            table = pa.table(
                {
                    "sweep_id": [sweep_id] * len(variants),
                    "recipe_id": [v["recipe_id"] for v in variants],
                    "body": [json.dumps(v) for v in variants],
                    "builds": [list(own_builds(v)) for v in variants],
                }
            )
            _insert(connection, "declared", table)


def _fill(connection: duckdb.DuckDBPyConnection, segments: list[str], file: BinaryIO) -> None:
    _declarations(connection)
    connection.register("undelivered", _undelivered(connection, segments))
    connection.create_function("folded", str.casefold, ["VARCHAR"], "VARCHAR")
    for statement in STATEMENTS:
        connection.execute(statement)
    for table in TABLES:
        connection.execute(f"create view {table} as from snap.{table}")
    every = "".join(f" union all by name from read_parquet('{quoted(Path(path))}')" for path in segments)
    connection.execute(f"create view records as from snap.records{every}")
    for sweep_id, metric, scope in connection.execute(
        "select distinct sweep_id, metric, scope from snap.draws where sweep_id in (from large) order by all"
    ).fetchall():
        for rows in _spreads(connection, sweep_id, metric, scope, file):
            _insert(connection, "spreads", rows, sweep_id=sweep_id, metric=metric, scope=scope)


# A board's order is that of `rows.ranked`.
STATEMENTS = (
    "create view sweeps as from heads",
    """create temp table main as select sweep_id, json_extract_string(body, '$.objectives[0].metric') as metric,
    json_extract_string(body, '$.objectives[0].scope') as scope from heads""",
    """create temp table own as
    select sweep_id, recipe_id, list(reason order by step) as undelivered from (
        select sweep_id, recipe_id, unnest(builds) as build, generate_subscripts(builds, 1) as step from declared)
    join undelivered using (build) group by all""",
    f"create temp table likened as select v.*, {AS_BASE} as as_base from snap.variants v "  # noqa: S608
    "where sweep_id in (from large)",
    """create table rows as
    with seeded as (select sweep_id, recipe_group, count(distinct seed) as seeds from snap.variants group by all),
    stood as (
        select v.*, coalesce(d.verdict, 'not evaluated') as verdict, coalesce(d.share, 0) as share,
        coalesce(d.reason, 'no number yet') as verdict_reason, d.dominated_by, s.seeds,
        coalesce(o.undelivered, []) as undelivered, json_extract_string(v.steps, '$[*].step') as methods,
        list_position(['certain', 'contested', 'dominated', 'not evaluated'], coalesce(d.verdict, 'not evaluated')) - 1
            as standing,
        coalesce(case when m.better = 'higher' then -n.estimate else n.estimate end, 'infinity') as value
        from likened v left join snap.verdicts d using (sweep_id, recipe_id)
        join seeded s using (sweep_id, recipe_group) join main using (sweep_id)
        join snap.metrics m on m.name = main.metric
        left join snap.numbers n on n.sweep_id = v.sweep_id and n.recipe_id = v.recipe_id and n.metric = main.metric
            and n.scope = main.scope
        left join own o on o.sweep_id = v.sweep_id and o.recipe_id = v.recipe_id)
    select * exclude (value), folded(name) as folded,
    folded(name || ' ' || array_to_string(methods, ' ') || ' ' || recipe_id) as searched,
    row_number() over (partition by sweep_id order by base, not is_base, standing, value, position)::integer as place,
    dense_rank() over (partition by sweep_id order by recipe_group)::integer as family
    from stood order by sweep_id, place""",
    """create table cells as select r.place, n.* from snap.numbers n join rows r using (sweep_id, recipe_id)
    order by sweep_id, place""",
    """create table stood as select r.place, s.* from snap.standings s join rows r using (sweep_id, recipe_id)
    order by sweep_id, place""",
    """create table spreads (sweep_id varchar, metric varchar, scope varchar, place integer, deviation double,
    least double, most double, own boolean, nth bigint, size integer)""",
    "create table spots (sweep_id varchar, place integer, nth bigint, size integer)",
)
# Everything that `rows.Row` holds, but for verdicts that are judged anew; arrays are in the order of its parts.
WHOLE = """with
numbered as (
    select place, list(json_array(metric, scope, estimate, low, high, n, method, hardware_class, note,
        evidence, span, p, p_holm, extended)) as cells
    from cells where sweep_id = $sweep and place between $first and $last group by all),
placed as (
    select place, list(json_array(metric, scope, rank_low, rank_high, tie, relation, difference, low, high)) as stood
    from stood where sweep_id = $sweep and place between $first and $last group by all),
these as (from rows where sweep_id = $sweep and place between $first and $last),
required as (
    select recipe_id, list(json_array(state, estimate, low, high) order by position) as kept
    from snap.constraints where sweep_id = $sweep and recipe_id in (select recipe_id from these) group by all)
select place, to_json(struct_pack(recipe_id, name, base, is_base, seed, recipe_group, steps := steps::json,
    artefact_id, status, reason, verdict, share, verdict_reason, dominated_by, seeds, undelivered, as_base, cells,
    stood, kept, stopped := case when status = 'stopped' then objectives::json end)) as told
from these left join numbered using (place) left join placed using (place) left join required using (recipe_id)
left join (select artefact_id, objectives from snap.stops where sweep_id = $sweep) using (artefact_id)
order by place"""


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table, **same: str) -> None:
    """Add rows by the names of their columns, and columns that are the same in all."""
    connection.register("incoming", rows)
    named = "".join(f"? as {name}, " for name in same)
    connection.execute(f"insert into {table} by name select {named}* from incoming", [*same.values()])  # noqa: S608
    connection.unregister("incoming")


def _rows(connection: duckdb.DuckDBPyConnection, file: BinaryIO) -> Iterator[pa.Table]:
    """Where in a file each row is that this writes to it, compressed by itself."""
    for sweep, count in connection.execute(
        "select sweep_id, max(place) from rows group by all order by all"
    ).fetchall():
        for first in range(1, count + 1, BATCH):
            places = range(first, min(count, first + BATCH - 1) + 1)
            asked = {"sweep": sweep, "first": places[0], "last": places[-1]}
            found = connection.execute(WHOLE, asked).fetchall()
            if [place for place, _ in found] != [*places]:  # readers find a row by where its place stands in order
                raise ValueError(f"rows {places[0]} to {places[-1]} of {sweep} are not there, each once")
            rows = [zlib.compress(told.encode(), level=1) for _, told in found]
            sizes = np.array([len(row) for row in rows])
            nth = file.tell() + np.concatenate([[0], np.cumsum(sizes)[:-1]])
            file.write(b"".join(rows))
            yield pa.table({"sweep_id": [sweep] * len(rows), "place": [*places], "nth": nth, "size": sizes})


def _spreads(
    connection: duckdb.DuckDBPyConnection, sweep_id: str, metric: str, scope: str, file: BinaryIO
) -> Iterator[pa.Table]:
    """How far each variant's resamples of one number, about its estimate, lie from its base's.

    They go to a file too: `nth` is where they begin there, counted in numbers. Without a base that has the number, the
    pivot is the estimates themselves. What has another count of resamples than most cannot be paired.
    """
    told = """select r.place, r.base, c.estimate, d.draws from snap.draws d join rows r using (sweep_id, recipe_id)
    join cells c on c.sweep_id = d.sweep_id and c.metric = d.metric and c.scope = d.scope and c.place = r.place
    where d.sweep_id = ? and d.metric = ? and d.scope = ?"""
    asked = [sweep_id, metric, scope]
    ((size,),) = connection.execute(f"select mode(len(draws)) from ({told})", asked).fetchall()  # noqa: S608
    pivots: dict[str, Any] = {
        base: _about(np.asarray(draws, dtype=np.float64)[None], np.array([estimate]))[0]
        for _, base, estimate, draws in connection.execute(f"{told} and r.is_base", asked).fetchall()
        if len(draws) == size
    }
    for batch in connection.cursor().sql(told, params=asked).to_arrow_reader(BATCH):
        lengths = batch["draws"].value_lengths().to_numpy(zero_copy_only=False)
        whole = lengths == size
        found = {name: np.full(lengths.size, np.inf) for name in ("deviation", "least", "most")}
        own = np.zeros(lengths.size, dtype=np.bool_)
        begin = file.tell() // WIDTH
        flat = batch["draws"].flatten().to_numpy().astype(np.float32)
        file.write(flat.tobytes())
        nth = begin + np.concatenate([[0], np.cumsum(lengths)[:-1]])
        if whole.any():
            draws = flat[np.repeat(whole, lengths)].reshape(-1, size).astype(np.float64)
            off = _about(draws, batch["estimate"].to_numpy()[whole])
            own[whole] = off.max(axis=1) > off.min(axis=1)
            bases = batch["base"].filter(whole).to_pylist()
            off -= np.stack([pivots.get(base, np.zeros(size)) for base in bases])
            found["deviation"][whole] = np.sqrt((off**2).mean(axis=1))
            found["least"][whole], found["most"][whole] = off.min(axis=1), off.max(axis=1)
        yield pa.table({"place": batch["place"], **found, "own": own, "nth": nth, "size": lengths})


def _about(draws: NDArray[np.float64], estimates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draws [V, B] about their estimates [V]."""
    return about_estimates(draws.T, estimates).T - estimates[:, None]


def quoted(path: Path) -> str:
    return str(path).replace("'", "''")
