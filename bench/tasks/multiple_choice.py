"""Choosing the right ending of a text, by the likelihood that a causal language model gives to each."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from bench.architecture import Architecture
from bench.data import Example
from bench.errors import BadInput
from bench.record import Examples
from bench.tasks.sequences import check_causal, check_length, check_texts, opening, plain_ids, score_tokens, slices_of
from bench.tasks.spec import Task

if TYPE_CHECKING:
    from bench.models import Loaded


class MultipleChoice(Task):
    """The ending to which the model gives the highest log-likelihood after the text."""

    kind: ClassVar[str] = "multiple_choice"
    version: ClassVar[int] = 1
    classes: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    answer: Literal["number", "letter", "text"] = Field(
        default="number", description="what the label is: the place of the right ending from 0, its letter, or itself"
    )
    normalise: Literal["tokens", "bytes", "none"] = Field(
        default="tokens", description="what the log-likelihood of an ending is divided by: its tokens, bytes or nothing"
    )
    separator: str = Field(default=" ", description="between the text and an ending")
    max_length: int = Field(default=1024, ge=2, description="tokens; longer texts lose their beginning")
    bos: bool | None = Field(default=None, description="put the beginning-of-text token first; null: as the tokenizer")
    batch_tokens: int = Field(default=4096, ge=8, description="padded tokens of one batch")

    def check(self, architecture: Architecture, base: str, labels: frozenset[str]) -> None:
        check_causal(self.kind, architecture, base)
        check_length("max_length", self.max_length, architecture, base)

    def check_examples(self, examples: Sequence[Example]) -> None:
        """Raise BadInput where there is nothing to choose from, or the label names none of the endings."""
        check_texts(examples)
        for example in examples:
            row = f"Row {example.index + 1} of the data"
            if len(example.choices) < 2:
                raise BadInput(
                    f"{row} has {len(example.choices)} endings to choose from; at least two are needed: name the "
                    "column that lists them with choices in the data section."
                )
            if any(not choice.strip() for choice in example.choices):
                raise BadInput(f"{row} has an empty ending among its choices: remove it, or fill it in.")
            self._right(example)

    def _right(self, example: Example) -> int:
        """The place of the right ending. Raises BadInput where the label names none, or more than one."""
        places = {
            "number": [str(i) for i in range(len(example.choices))],
            "letter": list(string.ascii_uppercase[: len(example.choices)]),
            "text": list(example.choices),
        }[self.answer]
        if places.count(example.label) != 1:
            raise BadInput(
                f"Row {example.index + 1} of the data has the label {example.label!r}, but with answer set to "
                f"{self.answer} it must name exactly one of {', '.join(places)}."
            )
        return places.index(example.label)

    def outcomes(self, model: Loaded, window: Sequence[Example]) -> Examples:
        """The ending chosen for each text, in the order of the window; the first of several that are equally likely.

        The confidence is the ending's share of the likelihoods, divided as they were for the choice.
        """
        self.check_examples(window)
        first = opening(model.tokenizer, self.bos)
        pairs = [(e, choice) for e in window for choice in e.choices]
        rows, starts = zip(*(self._row(model, first, e, choice) for e, choice in pairs), strict=True)
        scored = score_tokens(model, rows, starts, self.batch_tokens)
        likelihood = [
            -part.nll.sum() / self._divisor(c, part.nll.size) for (_, c), part in zip(pairs, scored, strict=True)
        ]
        right, chosen, sure, given = [], [], [], []
        begin = 0
        for example in window:
            own = np.array(likelihood[begin : begin + len(example.choices)])
            begin += len(example.choices)
            share = np.exp(own - own.max())
            share /= share.sum()
            right.append(self._right(example))
            chosen.append(int(own.argmax()))
            sure.append(float(share.max()))
            given.append(float(own[right[-1]]))
        return Examples(
            artefact_id="",
            task="",
            index=np.array([e.index for e in window], dtype=np.int64),
            label=tuple(e.choices[r] for e, r in zip(window, right, strict=True)),
            prediction=tuple(e.choices[c] for e, c in zip(window, chosen, strict=True)),
            score=np.array([float(c == r) for c, r in zip(chosen, right, strict=True)]),
            confidence=np.array(sure),
            slice=slices_of(window),
            columns={"log_likelihood": np.array(given)},
        )

    def _divisor(self, choice: str, tokens: int) -> int:
        return {"tokens": tokens, "bytes": len(choice.encode()), "none": 1}[self.normalise]

    def _row(self, model: Loaded, first: list[int], example: Example, choice: str) -> tuple[list[int], int]:
        """The tokens of a text with an ending, cut at its beginning, and the first token that is the ending's.

        Tokens may reach over the seam; the ending's are all from where the text alone would go on differently.
        """
        alone = first + plain_ids(model.tokenizer, example.text)
        whole = first + plain_ids(model.tokenizer, example.text + self.separator + choice)
        both = zip(alone, whole, strict=False)
        start = next((i for i, (a, b) in enumerate(both) if a != b), min(len(alone), len(whole)))
        start = max(start, 1)  # nothing predicts the first token
        extra = len(whole) - self.max_length
        if extra > 0:
            kept = whole[: len(first)] + whole[len(first) + extra :]
            whole, start = kept, start - extra
        if not max(1, len(first)) <= start < len(whole):
            raise BadInput(
                f"An ending of row {example.index + 1} of the data has no tokens of its own within max_length, which "
                f"is {self.max_length}: raise max_length, or remove the row."
            )
        return whole, start
