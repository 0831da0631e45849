"""Sequence classification, single texts or pairs; labels are mapped by name, never by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field, field_validator

from bench.architecture import Architecture
from bench.data import Example
from bench.errors import BadInput
from bench.record import Examples
from bench.tasks.labels import SURE, check_names, classify, output_names, probabilities, refuse_other_order, unlike
from bench.tasks.sequences import check_length, slices_of
from bench.tasks.spec import Task

if TYPE_CHECKING:
    from bench.models import Loaded

# Every window of 512 examples is checked, so the chance of finding fault with a right order is shared by a hundred.
LEVEL = SURE / 100


class Classifying(Task):
    """What tasks for sequence classifiers have in common."""

    max_length: int = Field(default=128, ge=8, description="tokens; longer inputs are cut")
    batch_tokens: int = Field(default=4096, ge=8, description="padded tokens of one batch")
    label_names: tuple[str, ...] = Field(
        default=(), description="what the model's outputs mean, in their order, where its config does not say"
    )

    @field_validator("label_names")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if problem := unlike(value):
            raise ValueError(f"label_names is {', '.join(map(repr, value))}, but {problem}: name each output once")
        return tuple(name.strip() for name in value)

    def names_of(self, architecture: Architecture, base: str) -> tuple[str, ...]:
        """The names of the outputs, in lower case. Raises BadInput for no classifier, no names or too short a model."""
        if not architecture.classifies:
            raise BadInput(
                f"A {self.kind} task needs a sequence classifier, but the model {base!r} is "
                f"{architecture.class_name}: add a finetune step with new_head to prepare."
            )
        found = check_names(architecture, base, self.label_names)
        check_length("max_length", self.max_length, architecture, base)
        return found


class Classification(Classifying):
    """Predict one label for each text or pair of texts. Named parts of the data are reported apart."""

    kind: ClassVar[str] = "classification"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")

    check_order: bool = Field(
        default=False,
        description="refuse a model that is right clearly more often if its labels are permuted; always where "
        "label_names is set",
    )

    def check(self, architecture: Architecture, base: str, labels: frozenset[str]) -> None:
        known = self.names_of(architecture, base)
        strange = sorted(label for label in labels if label.lower() not in known)
        if strange:
            raise BadInput(
                f"The data has the label {strange[0]!r}, which the model {base!r} does not know; it knows "
                f"{', '.join(sorted(known))}: map it with labels in the data section."
            )

    def outcomes(self, model: Loaded, window: Sequence[Example]) -> Examples:
        """Predictions and scores (1.0 where right) for one window, in the order of the window."""
        names = output_names(model, self.label_names)
        pairs = None if window[0].pair is None else [str(e.pair) for e in window]
        logits = classify(
            model, [e.text for e in window], pairs, max_length=self.max_length, batch_tokens=self.batch_tokens
        )
        chances = probabilities(logits)
        best = chances.argmax(axis=1)
        label = tuple(e.label.lower() for e in window)
        if self.label_names or self.check_order:
            refuse_other_order(best, label, names, LEVEL)
        prediction = tuple(names[i] for i in best)
        return Examples(
            artefact_id="",
            task="",
            index=np.array([e.index for e in window], dtype=np.int64),
            label=label,
            prediction=prediction,
            score=np.array([float(p == t) for p, t in zip(prediction, label, strict=True)]),
            confidence=chances[np.arange(len(window)), best],
            slice=slices_of(window),
        )
