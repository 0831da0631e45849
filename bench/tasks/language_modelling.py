"""Perplexity of a causal language model, with windows that slide over texts longer than it can read at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

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


class Span(NamedTuple):
    """What is read at once of a row of tokens, and the first of them that is scored, as positions in the row."""

    begin: int
    end: int
    scored: int


def spans(tokens: int, length: int, stride: int) -> list[Span]:
    """Windows of at most `length` tokens that score every token of a row but its first exactly once.

    After the first window each scores at most `stride` new tokens, with length - stride tokens or more before them.
    """
    found = [Span(0, min(tokens, length), 1)] if tokens > 1 else []
    while found and found[-1].end < tokens:
        before = found[-1].end
        end = min(tokens, before + stride)
        found.append(Span(end - length, end, before))
    return found


class LanguageModelling(Task):
    """How likely the model finds each text. Data need no labels.

    A text's first token has nothing before it, and so is scored only where the beginning-of-text token is put there.
    No end token is added.
    """

    kind: ClassVar[str] = "language_modelling"
    version: ClassVar[int] = 1
    classes: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ("perplexity", "token_accuracy")

    max_length: int = Field(default=1024, ge=2, description="tokens read at once; longer texts are read in windows")
    stride: int | None = Field(default=None, ge=1, description="new tokens of each further window; null: half of them")
    bos: bool | None = Field(default=None, description="put the beginning-of-text token first; null: as the tokenizer")
    batch_tokens: int = Field(default=4096, ge=8, description="padded tokens of one batch")

    def check(self, architecture: Architecture, base: str, labels: frozenset[str]) -> None:
        check_causal(self.kind, architecture, base)
        check_length("max_length", self.max_length, architecture, base)
        if self.stride is not None and self.stride >= self.max_length:
            raise BadInput(
                f"stride is {self.stride}, but every window needs tokens before the new ones: set it below max_length, "
                f"which is {self.max_length}."
            )

    def check_examples(self, examples: Sequence[Example]) -> None:
        """Raise BadInput where a text is empty."""
        check_texts(examples)

    def outcomes(self, model: Loaded, window: Sequence[Example]) -> Examples:
        """Sums of nats and tokens of each text, in the order of the window. The score is the mean of its nats."""
        self.check_examples(window)
        first = opening(model.tokenizer, self.bos)
        rows = [first + plain_ids(model.tokenizer, e.text) for e in window]
        stride = self.stride or max(1, self.max_length // 2)
        read = [(i, span) for i, row in enumerate(rows) for span in spans(len(row), self.max_length, stride)]
        scored = score_tokens(
            model,
            [rows[i][span.begin : span.end] for i, span in read],
            [span.scored - span.begin for _, span in read],
            self.batch_tokens,
        )
        sums = np.zeros((3, len(rows)))
        for (i, _), part in zip(read, scored, strict=True):
            sums[:, i] += part.nll.sum(), part.nll.size, part.hit.sum()
        nll, tokens, hits = sums
        mean = np.divide(nll, tokens, out=np.zeros_like(nll), where=tokens > 0)
        return Examples(
            artefact_id="",
            task="",
            index=np.array([e.index for e in window], dtype=np.int64),
            label=tuple(e.label for e in window),
            prediction=("",) * len(window),
            score=mean,
            confidence=np.exp(-mean),  # geometric mean of what was given to the tokens that stand there
            slice=slices_of(window),
            columns={"nll": nll, "tokens": tokens, "hits": hits},
        )
