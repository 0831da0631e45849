"""The units that workers run, and the keys under which their results are known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from pydantic import Field

from bench.data import DataSpec
from bench.device import gpu_index
from bench.identity import digest
from bench.record import Frozen, JobKind
from bench.sweep_file import LatencyProtocol
from bench.tasks.spec import TaskSpec

# Raised by hand whenever the way of measuring changes; rows of different protocols never share a chart.
LATENCY_PROTOCOL = 2
MEMORY_PROTOCOL = 5
LIBRARIES = ("torch", "transformers")


def library_versions(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Installed versions, read from metadata without importing anything."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def shape_scope(batch: int, length: int) -> str:
    """How a latency or memory shape is written everywhere."""
    return f"batch {batch} x {length} tokens"


def parts_of(shape: tuple[int, int], new_tokens: int | None) -> tuple[str, ...]:
    """The scopes under which the samples of a shape are kept, in the order in which they are timed."""
    if new_tokens is None:
        return (shape_scope(*shape),)
    scope = f"{shape_scope(*shape)}, {new_tokens} new"
    return (f"{scope}: prefill", f"{scope}: first token", scope)


class Job(Frozen):
    """One unit of work. `key` names its result: the same key always means the same question."""

    kind: ClassVar[JobKind]
    exclusive: ClassVar[bool] = False  # nothing else of ours may run on the node
    fresh: ClassVar[bool] = False  # runs in a process of its own, which ends with it

    def identity(self) -> dict[str, Any]:
        """What decides the answer."""
        raise NotImplementedError

    @property
    def gpu(self) -> str | None:
        """The GPU that the job has to itself, in a process that ends with it and so gives back all that it took."""
        return None

    @cached_property
    def key(self) -> str:
        return digest({"job": type(self).__name__, **self.identity()})

    @property
    def title(self) -> str:
        """A few words for progress displays and logs."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """What a record keeps of the job."""
        return {"type": type(self).__name__, **self.model_dump(mode="json")}


class BuildJob(Job):
    """Apply one step to its parent's artefact; without a step, import the base model.

    `teachers` are artefact_ids by name; `answers` are by question, and so are `studies`, the keys of the jobs that
    gave them, and `passes`, the artefact_ids of the files that these left. `expected` is the artefact_id that it had
    when it was built before.
    """

    kind: ClassVar[JobKind] = "build"

    recipe_id: str
    name: str
    folder: str | None = None  # of the base model, where there is no parent
    parent: str | None = None  # artefact_id
    step: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, DataSpec] = Field(default_factory=dict)
    tasks: dict[str, TaskSpec] = Field(default_factory=dict)
    teachers: dict[str, str] = Field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    studies: dict[str, str] = Field(default_factory=dict)
    passes: dict[str, str] = Field(default_factory=dict)
    expected: str | None = None
    seed: int = 0

    def identity(self) -> dict[str, Any]:
        return {"recipe_id": self.recipe_id}

    @property
    def gpu(self) -> str | None:
        from bench.recipe import step_class

        return step_class(self.step).gpu(self.settings) if self.step else None

    def described(self) -> dict[str, Any]:
        found = super().described()
        del found["answers"]  # the studies' own records hold them
        return found

    @property
    def title(self) -> str:
        return f"build {self.name}" if self.step else f"import {self.name}"


class StudyJob(Job):
    """Answer one question of a step about the artefact that it will be applied to, or about a teacher's."""

    kind: ClassVar[JobKind] = "study"

    artefact_id: str
    name: str
    step: str
    version: int  # of the step
    settings: dict[str, Any]  # of the step; what matters for the answer is in the question
    question: str  # kind
    asked: dict[str, Any]  # the question's settings
    data: dict[str, DataSpec]
    tasks: dict[str, TaskSpec]
    versions: dict[str, str]
    asking: tuple[str, ...] = ()  # recipe_ids of the builds that wait for the answer

    def identity(self) -> dict[str, Any]:
        return {
            "artefact_id": self.artefact_id,
            "step": self.step,
            "version": self.version,
            "question": self.question,
            "asked": self.asked,
            "data": [spec.pinned or spec.data_id for spec in self.data.values()],
            "tasks": [spec.manner for spec in self.tasks.values()],
            "versions": self.versions,
        }

    @property
    def title(self) -> str:
        return f"{self.question} for {self.name}"


