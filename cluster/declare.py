"""What a sweep tells the store about itself before its first job, so that the board can name what is still missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bench.identity import digest
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
    hardware_class: str
    versions: dict[str, str]
    leases: int
    objectives: tuple[dict[str, str], ...]
    tasks: tuple[dict[str, Any], ...]
    variants: tuple[dict[str, Any], ...]
    questions: dict[str, dict[str, Any]]


def board_id(sweep: Sweep, machine: Machine) -> str:
    """A frontier lives in one hardware class, so the same sweep on another class is another board."""
    return digest({"sweep": sweep.sweep_id, "hardware_class": machine.hardware_class})


def declare(sweep: Sweep, machine: Machine, planner: Planner) -> Entry:
    """The journal entry that declares a sweep on a kind of machine. The same declaration is made once."""
    variants = tuple(
        {
            "recipe_id": recipe.recipe_id,
            "position": position,
            "name": recipe.variant_name,
            "base": recipe.base.name,
            "model": recipe.base.model,
            "licence": recipe.base.licence,
            "is_base": recipe.is_base,
            "seed": recipe.seed,
            "group": recipe.group_name,
            "steps": recipe.request["steps"],
            "prefixes": [recipe.prefix(n).recipe_id for n in range(len(recipe.stages) + 1)],
        }
        for position, recipe in enumerate(sweep.recipes)
    )
    sweep_id = board_id(sweep, machine)
    body = Declaration(
        sweep_id=sweep_id,
        name=sweep.name,
        declared=datetime.now(UTC).isoformat(timespec="milliseconds"),
        description=sweep.file.description,
        hardware_class=machine.hardware_class,
        versions=dict(machine.versions),
        leases=sweep.file.latency.leases,
        objectives=tuple({**o.model_dump(), "title": o.title} for o in sweep.objectives),
        tasks=tuple(
            {
                "name": task.name,
                "kind": task.kind,
                "fingerprint": task.fingerprint,
                "examples": task.examples,
                "metrics": list(task.metrics),
                "licence": task.data.licence,
            }
            for task in sweep.tasks
        ),
        variants=variants,
        questions=planner.questions(),
    )
    return Entry.statement("sweep", f"sweep {sweep_id}", body.model_dump(mode="json"))
