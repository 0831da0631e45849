"""Steps, recipes and their identities.

A recipe is a base model and an ordered list of steps. Every prefix of it is a recipe too, with an identity of its own,
so that what two recipes begin with is built once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.architecture import Architecture
from bench.data import DataSpec
from bench.errors import BadInput, unknown
from bench.identity import digest, settings_of
from bench.methods import METHODS
from bench.settings import Settings

if TYPE_CHECKING:
    from bench.models import Loaded
    from bench.tasks.spec import TaskSpec

OWN_BASE = "base"  # the teacher that every recipe has: its base as it is compared with
Counted = Literal["parameters", "weights", "bytes", "layers", "flops"]  # of `bench.measure.delivered.Facts`


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a step may use while it is applied: its seed, and by name what its settings speak of."""

    seed: int
    data: Mapping[str, DataSpec]
    threads: int = 1
    teachers: Mapping[str, Path] = field(default_factory=dict)  # folders of artefacts
    tasks: Mapping[str, TaskSpec] = field(default_factory=dict)
    answers: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # by `Question.key`
    passes: Mapping[str, Path] = field(default_factory=dict)  # by `Question.key`, folders that studies have left
    draft: Path | None = None  # of a study: see `left`

    def left(self, name: str) -> Path:
        """Where a study writes a file that is kept for the steps that asked. TypeError outside of a study."""
        if self.draft is None:
            raise TypeError(f"{name} is left by a study, and nothing else has a place for it")
        return self.draft / name


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a step must learn of its parent's artefact, or of a teacher's, before it can be applied; a job of
    its own.

    With the artefact's bytes and the content of the data, kind and settings decide the answer.
    """

    kind: str
    settings: Mapping[str, Any]
    data: tuple[str, ...] = ()  # names of data sets of the sweep
    tasks: tuple[str, ...] = ()  # names of tasks of the sweep
    teacher: str | None = None  # the teacher that is asked; without one the parent is

    @property
    def key(self) -> str:
        asked = {"kind": self.kind, "settings": dict(self.settings), "data": self.data, "tasks": self.tasks}
        return digest(asked if self.teacher is None else {**asked, "teacher": self.teacher})


@dataclass(frozen=True, slots=True)
class Promise:
    """What a step says of the model that it leaves, beside the one that it was given. Facts are held against it.

    `weights` are parameters without the scales and zero points that quantising adds. A broken promise marks the row on
    the board and fails nothing.
    """

    fewer: tuple[Counted, ...] = ()
    same: tuple[Counted, ...] = ()
    sparser: bool = False  # a larger share of the weights is zero
    computes_in: str | None = None  # type in which some of its products must run, such as "int8"
    plain: bool = False  # no mask, adapter or parametrization stays on the model


@dataclass(frozen=True, slots=True)
class Held:
    """What a step has in memory while it is applied, for who finds it a place.

    `copies` of its parent's weights, teachers apart; activations of passes of `rows` x `tokens`, of one layer at a time
    or, where it trains, of all.
    """

    copies: float = 2.0  # what it was given and what it makes
    rows: int = 0
    tokens: int = 0
    trains: bool = False


TRAINED_COPIES = 5.0  # weights, gradients, two moments of Adam, and what is written


def keeps_shape(before: Architecture, after: Architecture) -> Promise:
    """The promise of a step that changes values alone, but for a head where the task becomes another one."""
    same_head = before.class_name == after.class_name and len(before.labels or ()) == len(after.labels or ())
    same: tuple[Counted, ...] = ("parameters", "bytes", "layers", "flops") if same_head else ("layers",)
    return Promise(same=same, plain=True)


class Step(Settings):
    """One compression method with its settings. Subclasses are named in `bench.methods.METHODS`."""

    name: ClassVar[str]
    version: ClassVar[int]  # raised by hand whenever the same settings would give other bytes
    stochastic: ClassVar[bool] = False
    follows: ClassVar[tuple[str, ...]] = ()  # steps that leave no plain weights, which this one may come after
    # Settings, dotted where they are nested, that name a data set, a task or a teacher of the sweep.
    data_settings: ClassVar[tuple[str, ...]] = ()
    task_settings: ClassVar[tuple[str, ...]] = ()
    teacher_settings: ClassVar[tuple[str, ...]] = ()

    def check(self, architecture: Architecture) -> Architecture:
        """The architecture after this step. Raises BadInput where the step does not fit. Pure; needs no weights."""
        raise NotImplementedError

    def check_among(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Architecture:
        """As `check`, for a step that takes something over from its teachers: their labels, or all they are. Pure."""
        del teachers
        return self.check(architecture)

    def check_teacher(self, student: Architecture, teacher: Architecture, name: str) -> None:
        """Raise BadInput where the model before this step cannot learn from the teacher of that name."""
        del student, teacher, name

    def label(self, architecture: Architecture) -> str:
        """A few words for people, given the architecture before the step."""
        raise NotImplementedError

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        """What facts must show after the step, given the architecture before it and its teachers'. Pure."""
        del architecture, teachers
        return Promise()

    @classmethod
    def gpu(cls, settings: Mapping[str, Any]) -> str | None:
        """The GPU on which a step with these settings is applied; None for the CPU. Pure, and asked of every build."""
        del settings
        return None

    def check_machine(self) -> None:
        """Raise BadInput where this machine, as this process sees it, cannot apply the step."""

    def holds(self) -> Held:
        """What is in memory while the step is applied or asks. Pure."""
        return Held()

    def teachers_held(self, *, passed: bool) -> tuple[str, ...]:
        """Names of the teachers whose weights are in memory while the step is applied. Pure.

        `passed`: whether studies have left files for it, as what a teacher says.
        """
        del passed
        return self.teacher_names()

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        """Carry the step out. Runs on a worker; may change `model` in place."""
        raise NotImplementedError

    def questions(
        self, answers: Mapping[str, dict[str, Any]], before: Architecture, teachers: Mapping[str, Architecture]
    ) -> tuple[Question, ...]:
        """What must be known next; nothing once `apply` can run. Pure.

        Args:
            answers: those so far, by `Question.key`.
            before: the architecture before the step.
            teachers: architectures by name.
        """
        del answers, before, teachers
        return ()

    def study(self, model: Loaded, question: Question, work: Workplace) -> dict[str, Any]:
        """Answer a question in plain finite JSON, and with files (`work.left`) where that is not the form for it.

        Runs on a worker; `model` is the parent's, or that of the teacher asked.
        """
        raise NotImplementedError

    def data_names(self) -> tuple[str, ...]:
        """The names of the data sets that the settings ask for."""
        return self._named(self.data_settings)

    def task_names(self) -> tuple[str, ...]:
        """The names of the tasks that the settings ask for."""
        return self._named(self.task_settings)

    def teacher_names(self) -> tuple[str, ...]:
        """The names of the teachers that the settings ask for; `OWN_BASE` is the recipe's own base."""
        return self._named(self.teacher_settings)

    def _named(self, settings: Sequence[str]) -> tuple[str, ...]:
        values = self.model_dump(mode="json")
        return tuple(dict.fromkeys(str(inner[key]) for s in settings for inner, key in _places(values, s)))

    def request(self, names: Mapping[str, str], seed: int | None) -> dict[str, Any]:
        """What identifies this step: settings with names replaced by what they stand for, version, seed if any.

        Args:
            names: identities by the name of a data set, by "task NAME" and by "teacher NAME".
            seed: of the recipe; counts only for a stochastic step.
        """
        settings = settings_of(self.model_dump(mode="json"))
        kinds = (("", self.data_settings), ("task ", self.task_settings), ("teacher ", self.teacher_settings))
        for prefix, paths in kinds:
            for path in paths:
                for inner, key in _places(settings, path):
                    inner[key] = names[prefix + str(inner[key])]
        return {
            "step": self.name,
            "version": self.version,
            "settings": settings,
            "seed": seed if self.stochastic else None,
        }