class EvaluateJob(Job):
    """Run an artefact on the windows `first` to `last` - 1 of a task."""

    kind: ClassVar[JobKind] = "evaluate"

    artefact_id: str
    name: str
    task: TaskSpec
    first: int
    last: int
    versions: dict[str, str]
    device: str = "cpu"
    judge: str | None = None  # artefact_id of the base, for a task that asks the base about the outcome

    def identity(self) -> dict[str, Any]:
        # The artefact's bytes fix the data type: its config and its tensors say it.
        return {
            "artefact_id": self.artefact_id,
            "task": self.task.fingerprint,
            "windows": [self.first, self.last],
            "versions": self.versions,
            "device": self.device,
            **({"judge": self.judge} if self.judge else {}),
        }

    @property
    def gpu(self) -> str | None:
        return None if gpu_index(self.device) is None else self.device

    @property
    def title(self) -> str:
        return f"evaluate {self.name} on {self.task.name}"


class MeasureJob(Job):
    """Measure a group of artefacts, the base first, on one hardware class."""

    kind: ClassVar[JobKind] = "measure"
    fresh: ClassVar[bool] = True

    artefact_ids: tuple[str, ...]
    names: tuple[str, ...]
    hardware_class: str
    inputs: TaskSpec  # whose texts the inputs are made of
    versions: dict[str, str]
    device: str = "cpu"
    lease: int = 0

    @property
    def gpu(self) -> str | None:
        return None if gpu_index(self.device) is None else self.device

    def conditions_identity(self) -> dict[str, Any]:
        """What two measurements must share to be of the same quantity."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        return {**self.conditions_identity(), "artefacts": list(self.artefact_ids), "lease": self.lease}


class LatencyJob(MeasureJob):
    """One lease: the base and up to six variants in interleaved rounds."""

    exclusive: ClassVar[bool] = True

    shapes: tuple[tuple[int, int], ...]  # batch size, tokens
    first_rounds: int
    max_rounds: int
    half_width: float
    burst_ms: float
    threads: int
    new_tokens: int | None = None  # to write; None for forward passes
    protocol: LatencyProtocol = "steady"
    rounds: int | None = None  # the last look of this lease alone, where it is not max_rounds: what settling buys

    def conditions_identity(self) -> dict[str, Any]:
        named = (
            "hardware_class",
            "versions",
            "device",
            "shapes",
            "first_rounds",
            "max_rounds",
            "half_width",
            "burst_ms",
            "threads",
            "new_tokens",
        )
        return {
            "protocol": [LATENCY_PROTOCOL, self.protocol],
            "inputs": self.inputs.data_id,
            **self.model_dump(mode="json", include=set(named)),
        }

    def identity(self) -> dict[str, Any]:
        return super().identity() | ({} if self.rounds is None else {"rounds": self.rounds})

    @property
    def last_round(self) -> int:
        """The rounds after which the lease ends whatever its width."""
        return self.max_rounds if self.rounds is None else self.rounds

    @property
    def seed(self) -> tuple[int, int]:
        """What decides every order within the lease; another for each lease."""
        return self.lease, int(self.key[:12], 16)

    @property
    def title(self) -> str:
        return f"latency of {len(self.artefact_ids)} models, lease {self.lease + 1}"


class MemoryJob(MeasureJob):
    """Peak and resident memory of each artefact in fresh processes, at the largest declared shape."""

    shape: tuple[int, int]
    repeats: int
    new_tokens: int | None = None  # that are written, as where they are timed; None: a forward pass

    def conditions_identity(self) -> dict[str, Any]:
        named = {"hardware_class", "versions", "device", "shape", "repeats"}
        return {
            "protocol": MEMORY_PROTOCOL,
            "inputs": self.inputs.data_id,
            **self.model_dump(mode="json", include=named | ({"new_tokens"} if self.new_tokens else set())),
        }

    @property
    def title(self) -> str:
        return f"memory of {len(self.artefact_ids)} models"


MEASURES: dict[str, type[MeasureJob]] = {"LatencyJob": LatencyJob, "MemoryJob": MemoryJob}


def answers(key: str, described: Mapping[str, Any], question: Mapping[str, Any]) -> bool:
    """Whether the record of a measurement, by its key and its job, is one of what a sweep has declared that it asks.

    `question` is what `conditions_identity` gave when the sweep was declared, whichever protocol that was.
    """
    group = {"artefacts": described["artefact_ids"], "lease": described["lease"]}
    if described.get("rounds") is not None:
        group["rounds"] = described["rounds"]
    return digest({"job": described["type"], **question, **group}) == key
