"""Is what a model writes still text? Greedy continuations, checked for collapse and against what the base writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.architecture import Architecture
from bench.data import Example
from bench.errors import BadInput
from bench.record import Examples
from bench.tasks.sequences import (
    check_length,
    check_texts,
    end_tokens,
    generation_config,
    judge_of,
    opening,
    plain_ids,
    score_tokens,
    slices_of,
    start_token,
    write,
)
from bench.tasks.spec import Task

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from bench.models import Loaded


FRAME = 2  # tokens that a tokenizer may put around a text


class Generation(Task):
    """Continue (or, by an encoder-decoder, rewrite) the beginning of each text greedily, and look at the result.

    Greedy means the most likely token each time and nothing else: no penalty, no banned n-grams, no forced end. Of
    what is written, the end token and a forced first one count as written but belong to no n-gram.

    The base, as judge, scores the same tokens: where its most likely token is the one written, it would have written
    it too, so the first difference from its own greedy text is known without writing that.
    """

    kind: ClassVar[str] = "generation"
    version: ClassVar[int] = 1
    classes: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = (
        "greedy_agreement",
        "own_perplexity",
        "repeated_4gram",
        "distinct_1",
        "distinct_2",
        "eos_rate",
        "text_length",
    )
    asks_base: ClassVar[bool] = True

    prompt_tokens: int = Field(default=32, ge=1, description="tokens of the text to continue; unused with chat")
    chat: bool = Field(default=False, description="give the whole text as a user's turn, by the tokenizer's template")
    new_tokens: int = Field(default=64, ge=4, description="the most tokens to write")
    max_length: int = Field(default=1024, ge=8, description="tokens of prompt and text together")
    bos: bool | None = Field(default=None, description="put the beginning-of-text token first; null: as the tokenizer")
    judge: str | None = Field(default=None, description="folder of the model that judges; in a sweep, its base")
    batch_tokens: int = Field(default=8192, ge=8, description="padded tokens of one batch, prompt and text")

    def check(self, architecture: Architecture, base: str, labels: frozenset[str]) -> None:
        if not (architecture.causal or architecture.generates):
            raise BadInput(
                f"A generation task needs a model that writes (a ...ForCausalLM or ...ForConditionalGeneration), but "
                f"the model {base!r} is {architecture.class_name}: choose another task for it, or another model."
            )
        if self.chat and not architecture.causal:
            raise BadInput(f"chat is true, but the model {base!r} is {architecture.class_name}: set chat to false.")
        if self.chat:  # a prompt that is too long is found when it is made
            check_length("max_length", self.max_length, architecture, base)
            return
        room = self.max_length - self.new_tokens - FRAME
        if self.prompt_tokens > room:
            raise BadInput(
                f"prompt_tokens is {self.prompt_tokens}, but with {self.new_tokens} new tokens max_length "
                f"{self.max_length} leaves room for {room}: lower prompt_tokens or new_tokens."
            )
        if architecture.causal:
            check_length("prompt_tokens + new_tokens + 1", self.prompt_tokens + self.new_tokens + 1, architecture, base)
        else:
            check_length("prompt_tokens", self.prompt_tokens + FRAME, architecture, base)
            check_length("new_tokens", self.new_tokens + 1, architecture, base)

    def check_examples(self, examples: Sequence[Example]) -> None:
        """Raise BadInput where a text is empty."""
        check_texts(examples)

    def prompts(self, model: Loaded, window: Sequence[Example]) -> list[list[int]]:
        """The tokens that the model is given for each example. Raises BadInput for chat without a template."""
        tokenizer = model.tokenizer
        if not self.chat:
            if model.model.config.is_encoder_decoder:
                length = self.prompt_tokens + tokenizer.num_special_tokens_to_add()
                found = tokenizer([e.text for e in window], truncation=True, max_length=length)["input_ids"]
                return [[int(i) for i in ids] for ids in found]
            first = opening(tokenizer, self.bos)
            return [first + self._beginning(model, e) for e in window]
        if not tokenizer.chat_template:
            raise BadInput("chat is true, but the model's tokenizer has no chat template: set chat to false.")
        rows = []
        for example in window:
            turn = [{"role": "user", "content": example.text}]
            text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            rows.append(plain_ids(tokenizer, str(text)))
            if len(rows[-1]) + self.new_tokens > self.max_length:
                raise BadInput(
                    f"Row {example.index + 1} of the data has {len(rows[-1])} tokens as a prompt; with "
                    f"{self.new_tokens} new ones that is more than max_length, which is {self.max_length}."
                )
        return rows

    def _beginning(self, model: Loaded, example: Example) -> list[int]:
        found = plain_ids(model.tokenizer, example.text)[: self.prompt_tokens]
        if not found:
            raise BadInput(f"The text of row {example.index + 1} of the data has no tokens: remove the row.")
        return found

    def _config(self, model: Loaded) -> GenerationConfig:
        """Greedy search and nothing else; a forced first token stays, for some models write no other way."""
        from transformers import GenerationConfig

        own = generation_config(model)
        ends = end_tokens(own, model.tokenizer)
        fill = next((i for i in (own.pad_token_id, model.tokenizer.pad_token_id, *ends[:1]) if i is not None), 0)
        settings = {"do_sample": False, "num_beams": 1, "max_new_tokens": self.new_tokens, "pad_token_id": fill}
        if model.model.config.is_encoder_decoder:
            settings["decoder_start_token_id"] = start_token(model, own)
            settings["forced_bos_token_id"] = own.forced_bos_token_id
        return GenerationConfig.from_dict({**settings, "eos_token_id": ends or None})

    def outcomes(self, model: Loaded, window: Sequence[Example]) -> Examples:
        """What is written after each text, with the counts that the metrics are ratios of.

        The score is the share of an example's tokens before the first that the judge would not have written; without a
        judge it is 0 and the metrics that need one have no value.
        """
        self.check_examples(window)
        prompts = self.prompts(model, window)
        config = self._config(model)
        written = write(model, prompts, config, self.new_tokens, self.batch_tokens)
        ends = set(end_tokens(config, model.tokenizer))
        free = [ids[1:] if ids[:1] == [config.forced_bos_token_id] else ids for ids in written]
        columns = counts([[i for i in ids if i not in ends] for ids in free])
        columns["length"] = np.array([float(len(ids)) for ids in written])
        columns["ended"] = np.array([float(bool(ids) and ids[-1] in ends) for ids in written])
        columns |= self._judged(model, prompts, written, config)
        agreed, judged = columns["same"], columns["judged"]
        share = np.divide(agreed, judged, out=np.zeros_like(agreed), where=judged > 0)
        return Examples(
            artefact_id="",
            task="",
            index=np.array([e.index for e in window], dtype=np.int64),
            label=tuple(e.label for e in window),
            prediction=tuple(str(model.tokenizer.decode(ids, skip_special_tokens=True)).strip() for ids in written),
            score=share,
            confidence=np.full(len(window), np.nan),
            slice=slices_of(window),
            columns=columns,
        )

    def _judged(
        self, model: Loaded, prompts: list[list[int]], written: list[list[int]], config: GenerationConfig
    ) -> dict[str, NDArray[np.float64]]:
        """Nats that the judge finds in what was written, the tokens it judged, and those before it would differ."""
        found = {name: np.zeros(len(written)) for name in ("judge_nll", "judged", "same")}
        if self.judge is None:
            return found
        judge = judge_of(self.judge, model.model.device)
        if judge.tokenizer.get_vocab() != model.tokenizer.get_vocab():
            raise BadInput("The judge has another vocabulary than the model: judge by a model with the same tokenizer.")
        if model.model.config.is_encoder_decoder:
            start = int(config.decoder_start_token_id or 0)
            forced = int(config.forced_bos_token_id is not None)
            rows, starts = [[start, *ids] for ids in written], [1 + forced] * len(written)
            sources: list[list[int]] | None = prompts
        else:
            rows, starts = [p + w for p, w in zip(prompts, written, strict=True)], [len(p) for p in prompts]
            sources = None
        for i, part in enumerate(score_tokens(judge, rows, starts, self.batch_tokens, sources)):
            found["judge_nll"][i], found["judged"][i] = part.nll.sum(), part.nll.size
            found["same"][i] = float(np.cumprod(part.hit).sum())
        return found


def counts(texts: Sequence[Sequence[int]]) -> dict[str, NDArray[np.float64]]:
    """Of each text's tokens: how many n-grams there are and how many are distinct, and 4-grams that stood before."""
    names = ("unigrams", "distinct_unigrams", "bigrams", "distinct_bigrams", "fourgrams", "repeated")
    found = np.zeros((len(texts), len(names)))
    for i, tokens in enumerate(texts):
        grams = [Counter(tuple(tokens[j : j + n]) for j in range(len(tokens) - n + 1)) for n in (1, 2, 4)]
        one, two, four = ((float(sum(g.values())), float(len(g))) for g in grams)
        found[i] = (*one, *two, four[0], four[0] - four[1])
    return {name: found[:, j] for j, name in enumerate(names)}
