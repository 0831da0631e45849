"""What held-back examples say of a variant, whether they were fresh, and the command that opens them. Draws nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.metrics import metric
from bench.store.openings import Opening, chosen_by, held_back
from bench.store.reader import Snapshot
from leaderboard.format import interval, number
from leaderboard.rows import Board, Row
from leaderboard.wording import SHORT

CONFIRMED = ("number", "on held-back examples", "on those chosen by", "finding")
CAME_OF_IT = {
    "confirmed": "Confirmed on held-back examples: they contradict no number that it was chosen by.",
    "contradicted": "Looked at on held-back examples: they contradict what it was chosen by ({numbers}).",
    "better there": "Looked at on held-back examples: it does better there than on those that a number was chosen by.",
    "not told apart": "Looked at on held-back examples: they do not tell enough to confirm what it was chosen by.",
    "not all evaluated": "Looked at on a part of the held-back examples: so far they contradict no number.",
    "not evaluated": "Its held-back examples are open, but there is no number of it on them.",
}
MOST_AT_ONCE = 20  # variants that a command names
MOST_NAMED = 3
USUAL = 0.95

Said = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Of one sweep: its openings, those of others on the same examples, and what came of them."""

    sweep_id: str
    declared: bool  # whether the sweep holds examples of every task back
    openings: tuple[Opening, ...]  # that look at the same data, of whatever sweep of the store; oldest first
    chosen_by: tuple[str, ...]  # other sweeps that chose by some of these examples
    numbers: tuple[Said, ...]  # rows of `confirmations` of this sweep

    def of(self, recipe_id: str) -> tuple[Opening, ...]:
        """Openings of this sweep that a variant took part in, oldest first."""
        mine = (o for o in self.openings if o.sweep_id == self.sweep_id)
        return tuple(o for o in mine if any(v.recipe_id == recipe_id for v in o.variants))

    def said(self, recipe_id: str, opening: Opening | None = None) -> tuple[Said, ...]:
        """What was found of a variant, in one opening or in all."""
        mine = (each for each in self.numbers if each["recipe_id"] == recipe_id)
        return tuple(each for each in mine if opening is None or each["opening"] == opening.identity)

    def missing(self, recipe_id: str, opening: Opening) -> tuple[str, ...]:
        """Names of the tasks on which an opening has no number of a variant: not evaluated yet, or in vain."""
        there = {each["scope"] for each in self.said(recipe_id, opening)}
        return tuple(task.name for task in opening.tasks if task.name not in there)


def read_held_back(snapshot: Snapshot, body: Mapping[str, Any], recipe_id: str | None = None) -> HeldBack:
    """Read it.

    Args:
        snapshot: the published state.
        body: of the sweep's declaration; its variants are not looked at.
        recipe_id: the only variant whose numbers are wanted; all without one.
    """
    sweep_id = body["sweep_id"]
    held = held_back(body)
    if not held:
        return HeldBack(sweep_id, declared=False, openings=(), chosen_by=(), numbers=())
    rows = snapshot.rows("select body from openings order by declared, identity")
    openings = (Opening.model_validate_json(row["body"]) for row in rows)
    mine = "select * from confirmations where sweep_id = ? and recipe_id = coalesce(?, recipe_id)"
    return HeldBack(
        sweep_id=sweep_id,
        declared=all("held_back" in task for task in body["tasks"]),
        openings=tuple(o for o in openings if held.keys() & {task.data_id for task in o.tasks}),
        chosen_by=chosen_by(snapshot, body),
        numbers=tuple(snapshot.rows(mine, [sweep_id, recipe_id])),
    )


def confirmed_rows(held: HeldBack, board: Board, recipe_id: str) -> list[tuple[str, ...]]:
    """A line (`CONFIRMED`) for each number of the newest opening that has a variant, and for each that is missing."""
    mine = held.of(recipe_id)
    if not mine:
        return []
    lines = [_line(board, each) for each in held.said(recipe_id, mine[-1])]
    return lines + [(task, "–", "–", "not evaluated") for task in held.missing(recipe_id, mine[-1])]


def _line(board: Board, each: Said) -> tuple[str, ...]:
    name, unit = each["metric"], metric(each["metric"]).unit
    there = f"{number(each['estimate'], unit, name)} ({interval(each['low'], each['high'], unit, name)})"
    chosen = "–" if each["chosen"] is None else number(each["chosen"], unit, name)
    return _title(board, each), there, chosen, each["finding"] or "not chosen by"


def _title(board: Board, each: Said) -> str:
    axis = board.axes.get((each["metric"], each["scope"]))
    if axis is not None:
        return axis.title
    title = metric(each["metric"]).title
    return f"{title}, {each['scope']}" if each["scope"] else title


def standing(held: HeldBack, board: Board, row: Row) -> str:
    """What held-back examples make of a variant, in a word or two: one of `CAME_OF_IT`, or why there is nothing."""
    mine = held.of(row.recipe_id)
    if not mine or row.is_base:
        return "base" if row.is_base else "not opened" if held.declared else "none held back"
    findings = {each["finding"] for each in held.said(row.recipe_id, mine[-1])} - {None}
    if contradicted(held, board, row.recipe_id):
        return "contradicted"
    if held.missing(row.recipe_id, mine[-1]):
        return "not all evaluated" if findings else "not evaluated"
    if findings == {"confirmed"}:
        return "confirmed"
    return "better there" if "understated" in findings else "not told apart"


