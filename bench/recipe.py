"""Steps, recipes and their identities.

A recipe is a base model and an ordered list of steps. Every prefix of it is a recipe too, with an identity of its own,
so that what two recipes begin with is built once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from bench.architecture import Architecture
from bench.data import DataSpec
from bench.errors import BadInput, unknown
from bench.identity import digest, settings_of
from bench.methods import METHODS

if TYPE_CHECKING:
    from bench.models import Loaded


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a step may use while it is applied: its seed, its data by name and the number of threads."""

    seed: int
    data: Mapping[str, DataSpec]
    threads: int = 1


class Step(BaseModel):
    """One compression method with its settings. Subclasses are named in `bench.methods.METHODS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    version: ClassVar[int]  # raised by hand whenever the same settings would give other bytes
    stochastic: ClassVar[bool] = False
    data_settings: ClassVar[tuple[str, ...]] = ()  # settings that name data sets

    def check(self, architecture: Architecture) -> Architecture:
        """The architecture after this step. Raises BadInput where the step does not fit. Pure; needs no weights."""
        raise NotImplementedError

    def label(self, architecture: Architecture) -> str:
        """A few words for people, given the architecture before the step."""
        raise NotImplementedError

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        """Carry the step out. Runs on a worker; may change `model` in place."""
        raise NotImplementedError

    def data_names(self) -> tuple[str, ...]:
        """The names of the data sets that the settings ask for."""
        return tuple(str(value) for s in self.data_settings if (value := getattr(self, s)) is not None)

    def request(self, data_ids: Mapping[str, str], seed: int | None) -> dict[str, Any]:
        """What identifies this step: settings with data sets by content, the method's version, its seed if any."""
        settings = settings_of(self.model_dump(mode="json"))
        for setting in self.data_settings:
            if settings[setting] is not None:
                settings[setting] = data_ids[settings[setting]]
        return {
            "step": self.name,
            "version": self.version,
            "settings": settings,
            "seed": seed if self.stochastic else None,
        }


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


@dataclass(frozen=True, slots=True)
class Recipe:
    """A base model and the stages applied to it; the first `prepared` stages make the base that is compared with."""

    base: Base
    stages: tuple[Stage, ...]
    data_ids: Mapping[str, str]
    prepared: int = 0

    @property
    def request(self) -> dict[str, Any]:
        """Everything that decides which bytes a build should give."""
        return {"base": self.base.identity, "steps": [s.step.request(self.data_ids, s.seed) for s in self.stages]}

    @property
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
        return Recipe(self.base, self.stages[:length], self.data_ids, min(self.prepared, length))

    def check(self) -> Architecture:
        """The architecture that the recipe ends with. Raises BadInput where a step does not fit what is before it."""
        architecture = self.base.architecture
        for number, stage in enumerate(self.stages, start=1):
            try:
                architecture = stage.step.check(architecture)
            except BadInput as error:
                raise BadInput(f"Step {number} ({stage.step.name}) of {self.base.name!r}: {error}") from error
        return architecture

    @property
    def variant_name(self) -> str:
        """A readable name: 'bart: decoder 12 to 9, fine-tuned, int8'."""
        architecture = self.base.architecture
        words: list[str] = []
        for number, stage in enumerate(self.stages):
            if number >= self.prepared:
                words.append(stage.step.label(architecture))
            architecture = stage.step.check(architecture)
        return f"{self.base.name}: {', '.join(words) if words else 'base'}"

    @property
    def group_name(self) -> str:
        """The request without seeds: rows of one group differ only in their seed."""
        request = self.request
        for step in request["steps"][self.prepared :]:
            step["seed"] = None
        return digest(request)
