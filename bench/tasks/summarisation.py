"""Summaries, or any text made from a text, by an encoder-decoder; compared with references by ROUGE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from bench.architecture import Architecture
from bench.data import Example
from bench.errors import BadInput
from bench.metrics.rouge import Splitter, installed, rouge
from bench.record import Examples
from bench.tasks.sequences import (
    check_length,
    check_references,
    check_texts,
    end_tokens,
    generation_config,
    slices_of,
    start_token,
    write,
)
from bench.tasks.spec import Task

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from bench.models import Loaded

OfModel = Literal["model"]
# What a model writes by where neither the task nor generation_config.json says anything. There is none for the length.
UNSAID: dict[str, Any] = {
    "num_beams": 1,
    "length_penalty": 1.0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "early_stopping": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
}


class Summarisation(Task):
    """Write a text about each text by beam search, and compare it with the reference.

    Settings of the search that are "model" are the model's own, from its generation_config.json; all others are what
    the task says, so that every variant writes alike.
    """

    kind: ClassVar[str] = "summarisation"
    version: ClassVar[int] = 1
    classes: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ("rougeLsum", "rouge1", "rouge2", "rougeL", "text_length")

    source_tokens: int = Field(default=1024, ge=8, description="tokens; longer sources are cut")
    reference_tokens: int | None = Field(
        default=None, ge=1, description="cut references to so many tokens; null: whole"
    )
    prefix: str = Field(default="", description="put before every source, as T5 wants it")
    num_beams: Annotated[int, Field(ge=1)] | OfModel = Field(default=4, description="a number, or model")
    length_penalty: float | OfModel = Field(default="model", description="exponent of the length, or model")
    min_length: Annotated[int, Field(ge=0)] | OfModel = Field(
        default="model", description="tokens with the start token, or model"
    )
    max_length: Annotated[int, Field(ge=2)] | OfModel = Field(
        default="model", description="tokens with the start token, or model"
    )
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] | OfModel = Field(
        default="model", description="0 for none, or model"
    )
    early_stopping: bool | Literal["never", "model"] = Field(default="model", description="true, false, never or model")
    forced_bos_token_id: int | OfModel | None = Field(default="model", description="a token, null for none, or model")
    forced_eos_token_id: int | OfModel | None = Field(default="model", description="a token, null for none, or model")
    stemmer: bool = Field(default=True, description="whether words are compared by their stems")
    sentences: Splitter = Field(default="punctuation", description="how rougeLsum finds them: newline or punctuation")
    rouge_score: str = Field(default_factory=installed, description="version of the package rouge-score")
    batch_tokens: int = Field(default=16384, ge=8, description="padded tokens of one batch, times beams")

    def check(self, architecture: Architecture, base: str, labels: frozenset[str]) -> None:
        if not architecture.generates:
            raise BadInput(
                f"A summarisation task needs an encoder-decoder that writes (a ...ForConditionalGeneration), but the "
                f"model {base!r} is {architecture.class_name}: choose another task for it, or another model."
            )
        if any(not label.strip() for label in labels):
            raise BadInput("Summaries need a reference for every text: name its column with label in the data section.")
        check_length("source_tokens", self.source_tokens, architecture, base)
        if self.max_length != "model":
            check_length("max_length", self.max_length, architecture, base)
        if "model" not in (self.min_length, self.max_length) and int(self.min_length) >= int(self.max_length):
            raise BadInput(f"min_length is {self.min_length}, not below max_length, which is {self.max_length}.")
        self._check_scorer()

    def check_examples(self, examples: Sequence[Example]) -> None:
        """Raise BadInput where a text or a reference is empty."""
        check_texts(examples)
        check_references(examples)

    def _check_scorer(self) -> None:
        if self.rouge_score != installed():
            raise BadInput(
                f"The task asks for rouge-score {self.rouge_score}, but {installed()} is installed: "
                f"pip install rouge-score=={self.rouge_score}, or leave the setting out."
            )

    def effective(self, model: Loaded) -> dict[str, Any]:
        """What the search goes by in the end: the task's settings, with the model's own where they say "model".

        Raises BadInput where neither says how long a text may become.
        """
        own = generation_config(model)
        found: dict[str, Any] = {}
        for name in (*UNSAID, "max_length"):
            said = getattr(self, name)
            value = getattr(own, name, None) if said == "model" else said
            found[name] = UNSAID.get(name) if value is None else value
        if found["max_length"] is None:
            raise BadInput(
                "max_length is model, but the model has none in its generation_config.json: set max_length on the task."
            )
        return {**found, "decoder_start_token_id": start_token(model, own)}

    def _config(self, model: Loaded) -> GenerationConfig:
        """What is not a setting here, such as words that a model must not write, stays as the model has it."""
        config = generation_config(model)
        for name, value in {**self.effective(model), "do_sample": False, "num_return_sequences": 1}.items():
            setattr(config, name, value)
        config.max_new_tokens = config.min_new_tokens = None  # they would take precedence over the lengths
        ends = end_tokens(config, model.tokenizer)
        config.eos_token_id = ends or None
        if config.pad_token_id is None:
            config.pad_token_id = model.tokenizer.pad_token_id
        return config

    def outcomes(self, model: Loaded, window: Sequence[Example]) -> Examples:
        """The text written for each example and its ROUGE, in the order of the window. The score is rougeLsum."""
        self._check_scorer()
        self.check_examples(window)
        config = self._config(model)
        read = model.tokenizer([self.prefix + e.text for e in window], truncation=True, max_length=self.source_tokens)
        written = write(model, read["input_ids"], config, int(config.max_length or 0), self.batch_tokens)
        texts = [str(model.tokenizer.decode(ids, skip_special_tokens=True)).strip() for ids in written]
        references = [self._reference(model, e.label) for e in window]
        columns = rouge(references, texts, stemmer=self.stemmer, splitter=self.sentences)
        return Examples(
            artefact_id="",
            task="",
            index=np.array([e.index for e in window], dtype=np.int64),
            label=tuple(references),
            prediction=tuple(texts),
            score=columns["rougeLsum"],
            confidence=np.full(len(window), np.nan),  # a beam's score is no probability
            slice=slices_of(window),
            columns={**columns, "length": np.array([float(len(ids)) for ids in written])},
        )

    def _reference(self, model: Loaded, text: str) -> str:
        """The reference, cut as the text of a model would be: to tokens, special ones among them, and back."""
        if self.reference_tokens is None:
            return text.strip()
        ids = model.tokenizer(text_target=text, truncation=True, max_length=self.reference_tokens)["input_ids"]
        return str(model.tokenizer.decode(ids, skip_special_tokens=True)).strip()
