"""The run of `paredown settle`: batches of leases and looks at the board in turn, and what it prints at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console

from bench.store.reader import open_snapshot
from cluster.follow import follow, say
from cluster.progress import of_the_run
from cluster.session import Options, run_batch
from cluster.settle import Contest, contests, next_batch
from cluster.show import Printable
from leaderboard.contests import price
from leaderboard.fronts import not_told_apart, recipes_of
from leaderboard.index import open_indexed
from leaderboard.rows import find_sweep

ENDLESS = 1e9  # seconds: a budget that has room for any lease


def settle_within(
    budget: float, asked: str | None, options: Options, err: Console
) -> tuple[list[Contest], list[Contest]]:
    """Measure until nothing more can be decided within so many seconds. Returns what was open before and after.

    Raises BadInput for a store or a sweep that cannot be settled, typer.Exit where a run ends early.
    """
    deadline = time.monotonic() + budget
    with open_indexed(options.store, partial(say, err, "")) as snapshot:
        sweep = find_sweep(snapshot, asked)
        before = found = contests(snapshot, sweep)
        run = of_the_run(snapshot.progress(sweep["sweep_id"]))
    while (batch := next_batch(sweep, found, deadline - time.monotonic(), run)) is not None:
        names = ", ".join(batch.jobs[0].names[1:])
        say(err, "Settling", f"{len(batch.jobs)} more leases of {names}: about {batch.seconds / 60:.1f} min")
        follow(partial(run_batch, batch, options), options.workers, err)
        with open_indexed(options.store) as snapshot:
            again = contests(snapshot, sweep)
        if [contest.leases for contest in again] == [contest.leases for contest in found]:
            say(err, "Stopped", "the leases could not be measured; `paredown show` says why.")
            break
        found = again
    else:
        if (said := why_no_batch(sweep, found, before is found)) is not None:
            say(err, "Stopped", said)
    return before, found


def why_no_batch(sweep: Mapping[str, Any], found: Sequence[Contest], nothing_bought: bool) -> str | None:
    """Why settling ends though something is contested; None where nothing is, or where the budget was simply spent."""
    if not any(contest.contested for contest in found):
        return None
    wished = next_batch(sweep, found, ENDLESS)
    if wished is None:
        return (
            "no further lease would decide a whole variant, and closing one comparison of it decides nothing while "
            "another stays open."
        )
    if not nothing_bought:
        return None
    each = wished.seconds / len(wished.jobs)
    return f"the budget has no room for what would decide most for its time, leases of about {each:,.0f} s."


class Left(NamedTuple):
    """What settling does not do."""

    coming: int = 0  # jobs of the sweep that are to come
    seeds: Sequence[str] = ()  # a sentence for each pair of recipes that their seeds do not tell apart: how many would
    limited: Sequence[str] = ()  # and one for each task whose data have a limit


NOTHING = Left()


def left_to_runs(asked: str | None, options: Options) -> Left:
    """What of a sweep only runs can do."""
    with open_snapshot(options.store) as snapshot:
        sweep = find_sweep(snapshot, asked)
        seeds = not_told_apart(recipes_of(snapshot, sweep["sweep_id"]))
        coming = of_the_run(snapshot.progress(sweep["sweep_id"])).get("open", 0)
    limited = [
        f"{task['name']} takes at most {task['limit']:,} rows of its data (`limit`): where they have more, a sweep "
        "with another limit narrows the scores that leave a comparison open, and evaluates all variants anew."
        for task in sweep["body"]["tasks"]
        if task.get("limit")
    ]
    return Left(coming, seeds, limited)


def settled_table(before: Sequence[Contest], after: Sequence[Contest], left: Left = NOTHING) -> Printable:
    """One line a variant that was contested: what became of it, and what would decide it.

    Where a task's data have a limit, that is said only of comparisons that leases do not decide.
    """
    records: list[dict[str, Any]] = []
    for first, last in zip(before, after, strict=True):
        now = {row.recipe_id: (row, n) for row, n in zip(last.rows, last.leases, strict=True)}
        open_before = {each.recipe_id for each in first.contested}
        reopened = [each for each in last.contested if each.recipe_id not in open_before]
        for each in (*first.contested, *reopened):
            # Of a large sweep only those are looked at that nothing beats even at the ends of its interval.
            gone = each if last.others else replace(each, verdict="dominated")
            row, leases = now[each.recipe_id] if each.recipe_id in now else (gone, first.leases[first.rows.index(each)])
            still = row.verdict == "contested"
            records.append(
                {
                    "variant": row.name,
                    "verdict": row.verdict,
                    "reopened": each.recipe_id not in open_before,
                    "leases": leases,
                    "open": last.missing(row) if still else "",
                    "price": asdict(last.price_of(row)) if still else None,
                }
            )
    lines = tuple((each["variant"], each["verdict"], str(each["leases"]), each["open"]) for each in records)
    again = sum(each["reopened"] for each in records)
    contested, decided = len(records) - again, sum(each["verdict"] != "contested" for each in records)
    rest = price(after)
    result = f"{decided} of {contested} contested variants decided." if contested else "Nothing was contested."
    notes = (
        f"{result} Verdicts hold at 95% together, over all looks.",
        f"{again} that had been decided {'is' if again == 1 else 'are'} contested again: each look leaves less of the "
        "error to the next, and new leases moved the estimates."
        if again
        else "",
        f"The sweep is not finished, {left.coming:,} of its jobs are to come: go on with it by `paredown run`, then "
        "settle."
        if left.coming
        else "",
        rest.sentence(),
        *(left.limited if rest.never else ()),
        *left.seeds,
    )
    told = {
        "contested": contested,
        "decided": decided,
        "variants": records,
        "price": asdict(rest),
        "to_come": left.coming,
        "seeds": [*left.seeds],
        "limited": [*left.limited],
    }
    columns = ("variant", "verdict", "leases", "still open")
    return Printable("settled", columns, lines, told, tuple(filter(None, notes)), right=frozenset({"leases"}))
