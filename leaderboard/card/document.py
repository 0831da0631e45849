"""The card's text: what the model is, how it loads, what was measured of it and what was not, and where it is from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.card.front import front_matter, stated_licence
from leaderboard.card.measured import conditions, measured
from leaderboard.card.subject import Subject
from leaderboard.decisions import fact_rows, promise_rows
from leaderboard.downloads import variant_json
from leaderboard.format import without_folders
from leaderboard.licences import NOT_RECORDED, NOT_STATED
from leaderboard.markdown import Code, Heading, Paragraph, Part, Table, as_markdown
from leaderboard.wording import settings_text

RECIPE, NUMBERS = "recipe.yaml", "numbers.json"
LICENCES = ("part", "name", "licence", "said by")
FACTS = ("after", "parameters", "bytes", "layers", "FLOPs", "types", "zeros", "operators of a forward pass")


@dataclass(frozen=True, slots=True)
class Made:
    """How the folder came about, which no store knows."""

    at: str  # UTC
    program: str  # name, version and sources
    store: str  # its name, without folders
    steps: tuple[Mapping[str, Any], ...] | None  # settings by the names of the recipe's file; None without one
    problem: str  # why there is no such file, or why it does not yield the recipe here; empty where it does


def card(about: Subject, made: Made) -> str:
    """The card, as Markdown with a block of YAML before it."""
    parts = [*_what(about), *_load(about), *_recipe(about, made), *measured(about)]
    parts += [*_shrunk(about), *_not_measured(about), *_licences(about), *_provenance(about, made), *conditions(about)]
    return f"---\n{front_matter(about)}\n---\n\n{as_markdown(parts)}"


def numbers(about: Subject, made: Made) -> str:
    """The same in full precision, as JSON."""
    row, board = about.row, about.board
    found = variant_json(row, board, about.known) | {
        "sweep_id": board.sweep_id,
        "against_base": [_against(key, place) for key, place in row.places.items()],
        "confirmations": [dict(each) for each in about.known.held_back.numbers],
        "promises": list(about.decisions.get("delivered", {}).get("steps", ())),
        "conditions": [dict(zip(about.conditions.columns, line, strict=True)) for line in about.conditions.rows],
        "not_measured": [{"number": title, "reason": reason} for title, reason in about.missing],
        "licences": [dict(zip(("part", "name", "licence", "said_by"), line, strict=True)) for line in about.licences],
        "reviews": [{"review": h.review, "sha256": h.hashes[-1]} for h in about.reviews],
        "snapshot": about.snapshot,
        "exported": made.at,
        "exported_by": made.program,
    }
    return json.dumps(_stated(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _stated(value: Any) -> Any:
    """As JSON can hold it: no infinities, no folders of the machine."""
    if isinstance(value, Mapping):
        return {key: _stated(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_stated(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return without_folders(value) if isinstance(value, str) else value


def _against(key: tuple[str, str], place: Any) -> dict[str, Any]:
    values = {"relation": place.relation, "difference": place.difference, "low": place.low, "high": place.high}
    return {"metric": key[0], "scope": key[1], **values}


def _what(about: Subject) -> Iterator[Part]:
    row, architecture = about.row, about.loading.architecture
    yield Heading(1, row.name)
    made = "the base model itself, as it was measured" if row.is_base else f"made of {row.base} ({about.known.model})"
    steps = f" in {len(row.steps)} step{'s' * (len(row.steps) != 1)}" if not row.is_base else ""
    yield Paragraph(
        f"A {architecture.class_name} {made}{steps}, from the sweep {about.board.name}. Its weights and tokenizer are "
        f"those that the numbers below were measured on, byte for byte (artefact {row.artefact_id})."
    )
    if about.board.description:
        yield Paragraph(f"The sweep: {about.board.description}")
    for history in about.reviews:
        names = ", ".join(dict.fromkeys(decision.person.name for decision in history.decisions))
        title = history.opened.title if history.opened else ""
        yield Paragraph(
            f"Approved by {names} in the review {title!r} ({history.review}; SHA-256 of its last event "
            f"{history.hashes[-1]})."
        )


def _load(about: Subject) -> Iterator[Part]:
    loading = about.loading
    yield Heading(2, "How to load it")
    yield Paragraph(f"Measured with, and to be installed: {', '.join(loading.needs)}.")
    if not loading.plain:
        yield Paragraph(f"{loading.reason}. These lines load it as it was measured:")
    yield Code(loading.lines(), "python")
    if loading.architecture.batch_dependent:
        yield Paragraph("What it predicts for a text depends on the texts beside it in the batch, and on padding.")
    if loading.architecture.labels:
        yield Paragraph(f"Labels, in the order of its outputs: {', '.join(loading.architecture.labels)}.")


def _recipe(about: Subject, made: Made) -> Iterator[Part]:
    row = about.row
    yield Heading(2, "Recipe")
    rows = [("0", "base model", about.known.model, "–")]
    named = made.steps or [step.settings for step in row.steps]
    for number, (step, settings) in enumerate(zip(row.steps, named, strict=True), start=1):
        told = without_folders(settings_text(settings))
        rows.append((str(number), step.name, told, "–" if step.seed is None else str(step.seed)))
    yield Table(("", "step", "settings", "seed"), rows)
    if made.steps is None:
        yield Paragraph(f"No file of the recipe is here: {made.problem}.")
        return
    said = f"{RECIPE} asks for this recipe alone, under the same tasks and measurements: paredown plan {RECIPE} shows "
    if made.problem:
        yield Paragraph(f"{said}what it would run. Where this was written it did not yield this recipe: {made.problem}")
    else:
        yield Paragraph(f"{said}the same recipe id, {row.recipe_id}; it did where this was written.")
    yield Paragraph("It names models and data by where they lay: other bytes under these names are another recipe.")


def _shrunk(about: Subject) -> Iterator[Part]:
    told: Mapping[str, Any] | None = about.decisions.get("delivered")
    yield Heading(2, "Did it shrink?")
    if not told or not told["steps"]:
        yield Paragraph(
            "No step promised anything." if about.row.is_base else "No record says what its steps promised."
        )
        return
    for sentence in about.row.undelivered:
        yield Paragraph(f"Not delivered: {sentence}")
    yield Paragraph("What each step says that it does to a model, and what was counted in it afterwards.")
    yield Table(("step", "promised", "verdict", "facts"), promise_rows(told), {"verdict": "Whether it kept that."})
    yield Table(FACTS, fact_rows(told))


def _not_measured(about: Subject) -> Iterator[Part]:
    board = about.board
    yield Heading(2, "What was not measured")
    by_reason: dict[str, list[str]] = {}
    for title, reason in about.missing:
        by_reason.setdefault(reason, []).append(title)
    if by_reason:
        yield Table(("not measured", "why"), [("; ".join(t), reason) for reason, t in by_reason.items()])
    tasks = "; ".join(f"{task['name']}, {task['examples']:,} examples" for task in about.known.tasks)
    yield Paragraph(f"Scores are of these data alone: {tasks}. Nothing is known of other data, languages or uses.")
    yield Paragraph(f"Times and memory are of one kind of machine, {board.hardware_class}: nothing is known of others.")
    if about.row.seed is not None:
        yield Paragraph(
            f"Intervals are of this artefact, trained with the seed {about.row.seed}: another gives another."
        )


def _licences(about: Subject) -> Iterator[Part]:
    yield Heading(2, "Licences, as stated")
    yield Table(LICENCES, about.licences)
    if not stated_licence(about.licences):
        yield Paragraph("The head of this card names no licence: not all models that went into it state the same one.")
    missing = sum(each[2] == NOT_STATED or each[2].startswith(NOT_RECORDED) for each in about.licences)
    if missing:
        yield Paragraph(f"{missing} of {len(about.licences)} state no licence: find it out before you pass this on.")


def _provenance(about: Subject, made: Made) -> Iterator[Part]:
    row, body = about.row, about.body
    yield Heading(2, "Where it is from")
    versions = ", ".join(f"{name} {number}" for name, number in body["versions"].items())
    rows = [
        ("recipe id", row.recipe_id),
        ("artefact", f"{row.artefact_id}: SHA-256 over the names and bytes of the model's files"),
        ("sweep", f"{about.board.name} ({about.board.sweep_id})"),
        ("declared", _moment(str(body["declared"]))),
        ("store", f"{made.store}, snapshot {about.snapshot}, published {_moment(about.board.published)}"),
        ("versions", versions),
        ("exported", f"{made.at}, by {made.program}"),
    ]
    yield Table(("", ""), rows)
    yield Paragraph(
        f"{NUMBERS} has every number in full precision, {RECIPE} the recipe, paredown.json how the model was saved. "
        "Whoever has paredown can hash the model's files again: the sum is the artefact's name."
    )
    yield Paragraph("This command makes the whole sweep again:")
    yield Code(about.known.command)
    yield Paragraph(about.known.command_note)
    yield Table(*_lineage(about.known.lineage.columns, about.known.lineage.rows))


def _lineage(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[Sequence[str], list[list[str]]]:
    """Who built what and when; settings and seeds stand in the recipe."""
    wanted = [place for place, name in enumerate(columns) if name not in ("settings", "seed", "worker")]
    told = [["–" if row[place] is None else _cell(row[place]) for place in wanted] for row in rows]
    return [columns[place] for place in wanted], told


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else without_folders(str(value))


def _moment(text: str) -> str:
    return f"{text[:19].replace('T', ' ')} UTC"
