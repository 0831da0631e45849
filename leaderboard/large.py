"""Boards of large sweeps: rows stay in DuckDB, and verdicts on other questions are worked out among candidates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bench.statistics.objectives import Evidence, about_estimates, extension
from bench.statistics.pruned import DOMINATED, NOT_EVALUATED, Ends, Judged, Spread, count_pairs, ends, judge, reasons
from bench.store.reader import Snapshot
from leaderboard.facts import Facts
from leaderboard.index import Index, Indexed
from leaderboard.judged import objective_of
from leaderboard.listing import Anew, Clause, Listing
from leaderboard.rows import Board, Key, axes_of, board_of, find_sweep, judged_as, read_board

LEVEL = 0.95
AT_ONCE = 3000  # rows whose verdicts nobody needs to wait for
WAITING = "it is being compared with the others shown"
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One number of all variants of a sweep, by their place on the board (from 1); NaN where there is none."""

    estimate: Floats
    low: Floats
    high: Floats
    evidence: Floats
    span: Floats
    extended: Floats
    spread: Spread
    nth: NDArray[np.int64]  # where its resamples are, -1 without
    size: int  # of a variant's resamples


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The ends of some variants on every objective, and the evidence of those of them that are picked."""

    between: Sequence[Ends]
    pick: Callable[[NDArray[np.intp]], list[Evidence]]
    pairs: int  # of all of them


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """Who the variants are, by place."""

    recipes: NDArray[np.object_]
    base: NDArray[np.intp]  # a number for each base
    is_base: NDArray[np.bool_]
    as_base: NDArray[np.bool_]  # has its bytes
    stopped: NDArray[np.bool_]


def board_in(snapshot: Snapshot, sweep_id: str | None) -> Board:
    """The board of a sweep, the newest without one; of a large one nothing of its rows is read yet. Raises BadInput."""
    sweep = find_sweep(snapshot, sweep_id)
    if not isinstance(snapshot, Indexed) or sweep["sweep_id"] not in snapshot.index.large:
        return read_board(snapshot, sweep_id)
    index, sweep_id = snapshot.index, str(sweep["sweep_id"])
    declared = len(sweep["body"].get("constraints", ()))
    listing = Listing(index, sweep_id, declared=declared)
    have = snapshot.rows("select distinct metric, scope from cells where sweep_id = ?", [sweep_id])
    objectives = [(o["metric"], o["scope"]) for o in sweep["body"]["objectives"]]
    axes = axes_of(snapshot, {(row["metric"], row["scope"]) for row in have}, objectives)
    return replace(board_of(snapshot, sweep, axes, listing), facts=facts_in(listing))


def facts_in(listing: Listing) -> Facts:
    """Of all rows of a listing."""
    bases = [base for (base,) in listing.ask("r.base", "group by 1 order by min(r.place)")]
    methods = [name for (name,) in listing.ask("distinct unnest(r.methods) as m", "order by m")]
    statuses = {status: int(count) for status, count in listing.ask("r.status, count(*)", "group by 1")}
    ((several,),) = listing.ask("coalesce(max(r.seeds), 0) > 1")
    return Facts(tuple(bases), tuple(methods), statuses, bool(several))


def matching(base: str | None, methods: Sequence[str], text: str) -> Clause:
    """Who competes: variants with one of the methods and all words, and the bases."""
    found = Clause()
    if base is not None:
        found = found.both(Clause("r.base = ?", (base,)))
    mine = Clause()
    if methods:
        mine = mine.both(Clause("list_has_any(r.methods, ?)", (tuple(methods),)))
    for word in text.casefold().split():
        mine = mine.both(Clause("contains(r.searched, ?)", (word,)))
    return found if mine.sql == "true" else found.both(Clause(f"(r.is_base or ({mine.sql}))", mine.parameters))


def listed(listing: Listing, standings: Sequence[int], statuses: Sequence[str], task: str | None) -> Clause:
    """Who is listed of those who compete; bases always are."""
    mine = Clause()
    if standings:
        mine = mine.both(Clause(f"{listing.standing} in (select unnest(?))", (tuple(standings),)))
    if statuses:
        mine = mine.both(Clause("r.status in (select unnest(?))", (tuple(statuses),)))
    if task:
        there = (
            "r.place in (select place from cells where sweep_id = ? and (scope = ? or starts_with(scope, ? || ' / ')))"
        )
        mine = mine.both(Clause(there, (listing.sweep_id, task, task)))
    return Clause() if mine.sql == "true" else Clause(f"(r.is_base or ({mine.sql}))", mine.parameters)


def judge_field(board: Board, field: Listing, keys: Sequence[Key], patience: float | None = None) -> Anew:
    """Verdicts of the rows of a field among themselves, base by base, on any numbers; remembered for others.

    With `patience`, what takes longer than so many seconds goes on beside, and nobody has a verdict yet: ask again.
    """
    different = tuple(dict.fromkeys(keys))
    asked = ("judged", field.sweep_id, field.keeping, different)
    if patience is None or len(field) <= AT_ONCE:
        return field.source.remembered(asked, lambda: _judge_field(board, field, different, asked))
    found = field.source.begin(asked, lambda: _judge_field(board, field, different, asked), patience)
    return _waiting(field, different, asked) if found is None else found


def _waiting(field: Listing, keys: tuple[Key, ...], asked: tuple[Any, ...]) -> Anew:
    places = np.sort(field.places())
    table = pa.table(
        {
            "place": pa.array(places, pa.int32()),
            "standing": pa.array(np.full(places.size, NOT_EVALUATED), pa.int32()),
            "share": np.zeros(places.size),
            "by": pa.nulls(places.size, pa.int32()),
            "reason": pa.DictionaryArray.from_arrays(np.zeros(places.size, dtype=np.int32), [WAITING]),
        }
    )
    return Anew(table, keys, ("waiting",), 0, 0, awaited=asked)


def _judge_field(board: Board, field: Listing, keys: tuple[Key, ...], name: tuple[Any, ...]) -> Anew:
    index, sweep_id = field.source, field.sweep_id
    who = members(index, sweep_id)
    places = np.sort(field.places()).astype(np.intp)
    state = np.full(places.size, NOT_EVALUATED, dtype=np.int8)
    share, by = np.zeros(places.size), np.full(places.size, -1, dtype=np.intp)
    words: NDArray[np.object_] = np.full(places.size, "", dtype=object)
    compared = candidates = 0
    for base in np.unique(who.base[places]):
        at = np.flatnonzero(who.base[places] == base)
        mine = places[at]
        found, between = _judge_base(board, index, sweep_id, keys, mine)
        state[at], share[at] = found.states, found.share
        by[at] = np.where(found.by >= 0, mine[np.maximum(found.by, 0)], -1)
        words[at] = reasons(found, between, [board.axes[key].title for key in keys])
        compared, candidates = compared + found.compared, candidates + found.candidates
    _with_stops(index, sweep_id, keys, places, who, state, by, words)
    table = pa.table(
        {
            "place": pa.array(places, pa.int32()),
            "standing": pa.array(state, pa.int32()),
            "share": share,
            "by": pa.array(by, pa.int32(), mask=by < 0),
            "reason": pa.array(words, pa.string()).dictionary_encode(),
        }
    )
    return Anew(table, keys, name, compared, candidates)


def _judge_base(
    board: Board, index: Index, sweep_id: str, keys: Sequence[Key], mine: NDArray[np.intp]
) -> tuple[Judged, list[Ends]]:
    """The variants of one base, the statistics as for fewer of them (`judging.evidence_of`)."""
    known = known_of(board, index, sweep_id, keys, mine)
    return judge(known.between, known.pick, known.pairs, LEVEL), list(known.between)


def known_of(board: Board, index: Index, sweep_id: str, keys: Sequence[Key], mine: NDArray[np.intp]) -> Known:
    """What verdicts, ranks and ties of the variants of one base are told from."""
    who = members(index, sweep_id)
    evidence: list[Evidence] = []
    spreads: list[Spread | None] = []
    columns = [column(index, sweep_id, judged_as(key)) for key in keys]
    for key, found in zip(keys, columns, strict=True):
        each, about = _evidence(board, found, key, mine, who.stopped[mine])
        evidence.append(each)
        spreads.append(about)
    # Among all of the sweep, whichever are judged (`judging.judge`).
    whole = np.flatnonzero(who.base == who.base[mine[0]])
    every = [
        _evidence(board, found, key, whole, who.stopped[whole])[0] for key, found in zip(keys, columns, strict=True)
    ]
    pairs = count_pairs([np.isfinite(each.estimates) for each in every], [about is not None for about in spreads])
    between = [ends(each, about, pairs, LEVEL) for each, about in zip(evidence, spreads, strict=True)]

    def pick(rows: NDArray[np.intp]) -> list[Evidence]:
        picked = []
        for key, each, about in zip(keys, evidence, spreads, strict=True):
            found = column(index, sweep_id, judged_as(key))
            draws = None if about is None else _draws(index, found, mine[rows], each.estimates[rows])
            picked.append(replace(each.only(rows), draws=draws))
        return picked

    return Known(between, pick, pairs)


def _evidence(
    board: Board, found: Column, key: Key, mine: NDArray[np.intp], stopped: NDArray[np.bool_]
) -> tuple[Evidence, Spread | None]:
    """What is known of some variants on one number, without draws, and how these are spread; None where it is exact."""
    objective = objective_of(board, key)
    out = stopped if not board.axes[key].exact else np.zeros(mine.size, dtype=np.bool_)
    estimates = np.where(out, np.nan, found.estimate[mine])
    spread = found.spread
    drawn = np.isfinite(spread.deviation[mine]) & np.isfinite(estimates)
    if not drawn.any():
        if (found.low[mine] < found.high[mine])[~out].any():
            estimates = np.full(mine.size, np.nan)  # noisy, but nothing to pair
        return Evidence(objective, estimates), None
    worth = np.where(np.isfinite(estimates), found.evidence[mine], np.nan)
    known = np.isfinite(worth)
    span = float(np.max(found.span[mine][known], initial=0.0))
    n = int(worth[known].min()) if known.any() and span > 0 else None
    freedom = np.where(known, np.maximum(worth - 1, 1), np.inf) if known.any() and span <= 0 else None
    least, most = spread.least[mine], spread.most[mine]
    if objective.better == "higher":
        least, most = -most, -least
    about = Spread(np.where(drawn, spread.deviation[mine], np.inf), least, most, spread.own[mine])
    return Evidence(objective, estimates, None, n, span, freedom, extension(found.extended[mine])), about


def _draws(index: Index, found: Column, places: NDArray[np.intp], estimates: Floats) -> Floats:
    """[B, V] resamples of one number; the estimate throughout for a variant without."""
    nth = found.nth[places]
    draws = np.tile(estimates, (found.size, 1))
    there = np.flatnonzero(nth >= 0)
    draws[:, there] = index.resamples(nth[there].tolist(), found.size).T
    return about_estimates(draws, estimates)


def _with_stops(
    index: Index,
    sweep_id: str,
    keys: Sequence[Key],
    places: NDArray[np.intp],
    who: Members,
    state: NDArray[np.int8],
    by: NDArray[np.intp],
    words: NDArray[np.object_],
) -> None:
    """What a race stopped: dominated as the race showed it, where its objectives and its winner are in the field."""
    wanted = {judged_as(key) for key in keys}
    at = np.flatnonzero(who.stopped[places] & (state == NOT_EVALUATED))
    if not at.size:
        return
    shown = set(places.tolist())
    told = stops(index, sweep_id)
    for i in at.tolist():
        objectives, winner, reason = told[int(places[i])]
        if winner is not None and wanted <= {judged_as(key) for key in objectives} and winner in shown:
            state[i], by[i], words[i] = DOMINATED, winner, reason
        else:
            words[i] = "stopped by a race on other objectives or variants: `--no-race` completes it"


def members(index: Index, sweep_id: str) -> Members:
    """Who is at which place of a sweep."""

    def read() -> Members:
        rows = index.cursor().execute(
            "select place, recipe_id, dense_rank() over (order by base) as base, is_base, as_base, "
            "status = 'stopped' as gone from rows where sweep_id = ? order by place",
            [sweep_id],
        )
        found = rows.fetchnumpy()
        return Members(*(np.concatenate([each[:1], each]) for each in map(np.asarray, list(found.values())[1:])))

    return index.remembered(("members", sweep_id), read)


def column(index: Index, sweep_id: str, key: Key) -> Column:
    """One number of a sweep with the spread of its resamples."""

    def read() -> Column:
        size = index.large[sweep_id] + 1
        found = {name: np.full(size, np.nan) for name in ("estimate", "low", "high", "evidence", "span", "extended")}
        asked = [sweep_id, *key]
        where = "where sweep_id = ? and metric = ? and scope = ?"
        names = ", ".join(f"{name}::double as {name}" for name in found)
        told = index.cursor().execute(f"select place, {names} from cells {where}", asked).fetchnumpy()  # noqa: S608
        for name, values in found.items():
            values[told["place"]] = np.ma.filled(told[name], np.nan)
        drawn = index.cursor().execute(
            f"select place, deviation, least, most, own, nth, size from spreads {where}",  # noqa: S608
            asked,
        )
        spread = drawn.fetchnumpy()
        nth, size_of = np.full(size, -1, dtype=np.int64), 0
        if spread["place"].size:
            sizes, counts = np.unique(spread["size"], return_counts=True)
            size_of = int(sizes[counts.argmax()])
            nth[spread["place"]] = np.where(spread["size"] == size_of, spread["nth"], -1)
        ends = {name: np.full(size, np.nan) for name in ("deviation", "least", "most")}
        for name, values in ends.items():
            values[spread["place"]] = spread[name]
        own = np.zeros(size, dtype=np.bool_)
        own[spread["place"]] = spread["own"]
        return Column(**found, spread=Spread(**ends, own=own), nth=nth, size=size_of)

    return index.remembered(("column", sweep_id, key), read)


def stops(index: Index, sweep_id: str) -> Mapping[int, tuple[tuple[Key, ...], int | None, str]]:
    """place -> the race's objectives, the winner's place and the reason, of what a race stopped."""

    def read() -> dict[int, Any]:
        rows = index.cursor().execute(
            "select r.place, s.objectives, b.place, r.verdict_reason from rows r join snap.stops s "
            "on s.sweep_id = r.sweep_id and s.artefact_id = r.artefact_id left join rows b "
            "on b.sweep_id = r.sweep_id and b.recipe_id = r.dominated_by where r.sweep_id = ? and r.status = 'stopped'",
            [sweep_id],
        )
        return {
            place: (tuple((m, s) for m, s in json.loads(told)), winner, reason)
            for place, told, winner, reason in rows.fetchall()
        }

    return index.remembered(("stops", sweep_id), read)
