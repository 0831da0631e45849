"""Sequence classification, single texts or pairs; labels are mapped by name, never by number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from bench.architecture import Architecture, label_ids
from bench.data import Example
from bench.errors import BadInput
from bench.record import Examples
from bench.tasks.spec import Task
from bench.tasks.windows import batches_by_tokens

if TYPE_CHECKING:
    from bench.models import Loaded

NAMELESS = re.compile(r"^label_\d+$")


class Classification(Task):
    """Predict one label for each text or pair of texts."""

    kind: ClassVar[str] = "classification"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")

    max_length: int = Field(default=128, ge=8, description="tokens; longer inputs are cut")
    batch_tokens: int = Field(default=4096, ge=8, description="padded tokens of one batch")

    def check(self, architecture: Architecture, base: str, labels: frozenset[str]) -> None:
        if not architecture.classifies:
            raise BadInput(
                f"A classification task needs a sequence classifier, but the model {base!r} is "
                f"{architecture.class_name}: add a finetune step with new_head to prepare."
            )
        known = {label.lower() for label in architecture.labels or ()}
        if known and all(NAMELESS.match(label) for label in known):
            raise BadInput(
                f"The model {base!r} names its labels {', '.join(sorted(known))}, so their meaning cannot be checked: "
                "set id2label in its config.json."
            )
        if len(known) < len(architecture.labels or ()):
            raise BadInput(
                f"The model {base!r} has labels that differ at most in case: {', '.join(architecture.labels or ())}; "
                "give each its own name in id2label of its config.json."
            )
        strange = sorted(label for label in labels if label.lower() not in known)
        if strange:
            raise BadInput(
                f"The data has the label {strange[0]!r}, which the model {base!r} does not know; it knows "
                f"{', '.join(sorted(known))}: map it with labels in the data section."
            )
        if architecture.positions is not None and self.max_length > architecture.positions:
            raise BadInput(
                f"max_length is {self.max_length} but the model {base!r} has {architecture.positions} positions."
            )

    def outcomes(self, model: Loaded, window: Sequence[Example]) -> Examples:
        """Predictions and scores (1.0 where right) for one window, in the order of the window."""
        import torch

        by_name = label_ids(model.model.config.id2label)
        names = sorted(by_name, key=by_name.__getitem__)
        pairs = None if window[0].pair is None else [e.pair for e in window]
        encoded = model.tokenizer([e.text for e in window], pairs, truncation=True, max_length=self.max_length)
        probabilities = np.zeros((len(window), len(names)))
        with torch.inference_mode():
            for rows in batches_by_tokens([len(ids) for ids in encoded["input_ids"]], self.batch_tokens):
                batch = model.tokenizer.pad({k: [v[r] for r in rows] for k, v in encoded.items()}, return_tensors="pt")
                logits = model.model(**batch).logits.float()
                if not torch.isfinite(logits).all():
                    raise ArithmeticError("The model gives logits that are not finite numbers.")
                probabilities[rows] = logits.softmax(dim=-1).numpy()
        best = probabilities.argmax(axis=1)
        prediction = tuple(names[i] for i in best)
        label = tuple(e.label.lower() for e in window)
        return Examples(
            artefact_id="",
            task="",
            index=np.array([e.index for e in window], dtype=np.int64),
            label=label,
            prediction=prediction,
            score=np.array([float(p == t) for p, t in zip(prediction, label, strict=True)]),
            confidence=probabilities[np.arange(len(window)), best],
        )
