"""What a sweep tells the store about itself before its first job, so that the board can name what is still missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bench import licences
from bench.identity import canonical, digest
from bench.job import LATENCY_PROTOCOL, MEMORY_PROTOCOL
from bench.naming import names_of
from bench.recipe import Recipe
from bench.record import Frozen
from bench.store.journal import Entry
from bench.sweep import Sweep
from cluster.plan import Planner
from cluster.standing import Machine


class Declaration(Frozen):
    """The body of a sweep entry."""

    sweep_id: str
    name: str
    declared: str
    description: str
    asked: tuple[str, ...]
    hardware_class: str
    versions: dict[str, str]
    leases: int
    objectives: tuple[dict[str, Any], ...]
    constraints: tuple[dict[str, Any], ...]
    tasks: tuple[dict[str, Any], ...]
    variants: tuple[dict[str, Any], ...]
    licences: tuple[dict[str, Any], ...]  # of what variants were made of: each names its lines here
    questions: dict[str, dict[str, Any]]
    race: dict[str, Any]  # alpha, and the recipe_ids that are pinned
    limits: dict[str, Any]  # of one job, for what is asked of the variants later
    runner: str


def stands_on(recipe: Recipe) -> dict[str, None]:
    """recipe_ids, in order, of every build without which this recipe's cannot be: prefixes, teachers and theirs."""
    found: dict[str, None] = {}
    for length in range(len(recipe.stages) + 1):
        prefix = recipe.prefix(length)
        for name in prefix.stages[-1].step.teacher_names() if length else ():
            found |= stands_on(prefix.teacher(name))
        found[prefix.recipe_id] = None
    return found


def board_id(sweep: Sweep, machine: Machine) -> str:
    """A frontier lives in one hardware class, so the same sweep on another class is another board.

    So it is under other libraries or another way of measuring: what was found before counts for none of its numbers.
    """
    return digest(
        {
            "sweep": sweep.sweep_id,
            "hardware_class": machine.hardware_class,
            "versions": dict(machine.versions),
            "protocols": [LATENCY_PROTOCOL, MEMORY_PROTOCOL],
        }
    )


def declare(sweep: Sweep, machine: Machine, planner: Planner) -> Entry:
    """The journal entry that declares a sweep on a kind of machine.

    The same sweep may be declared with other constraints and differences that matter: it stays the same board, and the
    newest declaration counts.
    """
    variants, stated = _variants(sweep)
    sweep_id = board_id(sweep, machine)
    body = Declaration(
        sweep_id=sweep_id,
        name=sweep.name,
        declared=datetime.now(UTC).isoformat(timespec="milliseconds"),
        description=sweep.file.description,
        asked=sweep.asked,
        hardware_class=machine.hardware_class,
        versions=dict(machine.versions),
        leases=sweep.file.latency.leases,
        objectives=tuple({**o.model_dump(), "title": o.title} for o in sweep.objectives),
        constraints=tuple(c.model_dump() for c in sweep.constraints),
        tasks=tuple(
            {
                "name": task.name,
                "kind": task.kind,
                "fingerprint": task.fingerprint,
                "smaller_batches": [[t.fingerprint, t.settings["batch_tokens"]] for t in task.smaller_batches],
                "data_id": task.data_id,
                "examples": task.examples,
                **({"held_back": {"data_id": task.data_id, "examples": task.held}} if task.held else {}),
                **({"limit": task.data.limit} if task.data.limit else {}),
                "metrics": list(task.metrics),
                "licence": task.data.licence,
                "licences": licences.of_data("task data", task.name, task.data),
            }
            for task in sweep.tasks
        ),
        variants=variants,
        licences=stated,
        questions=planner.questions(),
        race={"alpha": sweep.file.race.alpha, "pinned": sorted(sweep.pinned)},
        limits=sweep.file.limits.model_dump(),
        runner=sweep.file.runner,
    )
    return Entry.statement("sweep", f"sweep {sweep_id} {body.declared}", body.model_dump(mode="json"))


def _variants(sweep: Sweep) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """What is declared of each variant, and all licences of what they were made of."""
    names = names_of(sweep.recipes)
    stated: dict[str, dict[str, Any]] = {}  # each licence once, in order
    variants = tuple(
        {
            "recipe_id": recipe.recipe_id,
            "position": position,
            "name": names[recipe.recipe_id],
            "base": recipe.base.name,
            "model": recipe.base.model,
            "licence": recipe.base.licence,
            "licences": _numbered(licences.of_recipe(recipe, sweep.file.data), stated),
            "is_base": recipe.is_base,
            "batch_dependent": recipe.batch_dependent,
            "seed": recipe.seed,
            "group": recipe.group_name,
            "steps": recipe.request["steps"],
            "prefixes": list(stands_on(recipe)),
            "chain": [recipe.prefix(length).recipe_id for length in range(len(recipe.stages) + 1)],
        }
        for position, recipe in enumerate(sweep.recipes)
    )
    return variants, tuple(stated.values())


def _numbered(found: list[licences.Stated], stated: dict[str, dict[str, Any]]) -> list[int]:
    """Places of licences among all that are stated, to which new ones are added: most variants share theirs."""
    names = [canonical(each) for each in found]
    for name, each in zip(names, found, strict=True):
        stated.setdefault(name, dict(each))
    places = {name: place for place, name in enumerate(stated)}
    return [places[name] for name in names]