def _places(settings: dict[str, Any], path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Where the setting of a dotted path stands, as (mapping, key); nothing where it is not set."""
    *above, key = path.split(".")
    inner: Any = settings
    for part in above:
        inner = inner.get(part) if isinstance(inner, dict) else None
    if isinstance(inner, dict) and inner.get(key) is not None:
        yield inner, key


def step_class(name: str) -> type[Step]:
    """The class of a method. Raises BadInput with near misses for an unknown name."""
    if name not in METHODS:
        raise unknown("step", name, METHODS)
    module, attribute = METHODS[name].split(":")
    found: type[Step] = getattr(import_module(module), attribute)
    return found


@dataclass(frozen=True, slots=True)
class Stage:
    """A step at its place in a recipe, with the seed it runs under."""

    step: Step
    seed: int


@dataclass(frozen=True, slots=True)
class Base:
    """A base model as resolved: where its files are and the identity of their bytes."""

    name: str
    model: str
    folder: str
    identity: str  # hub commit, or SHA-256 of the files' bytes
    architecture: Architecture
    licence: str | None = None


@dataclass(frozen=True)
class Recipe:
    """A base model and the stages applied to it; the first `prepared` stages make the base that is compared with."""

    base: Base
    stages: tuple[Stage, ...]
    data_ids: Mapping[str, str]  # of data sets by name, of tasks by "task NAME"
    prepared: int = 0
    teachers: Mapping[str, Recipe] = field(default_factory=dict)  # of the sweep, by name

    @cached_property
    def request(self) -> dict[str, Any]:
        """Everything that decides which bytes a build should give."""
        names = dict(self.data_ids)
        for name in dict.fromkeys(n for s in self.stages for n in s.step.teacher_names()):
            names[f"teacher {name}"] = self.teacher(name).recipe_id
        return {"base": self.base.identity, "steps": [s.step.request(names, s.seed) for s in self.stages]}

    def teacher(self, name: str) -> Recipe:
        """The recipe whose artefact is the teacher of that name. Raises BadInput for an unknown one."""
        if name == OWN_BASE:
            return self.prefix(self.prepared)
        if name not in self.teachers:
            raise unknown("teacher in this sweep", name, [OWN_BASE, *self.teachers])
        return self.teachers[name]

    @cached_property
    def recipe_id(self) -> str:
        """SHA-256 of the canonical JSON of the request."""
        return digest(self.request)

    @property
    def is_base(self) -> bool:
        return len(self.stages) == self.prepared

    @property
    def seed(self) -> int | None:
        """The seed of the variant, None where no step after the base depends on one."""
        return next((s.seed for s in self.stages[self.prepared :] if s.step.stochastic), None)

    def prefix(self, length: int) -> Recipe:
        return Recipe(self.base, self.stages[:length], self.data_ids, min(self.prepared, length), self.teachers)

    def check(self) -> Architecture:
        """The architecture that the recipe ends with. Raises BadInput where a step does not fit what is before it."""
        return self._architecture

    @cached_property
    def _architecture(self) -> Architecture:
        architecture = self.base.architecture
        for number, stage in enumerate(self.stages, start=1):
            try:
                architecture = self._after(stage.step, architecture)
            except BadInput as error:
                raise BadInput(f"Step {number} ({stage.step.name}) of {self.base.name!r}: {error}") from error
        return architecture

    @cached_property
    def batch_dependent(self) -> bool:
        """Whether a step, or the base that may be asked about the outcome, ties predictions to batch-mates."""
        return self.check().batch_dependent or self.prefix(self.prepared).check().batch_dependent

    def _after(self, step: Step, architecture: Architecture) -> Architecture:
        if architecture.sealed and architecture.sealed not in step.follows:
            raise BadInput(f"{step.name} cannot follow {architecture.sealed}: put it before, or leave it out.")
        return step.check_among(architecture, {name: self.teacher(name).check() for name in step.teacher_names()})

    @cached_property
    def variant_name(self) -> str:
        """A readable name: 'bart: decoder 12 to 9, fine-tuned, int8'."""
        architecture = self.base.architecture
        words: list[str] = []
        for number, stage in enumerate(self.stages):
            if number >= self.prepared:
                words.append(stage.step.label(architecture))
            architecture = self._after(stage.step, architecture)
        return f"{self.base.name}: {', '.join(words) if words else 'base'}"

    @property
    def group_name(self) -> str:
        """The request without seeds: rows of one group differ only in their seed."""
        steps = self.request["steps"]
        alike = [{**step, "seed": None} for step in steps[self.prepared :]]
        return digest({**self.request, "steps": [*steps[: self.prepared], *alike]})