def contradicted(held: HeldBack, board: Board, recipe_id: str) -> dict[str, str]:
    """What a variant was chosen by and held-back examples contradict: name of the number -> what they say.

    Of all openings: a later one, whose examples are the same, takes nothing back. A base, which takes part in each, was
    chosen by nothing.
    """
    found: dict[str, str] = {}
    if not any(each.recipe_id == recipe_id for opening in held.of(recipe_id) for each in opening.shortlist):
        return found
    for each in held.said(recipe_id):
        if each["finding"] == "overstated":
            title, there, chosen, _ = _line(board, each)
            found.setdefault(title, f"{there} on them, {chosen} on those chosen by")
    return found


def sentences(held: HeldBack, board: Board, row: Row, shortlist: Sequence[Row]) -> tuple[str, str | None]:
    """What held-back examples said of a variant, and the command that asks them where they have not said all.

    Args:
        held: of the board's sweep.
        board: of that sweep.
        row: the variant.
        shortlist: who is confirmed with it, so that the examples are opened once; the best first.
    """
    mine = held.of(row.recipe_id)
    if row.is_base:
        return "The base is what others are confirmed against.", None
    if mine:
        fresh, missing = _freshness(held, mine), held.missing(row.recipe_id, mine[-1])
        said = f"{_came_of_it(held, board, row, mine[-1])} {fresh}"
        if not missing:
            return said, None
        goes_on = _command(board, [v.recipe_id for v in mine[-1].shortlist], mine[-1].level)
        return f"{said} This command goes on, or says why it cannot:", goes_on
    if not held.declared:
        return "Not confirmed, and it cannot be: the sweep holds no examples back. Declare `holdout` in the file.", None
    if not _evaluated(board, row):
        return "Not confirmed: that takes the examples chosen by, on which it has not been evaluated.", None
    others = [each for each in shortlist if not each.is_base and each.recipe_id != row.recipe_id]
    others = [each for each in others if _evaluated(board, each)]
    ahead = {each.recipe_id for each in others[: MOST_AT_ONCE - 1]} | {row.recipe_id}
    listed = [each for each in shortlist if each.recipe_id in ahead]
    listed += [] if any(each.recipe_id == row.recipe_id for each in listed) else [row]
    who, beside = "it", len(listed) - 1
    if beside:
        who = f"it and {beside} other{'s' * (beside > 1)} of the shortlist"
    if beside < len(others):
        who = f"it and the first {beside} of {len(others):,} others of the shortlist"
    return (
        f"Not confirmed on unopened data. {_before(held)} This command opens them for {who}, at once:",
        _command(board, [each.recipe_id for each in listed], USUAL),
    )


def _evaluated(board: Board, row: Row) -> bool:
    """Whether a variant has a number on each task."""
    return row.artefact_id is not None and set(board.tasks) <= {scope for _, scope in row.cells}


def _command(board: Board, recipes: Sequence[str], level: float) -> str:
    """By identities, as names may hold anything; without the option that tells where the store is."""
    named = [recipe_id[:SHORT] for recipe_id in (board.sweep_id, *recipes)]
    return shlex.join(["paredown", "confirm", *named, *([] if level == USUAL else ["--level", f"{level:g}"])])


def _before(held: HeldBack) -> str:
    """Whether the examples of a sweep are fresh still."""
    spent = _spent(held.openings, held.chosen_by)
    if not spent:
        return "Held-back examples are fresh once: open them for the shortlist that you mean, not one after another."
    return f"The held-back examples are no longer fresh: {spent}."


def _freshness(held: HeldBack, mine: Sequence[Opening]) -> str:
    """Whether they were fresh when a variant was first looked at on them."""
    first = mine[0]
    spent = _spent([o for o in held.openings if o.at < first.at], first.chosen_on)
    said = f"They were not fresh: {spent}." if spent else "As far as this store knows, they were fresh."
    return f"{said} They were opened {len(mine)} times for it, and were fresh once at most." if len(mine) > 1 else said


def _spent(earlier: Sequence[Opening], chosen_by: Sequence[str]) -> str:
    told = []
    if earlier:
        last = earlier[-1]
        times = "once" if len(earlier) == 1 else f"{len(earlier)} times"
        names = _some([v.name for v in last.shortlist])
        when = last.at[:16].replace("T", " ")
        told.append(f"they were opened {times} before, last on {when} UTC for {names} (sweep {last.sweep})")
    if chosen_by:
        told.append(f"{_some(chosen_by)} chose by some of them")
    return ", and ".join(told)


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _came_of_it(held: HeldBack, board: Board, row: Row, newest: Opening) -> str:
    worse, missing = contradicted(held, board, row.recipe_id), held.missing(row.recipe_id, newest)
    said = CAME_OF_IT[standing(held, board, row)].format(numbers="; ".join(worse))
    return f"{said} Not evaluated on {_some(missing)}." if missing else said
