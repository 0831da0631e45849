"""A task as a sweep names it: bound to its data, with a fingerprint, and small enough to be sent to a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ValidationError

from bench.architecture import Architecture
from bench.data import DataSpec, Example
from bench.errors import BadInput, unknown
from bench.identity import digest
from bench.record import Frozen
from bench.settings import Settings
from bench.sweep_file import TaskSection, sentence
from bench.tasks import TASKS

if TYPE_CHECKING:
    from bench.models import Loaded
    from bench.record import Examples

WINDOW = 512
HALVINGS = 5  # 4,096 tokens become 128: about one row
FEWEST_TOKENS = 8  # of a batch
FEWEST_HELD = 2  # examples of either part: one has no spread
# Of the fixed order of the examples: its beginning is for choosing, its end is kept back from it.
Part = Literal["all", "choosing", "held back"]


class Task(Settings):
    """A kind of task with its settings. Subclasses are named in `bench.tasks.TASKS`."""

    kind: ClassVar[str]
    version: ClassVar[int]  # raised by hand whenever the same model would get other outcomes
    metrics: ClassVar[tuple[str, ...]]  # the first is the main one
    classes: ClassVar[bool] = True  # whether labels are names of classes; references are not, and may be long
    asks_base: ClassVar[bool] = False  # whether `judge` is to be set to the folder of the base's artefact

    def check(self, architecture: Architecture, base: str, labels: frozenset[str]) -> None:
        """Raise BadInput where a model of this architecture cannot do the task with these labels."""
        raise NotImplementedError

    def check_examples(self, examples: Sequence[Example]) -> None:
        """Raise BadInput where the data lack what the task needs, such as a reference. Runs once, at plan time."""

    def settled(self, examples: Sequence[Example]) -> Task:
        """This task with settings that follow from its data filled in. Runs once, at plan time."""
        del examples
        return self

    def outcomes(self, model: Loaded, window: Sequence[Example]) -> Examples:
        """Run the model on one window of examples. Runs on a worker."""
        raise NotImplementedError


class TaskSpec(Frozen):
    """A named task bound to its data, or to the part of them that is for choosing or was held back from it.

    What is held back is looked at in three ways only before it is opened: its labels' names are checked and, where a
    task has none of its own, are candidates (`settled`); its texts may be among those whose tokens are timed; and its
    rows are counted. No outcome on it is had.
    """

    name: str
    kind: str
    settings: dict[str, Any]
    data: DataSpec
    data_id: str
    version: int
    labels: tuple[str, ...]
    examples: int  # of the part
    part: Part = "all"
    held: int = 0  # examples that are held back, whichever part this is

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the data, its order and windows, the settings (batch lists follow from them) and the version."""
        named = self.model_dump(mode="json", include={"kind", "settings", "data_id", "version"})
        part = {} if self.part == "all" else {"part": self.part, "held": self.held}
        return digest({**named, "window": WINDOW, **part})

    @property
    def held_back(self) -> TaskSpec:
        """The same task on the examples that choosing leaves alone. ValueError where there are none."""
        if self.part != "choosing":
            raise ValueError(f"of the task {self.name!r} nothing is held back")
        return self.model_copy(update={"part": "held back", "examples": self.held})

    @property
    def manner(self) -> str:
        """SHA-256 over how the model is run, whatever the data."""
        return digest(self.model_dump(mode="json", include={"kind", "settings", "version"}))

    def on(self, data: DataSpec) -> TaskSpec:
        """The same kind and settings on other data. Raises BadInput where the data cannot be read."""
        return _bound(self.name, self.kind, self.task, data)

    @cached_property
    def smaller_batches(self) -> tuple[TaskSpec, ...]:
        """The same task in batches of half the tokens, a quarter and so on, each with a fingerprint of its own.

        For models whose predictions depend on batch-mates, where memory does not hold the batches asked for.
        """
        tokens = int(self.settings["batch_tokens"])
        budgets = [tokens >> n for n in range(1, HALVINGS + 1) if tokens >> n >= FEWEST_TOKENS]
        return tuple(self.model_copy(update={"settings": {**self.settings, "batch_tokens": n}}) for n in budgets)

    @property
    def task(self) -> Task:
        return task_class(self.kind).model_validate(self.settings)

    @property
    def metrics(self) -> tuple[str, ...]:
        return task_class(self.kind).metrics

    @property
    def asks_base(self) -> bool:
        return task_class(self.kind).asks_base

    @property
    def windows(self) -> int:
        """How many windows of at most 512 examples the data is cut into."""
        return -(-self.examples // WINDOW)

    def check(self, architecture: Architecture, base: str) -> None:
        self.task.check(architecture, base, frozenset(self.labels))


def task_class(kind: str) -> type[Task]:
    """The class of a kind of task. Raises BadInput with near misses for an unknown one."""
    if kind not in TASKS:
        raise unknown("kind of task", kind, TASKS)
    module, attribute = TASKS[kind].split(":")
    found: type[Task] = getattr(import_module(module), attribute)
    return found


def bind_task(name: str, section: TaskSection, data: Mapping[str, DataSpec], holdout: float = 0.0) -> TaskSpec:
    """Bind a task of a sweep file to its data, which is read once to check it. Raises BadInput.

    With `holdout`, the share of the examples that is held back, to the part that is for choosing.
    """
    cls = task_class(section.kind)
    if section.data not in data:
        raise unknown("data set in this sweep", section.data, data)
    try:
        task = cls.model_validate(section.model_extra or {})
    except ValidationError as error:
        raise BadInput(sentence(error, f"task {name}", cls)) from error
    return _choosing(_bound(name, section.kind, task, data[section.data]), holdout)


def _choosing(spec: TaskSpec, holdout: float) -> TaskSpec:
    """The part of a task that is for choosing. Raises BadInput where a part would have too few examples."""
    if not holdout:
        return spec
    held = round(spec.examples * holdout)
    if not FEWEST_HELD <= held <= spec.examples - FEWEST_HELD:
        raise BadInput(
            f"holdout is {holdout:g}, which holds back {held} of the {spec.examples} examples of the task "
            f"{spec.name!r}, but either part needs at least {FEWEST_HELD}: give it more data, or set holdout: 0, which "
            "leaves nothing to confirm on."
        )
    return spec.model_copy(update={"part": "choosing", "held": held, "examples": spec.examples - held})


def _bound(name: str, kind: str, task: Task, spec: DataSpec) -> TaskSpec:
    spec = spec.model_copy(update={"pinned": spec.pinned or spec.data_id})  # a worker must find the same rows
    examples = spec.examples()
    task.check_examples(examples)
    task = task.settled(examples)
    return TaskSpec(
        name=name,
        kind=kind,
        settings=task.model_dump(mode="json"),
        data=spec,
        data_id=spec.data_id,
        version=task.version,
        labels=tuple(sorted({e.label for e in examples})) if task.classes else (),
        examples=len(examples),
    )
