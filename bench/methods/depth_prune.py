"""Depth pruning: whole layers are left out, those that change least what passes through them.

By the similarity of what enters and leaves a block (Gromov et al. 2024, arXiv:2403.17887), by the influence of each
layer (ShortGPT, Men et al. 2024, arXiv:2403.03853), the deepest ones, or a list. The calibration pass is a question: it
measures all block sizes at once and does not depend on how many layers go, so that recipes share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.methods.similarity import BATCH, EVIDENCE, FEWEST, SHARD, Position, Probe, Similarity, Stack, measure, merged
from bench.recipe import Held, Promise, Question, Step, Workplace

if TYPE_CHECKING:
    from bench.models import Loaded

PARENT = "parent"  # stands in mergekit.yaml for the model before this step, whose name the step does not know


class DepthPrune(Step):
    """Drop layers of a decoder (Llama, Mistral, Qwen, GPT-2), of an encoder (BERT, DistilBERT, RoBERTa), or of a BART.

    Similarity is read at one position of a sample, by default the last one that is no padding. In an encoder, too,
    `last` is the last token that is no padding, usually the separator; `first` is [CLS], which a classifier reads, and
    `mean` the mean over all tokens. A sample longer than max_length is cut, and its last token is then in mid-text.
    """

    name: ClassVar[str] = "depth_prune"
    version: ClassVar[int] = 1
    data_settings: ClassVar[tuple[str, ...]] = ("data",)

    layers: int | None = Field(default=None, gt=0, description="how many layers to drop")
    strategy: Literal["similarity", "shortgpt", "deepest_but_last"] = Field(
        default="similarity",
        description="the most similar block; the layers of least influence; the deepest, without the very last",
    )
    drop: tuple[int, ...] | None = Field(default=None, description="numbers of the layers to drop, from 0, instead")
    data: str | None = Field(default=None, description="name of the calibration data, for similarity and shortgpt")
    samples: int = Field(default=512, ge=FEWEST, description="rows of the calibration data to use at most")
    max_length: int = Field(default=1024, ge=2, description="tokens; longer samples are cut")
    position: Position = Field(default="last", description="token at which blocks are compared, or the mean")
    final_norm: bool = Field(default=False, description="read the end after the final norm, as PruneMe does")
    skip_first: bool = Field(default=False, description="never drop a block that begins with layer 0, as PruneMe")
    stack: Stack | None = Field(default=None, description="encoder or decoder, where the model has both")

    @model_validator(mode="after")
    def _consistent(self) -> DepthPrune:
        if (self.layers is None) == (self.drop is None):
            raise ValueError("depth_prune needs either layers, how many to drop, or drop, the list of which")
        if self.drop is not None and (not self.drop or len(set(self.drop)) < len(self.drop) or min(self.drop) < 0):
            raise ValueError("depth_prune.drop needs different layer numbers, counted from 0")
        if self._measures and self.data is None:
            raise ValueError(f"depth_prune by {self.strategy} needs data, the name of a calibration data set")
        return self

    @property
    def _measures(self) -> bool:
        return self.drop is None and self.strategy != "deepest_but_last"

    def check(self, architecture: Architecture) -> Architecture:
        if architecture.int8:
            raise BadInput("depth_prune cannot follow int8_dynamic: put it before.")
        field = self._field(architecture)
        depth = getattr(architecture, field)
        if not depth:
            raise BadInput(
                f"depth_prune drops transformer layers, but the config of a {architecture.model_type} model counts "
                "none: choose another method."
            )
        number = len(self.drop) if self.drop is not None else int(self.layers or 0)
        if number >= depth:
            raise BadInput(f"depth_prune drops {number} of {depth} layers: choose a number from 1 to {depth - 1}.")
        if self.drop is not None and max(self.drop) >= depth:
            raise BadInput(
                f"depth_prune.drop names layer {max(self.drop)}, but there are {depth}: choose from 0 to {depth - 1}."
            )
        return architecture.changed(**{field: depth - number})

    def _field(self, architecture: Architecture) -> str:
        """Which count of the architecture changes: a model with one stack has it as encoder_layers, decoders too."""
        if architecture.decoder_layers is not None:
            if self.stack is None:
                raise BadInput(
                    f"depth_prune.stack is not set, and a {architecture.model_type} model has two stacks: set it to "
                    "encoder or decoder."
                )
            return f"{self.stack}_layers"
        if self.stack not in (None, "decoder" if architecture.causal else "encoder"):
            raise BadInput(
                f"depth_prune asks for the {self.stack}, but a {architecture.class_name} has none: leave stack out."
            )
        return "encoder_layers"

    def label(self, architecture: Architecture) -> str:
        depth, after = (getattr(a, self._field(architecture)) for a in (architecture, self.check(architecture)))
        chosen = f"without {', '.join(map(str, sorted(self.drop)))}" if self.drop is not None else self.strategy
        words = {"deepest_but_last": "deepest but last", "shortgpt": "ShortGPT"}
        stack = f"{self.stack} " if architecture.decoder_layers is not None else ""
        return f"{stack or 'depth '}{depth} to {after} ({words.get(chosen, chosen)})"

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del architecture, teachers
        return Promise(fewer=("layers", "parameters", "bytes", "flops"), plain=True)

    def questions(
        self, answers: Mapping[str, dict[str, Any]], before: Architecture, teachers: Mapping[str, Architecture]
    ) -> tuple[Question, ...]:
        del before, teachers
        return tuple(q for q in self._shards() if q.key not in answers)

    def _shards(self) -> list[Question]:
        """One question for each shard of the calibration data, whether it will have rows or not."""
        if not self._measures or self.data is None:
            return []
        where = {
            "stack": self.stack,
            "position": self.position,
            "final_norm": self.final_norm,
            "max_length": self.max_length,
        }
        return [
            Question("block similarity", {**where, "first": a, "last": min(a + SHARD, self.samples)}, (self.data,))
            for a in range(0, self.samples, SHARD)
        ]

    def study(self, model: Loaded, question: Question, work: Workplace) -> dict[str, Any]:
        asked = dict(question.settings)
        first, last = asked.pop("first"), asked.pop("last")
        return measure(model, work.data[question.data[0]].examples()[first:last], _probe(model, asked))

    def holds(self) -> Held:
        return Held(rows=BATCH, tokens=self.max_length) if self._measures else Held()

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        from bench.architecture import architecture_of
        from bench.methods.layer_copy import with_layers

        found = architecture_of(model.model.config.to_dict()).changed(class_name=type(model.model).__name__)
        field = self._field(found)
        depth: int = getattr(found, field)
        self.check(found)
        similarity = merged([work.answers[q.key] for q in self._shards()], str(self.data)) if self._measures else None
        dropped = self._dropped(depth, similarity)
        kept = tuple(i for i in range(depth) if i not in dropped)
        model.model = with_layers(model.model, {field.removesuffix("_layers"): kept})
        model.evidence[EVIDENCE] = {
            "strategy": "drop" if self.drop is not None else self.strategy,
            "stack": self.stack,
            "depth": depth,
            "dropped": list(dropped),
            "kept": list(kept),
            **(self._measured(similarity) if similarity else {}),
        }
        if found.decoder_layers is None:  # mergekit's ranges do not tell the layers of two stacks apart
            model.extra_files["mergekit.yaml"] = mergekit(kept, str(model.model.dtype).removeprefix("torch."))
        return model

    def _dropped(self, depth: int, similarity: Similarity | None) -> tuple[int, ...]:
        if self.drop is not None:
            return tuple(sorted(self.drop))
        number = int(self.layers or 0)
        if similarity is None:
            return tuple(range(depth - 1 - number, depth - 1))
        if self.strategy == "shortgpt":
            return similarity.idlest(number)
        first = similarity.block(number, skip_first=self.skip_first)
        return tuple(range(first, first + number))

    def _measured(self, similarity: Similarity) -> dict[str, Any]:
        return {
            "distance": similarity.distance,
            "influence": similarity.influence,
            "data": self.data,
            "samples": similarity.count,
            "tokens": similarity.tokens,
            "position": self.position,
            "final_norm": self.final_norm,
            "max_length": self.max_length,
        }


def _probe(model: Loaded, asked: dict[str, Any]) -> Probe:
    """Where to read; `stack` says something only where there are two."""
    from bench.architecture import architecture_of

    if architecture_of(model.model.config.to_dict()).decoder_layers is None:
        asked = {**asked, "stack": None}
    return Probe(**asked)


def mergekit(kept: Sequence[int], dtype: str) -> str:
    """A mergekit configuration that cuts the same slices out of the parent: half-open ranges of layers to keep."""
    import yaml

    ranges: list[list[int]] = []
    for layer in kept:
        if ranges and ranges[-1][1] == layer:
            ranges[-1][1] = layer + 1
        else:
            ranges.append([layer, layer + 1])
    slices = [{"sources": [{"model": PARENT, "layer_range": span}]} for span in ranges]
    body = {"slices": slices, "merge_method": "passthrough", "dtype": dtype}
    head = f"# Write the folder or hub id of the model before this step for {PARENT!r}.\n"
    return head + yaml.safe_dump(body, sort_keys=False, default_flow_style=None)
