"""A board's frontiers as wholes, and its recipes over their training seeds: rows of the store, and what they say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.metrics import METRICS
from bench.statistics.front import front_of
from bench.statistics.seeds import level_of_each, seeds_needed
from bench.store.reader import Snapshot
from leaderboard.format import difference, interval, number
from leaderboard.judging import evidence_of
from leaderboard.listing import Listing
from leaderboard.rows import Board, read_draws

Row = Mapping[str, Any]
ENOUGH_SEEDS = 5  # of training, for a sentence about a method
PARTS = {
    "seeds": "seed to seed",
    "sessions": "lease to lease",
    "examples": "example to example",
    "rest": "what is left",
}


@dataclass(frozen=True, slots=True)
class Whole:
    """What is not of single rows: a row of `fronts` a base, a row of `recipes` a recipe and number."""

    fronts: Sequence[Row] = ()
    recipes: Sequence[Row] = ()


def whole_of(snapshot: Snapshot, board: Board) -> Whole:
    """As the store has it; frontiers anew where the board is not of the declared objectives and all variants.

    Of a large sweep that is asked otherwise there are none.
    """
    recipes = recipes_of(snapshot, board.sweep_id)
    body = snapshot.body(board.sweep_id) or {"objectives": ()}
    if board.among is None and board.objectives == tuple((o["metric"], o["scope"]) for o in body["objectives"]):
        stored = "select * exclude (sweep_id) from fronts where sweep_id = ? order by base"
        return Whole(snapshot.rows(stored, [board.sweep_id]), recipes)
    if isinstance(board.rows, Listing):
        return Whole((), recipes)
    draws, found = read_draws(snapshot, board, board.objectives), []
    for base in board.bases:
        rows = [row for row in board.rows if row.base == base]
        front = front_of([evidence_of(board, key, rows, draws) for key in board.objectives])
        knee = None if front.knee is None else rows[front.knee].recipe_id
        found.append({"base": base, "size": front.size, "knee": knee, "hypervolume": front.hypervolume})
    return Whole(found, recipes)


def recipes_of(snapshot: Snapshot, sweep_id: str) -> list[Row]:
    """Recipes over their training seeds, each beside its base and beside others."""
    return list(snapshot.rows("select * exclude (sweep_id) from recipes where sweep_id = ? order by all", [sweep_id]))


def about_fronts(whole: Whole, names: Mapping[str, str]) -> list[str]:
    """One sentence a frontier. `names`: of variants, by recipe_id."""
    several = len(whole.fronts) > 1
    found = []
    for each in whole.fronts:
        many = "s" * (each["size"] != 1)
        text = f"Frontier of estimates{' of ' + each['base'] if several else ''}: {each['size']} variant{many}"
        if each["knee"] is not None:
            text += f", knee {names.get(each['knee'], each['knee'][:10])}"
        if each["hypervolume"] is not None:
            box = "the box from the best of all objectives to a tenth of their range beyond the worst"
            text += f", hypervolume {each['hypervolume']:.2f} of {box}"
        found.append(f"{text}.")
    return found


def about_recipes(recipes: Sequence[Row]) -> list[str]:
    """One sentence a recipe with several seeds, beside its base; then those of `not_told_apart`."""
    found = []
    for each in recipes:
        if each["estimate"] is not None and not each["other"]:
            split = _split(each)
            what = f"{METRICS[each['metric']].title}, {each['scope']}"
            found.append(f"{each['name']} {_over(each)}, {what}: {_shown(each)}{'; ' + split if split else ''}.")
    return found + not_told_apart(recipes)


def not_told_apart(recipes: Sequence[Row]) -> list[str]:
    """One sentence a pair of recipes whose interval over seeds holds no difference, with the seeds that would tell."""
    names = {each["recipe_group"]: each["name"] for each in recipes}
    family = Counter(_of(each) for each in recipes if each["other"])
    found = []
    for each in recipes:
        nothing = 1.0 if each["metric"].endswith("_ratio") else 0.0
        if each["other"] and each["low"] <= nothing <= each["high"]:
            pair = f"{each['name']} and {names[each['other']]} are not told apart {_over(each)} on"
            more = _more(each, family[_of(each)])
            found.append(f"{pair} {METRICS[each['metric']].title}, {each['scope']}: {_shown(each)}; {more}.")
    return found


def _over(each: Row) -> str:
    """Over how many seeds, and whether they are too few for a sentence about a method."""
    few = f" (fewer than {ENOUGH_SEEDS})" if each["seeds"] < ENOUGH_SEEDS else ""
    return f"over {each['seeds']} seeds{few}"


def _of(each: Row) -> tuple[str, ...]:
    """What recipes are compared on, all of them together."""
    return each["base"], each["metric"], each["scope"]


def _shown(each: Row) -> str:
    """The estimate with its interval."""
    between = interval(each["low"], each["high"], METRICS[each["metric"]].unit, each["metric"])
    return f"{_value(each['estimate'], each)} ({between})"


def _value(value: float, each: Row) -> str:
    wanted = METRICS[each["metric"]]
    return (number if each["metric"].endswith("_ratio") else difference)(value, wanted.unit, each["metric"])


def _split(each: Row) -> str:
    """Standard deviations of a single value by where they come from."""
    logged = each["metric"].endswith("_ratio")
    parts = {name: each[f"variance_{name}"] for name in PARTS if each[f"variance_{name}"] is not None}
    told = [
        f"{100 * math.sqrt(parts[name]):.1f}% {words}" if logged else f"{math.sqrt(parts[name]):.3g} {words}"
        for name, words in PARTS.items()
        if name in parts
    ]
    return f"a single value deviates by {', '.join(told)}" if told else ""


def _more(each: Row, comparisons: int) -> str:
    """How many seeds would tell two recipes apart, if their difference stays what it is."""
    if each["metric"].endswith("_ratio"):
        gap, reach = abs(math.log(each["estimate"])), math.log(each["high"] / each["low"]) / 2
    else:
        gap, reach = abs(each["estimate"]), (each["high"] - each["low"]) / 2
    wanted = seeds_needed(gap, reach, each["seeds"], level_of_each(comparisons))
    return "no number of seeds that is sensible would" if wanted is None else f"about {wanted} seeds of each would"
