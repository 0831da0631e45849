"""The verb `paredown export`: a variant as a folder that loads, with its model card, its recipe and its numbers."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import BadInput
from cluster.follow import say
from cluster.options import STORE, FormatOption, JsonOption, StoreOption, err, out

if TYPE_CHECKING:
    from bench.store.asked import Row
    from bench.store.reader import Snapshot
    from leaderboard.card.document import Made
    from leaderboard.card.subject import Subject

Variant = Annotated[str, typer.Argument(help="Its name, a part that no other has, or the start of its ids.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write, which must not exist or be empty.")]
CARD = "README.md"
ABOUT = (
    "One variant of a paredown sweep, told from the records of what built and measured it.",
    "`paredown plan` on this file shows what it would run; pinned data are refused where their rows have changed.",
)


def export(
    variant: Variant,
    folder: Folder,
    sweep: Annotated[str | None, typer.Option(help="Name of a sweep; the newest without it.")] = None,
    store: StoreOption = STORE,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Write a variant as a folder that loads, with a model card, its recipe and its numbers."""
    from bench.store.asked import find_variant
    from bench.store.handed_out import copy_artefact, new_folder
    from bench.store.loading import loading_of
    from leaderboard.card.subject import read_subject
    from leaderboard.index import open_indexed
    from leaderboard.large import board_in
    from leaderboard.rows import find_sweep

    form = "json" if as_json else form
    with open_indexed(store, partial(say, err, "")) as snapshot:
        asked = find_sweep(snapshot, sweep)
        names = snapshot.rows("select * from variants where sweep_id = ? order by position", [asked["sweep_id"]])
        found = find_variant(names, variant)
        artefact_id = _artefact_of(found)
        with new_folder(folder) as draft:
            copy_artefact(snapshot.folder.open_artefacts(), artefact_id, draft, _again(snapshot, asked["body"]))
            loading = loading_of(draft, asked["body"]["versions"])
            board = board_in(snapshot, asked["sweep_id"])
            about = read_subject(snapshot, board, found["recipe_id"], loading)
            made = _write_beside(snapshot, about, draft)
            sizes = {path.name: path.stat().st_size for path in sorted(draft.iterdir())}
    _print(about, made, folder, sizes, form)


def _artefact_of(variant: Row) -> str:
    """What was built of a variant. Raises BadInput where nothing was."""
    if variant["artefact_id"] is None:
        reason = f"it could not be built: {variant['reason']}" if variant["reason"] else "it is not built yet"
        raise BadInput(
            f"There is nothing to export of {str(variant['name'])!r}, for {reason.rstrip('.')}: run the sweep on, or "
            "choose another variant."
        )
    return str(variant["artefact_id"])


def _again(snapshot: Snapshot, body: Row) -> str:
    """The command that builds what is gone from the store."""
    asked = [str(word) for word in body.get("asked", ())] or ["SWEEP.yaml"]
    return shlex.join(["paredown", "run", *asked, "--store", snapshot.folder.location])


def _write_beside(snapshot: Snapshot, about: Subject, draft: Path) -> Made:
    """Write the recipe, the numbers and the card beside the model's files."""
    from bench.store.retold import Untold, problem_of, steps_of, sweep_of, written
    from bench.store.reviews import program
    from leaderboard.card.document import NUMBERS, RECIPE, Made, card, numbers
    from leaderboard.format import without_folders

    recipe_id = about.row.recipe_id
    steps: tuple[Any, ...] | None = None
    try:
        values = sweep_of(snapshot, about.body, recipe_id)
    except Untold as error:
        problem = str(error)
    else:
        steps = steps_of(values)
        (draft / RECIPE).write_text(written(values, (*ABOUT, f"Recipe id: {recipe_id}")), encoding="utf-8")
        problem = without_folders(problem_of(draft / RECIPE, recipe_id))
    made = Made(
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        program=program(),
        store=Path(snapshot.folder.location).name,
        steps=steps,
        problem=problem,
    )
    (draft / NUMBERS).write_text(numbers(about, made), encoding="utf-8")
    (draft / CARD).write_text(card(about, made), encoding="utf-8")
    return made


def _print(about: Subject, made: Made, folder: Path, sizes: dict[str, int], form: str) -> None:
    """Say where it is, how large, and how it loads; warn of what whoever deploys it should know."""
    from cluster.show import Printable, print_table
    from leaderboard.format import SIGNS, number
    from leaderboard.table import notes

    row, loading = about.row, about.loading
    warnings = list(notes(row, about.board))
    if row.verdict in ("dominated", "not evaluated") and not any(row.verdict_reason in each for each in warnings):
        warnings.insert(0, f"{row.verdict}: {row.verdict_reason}")
    if made.problem:
        warnings.append(f"recipe.yaml: {made.problem}")
    for warning in warnings:
        say(err, "Note", warning)
    size = number(float(sum(sizes.values())), "B")
    lines = loading.lines(str(folder))
    rows = (
        ("folder", str(folder)),
        ("size", f"{size}, {len(sizes)} files"),
        ("variant", row.name),
        ("verdict", f"{SIGNS[row.verdict]} {row.verdict}"),
        ("recipe", row.recipe_id),
        ("artefact", f"{row.artefact_id}: its files hash to this name"),
        ("needs", ", ".join(loading.needs)),
    )
    record: dict[str, Any] = {
        "folder": str(folder.absolute()),
        "bytes": sum(sizes.values()),
        "files": sizes,
        "variant": row.name,
        "recipe_id": row.recipe_id,
        "artefact_id": row.artefact_id,
        "sweep": about.board.name,
        "verdict": row.verdict,
        "loads_with": loading.library,
        "needs": list(loading.needs),
        "load": lines,
        "recipe_problem": made.problem or None,
        "notes": warnings,
    }
    print_table(Printable("Exported", ("what", "value"), rows, record), form, out)
    if form == "table":
        out.print(f"How it loads ({CARD} says more):\n\n{lines}", markup=False, highlight=False, soft_wrap=True)
