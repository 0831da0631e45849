"""From a sweep file to recipes: grids opened, names resolved, every step checked before anything is spent."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError

from bench.architecture import Architecture
from bench.axes import Objective, resolve_objectives
from bench.bases import resolve_base
from bench.data import DataSpec
from bench.errors import BadInput, unknown
from bench.holdout import check_held_apart
from bench.identity import digest
from bench.job import parts_of
from bench.naming import find_named
from bench.recipe import OWN_BASE, Base, Recipe, Stage, Step, step_class
from bench.requirements import Requirement, resolve_constraints
from bench.settings import what_is_at
from bench.sweep_file import FEWEST_ROUNDS, BaseSection, SweepFile, find_sweep, read_sweep, sentence
from bench.tasks.spec import TaskSpec, bind_task


@dataclass(frozen=True)
class Sweep:
    """A sweep with nothing left to look up."""

    file: SweepFile
    bases: tuple[Base, ...]
    tasks: tuple[TaskSpec, ...]
    recipes: tuple[Recipe, ...]
    objectives: tuple[Objective, ...]
    teachers: Mapping[str, Recipe]
    constraints: tuple[Requirement, ...] = ()
    pinned: frozenset[str] = frozenset()  # recipe_ids that a race never stops
    asked: tuple[str, ...] = ()  # the sweep and its overrides as the command line named them

    @property
    def name(self) -> str:
        return self.file.name

    @cached_property
    def sweep_id(self) -> str:
        """SHA-256 over everything that the sweep asks for.

        Constraints and differences that matter judge the same numbers: they are no part of it.
        """
        return digest(
            {
                "name": self.name,
                "recipes": [r.recipe_id for r in self.recipes],
                "tasks": [t.fingerprint for t in self.tasks],
                "objectives": [o.model_dump(exclude={"matters"}) for o in self.objectives],
                "latency": self.file.latency.model_dump(),
                "memory": self.file.memory.model_dump(),
            }
        )

    def data(self) -> Mapping[str, DataSpec]:
        """The data sets by name; those that steps use only as they were when the sweep was read."""
        ids = self.recipes[0].data_ids
        return {
            name: spec.model_copy(update={"pinned": ids.get(name, spec.pinned)})
            for name, spec in self.file.data.items()
        }

    def paths(self) -> tuple[str, ...]:
        """Folders and files of this machine that jobs read: models and data that neither ship nor come from the hub."""
        from bench.methods.checkpoint import Checkpoint

        steps = [stage.step for recipe in (*self.teachers.values(), *self.recipes) for stage in recipe.stages]
        models = [*(base.model for base in self.bases), *(s.id for s in steps if isinstance(s, Checkpoint))]
        named = (*models, *(spec.source for spec in self.file.data.values()))
        return tuple(dict.fromkeys(str(Path(name).absolute()) for name in named if what_is_at(name) != "nothing"))

    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Every declared (batch size, tokens) of the latency grid."""
        return tuple(product(self.file.latency.batch, self.file.latency.length))


def load_sweep(asked: str, overrides: Sequence[str] = ()) -> Sweep:
    """Read, resolve and check a sweep. Raises BadInput with one sentence; changes nothing anywhere."""
    return replace(resolve(read_sweep(find_sweep(asked), overrides)), asked=(asked, *overrides))


def resolve(file: SweepFile) -> Sweep:
    """Resolve a parsed sweep file."""
    bases = tuple(resolve_base(name, section.model, section.licence) for name, section in file.bases.items())
    tasks = tuple(bind_task(name, section, file.data, file.holdout) for name, section in file.tasks.items())
    names = {f"task {task.name}": task.manner for task in tasks}  # data sets are added as steps ask for them
    teachers = dict(_teachers(file, names))
    recipes = tuple(_recipes(file, bases, names, teachers))
    for recipe in (*teachers.values(), *recipes):
        _check_teachers(recipe)
    check_held_apart(tasks, file.data, (*teachers.values(), *recipes))
    for recipe in recipes:
        # Every recipe, for a checkpoint or a new head may change what the base was able to do.
        architecture = recipe.check()
        name = recipe.base.name if recipe.is_base else recipe.variant_name
        for task in tasks:
            task.check(architecture, name)
        _check_shapes(file, architecture, name)
    _check_time(file)
    objectives = resolve_objectives(file, tasks)
    pinned = find_named(recipes, file.race.pinned, "variant to pin")
    return Sweep(file, bases, tasks, recipes, objectives, teachers, resolve_constraints(file, tasks), pinned)


