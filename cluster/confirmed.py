"""What `paredown confirm` prints: held-back numbers beside those chosen by, and how often they were opened."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bench.errors import BadInput
from bench.metrics import Metric, metric
from bench.store.openings import OpenedVariant, Opening
from bench.store.reader import Snapshot
from cluster.show import Printable
from leaderboard.format import MINUS, interval, number

Row = Mapping[str, Any]
SIGNED = "optimism_difference"  # numbers of such a name are written with their sign


def opened(snapshot: Snapshot, sweep: Row) -> Opening:
    """The newest opening of a sweep. Raises BadInput where there is none."""
    mine = [o for o in _openings(snapshot) if o.sweep_id == sweep["sweep_id"]]
    if not mine:
        raise BadInput(
            f"The sweep {sweep['name']!r} was not confirmed yet: `paredown confirm {sweep['name']}` looks at the "
            "examples that it has held back, which is done once."
        )
    return mine[-1]


def _openings(snapshot: Snapshot) -> list[Opening]:
    """Oldest first."""
    rows = snapshot.rows("select body from openings order by declared, identity")
    return [Opening.model_validate_json(row["body"]) for row in rows]


def without_numbers(snapshot: Snapshot, opening: Opening) -> list[OpenedVariant]:
    """The variants that the snapshot has not all held-back scores of."""
    have = {(row["recipe_id"], row["scope"]) for row in _rows(snapshot, opening)}
    return [v for v in opening.variants if any((v.recipe_id, task.name) not in have for task in opening.tasks)]


def _rows(snapshot: Snapshot, opening: Opening) -> list[dict[str, Any]]:
    return snapshot.rows("select * from confirmations where opening = ?", [opening.identity])


def confirmed_table(snapshot: Snapshot, asked: Opening) -> Printable:
    """One line a variant and number; the base first, then the shortlist as it was named."""
    openings = _openings(snapshot)
    opening = next((o for o in openings if o.identity == asked.identity), asked)
    rows = _rows(snapshot, opening)
    missing = {v.recipe_id: _why(snapshot, v) for v in without_numbers(snapshot, opening)}
    lines: list[tuple[str, ...]] = []
    for variant in opening.variants:
        mine = [row for row in rows if row["recipe_id"] == variant.recipe_id]
        lines += [(variant.name, *_cells(row)) for row in sorted(mine, key=lambda row: _place(opening, row))]
        if variant.recipe_id in missing:
            lines.append((variant.name, "–", "–", "–", "–", missing[variant.recipe_id]))
    columns = ("variant", "number", "held back", "chosen by", "optimism", "finding")
    times = [o for o in openings if o.shares_data(opening)]
    return Printable(
        f"{opening.sweep}: confirmed on held-back examples",
        columns,
        tuple(lines),
        _records(opening, rows, missing, times),
        (*_notes(opening), *_opened_notes(opening, times)),
        frozenset({"held back", "chosen by", "optimism"}),
    )


def _place(opening: Opening, row: Row) -> tuple[int, int]:
    """Tasks in their order, recovery after them; a score before its difference."""
    names = [task.name for task in opening.tasks]
    task = names.index(row["scope"]) if row["scope"] in names and row["metric"] != "recovery" else len(names)
    scores = [name for t in opening.tasks for name in (*t.metrics, *(metric(m).paired for m in t.metrics))]
    return task, scores.index(row["metric"]) if row["metric"] in scores else len(scores)


def _cells(row: Row) -> tuple[str, ...]:
    of = metric(row["metric"])
    title = f"{of.title}, {row['scope']}" if row["scope"] else of.title
    held = f"{number(row['estimate'], of.unit, of.name)} ({interval(row['low'], row['high'], of.unit, of.name)})"
    if row["chosen"] is None:
        return title, held, "–", "–", "not chosen by"
    low, high = row["optimism_low"], row["optimism_high"]
    ends = f"{_signed(low, of)} to {_signed(high, of)}" if _ratio(of) else interval(low, high, of.unit, SIGNED)
    return (
        title,
        held,
        number(row["chosen"], of.unit, of.name),
        f"{_signed(row['optimism'], of)} ({ends})",
        _finding(row),
    )


def _ratio(of: Metric) -> bool:
    return of.name.endswith("_ratio")


def _signed(value: float, of: Metric) -> str:
    """A difference of two numbers of this kind."""
    return f"{value:+.3f}×".replace("-", MINUS) if _ratio(of) else number(value, of.unit, SIGNED)


def _finding(row: Row) -> str:
    def size(value: float) -> str:
        return _signed(abs(value), metric(row["metric"])).removeprefix("+")

    return {
        "confirmed": f"confirmed within {size(row['optimism_high'])}",
        "overstated": f"overstated by at least {size(row['optimism_low'])}",
        "understated": f"better than it looked, by at least {size(row['optimism_high'])}",
        "open": "open: no two examples differ",
    }[row["finding"]]


def _why(snapshot: Snapshot, variant: OpenedVariant) -> str:
    """Why a variant has no number on some held-back examples."""
    keys = [key for found in variant.jobs.values() for key in found]
    rows = snapshot.rows(
        "select stage, failure, reason from records r where list_contains(?, key) and status = 'failed' and not exists "
        "(select 1 from records f where f.key = r.key and f.status = 'finished') order by ordinal desc limit 1",
        [keys],
    )
    return f"{rows[0]['stage']}: {rows[0]['failure']}: {rows[0]['reason']}" if rows else "not evaluated yet"


def _notes(opening: Opening) -> tuple[str, ...]:
    count, tasks = len(opening.shortlist), len(opening.tasks)
    return (
        f"Intervals: {100 * opening.level:g}% for all numbers of a kind at once (scores, differences from the base, "
        f"recoveries) over {count} variant{'s' * (count != 1)} and {tasks} task{'s' * (tasks != 1)}, by Bonferroni.",
        "Optimism: how much better the number looked that the variant was chosen by; confirmed within so much: the "
        "held-back examples contradict it by no more. None of these numbers enters a verdict.",
    )


def _opened_notes(opening: Opening, times: Sequence[Opening]) -> tuple[str, ...]:
    held = ", ".join(f"{task.held:,} of {task.examples:,} of {task.name}" for task in opening.tasks)
    found = [f"Held-back examples: {held}. Opened {_times(len(times))}: {'; '.join(_told(o) for o in times)}."]
    if opening.chosen_on:
        found.append(f"Not fresh when opened: {', '.join(opening.chosen_on)} chose by some of these examples.")
    earlier = [o for o in times if o.at < opening.at]
    if earlier:
        found.append(
            f"Not fresh when opened: it was opening {len(earlier) + 1}. Numbers of a shortlist that earlier openings "
            "led to are chosen by, and look better than they are."
        )
    return tuple(found)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _told(opening: Opening) -> str:
    names = ", ".join(variant.name for variant in opening.shortlist)
    return f"{opening.at[:16].replace('T', ' ')} UTC for {names} (sweep {opening.sweep}, {100 * opening.level:g}%)"


def _records(
    opening: Opening, rows: Sequence[Row], missing: Mapping[str, str], times: Sequence[Opening]
) -> dict[str, Any]:
    """Everything that was found, for programs."""
    fields = ("metric", "scope", "estimate", "low", "high", "level", "n", "method")
    told = ("chosen", "optimism", "optimism_low", "optimism_high", "finding")
    return {
        "sweep": opening.sweep,
        "sweep_id": opening.sweep_id,
        "opened": len(times),
        "openings": [json.loads(o.model_dump_json()) for o in times],
        "level": opening.level,
        "at": opening.at,
        "chosen_on": list(opening.chosen_on),
        "tasks": [json.loads(task.model_dump_json()) for task in opening.tasks],
        "variants": [
            {
                "name": variant.name,
                "recipe_id": variant.recipe_id,
                "artefact_id": variant.artefact_id,
                "is_base": variant.is_base,
                "missing": missing.get(variant.recipe_id),
                "numbers": [
                    {key: row[key] for key in (*fields, *told)} for row in rows if row["recipe_id"] == variant.recipe_id
                ],
            }
            for variant in opening.variants
        ],
    }
