"""The verb `paredown report`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bench.errors import BadInput
from cluster.follow import say
from cluster.options import STORE, ObjectivesOption, ShownSweep, StoreOption, WhereOption, err, out

SUFFIXES = (".html", ".htm")


def report(
    sweep: ShownSweep = None,
    to: Annotated[Path, typer.Option("--out", help="The HTML file to write.")] = Path("report.html"),
    store: StoreOption = STORE,
    objectives: ObjectivesOption = None,
    where: WhereOption = None,
) -> None:
    """Write the leaderboard and its frontier as one HTML file that needs nothing else: for a mail, or to keep."""
    from leaderboard.index import LARGE, open_indexed
    from leaderboard.report import report_html
    from leaderboard.rows import read_draws
    from leaderboard.where import asked_board

    if to.suffix.lower() not in SUFFIXES:
        raise BadInput(f"--out is {str(to)!r}, but a report is an HTML file: give a name that ends in .html.")
    with open_indexed(store, partial(say, err, "")) as snapshot:
        board = asked_board(snapshot, sweep, objectives, where or ())
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