def _check_shapes(file: SweepFile, architecture: Architecture, name: str) -> None:
    """Raise BadInput where the model has fewer positions than a measured shape, or cannot write what is timed."""
    positions, longest, new = architecture.positions, max(file.latency.length), file.latency.new_tokens
    if new is not None and not (architecture.generates or architecture.causal):
        raise BadInput(
            f"latency.new_tokens is {new}, but the model {name!r} is {architecture.class_name}, which does not write: "
            "leave it out."
        )
    if positions is None:
        return
    if longest > positions:
        raise BadInput(
            f"latency.length asks for {longest} tokens but the model {name!r} has {positions} positions: choose a "
            "shorter length."
        )
    asked = 0 if new is None else new + (longest if architecture.causal else 1)
    if asked > positions:
        raise BadInput(
            f"latency.new_tokens is {new} after {longest} tokens, but the model {name!r} has {positions} positions: "
            "lower one of them."
        )


def _check_time(file: SweepFile) -> None:
    """Raise BadInput where a lease cannot reach its first look within the time limit of a job."""
    latency = file.latency
    parts = len(parts_of((1, 1), latency.new_tokens)) * len(latency.batch) * len(latency.length)
    burst = latency.burst_ms / 1e3 if latency.protocol == "steady" else 0.0
    rounds = min(latency.first_rounds, latency.max_rounds)
    least = rounds * 2 * 2 * parts * burst
    if latency.leases and least > file.limits.seconds:
        raise BadInput(
            f"limits.seconds is {file.limits.seconds:g}, but the first look at two models needs at least {least:.0f} s "
            f"({rounds} rounds of bursts of {latency.burst_ms:g} ms): raise it, or lower latency.burst_ms"
            f"{'' if rounds <= FEWEST_ROUNDS else ' or latency.first_rounds'}."
        )


def _teachers(file: SweepFile, names: dict[str, str]) -> Iterator[tuple[str, Recipe]]:
    """The models that the sweep's steps may learn from, each with what prepares it."""
    for name, section in file.teachers.items():
        if name == OWN_BASE:
            raise BadInput(f"teachers names one {OWN_BASE!r}, which always means a recipe's own base: choose another.")
        prepare = _prepare(section, f"teachers.{name}")
        _name_all(file, names, [stage.step for stage in prepare])
        base = resolve_base(name, section.model, section.licence)
        yield name, Recipe(base, prepare, names, len(prepare))


def _prepare(section: BaseSection, place: str) -> tuple[Stage, ...]:
    """The stages that make a base ready. They may have no teacher: what is being prepared cannot teach itself."""
    lines = list(_open(section.prepare))
    if len(lines) > 1:
        raise BadInput(f"{place}.prepare opens a grid; a base is one model: name two instead.")
    for step in lines[0]:
        if step.teacher_names():
            raise BadInput(
                f"{place}.prepare asks for the teacher {step.teacher_names()[0]!r} in its step {step.name}: a model is "
                "prepared without one; learn from a teacher in a recipe."
            )
    return tuple(Stage(step, section.seed) for step in lines[0])


