"""The verb `paredown report`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bench.errors import BadInput
from cluster.follow import say
from cluster.options import STORE, StoreOption, err, out

SUFFIXES = (".html", ".htm")


def report(
    sweep: Annotated[
        str | None, typer.Argument(metavar="[SWEEP]", help="Name of a sweep; the newest without it.")
    ] = None,
    to: Annotated[Path, typer.Option("--out", help="The HTML file to write.")] = Path("report.html"),
    store: StoreOption = STORE,
    objectives: Annotated[str | None, typer.Option(help="Two or three metrics, as accuracy,latency_ratio.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Only what may keep this, as 'size <= 100MB, recovery >= 99%'.")
    ] = None,
) -> None:
    """Write the leaderboard and its frontier as one HTML file that needs nothing else: for a mail, or to keep."""
    from leaderboard.index import LARGE, open_indexed
    from leaderboard.judging import with_objectives
    from leaderboard.large import board_in
    from leaderboard.report import report_html
    from leaderboard.rows import read_draws
    from leaderboard.where import with_constraints

    if to.suffix.lower() not in SUFFIXES:
        raise BadInput(f"--out is {str(to)!r}, but a report is an HTML file: give a name that ends in .html.")
    with open_indexed(store, partial(say, err, "")) as snapshot:
        board = board_in(snapshot, sweep)
        if objectives:
            board = with_objectives(snapshot, board, [name.strip() for name in objectives.split(",")])
        if where:
            board = with_constraints(snapshot, board, where)
        count = len(board.rows)
        best = replace(board, rows=tuple(board.rows[:LARGE]))  # more would not fit
        text = report_html(best, read_draws(snapshot, best, board.objectives), count)
    write_whole(to, text, "report")
    out.print(f"{to}: {count:,} variants, {len(text.encode()) / 1e6:.2f} MB.", markup=False, soft_wrap=True)


def write_whole(path: Path, text: str, what: str) -> None:
    """Beside, then in place: nobody mails half a file. Raises BadInput where it cannot be written."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BadInput(
            f"The {what} {path} cannot be written ({error.strerror}): name another file with --out."
        ) from error
