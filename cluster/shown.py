"""What `paredown show` prints: the leaderboard, whole or under constraints, and all variants beside one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.statistics.frontier import Comparison
from bench.store.reader import Snapshot
from bench.store.required import finite
from cluster.show import Printable
from leaderboard.against import Beside, beside
from leaderboard.format import MINUS, SIGNS, difference, interval, number, rank
from leaderboard.fronts import Whole, about_fronts, about_recipes, whole_of
from leaderboard.judged import judged_axis, objective_of
from leaderboard.judging import separates_nothing
from leaderboard.rows import Axis, Board, Kept, Key, Place, Required, Row, Stopped
from leaderboard.table import Ties, comparisons, shared, ties_among
from leaderboard.where import asked_board

FLIPS = ("flips_gained", "flips_lost")  # of whole tasks; those of parts are in JSON
NOTHING_WHOLE = Whole()


def shown(
    snapshot: Snapshot,
    sweep: str | None,
    objectives: str | None = None,
    where: Sequence[str] = (),
    against: str | None = None,
    limit: int | None = None,
) -> Printable:
    """The table that is asked for. Raises BadInput.

    Args:
        snapshot: what to show.
        sweep: its name; the newest without one.
        objectives: metrics to judge on between commas; the declared ones without.
        where: constraints; variants that do not meet them are left out.
        against: a variant to compare all others with.
        limit: most variants to show, the best ones; all without.
    """
    board = asked_board(snapshot, sweep, objectives, where)
    if against is not None:
        return against_table(board, *beside(snapshot, board, against))
    return board_table(board, limit, whole_of(snapshot, board))


def board_table(board: Board, limit: int | None = None, whole: Whole = NOTHING_WHOLE) -> Printable:
    """The leaderboard: verdict and objectives first, then constraints, then flips, size and memory.

    Args:
        board: to show.
        limit: most variants; all without.
        whole: what is to be said of frontiers and recipes.
    """
    shown = board.rows[:limit] if limit else tuple(board.rows)
    keys = [key for key in comparisons(board) if key not in board.objectives]
    keys += [key for key in board.axes if key[0] in FLIPS and " / " not in key[1]]
    for extra in ("size", "host_peak", "latency_ms"):
        # Of several scopes, the one that an objective has.
        scopes = {scope for _, scope in board.objectives}
        there = [k for k in board.axes if k[0] == extra and k not in (*board.objectives, *keys)]
        keys += sorted(there, key=lambda k: k[1] not in scopes)[:1]
    main, rest = [board.axes[k] for k in board.objectives], [board.axes[k] for k in keys]
    columns: tuple[str, ...] = ("variant", "verdict", "share", *(axis.title for axis in main))
    columns += (*(required.text for required in board.constraints), *(axis.title for axis in rest))
    ties = ties_among(board.rows)
    rows = tuple(_cells(board, ties, row, main, rest) for row in shown)
    marked = [row for row in shown if row.undelivered]
    if marked:
        columns += ("notes",)
        rows = tuple((*c, "did not deliver" if row in marked else "") for c, row in zip(rows, shown, strict=True))
    right = frozenset({"share", *(axis.title for axis in (*main, *rest))})
    return Printable(
        f"{board.name}: leaderboard",
        columns,
        rows,
        board_records(board, shown, whole),
        _notes(board, shown, whole),
        right,
    )


def _notes(board: Board, shown: Sequence[Row], whole: Whole) -> tuple[str, ...]:
    objectives = ", ".join(board.axes[k].title for k in board.objectives)
    matters = [
        f"{difference(each.matters, axis.unit, axis.metric).lstrip('+')} on {each.name}"
        for k in board.objectives
        if (each := objective_of(board, k)).matters and (axis := judged_axis(board, k))
    ]
    found = [
        f"Hardware class: {board.hardware_class}.",
        f"Intervals: 95%. Verdicts, ranks and comparisons are simultaneous over all pairs on the objectives "
        f"{objectives}. Share: part of resamples in which the variant is on the frontier; not a probability.",
        "Below an objective: the ranks that a variant may have, letters (who shares one was not told apart), and how "
        "it compares with the base.",
    ]
    if matters:
        found.append(f"Smaller differences do not matter: {', '.join(matters)}.")
    if board.constraints:
        found.append("A constraint is met if the whole 95% interval meets it, not met if none of it does, else open.")
    if board.among is not None:
        count, of = board.among
        found.append(f"Frontier recomputed among {count} shown of {of} variants, and the base.")
    found += about_fronts(whole, {row.recipe_id: row.name for row in shown}) + about_recipes(whole.recipes)
    found += [sentence for key in board.objectives if (sentence := separates_nothing(board, key))]
    found.append(
        "An interval over examples and rounds speaks of this artefact; a recipe with one seed says so: one seed."
    )
    found += [f"{row.name} was {row.stopped.reason}; --no-race completes it." for row in shown if row.stopped]
    found += [f"{row.name} did not deliver: {'; '.join(row.undelivered)}." for row in shown if row.undelivered]
    if left := len(board.rows) - len(shown):
        found.append(f"{left:,} more rows are not shown: `paredown show --limit 0` shows all, --where some of them.")
    return tuple(found)


def _cells(board: Board, ties: Ties, row: Row, main: Sequence[Axis], rest: Sequence[Axis]) -> tuple[str, ...]:
    share = f"{100 * row.share:.0f}%" if row.verdict != "not evaluated" else "–"
    judged = (_join(_cell(row, axis), _place(row, axis.key, ties)) for axis in main)
    kept = (_kept(board, *pair) for pair in zip(board.constraints, row.kept, strict=True))
    told = f"{SIGNS[row.verdict]} {row.verdict}"
    return (row.name, told, share, *judged, *kept, *(_cell(row, axis) for axis in rest))


def _join(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _cell(row: Row, axis: Axis) -> str:
    cell = row.cells.get(axis.key)
    if cell is None:
        return "–"
    text = number(cell.estimate, axis.unit, axis.metric)
    if cell.low != cell.high:
        text += f" ({interval(cell.low, cell.high, axis.unit, axis.metric)})"
    return f"{text} {cell.note}" if cell.note else text


def _place(row: Row, key: Key, ties: Ties) -> str:
    """As "ranks 2 to 5, groups ab, worse"."""
    place = row.places.get(key)
    told = "" if place is None else rank(place.rank, shared(row, key, ties))
    return f"{told}, {place.relation}" if told and place and place.relation else told


def _kept(board: Board, required: Required, kept: Kept) -> str:
    """As "met (18.2 ms)"; an open one shows what straddles."""
    # A sweep cannot know the one scope of what is counted in builds, such as FLOPs, and leaves it empty.
    same = [axis for key, axis in board.axes.items() if key[0] == required.constraint.metric]
    axis = board.axes.get((required.constraint.metric, required.constraint.scope), same[0] if same else None)
    if kept.estimate is None or kept.low is None or kept.high is None or axis is None:
        return f"{kept.state} (no number)"
    if kept.low == kept.high:
        return f"{kept.state} ({number(kept.estimate, axis.unit, axis.metric)})"
    return f"{kept.state} ({interval(kept.low, kept.high, axis.unit, axis.metric)})"


def board_records(board: Board, shown: Sequence[Row], whole: Whole) -> dict[str, Any]:
    """Everything the board holds of the rows shown, for programs."""
    ties = ties_among(board.rows)
    return {
        "sweep": board.name,
        "sweep_id": board.sweep_id,
        "hardware_class": board.hardware_class,
        "published": board.published,
        "objectives": [
            {"metric": m, "scope": s, "matters": objective_of(board, (m, s)).matters} for m, s in board.objectives
        ],
        "separates_nothing": [text for key in board.objectives if (text := separates_nothing(board, key))],
        "among": None if board.among is None else dict(zip(("shown", "of"), board.among, strict=True)),
        "fronts": list(whole.fronts),
        "recipes": list(whole.recipes),
        "rows": len(board.rows),
        "variants": [_record(board, ties, row) for row in shown],
    }


def _stop(stop: Stopped) -> dict[str, Any]:
    """What a race said of a variant that it did not run to the end."""
    raced = [{"metric": metric, "scope": scope} for metric, scope in sorted(stop.objectives)]
    return {"by": stop.by, "reason": stop.reason, "objectives": raced}


def _record(board: Board, ties: Ties, row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "recipe_id": row.recipe_id,
        "artefact_id": row.artefact_id,
        "base": row.base,
        "is_base": row.is_base,
        "seed": row.seed,
        "status": row.status,
        "reason": row.reason,
        "verdict": row.verdict,
        "share": row.share,
        "verdict_reason": row.verdict_reason,
        "dominated_by": row.dominated_by,
        "undelivered": list(row.undelivered),
        "stopped": None if row.stopped is None else _stop(row.stopped),
        "standings": [_standing(ties, row, key, place) for key, place in sorted(row.places.items())],
        "constraints": [
            {
                "text": required.text,
                "metric": required.constraint.metric,
                "scope": required.constraint.scope,
                "operator": required.constraint.operator,
                "bound": required.constraint.bound,
                "state": kept.state,
                "estimate": kept.estimate,
                "low": kept.low,
                "high": kept.high,
            }
            for required, kept in zip(board.constraints, row.kept, strict=True)
        ],
        "numbers": [
            {
                "metric": metric,
                "scope": scope,
                "estimate": cell.estimate,
                "low": cell.low,
                "high": cell.high,
                "n": cell.n,
                "method": cell.method,
                "hardware_class": cell.hardware_class,
                "note": cell.note,
                "p": cell.p,
                "p_holm": cell.p_holm,
            }
            for (metric, scope), cell in sorted(row.cells.items())
        ],
    }


def _standing(ties: Ties, row: Row, key: Key, place: Place) -> dict[str, Any]:
    sharing = {other.recipe_id: other for letter in place.letters for other in ties.get((row.base, key, letter), ())}
    tied = [other.name for other in sharing.values() if other.recipe_id != row.recipe_id]
    beside_base = {"relation": place.relation, "difference": place.difference, "low": place.low, "high": place.high}
    return {
        "metric": key[0],
        "scope": key[1],
        "rank": None if place.rank is None else list(place.rank),
        "tie": place.tie,
        "tied_with": tied,
        "against_base": beside_base if place.relation else None,
    }


def against_table(board: Board, reference: Row, others: Sequence[Beside]) -> Printable:
    """Every variant minus one of them on every objective, with simultaneous intervals, and exact tests of flips."""
    axes = [judged_axis(board, key) for key in board.objectives]
    tested = list(dict.fromkeys(key for other in others for key in other.tests))
    columns = ("variant", *(axis.title for axis in axes), *(f"flips, {board.axes[key].title}" for key in tested))
    rows = tuple(
        (
            other.row.name,
            *(_compared(each, axis) for each, axis in zip(other.comparisons, axes, strict=True)),
            *(_tested(other, key) for key in tested),
        )
        for other in others
    )
    notes = [
        f"Differences are the variant's number minus that of {reference.name}; better and worse speak of the variant.",
        "Intervals: 95%, simultaneous over all pairs of variants, also those left out, and the objectives shown.",
    ]
    if tested:
        notes.append(
            "Flips: examples right in the variant only and in the other only, with McNemar's exact p; Holm's p is over "
            "the sweep's variants x its 0/1 metrics, whatever is shown."
        )
    records = {
        "sweep": board.name,
        "against": {"name": reference.name, "recipe_id": reference.recipe_id},
        "objectives": [{"metric": m, "scope": s} for m, s in board.objectives],
        "variants": [_beside_record(other, [axis.key for axis in axes]) for other in others],
    }
    return Printable(f"{board.name}: against {reference.name}", columns, rows, records, tuple(notes))


def _compared(each: Comparison, axis: Axis) -> str:
    if not math.isfinite(each.difference):
        return each.relation
    text = f"{each.relation}\n{difference(each.difference, axis.unit, axis.metric)}"
    if each.low == each.high or not math.isfinite(each.low):
        return text
    return f"{text} ({difference(each.low, axis.unit, axis.metric)} to {difference(each.high, axis.unit, axis.metric)})"


def _tested(other: Beside, key: Key) -> str:
    found = other.tests.get(key)
    if found is None:
        return "–"
    return f"+{found.gained} {MINUS}{found.lost} (p = {found.p:.2g}, Holm {found.p_holm:.2g})"


def _beside_record(other: Beside, keys: Sequence[Key]) -> dict[str, Any]:
    return {
        "name": other.row.name,
        "recipe_id": other.row.recipe_id,
        "comparisons": [
            {
                "metric": metric,
                "scope": scope,
                "relation": each.relation,
                **{name: finite(getattr(each, name)) for name in ("difference", "low", "high")},
            }
            for (metric, scope), each in zip(keys, other.comparisons, strict=True)
        ],
        "tests": [{"metric": metric, "scope": scope, **asdict(test)} for (metric, scope), test in other.tests.items()],
    }
