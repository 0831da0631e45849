"""`paredown store`: make its query form anew, merge stores, export tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from bench.errors import BadInput, DiskFull, StaleLease, few
from cluster.options import STORE, StoreOption, err, out

Found = TypeVar("Found")
app = typer.Typer(no_args_is_help=True, help="Look after a store: rebuild, merge, export.")


@app.command()
def rebuild(store: StoreOption = STORE) -> None:
    """Make the query form and the snapshot of a store anew from its journal."""
    from bench.store.folder import open_folder
    from bench.store.upkeep import rebuild as rebuilt

    with err.status("") as status:
        found = _said(lambda: rebuilt(open_folder(store), status.update))
    say = f"{_count(found.records, 'record')} from {_count(found.parts, 'part')} of the journal"
    out.print(f"Made anew: {say}; published as {found.snapshot}.", highlight=False)


@app.command()
def merge(
    into: Annotated[Path, typer.Argument(metavar="INTO", help="A store, or a new folder that becomes one.")],
    sources: Annotated[list[Path], typer.Argument(metavar="FROM...", help="Stores, which stay as they are.")],
) -> None:
    """Copy what other stores hold into one, each record once. Safe to repeat after an interruption."""
    from bench.store.upkeep import merge as merged

    with err.status("") as status:
        found = _said(lambda: merged(into, sources, status.update))
    text = (
        f"Merged into {into}: {_count(found.entries, 'entry', 'entries')} in {_count(found.parts, 'part')}, "
        f"{_count(found.artefacts, 'artefact')}; {found.repeated:,} of the entries were there already."
    )
    if found.events:
        text += f" {_count(found.events, 'event')} of reviews came along."
    out.print(text, highlight=False, soft_wrap=True)
    for review in found.differing:
        say = f"The review {review} went on differently in both stores: {into} keeps what it had."
        out.print(say, highlight=False, soft_wrap=True)
    for names, why in (
        (found.missing, "not in any of the stores any more: a run that needs them builds them again"),
        (found.broken, "not what their names say, and were left out: `paredown verify` on their store says more"),
    ):
        if names:
            out.print(f"{_count(len(names), 'artefact')} ({few(names, 8)}) are {why}.", highlight=False, soft_wrap=True)


@app.command()
def export(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    store: StoreOption = STORE,
) -> None:
    """Write every table of a store as Parquet, with the schema, for other tools."""
    from bench.store.folder import open_folder
    from bench.store.upkeep import export as exported

    with err.status("") as status:
        found = _said(lambda: exported(open_folder(store), target, status.update))
    for name, count in found.rows.items():
        out.print(f"{target}/{name}.parquet: {_count(count, 'row')}", highlight=False, soft_wrap=True)
    out.print(f"{target}/schema.sql says what the columns mean.", highlight=False, soft_wrap=True)


def _said(work: Callable[[], Found]) -> Found:
    try:
        return work()
    except (DiskFull, StaleLease) as error:
        raise BadInput(f"{error}: mend that and run the same command again; nothing that was there is lost.") from error


def _count(number: int, one: str, more: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"
