"""The verb `paredown review`: a shortlist with its sensitivity, or a review with its history, printed or as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.errors import BadInput
from cluster.options import STORE, StoreOption, out
from cluster.report import write_whole

if TYPE_CHECKING:
    from bench.store.reader import Snapshot
    from bench.store.reviews import History
    from leaderboard.markdown import Part
    from leaderboard.review.case import Case

SUFFIXES = {".html": "html", ".htm": "html", ".md": "md"}


def review(
    review_id: Annotated[
        str | None, typer.Argument(metavar="[REVIEW]", help="Id of a review; without it, a question is answered.")
    ] = None,
    store: StoreOption = STORE,
    sweep: Annotated[str | None, typer.Option(help="Name of a sweep; the newest without it.")] = None,
    of: Annotated[str | None, typer.Option("--base", help="Base model, where the sweep has several.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="What must be kept, as 'size <= 100MB, recovery >= 99%'.")
    ] = None,
    weigh: Annotated[
        list[str] | None, typer.Option(help="What weighs how much, as 'accuracy=2, size=1'; all alike without it.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the reviews of the store.")] = False,
    to: Annotated[Path | None, typer.Option("--out", help="Write an .html or .md file.")] = None,
    form: Annotated[Literal["table", "json", "md"], typer.Option("--format", help="How to print.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Propose a shortlist under constraints and weights, or show a review and its decisions. Writes into no review."""
    from leaderboard.index import open_indexed
    from leaderboard.markdown import as_markdown
    from leaderboard.review.case import elsewhere_of, for_review, read_case, reasons_to_reopen
    from leaderboard.review.document import as_html, document
    from leaderboard.review.question import read_weights

    form = "json" if as_json else form
    if review_id and (sweep or of or where or weigh):
        raise BadInput("A review states its own question: leave --sweep, --base, --where and --weigh out.")
    if to is not None and to.suffix.lower() not in SUFFIXES:
        raise BadInput(f"--out is {str(to)!r}, but a review is an HTML or Markdown file: end it in .html or .md.")
    with open_indexed(store) as snapshot:
        if listed:
            _list(snapshot, form)
            return
        history = _history(snapshot, review_id) if review_id else None
        reasons: tuple[str, ...] = ()
        if history is None:
            weights = read_weights(weigh or ())
            case = read_case(snapshot, sweep, base=of, constraints=where or (), weights=weights)
        else:
            case = for_review(snapshot, history)
            reasons = reasons_to_reopen(case, history, elsewhere_of(snapshot, case, history))
    parts = document(case, history, reasons)
    if to is not None:
        title = history.opened.title if history and history.opened else f"Shortlist of {case.board.name}"
        text = as_html(parts, title) if SUFFIXES[to.suffix.lower()] == "html" else as_markdown(parts)
        write_whole(to, text, "review")
        out.print(f"{to}: {len(text.encode()) / 1e6:.2f} MB.", markup=False, soft_wrap=True)
    elif form == "json":
        out.print_json(json.dumps(_record(case, history, reasons)))
    elif form == "md":
        out.file.write(as_markdown(parts))
    else:
        _print(parts)


def _history(snapshot: Snapshot, review_id: str) -> History:
    """The events of a review. Raises BadInput where there is none, or none that can be read."""
    from bench.store.reviews import list_reviews, read_review

    known = [history.review for history in list_reviews(snapshot.folder)]
    found = [each for each in known if len(review_id) >= 6 and each.startswith(review_id)]
    if len(found) != 1:
        listed = ", ".join(known[:10]) or "none"
        raise BadInput(f"There is no review {review_id!r} in this store. Known: {listed}; `--list` tells them.")
    history = read_review(snapshot.folder, found[0])
    if history.opened is None:
        raise BadInput(f"The review {found[0]} cannot be shown. {' '.join(history.problems)}")
    return history


def _list(snapshot: Snapshot, form: str) -> None:
    from bench.store.reviews import list_reviews
    from cluster.show import Printable, print_table
    from leaderboard.markdown import plain

    found = list_reviews(snapshot.folder)
    rows: list[tuple[str, ...]] = []
    for history in found:
        first, last = history.opened, history.events[-1] if history.events else None
        state = "damaged" if history.problems else history.state
        when = last.at[:16].replace("T", " ") if last else "–"
        title, name = (first.title, first.sweep) if first else ("–", "–")
        rows.append((history.review, plain(title), plain(name), state, str(len(history.events)), when))
    records = [
        {"review": h.review, "state": h.state, "events": len(h.events), "problems": list(h.problems)}
        | {"title": h.opened.title if h.opened else None, "sweep": h.opened.sweep if h.opened else None}
        for h in found
    ]
    head = ("review", "title", "sweep", "state", "events", "last (UTC)")
    notes = () if found else ("There is no review in this store: open one on the page, `paredown board`.",)
    print_table(Printable("Reviews", head, tuple(rows), records, notes), form, out)


def _record(case: Case, history: History | None, reasons: tuple[str, ...]) -> dict[str, Any]:
    """Everything at full precision, for programs."""
    from leaderboard.held_back import standing
    from leaderboard.review.case import licences_of
    from leaderboard.review.record import shortlist_record

    told = shortlist_record(case.found)
    for each, candidate in zip(told["shortlist"], case.found.candidates, strict=True):
        licences = licences_of(case, candidate.row.recipe_id)
        each["licences"] = [dict(zip(("part", "name", "licence", "said_by"), line, strict=True)) for line in licences]
        each["held_back_examples"] = standing(case.held_back, case.board, candidate.row)
    return {
        "seen": case.seen.model_dump(mode="json"),
        **told,
        "review": None
        if history is None
        else {
            "id": history.review,
            "state": history.state,
            "reasons_to_reopen": list(reasons),
            "problems": list(history.problems),
            "events": [event.model_dump(mode="json") for event in history.events],
            "sha256": list(history.hashes),
        },
    }


def _print(parts: list[Part]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from leaderboard.markdown import Heading, plain
    from leaderboard.markdown import Table as Rows

    for part in parts:
        if isinstance(part, Rows):
            drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=any(part.head))
            for name in part.head:
                drawn.add_column(plain(name), overflow="fold")
            for row in part.rows:
                drawn.add_row(*(Text(plain(cell)) for cell in row))
            out.print(drawn)
        elif isinstance(part, Heading):
            out.print(Text(f"\n{plain(part.text)}" if part.level > 1 else plain(part.text), style="bold"))
        else:
            out.print(Text(plain(part.text)))
