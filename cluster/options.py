"""Arguments and options that several verbs of the command share, and where they print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

WIDE = None if sys.stdout.isatty() else 170  # a file or a pipe has no width of its own
out = Console(width=WIDE)
err = Console(stderr=True)

STORE = Path("results/store")
A_TABLE = 100  # rows that people scroll through

SweepArgument = Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep file, or the name of one that ships.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[key=value ...]", help="Dotted keys override the file.")
]
ShownSweep = Annotated[str | None, typer.Argument(metavar="[SWEEP]", help="Name of a sweep; the newest without it.")]
ObjectivesOption = Annotated[str | None, typer.Option(help="Two or three metrics, as accuracy,latency_ratio.")]
WhereOption = Annotated[
    list[str] | None, typer.Option(help="Only what may keep this, as 'size <= 100MB, recovery >= 99%'.")
]
StoreOption = Annotated[Path, typer.Option("--store", help="The results folder.")]
FormatOption = Annotated[Literal["table", "json", "csv", "md"], typer.Option("--format", help="How to print.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
RunnerOption = Annotated[
    Literal["auto", "local", "ray"], typer.Option(help="Where jobs run; auto is ray if installed.")
]
AddressOption = Annotated[str | None, typer.Option(help="Ray cluster to use; one is started here without it.")]
HardwareOption = Annotated[
    str | None, typer.Option(help="Hardware class to measure on, or its beginning, where a cluster has several.")
]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Jobs side by side on this machine.")]
TakeOverOption = Annotated[bool, typer.Option("--take-over", help="End another driver's hold on the store.")]


def most_rows(form: str, asked: int | None = None) -> int | None:
    """How many rows to show in a form: as many as asked for, 0 for all; None is all."""
    if asked is None:
        asked = 0 if form in ("json", "csv") else A_TABLE
    return asked or None