def _name_all(file: SweepFile, names: dict[str, str], steps: Iterable[Step]) -> None:
    """Add the identities of the data sets that the steps ask for; raise BadInput for names the sweep lacks."""
    for step in steps:
        for name in step.data_names():
            if name not in file.data:
                raise unknown("data set in this sweep", name, file.data)
            if name not in names:
                names[name] = file.data[name].checked().data_id
        for name in step.task_names():
            if name not in file.tasks:
                raise unknown("task in this sweep", name, file.tasks)
        for name in step.teacher_names():
            if name != OWN_BASE and name not in file.teachers:
                raise unknown("teacher in this sweep", name, [OWN_BASE, *file.teachers])


def _check_teachers(recipe: Recipe) -> None:
    """Check every prefix against the teachers of its last step, both as they will be by then."""
    recipe.check()
    for length, stage in enumerate(recipe.stages, start=1):
        before = recipe.prefix(length - 1).check()
        for name in stage.step.teacher_names():
            stage.step.check_teacher(before, recipe.teacher(name).check(), name)


def _recipes(
    file: SweepFile, bases: Sequence[Base], names: dict[str, str], teachers: Mapping[str, Recipe]
) -> Iterator[Recipe]:
    """Base first, then every distinct recipe of the grids, for each base model."""
    lines = [line for recipe in file.recipes for line in _open(recipe)]
    _name_all(file, names, [step for line in lines for step in line])
    for base in bases:
        prepare = _prepare(file.bases[base.name], f"bases.{base.name}")
        _name_all(file, names, [stage.step for stage in prepare])
        seen: set[str] = set()
        for line, seed in product([(), *lines], file.seeds):
            stages = (*prepare, *(Stage(s, seed) for s in line))
            recipe = Recipe(base, stages, names, len(prepare), teachers)
            if recipe.recipe_id not in seen:
                seen.add(recipe.recipe_id)
                yield recipe


def _open(items: Sequence[Any]) -> Iterator[tuple[Step, ...]]:
    """Open the grids of one recipe: a list where a step or a setting stands means each of its entries in turn."""
    choices: list[list[Step | None]] = []
    for item in items:
        alternatives = item if isinstance(item, list) else [item]
        if not alternatives:
            raise BadInput(
                "A recipe has an empty list where a step should stand: an empty grid runs nothing; remove it."
            )
        choices.append([step for alternative in alternatives for step in _steps(alternative)])
    for line in product(*choices):
        yield tuple(step for step in line if step is not None)


def _steps(item: Any) -> list[Step | None]:
    """One entry of a recipe as the steps that its settings' grid opens into; null is 'no step'."""
    if item is None:
        return [None]
    if isinstance(item, str):
        item = {item: {}}
    if not isinstance(item, dict) or len(item) != 1:
        raise BadInput(f"A step is a name or a mapping of one name to its settings, but a recipe holds {item!r}.")
    ((name, settings),) = item.items()
    cls = step_class(str(name))
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise BadInput(
            f"The settings of step {name!r} are {settings!r}; give a mapping such as {name}: {{key: value}}."
        )
    grids: list[list[tuple[str, Any]]] = []
    for key, value in settings.items():
        values = value if _opens_grid(cls, str(key), value) else [value]
        if not values:
            raise BadInput(f"The setting {key!r} of step {name!r} is an empty list: an empty grid runs nothing.")
        grids.append([(str(key), v) for v in values])
    return [_step(cls, dict(chosen)) for chosen in product(*grids)]


def _step(cls: type[Step], settings: dict[str, Any]) -> Step:
    try:
        return cls.model_validate(settings)
    except ValidationError as error:
        raise BadInput(sentence(error, f"step {cls.name}", cls)) from error


def _opens_grid(cls: type[Step], key: str, value: Any) -> bool:
    """Whether a list stands where the setting wants a single value, or a list of lists where it wants a list."""
    if not isinstance(value, list):
        return False
    field = cls.model_fields.get(key)
    wants_list = field is not None and any(get_origin(t) in (tuple, list) for t in _members(field.annotation))
    return not wants_list or (bool(value) and all(isinstance(v, list) for v in value))


def _members(annotation: Any) -> list[Any]:
    union = get_origin(annotation) in (Union, types.UnionType)
    return list(get_args(annotation)) if union else [annotation]
