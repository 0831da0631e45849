"""The outcome of a job: `Finished` with numbers, or `Failed` with a stage, a kind and a reason. Frozen, finite, JSON.

Raw material (per-example outcomes, timing samples) travels beside the record as columns; every number on the board is a
pure function of records and raw material.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

JobKind = Literal["build", "study", "evaluate", "measure"]
FailureKind = Literal[
    "out of memory",
    "lost worker",  # its process died
    "lost node",  # its machine died, or cannot be reached
    "preempted",  # its machine was drained or taken back, as announced
    "timeout",
    "contaminated",
    "no place",  # no machine of the cluster could run it
    "bad spec",
    "bug",
    "poison",  # it took down worker after worker
]
# These may pass by themselves, and get a new chance with every run; the others stay until the request or the code
# changes.
PASSING: frozenset[FailureKind] = frozenset(
    {"out of memory", "lost worker", "lost node", "preempted", "timeout", "contaminated", "no place"}
)


class Frozen(BaseModel):
    """Immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __copy__(self) -> Self:
        """A copy that has forgotten what was worked out of the fields: `model_copy` may give it other ones."""
        copied = super().__copy__()
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


class Value(Frozen):
    """One number about one artefact. `low` and `high` are the ends of its interval, equal where it is exact."""

    artefact_id: str
    metric: str
    scope: str = ""
    estimate: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    n: int = 1
    method: str = "exact"

    @model_validator(mode="after")
    def _ordered(self) -> Value:
        if not self.low <= self.estimate <= self.high:
            raise ValueError(f"{self.metric}: {self.estimate} lies outside its interval {self.low} to {self.high}")
        return self

    @staticmethod
    def exact(artefact_id: str, metric: str, value: float, scope: str = "") -> Value:
        return Value(artefact_id=artefact_id, metric=metric, scope=scope, estimate=value, low=value, high=value)


class Conditions(Frozen):
    """What a number depends on beside the bytes of the model."""

    hardware_class: str
    device: str
    host: str
    threads: int
    versions: dict[str, str]
    details: dict[str, str | float | int | bool | None] = Field(default_factory=dict)


class Finished(Frozen):
    """The job did what was asked."""

    status: Literal["finished"] = "finished"
    artefact_id: str | None = None  # what a build produced, or the files that a study left
    answer: dict[str, Any] | None = None  # what a study found, or what a build decided and why
    values: tuple[Value, ...] = ()
    notes: dict[str, str | float | int | bool | None] = Field(default_factory=dict)


class Failed(Frozen):
    """The job gave no number, and says why."""

    status: Literal["failed"] = "failed"
    stage: str
    kind: FailureKind
    reason: str
    log: str = ""


class Record(Frozen):
    """One attempt at one job."""

    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: JobKind
    attempt: int = Field(ge=1)
    outcome: Annotated[Finished | Failed, Field(discriminator="status")]
    job: dict[str, Any]
    started: str
    seconds: FiniteFloat = Field(ge=0)
    worker: str  # host:pid
    node: str = ""  # name of the machine in its cluster, or of the host; empty in records of before
    device: str = ""  # what it ran on, such as "cpu" or "cuda"
    conditions: Conditions | None = None

    @property
    def finished(self) -> bool:
        return isinstance(self.outcome, Finished)

    @property
    def identity(self) -> str:
        """What may stand in a store only once: a finished key, or one failed attempt at it."""
        return self.key if self.finished else f"{self.key}#{self.attempt}#{self.started}"


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Per-example outcomes of one artefact on one task; all columns have one entry per example."""

    artefact_id: str
    task: str  # fingerprint
    index: NDArray[np.int64]
    label: tuple[str, ...]
    prediction: tuple[str, ...]
    score: NDArray[np.float64]  # the metric's contribution of this example, such as 1.0 for a right label
    confidence: NDArray[np.float64]  # probability given to the prediction
    slice: tuple[str, ...] = ()  # the named part of the data that each example belongs to, or nothing at all
    columns: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # statistics that sums of give a metric


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Raw timings of one lease; all columns have one entry per visit."""

    artefact_id: tuple[str, ...]
    scope: tuple[str, ...]
    lease: int
    round: NDArray[np.int32]
    position: NDArray[np.int16]  # place of the visit within its round
    calls: NDArray[np.int32]
    seconds: NDArray[np.float64]  # per call: the visit's time without its first call, divided by the other calls
    first: NDArray[np.float64]  # the first call of the visit, kept apart
    each: tuple[tuple[float, ...], ...]  # the earliest calls after it, one by one
    joules: NDArray[np.float64]  # per call; NaN where nothing could tell


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """A record with its raw material, as a worker hands it to the writer."""

    record: Record
    examples: Examples | None = None
    samples: Samples | None = None
