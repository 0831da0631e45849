"""Zero-shot classification by an entailment model: which label's hypothesis does the text entail?

W. Yin, J. Hay, D. Roth, Benchmarking Zero-shot Text Classification, 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from bench.architecture import Architecture
from bench.data import Example
from bench.errors import BadInput
from bench.record import Examples
from bench.tasks.classification import Classifying
from bench.tasks.labels import classify, named_like, output_names, probabilities, unlike
from bench.tasks.sequences import check_texts, plain_ids, slices_of

if TYPE_CHECKING:
    from bench.models import Loaded

ROOM = 6  # tokens for at least a word of the text and for what separates it from the hypothesis
SEPARATOR = "|"  # between the labels of one example, where it may have several


def _set(label: str) -> tuple[str, ...]:
    """The labels that stand in one cell of the data, sorted, each once."""
    return tuple(sorted({part.strip() for part in label.split(SEPARATOR)} - {""}))


class ZeroShot(Classifying):
    """Choose among candidate labels with a model trained on entailment only.

    Every example becomes one pair of text and hypothesis for each candidate, so the work grows with their number.
    One label: softmax over the candidates' entailment logits. Several (`multi_label`): each candidate by itself,
    softmax over its contradiction and entailment logits. Then an example is right if its whole set is, macro F1 takes
    each set as a label of its own, and micro F1 counts single labels. Labels are compared as they are written.
    """

    kind: ClassVar[str] = "zero_shot"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "micro_f1")

    labels: tuple[str, ...] = Field(default=(), description="candidates; empty: the labels of the data")
    template: str = Field(default="This text is about {}.", description="hypothesis, with {} for the label")
    multi_label: bool = Field(default=False, description="any number of labels an example, | between them in the data")
    threshold: float = Field(default=0.5, gt=0, lt=1, description="probability from which a label is given")

    @field_validator("template")
    @classmethod
    def _one_place(cls, value: str) -> str:
        if value.count("{}") != 1:
            raise ValueError(f"template is {value!r}; it needs {{}} exactly once, where the label goes")
        return value

    @field_validator("labels")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if problem := unlike(value):
            raise ValueError(f"labels is {', '.join(map(repr, value))}, but {problem}: name each candidate once")
        return tuple(label.strip() for label in value)

    def check(self, architecture: Architecture, base: str, labels: frozenset[str]) -> None:
        names = self.names_of(architecture, base)
        self._outputs(names)
        self._check_labels(labels)

    def _check_labels(self, labels: frozenset[str]) -> None:
        known = self.labels or self._of_data(labels)
        if len(known) < (1 if self.multi_label else 2):
            raise BadInput(
                f"Zero-shot classification has {len(known)} candidate label{'s' * (len(known) != 1)}, and there is "
                "nothing to choose: name at least two with labels."
            )
        for label in sorted(labels):
            strange = [part for part in (_set(label) if self.multi_label else (label,)) if part not in known]
            if strange:
                raise BadInput(
                    f"The data has the label {strange[0]!r}, which is no candidate; candidates are "
                    f"{', '.join(known)}: add it to labels, or map it with labels in the data section."
                )

    def _of_data(self, labels: frozenset[str]) -> tuple[str, ...]:
        parts = {part for label in labels for part in _set(label)} if self.multi_label else labels
        return tuple(sorted(parts - {""}))

    def settled(self, examples: Sequence[Example]) -> ZeroShot:
        """This task with the labels of all its data as candidates, where it names none."""
        labels = self.labels or self._of_data(frozenset(e.label for e in examples))
        return self.model_copy(update={"labels": labels})

    def check_examples(self, examples: Sequence[Example]) -> None:
        """Raise BadInput where a text is empty or an example is a pair already."""
        check_texts(examples)
        if any(e.pair is not None for e in examples):
            raise BadInput("Zero-shot classification makes pairs of its own: leave out pair in the data section.")

    def _outputs(self, names: Sequence[str]) -> tuple[int, int | None]:
        """The outputs that mean entailment and contradiction, found by name. Raises BadInput without them."""
        entails, contradicts = named_like(names, "entail"), named_like(names, "contradict")
        if len(entails) != 1:
            raise BadInput(
                f"Zero-shot classification needs one output that means entailment, but the model's are called "
                f"{', '.join(names)}: use a model trained on entailment, or set label_names."
            )
        if self.multi_label and len(contradicts) != 1:
            raise BadInput(
                "Zero-shot classification with multi_label needs one output that means contradiction, but the model's "
                f"are called {', '.join(names)}: set multi_label to false, or use another model."
            )
        return entails[0], contradicts[0] if contradicts else None

    def chances(self, model: Loaded, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability [texts, candidates] of each candidate: of one among all, or with `multi_label` of each alone."""
        entails, contradicts = self._outputs(output_names(model, self.label_names))
        hypotheses = [self.template.replace("{}", label) for label in self.labels]
        longest = max(len(plain_ids(model.tokenizer, hypothesis)) for hypothesis in hypotheses)
        if longest > self.max_length - ROOM:
            raise BadInput(
                f"The longest hypothesis has {longest} tokens, which leaves no room for a text in max_length, which is "
                f"{self.max_length}: raise max_length, or shorten template and labels."
            )
        logits = classify(
            model,
            [text for text in texts for _ in hypotheses],
            hypotheses * len(texts),
            max_length=self.max_length,
            batch_tokens=self.batch_tokens,
            cut="only_first",  # a hypothesis without its label would ask nothing
        ).reshape(len(texts), len(hypotheses), -1)
        if contradicts is None or not self.multi_label:
            return probabilities(logits[:, :, entails])
        return np.asarray(probabilities(logits[:, :, [contradicts, entails]])[:, :, 1])

    def outcomes(self, model: Loaded, window: Sequence[Example]) -> Examples:
        """The label (or labels, | between them) of each example, in the order of the window.

        The confidence is the probability of the answer; for several labels, that each of them is as answered.
        """
        if not self.labels:
            raise BadInput("Zero-shot classification has no candidate labels: name them with labels on the task.")
        self.check_examples(window)
        chances = self.chances(model, [e.text for e in window])
        if self.multi_label:
            given = chances >= self.threshold
            sure = np.where(given, chances, 1 - chances).prod(axis=1)
            found = [tuple(sorted(np.array(self.labels)[row].tolist())) for row in given]
            right = [_set(e.label) for e in window]
        else:
            best = chances.argmax(axis=1)
            sure = chances[np.arange(len(window)), best]
            found = [(self.labels[i],) for i in best]
            right = [(e.label,) for e in window]
        both = [len(set(f) & set(r)) for f, r in zip(found, right, strict=True)]
        return Examples(
            artefact_id="",
            task="",
            index=np.array([e.index for e in window], dtype=np.int64),
            label=tuple(SEPARATOR.join(r) for r in right),
            prediction=tuple(SEPARATOR.join(f) for f in found),
            score=np.array([float(f == r) for f, r in zip(found, right, strict=True)]),
            confidence=sure,
            slice=slices_of(window),
            columns={
                "named_twice": np.array([2.0 * n for n in both]),
                "named": np.array([float(len(f) + len(r)) for f, r in zip(found, right, strict=True)]),
            },
        )
