"""The verb `paredown doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.follow import SOME_FAILED
from cluster.options import FormatOption, JsonOption, err, out


def doctor(
    address: Annotated[str | None, typer.Option(help="A Ray cluster; without it, this machine alone.")] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="The results folder: whether all nodes share it, and its room.")
    ] = None,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Check this machine, or a cluster, before a sweep: what is found, and what to mend."""
    from cluster.doctor import doctor_table, fit, look_at, look_here
    from cluster.show import print_table

    with err.status("looking"):
        found = look_here(store) if address is None else look_at(address, store)
    print_table(doctor_table(found), "json" if as_json else form, out)
    raise typer.Exit(0 if fit(found) else SOME_FAILED)
