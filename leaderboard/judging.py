"""Boards judged anew: on other objectives, or among some of the rows. The statistics are the store's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bench.errors import BadInput
from bench.statistics.objectives import Evidence, FloatArray, Objective, Piece, put_together
from bench.statistics.simultaneous import half_widths
from bench.statistics.standings import Standing, nothing_between, stand
from bench.store.reader import Snapshot
from leaderboard.axes import find_axis
from leaderboard.format import number
from leaderboard.judged import objective_of
from leaderboard.large import LEVEL, column, judge_field
from leaderboard.listing import Listing, Order
from leaderboard.rows import Board, Draws, Key, Place, Row, Stopped, judged_as, ranked, read_draws

Judging = Callable[[Board, Sequence[Row], Sequence[Key], Draws], tuple[Row, ...]]


def with_objectives(snapshot: Snapshot, board: Board, metrics: Sequence[str]) -> Board:
    """The same board judged on other objectives, named by metric or `metric:scope`. Raises BadInput."""
    keys = tuple(find_axis(board, name) for name in metrics)
    if len({judged_as(key) for key in keys}) < len(keys):
        raise BadInput(
            f"The objectives {', '.join(metrics)} name the same number twice, maybe in another form of it: name "
            "different ones."
        )
    for key in keys:
        sentence = separates_nothing(board, key)
        if sentence is not None:
            raise BadInput(sentence)
        if (sentence := tells_no_pair(board, key)) is not None:
            raise BadInput(f"{sentence}: choose another objective, or bound it with --where '{key[0]} ...'.")
    return judged_anew(snapshot, replace(board, objectives=keys))


def judged_anew(snapshot: Snapshot, board: Board) -> Board:
    """The same board with its rows judged among themselves on its objectives."""
    if isinstance(board.rows, Listing):
        anew = judge_field(board, board.rows, board.objectives)
        return replace(board, rows=replace(board.rows, anew=anew, order=Order(by="verdict")))
    rows = judge(board, board.rows, board.objectives, read_draws(snapshot, board, board.objectives))
    return replace(board, rows=ranked(rows, board.axes[board.objectives[0]]))


def separates_nothing(board: Board, key: Key) -> str | None:
    """One sentence on an objective that no row has a number for, or all the same; None where it may separate some."""
    axis = board.axes[key]
    values = _estimates(board, key)
    found = nothing_between(Evidence(Objective(axis.title, axis.better), np.array(values, dtype=np.float64)))
    if found == "has no number":
        return (
            f"No variant has a number for {axis.title}: run the sweep on, ask `paredown why VARIANT {axis.metric}`, or "
            "choose another objective."
        )
    if found is None:
        return None
    value = number(values[0], axis.unit, axis.metric)
    return (
        f"All {len(values)} variants with a number have the same {axis.title}, {value}: it separates nothing; choose "
        "another objective."
    )


def tells_no_pair(board: Board, key: Key) -> str | None:
    """Why no verdict rests on a noisy number that has an interval for each row, and none for the difference of two.

    Such as the 95th percentile of latency: each is known by itself, and whoever judged on it would show nothing.
    """
    of = judged_as(key)
    if isinstance(board.rows, Listing):
        found = column(board.rows.source, board.rows.sweep_id, of)
        noisy, paired = bool((found.low < found.high).any()), not np.isnan(found.evidence).all()
    else:
        cells = [row.cells[of] for row in board.rows if of in row.cells]
        noisy, paired = any(c.low < c.high for c in cells), any(c.evidence is not None for c in cells)
    if paired or not noisy:
        return None
    return (
        f"{board.axes[key].title} is known of each variant by itself, not of the difference of two, so that no "
        "frontier can be told from it"
    )


def _estimates(board: Board, key: Key) -> list[float]:
    if isinstance(board.rows, Listing):
        every = column(board.rows.source, board.rows.sweep_id, key).estimate[board.rows.places()]
        known: list[float] = every[~np.isnan(every)].tolist()
        return known
    return [row.cells[key].estimate for row in board.rows if key in row.cells]


def judge(board: Board, rows: Sequence[Row], keys: Sequence[Key], draws: Draws) -> tuple[Row, ...]:
    """`rows` with verdicts and places among themselves, on any chosen numbers: with the statistics of declared ones.

    Rows of different bases never beat each other: their latency ratios are ratios to different models.

    A difference is told with the simultaneous interval that it has among all rows of the board: whoever is left by a
    filter or a constraint may have been chosen by the very numbers that are judged, and the best of many equals is no
    better than they are. So a choice of rows changes who competes, and not how sure it is of a pair.
    """
    found: dict[str, Row] = {}
    for base in dict.fromkeys(row.base for row in rows):
        mine = [row for row in rows if row.base == base]
        different = tuple(dict.fromkeys(keys))
        evidence = [evidence_of(board, key, mine, draws) for key in different]
        reference = next((i for i, row in enumerate(mine) if row.is_base), None)
        found_verdicts, standings = stand(evidence, reference, widths=widths_among(board, different, mine, draws))
        for at, (row, v) in enumerate(zip(mine, found_verdicts, strict=True)):
            by = None if v.dominated_by is None else mine[v.dominated_by].recipe_id
            places = {key: _place(column[at]) for key, column in zip(different, standings, strict=True)}
            judged = replace(
                row, verdict=v.state, share=v.share, verdict_reason=v.reason, dominated_by=by, places=places
            )
            if row.stopped and v.state == "not evaluated":
                judged = _judge_stopped(judged, row.stopped, keys, {r.recipe_id for r in mine})
            found[row.recipe_id] = judged
    return tuple(found[row.recipe_id] for row in rows)


def widths_among(board: Board, keys: Sequence[Key], mine: Sequence[Row], draws: Draws) -> list[FloatArray] | None:
    """Half widths [V, V] among all rows of one base, those of `mine`, by number; None where these are all."""
    place = {row.recipe_id: i for i, row in enumerate(row for row in board.everyone if row.base == mine[0].base)}
    at = [place[row.recipe_id] for row in mine]
    if len(at) == len(place):
        return None
    whole = [row for row in board.everyone if row.base == mine[0].base]
    every = tuple(evidence_of(board, key, whole, draws) for key in keys)
    return [width[np.ix_(at, at)] for width in half_widths(every, LEVEL)]


def _judge_stopped(row: Row, stop: Stopped, keys: Sequence[Key], shown: set[str]) -> Row:
    """Better on every noisy objective is better on some of them too; of other objectives nothing is known."""
    if {judged_as(key) for key in keys} <= {judged_as(key) for key in stop.objectives} and stop.by in shown:
        return replace(row, verdict="dominated", verdict_reason=stop.reason, dominated_by=stop.by)
    return replace(row, verdict_reason="stopped by a race on other objectives or variants: `--no-race` completes it")


def _place(standing: Standing) -> Place:
    other = standing.against
    if other is None:
        return Place(standing.rank, standing.tie, None, None, None, None)
    difference, low, high = (x if math.isfinite(x) else None for x in (other.difference, other.low, other.high))
    return Place(standing.rank, standing.tie, other.relation, difference, low, high)


def evidence_of(board: Board, key: Key, rows: Sequence[Row], draws: Draws) -> Evidence:
    """What is known of the rows on one number, as it is judged."""
    axis, objective = board.axes[key], objective_of(board, key)
    key = judged_as(key)
    # What was stopped has seen other examples or rounds than the rest, and takes no part in what is noisy.
    cells = [None if row.stopped and not axis.exact else row.cells.get(key) for row in rows]
    return put_together(
        objective,
        [
            None if c is None else Piece(c.estimate, c.low < c.high, draws, c.evidence, c.span, c.extended)
            for c, draws in zip(cells, (draws.get((row.recipe_id, key)) for row in rows), strict=True)
        ],
    )
