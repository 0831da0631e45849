"""The verbs `paredown show` and `paredown status`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from cluster.follow import say
from cluster.options import (
    A_TABLE,
    STORE,
    FormatOption,
    JsonOption,
    ObjectivesOption,
    ShownSweep,
    StoreOption,
    WhereOption,
    err,
    most_rows,
    out,
)


def show(
    sweep: ShownSweep = None,
    store: StoreOption = STORE,
    objectives: ObjectivesOption = None,
    where: WhereOption = None,
    against: Annotated[str | None, typer.Option(help="Compare every variant with this one.")] = None,
    across: Annotated[bool, typer.Option("--across", help="Orders that hardware classes do not share.")] = False,
    confirmed: Annotated[bool, typer.Option("--confirmed", help="What held-back examples said last.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help=f"Most variants to show, 0 for all; a table has {A_TABLE} without it."),
    ] = None,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Print the leaderboard of a store."""
    from bench.store.reader import open_snapshot
    from cluster.across import across_table, boards_across
    from cluster.confirmed import confirmed_table, opened
    from cluster.show import print_table
    from cluster.shown import shown
    from leaderboard.index import open_indexed
    from leaderboard.rows import find_sweep

    form = "json" if as_json else form
    if across or confirmed:
        with open_snapshot(store) as snapshot:
            if across:
                found = across_table(boards_across(snapshot, sweep))
            else:
                found = confirmed_table(snapshot, opened(snapshot, find_sweep(snapshot, sweep)))
    else:
        with open_indexed(store, partial(say, err, "")) as snapshot:
            found = shown(snapshot, sweep, objectives, where or (), against, most_rows(form, limit))
    print_table(found, form, out)


def status(
    sweep: ShownSweep = None,
    store: StoreOption = STORE,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Show how far a sweep is, who is running it, and what failed, by cause."""
    from bench.store.reader import open_snapshot
    from cluster.show import print_table
    from cluster.status import status_tables

    form = "json" if as_json else form
    with open_snapshot(store) as snapshot:
        worked, failures = status_tables(snapshot, sweep)
    print_table(worked, form, out)
    if failures.rows and form != "json":
        print_table(failures, form, out)
