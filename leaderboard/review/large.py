"""The shortlist of a large sweep: who may be on it is found in columns, and only those rows are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.metrics import of_base
from bench.statistics.constraints import Constraint
from leaderboard.judged import judged_axis
from leaderboard.large import Members, column, judge_field, members
from leaderboard.listing import Clause, Listing
from leaderboard.review.question import Question
from leaderboard.review.weights import scaled, scores
from leaderboard.rows import VERDICT_ORDER, Board, Draws, Key, Required, Row, judged_as
from leaderboard.where import understand

MOST_CANDIDATES = 2_000  # whose scores are resampled
MOST_OPEN = 100  # listed of those that may keep the constraints
Bools = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Large:
    """What a shortlist is made of, for a sweep whose rows are not all read."""

    board: Board  # with the question's constraints; its rows are those below
    kept: tuple[Row, ...]  # keep the constraints, have every number, and are not dominated
    ends: NDArray[np.float64] | None  # [2, K]: best and worst costs of all of those, where some are not read
    open: tuple[Row, ...]
    nearest: tuple[Row, ...]  # where nobody keeps them: who is nearest to each
    watched: Row | None  # a variant that was asked after, judged where it competes
    beaten_by: Mapping[str, str]
    draws: Draws
    counts: Mapping[str, int]
    has_met: bool


def read_large(board: Board, asked: Question, watched: str | None = None) -> Large:
    """Find and read them.

    Args:
        board: whose rows are a `Listing`.
        asked: the question.
        watched: recipe_id of a variant to be read in any case.
    """
    field = _field(board, asked)
    bound, listing, mine, met, broken, known = field
    keys = tuple(asked.weights)
    itself = listing.place_of(watched) if watched is not None else None
    rows, beaten, unscored, ends = _judged(bound, listing, asked, mine[known], itself)
    seen, beaten_by = _watched(field, keys, watched)
    open_ = mine[~met & ~broken]
    may = listing.read(np.unique([*open_[:MOST_OPEN], *open_[open_ == itself]]).tolist())
    near = () if known.any() else tuple(listing.read(_nearest(field)))
    if watched is not None and seen is None:
        seen = listing.find(watched)
    read = {row.recipe_id: row for row in (*near, *may, *rows, *((seen,) if seen else ()))}
    return Large(
        board=replace(bound, rows=tuple(read.values())),
        kept=tuple(rows),
        ends=ends,
        open=tuple(may),
        nearest=near,
        watched=seen,
        beaten_by=beaten_by,
        draws=_draws(listing, keys, rows),
        counts={
            "all": int(mine.size),
            "not met": int(broken.sum()),
            "open": int((~met & ~broken).sum()),
            "unknown": int((met & ~known).sum()),
            "beaten": beaten,
            "unscored": unscored,
        },
        has_met=bool(met.any()),
    )


def beaten_in_large(board: Board, asked: Question, watched: str) -> dict[str, str]:
    """recipe_id of one variant -> name of who dominates it among those who compete; empty where nobody does."""
    return _watched(_field(board, asked), tuple(asked.weights), watched)[1]


class _Field(NamedTuple):
    bound: Board  # with the question's constraints
    listing: Listing
    mine: Places  # [V] of the base's variants
    met: Bools  # [V] each: known to keep all bounds, to break one, to keep them and have every number
    broken: Bools
    known: Bools


def _field(board: Board, asked: Question) -> _Field:
    """Who competes."""
    listing = board.rows
    assert isinstance(listing, Listing)
    required = understand(board, asked.constraints) if asked.constraints else ()
    every = (*board.constraints, *required)
    listing = replace(listing, asked=(*listing.asked, *required))
    who = members(listing.source, listing.sweep_id)
    mine = np.flatnonzero(_of_base(listing, asked.base, who.is_base.size))
    met, broken = _states(listing, every, who, mine)
    known = met & _present(listing, board, tuple(asked.weights), who, mine)
    return _Field(replace(board, constraints=every), listing, mine, met, broken, known)


def _of_base(listing: Listing, base: str, size: int) -> Bools:
    found = np.zeros(size, dtype=np.bool_)
    found[listing.narrowed(Clause("r.base = ?", (base,))).places()] = True
    return found


def _ends(listing: Listing, constraint: Constraint, who: Members, mine: Places) -> tuple[NDArray[np.float64], ...]:
    """Both ends of the numbers that a bound is on; what compares with the base is known of its bytes."""
    found = column(listing.source, listing.sweep_id, (constraint.metric, constraint.scope))
    low, high = found.low[mine].copy(), found.high[mine].copy()
    itself = of_base(constraint.metric)
    if itself is not None:
        own = who.as_base[mine] & ~(low <= high)
        low[own] = high[own] = itself
    return low, high


def _holds(constraint: Constraint, values: NDArray[np.float64]) -> Bools:
    compare = {"<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater}[constraint.operator]
    return np.asarray(compare(values, constraint.bound), dtype=np.bool_)


def _states(listing: Listing, every: Sequence[Required], who: Members, mine: Places) -> tuple[Bools, Bools]:
    """[V] each: known to keep all bounds, known to break one (`bench.statistics.constraints.state`)."""
    met, broken = np.ones(mine.size, dtype=np.bool_), np.zeros(mine.size, dtype=np.bool_)
    for required in every:
        low, high = _ends(listing, required.constraint, who, mine)
        there = low <= high
        at_low, at_high = _holds(required.constraint, low), _holds(required.constraint, high)
        met &= there & at_low & at_high
        broken |= there & ~at_low & ~at_high
    return met, broken


def _present(listing: Listing, board: Board, keys: Sequence[Key], who: Members, mine: Places) -> Bools:
    """[V]: whether a variant has every number that is weighed, as it is judged."""
    found = np.ones(mine.size, dtype=np.bool_)
    for key in keys:
        each = column(listing.source, listing.sweep_id, judged_as(key))
        there = np.isfinite(each.estimate[mine])
        noisy = each.low[mine] < each.high[mine]
        if not board.axes[key].exact:
            there &= ~who.stopped[mine] & (np.isfinite(each.spread.deviation[mine]) | ~noisy)
        found &= there
    return found


def _judged(
    board: Board, listing: Listing, asked: Question, places: Places, itself: int | None
) -> tuple[list[Row], int, int, NDArray[np.float64] | None]:
    """Who of these is not dominated among them, how many are, how many more are too many to be scored, and the ends."""
    if not places.size:
        return [], 0, 0, None
    field, judged = _among(board, listing, tuple(asked.weights), places)
    best = (VERDICT_ORDER["certain"], VERDICT_ORDER["contested"])
    kept = judged.narrowed(Clause(f"{judged.standing} in (select unnest(?))", (best,)))
    some, ends = _best(listing, board, asked, np.sort(kept.places()).astype(np.intp), itself)
    return judged.read(some.tolist()), len(field) - len(kept), len(kept) - some.size, ends


def _watched(field: _Field, keys: Sequence[Key], watched: str | None) -> tuple[Row | None, dict[str, str]]:
    """A variant as it is judged among those who compete, if it is one of them or open, and by whom it is dominated."""
    if watched is None:
        return None, {}
    bound, listing, mine, met, broken, known = field
    places = mine[known | (~met & ~broken & (mine == listing.place_of(watched)))]
    if not places.size:
        return None, {}
    seen = _among(bound, listing, keys, places)[1].find(watched)
    by = listing.find(seen.dominated_by) if seen is not None and seen.dominated_by else None
    return seen, {seen.recipe_id: by.name} if seen is not None and by is not None else {}


def _among(board: Board, listing: Listing, keys: Sequence[Key], places: Places) -> tuple[Listing, Listing]:
    """The variants at these places, and the same judged among themselves."""
    field = listing.narrowed(Clause("r.place in (select unnest(?))", (tuple(places.tolist()),)))
    return field, replace(field, anew=judge_field(board, field, keys))


def _best(
    listing: Listing, board: Board, asked: Question, places: Places, itself: int | None
) -> tuple[Places, NDArray[np.float64] | None]:
    """At most so many, those with the best scores, and the scale of all; the one that is watched is among them."""
    if places.size <= MOST_CANDIDATES:
        return places, None
    keys = tuple(asked.weights)
    columns = [column(listing.source, listing.sweep_id, judged_as(key)).estimate[places] for key in keys]
    turn = [1 if judged_axis(board, key).better == "lower" else -1 for key in keys]
    costs = np.column_stack(columns) * turn
    ends = np.stack([costs.min(axis=0), costs.max(axis=0)])
    found = scores(scaled(costs, *ends), np.array(list(asked.weights.values())))
    found[places == itself] = -np.inf
    return np.sort(places[np.argsort(found, kind="stable")[:MOST_CANDIDATES]]), ends


def _nearest(field: _Field) -> list[int]:
    """For each bound, who keeps all others and misses it by least: what `nearest` looks among."""
    listing, every, mine = field.listing, field.bound.constraints, field.mine
    who = members(listing.source, listing.sweep_id)
    ends = [_ends(listing, required.constraint, who, mine) for required in every]
    keeps = [_holds(r.constraint, low) & _holds(r.constraint, high) for r, (low, high) in zip(every, ends, strict=True)]
    found: dict[int, None] = {}
    for which, required in enumerate(every):
        others = np.ones(mine.size, dtype=np.bool_)
        for i, kept in enumerate(keeps):
            others &= kept if i != which else True
        value = ends[which][1 if required.constraint.upper else 0]
        missed = np.where(others & np.isfinite(value), np.abs(value - required.constraint.bound), np.inf)
        if np.isfinite(missed).any():
            found[int(mine[int(missed.argmin())])] = None
    return list(found)


def _draws(listing: Listing, keys: Sequence[Key], rows: Sequence[Row]) -> Draws:
    """Resamples of the rows' numbers."""
    index, sweep_id = listing.source, listing.sweep_id
    wanted = {row.recipe_id for row in rows}
    every = members(index, sweep_id).recipes  # the first is no variant: places are counted from 1
    place_of = {recipe_id: at for at, recipe_id in enumerate(every.tolist()) if at and recipe_id in wanted}
    places = np.array([place_of[row.recipe_id] for row in rows], dtype=np.intp)
    found = {}
    for key in dict.fromkeys(judged_as(key) for key in keys):
        each = column(index, sweep_id, key)
        there = np.flatnonzero(each.nth[places] >= 0) if places.size else np.empty(0, dtype=np.intp)
        if there.size:
            drawn = index.resamples(each.nth[places[there]].tolist(), each.size)
            for at, values in zip(there.tolist(), drawn, strict=True):
                found[rows[at].recipe_id, key] = values.astype(np.float64)
    return found


def weighable_in(listing: Listing) -> set[Key]:
    """The numbers of a large sweep that were resampled or are exact, and differ between variants."""
    rows = listing.source.cursor().execute(
        "select metric, scope from cells where sweep_id = ? group by all having min(estimate) < max(estimate) and "
        "(max(evidence) is not null or bool_and(low = high))",
        [listing.sweep_id],
    )
    return {(metric, scope) for metric, scope in rows.fetchall()}
