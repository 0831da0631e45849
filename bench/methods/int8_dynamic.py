"""Dynamic int8: weights int8 per output channel, activations quantised as they come. No calibration data.

The scheme of Intel/bart-large-cnn-int8-dynamic. Which modules stay in float is a list, or is searched for until the
accuracy is within a tolerance (`bench.methods.fallback`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.methods.fallback import Fallback, Search, pending, search
from bench.methods.fallback_evidence import EVIDENCE, evidence
from bench.recipe import Counted, Promise, Question, Step, Workplace

if TYPE_CHECKING:
    from torch import nn

    from bench.models import Loaded

# Settings that came later: left out of a recipe's identity where they are not used, so that old results stay known.
LATER = {"embeddings": False, "lm_head": "float", "fallback": None}
WILDCARDS = frozenset("*?[")  # of `fnmatch`


class Int8Dynamic(Step):
    """Quantise every Linear layer but those kept.

    Models of any floating type may be quantised: scales come from the weights as they are, and what stays in float
    keeps its type. With `activations: tensor` one scale serves a whole batch, so that an output depends on its
    batch-mates and on padding; a task's batches are fixed by its fingerprint, so its scores can be repeated, but the
    same text alone may get another output.
    """

    name: ClassVar[str] = "int8_dynamic"
    version: ClassVar[int] = 1
    data_settings: ClassVar[tuple[str, ...]] = ("fallback.data", "fallback.holdout")
    task_settings: ClassVar[tuple[str, ...]] = ("fallback.task",)

    activations: Literal["token", "tensor"] = Field(
        default="token", description="one scale a token, or one a tensor (depends on batch-mates and padding)"
    )
    keep_fp32: tuple[str, ...] = Field(default=(), description="names of modules to keep in float; * matches any text")
    embeddings: bool = Field(
        default=False, description="uint8 rows for word embeddings, as nn.Embedding; learned positions of BART stay"
    )
    lm_head: Literal["float", "int8"] = Field(
        default="float", description="an output layer that shares the embeddings' tensor; int8 gives it its own"
    )
    fallback: Fallback | None = Field(default=None, description="search for modules to keep in float as well")

    def check(self, architecture: Architecture) -> Architecture:
        if architecture.int8:
            raise BadInput("int8_dynamic stands twice in one recipe: remove one.")
        if self.lm_head == "int8" and architecture.classifies:
            raise BadInput(
                f"int8_dynamic.lm_head is int8, but a {architecture.class_name} has no output layer over its "
                "vocabulary: leave lm_head out."
            )
        return architecture.changed(int8=True, sealed=self.name, batch_dependent=self.activations == "tensor")

    def label(self, architecture: Architecture) -> str:
        del architecture
        notes = (
            kept_as(self.keep_fp32),
            "uint8 embeddings" if self.embeddings else "",
            "int8 head" if self.lm_head == "int8" else "",
            self.fallback.label if self.fallback else "",
        )
        said = "; ".join(note for note in notes if note)
        return f"int8{' per tensor' if self.activations == 'tensor' else ''}{f' ({said})' if said else ''}"

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del architecture, teachers
        same: tuple[Counted, ...] = ("layers", "flops")
        if not self.embeddings and self.lm_head == "float":  # or what shared a tensor may get one of its own
            same = ("weights", *same)
        return Promise(fewer=("bytes",), same=same, computes_in="int8", plain=True)

    def request(self, names: Mapping[str, str], seed: int | None) -> dict[str, Any]:
        """As `Step.request`; settings that came later appear only where they are used."""
        found = super().request(names, seed)
        for key, unused in LATER.items():
            if found["settings"][key] == unused:
                del found["settings"][key]
        return found

    def questions(
        self, answers: Mapping[str, dict[str, Any]], before: Architecture, teachers: Mapping[str, Architecture]
    ) -> tuple[Question, ...]:
        del before, teachers
        return () if self.fallback is None else pending(self.fallback, self._scheme(), answers)

    def _scheme(self) -> dict[str, Any]:
        """What a trial needs to know beside the modules that it keeps."""
        return {
            "activations": self.activations,
            "keep_fp32": list(self.keep_fp32),
            "embeddings": self.embeddings,
            "lm_head": self.lm_head,
        }

    def study(self, model: Loaded, question: Question, work: Workplace) -> dict[str, Any]:
        from bench.methods.fallback_study import study

        return study(model, question, work)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        found: Search | None = None
        if self.fallback is not None:
            found = search(self.fallback, self._scheme(), work.answers)
            model.evidence[EVIDENCE] = evidence(self.fallback, found)
        return quantised(model, **self._scheme(), kept=found.kept if found else ())


def quantised(
    model: Loaded,
    *,
    activations: Literal["token", "tensor"],
    keep_fp32: Sequence[str],
    embeddings: bool,
    lm_head: str,
    kept: Collection[str] = (),
) -> Loaded:
    """The model with int8 modules, in place. `kept` are names, `keep_fp32` patterns. Raises BadInput as `choose`."""
    from bench.methods.int8_model import quantise

    chosen = [name for name in choose(model.model, tuple(keep_fp32), lm_head) if name not in kept]
    try:
        model.loader_settings = quantise(model.model, chosen, activations, embeddings=embeddings)
    except ValueError as error:
        raise BadInput(f"int8_dynamic cannot be applied: {error} Mend the model before this step.") from error
    model.loader = "int8_dynamic"
    return model


def choose(model: nn.Module, keep: tuple[str, ...], lm_head: str = "float") -> dict[str, nn.Linear]:
    """The Linear layers to quantise, by name, in model order; raises BadInput as `chosen_names`."""
    from bench.methods.int8_model import linear_layers, tied_linears

    layers = linear_layers(model)
    return {name: layers[name] for name in chosen_names(tuple(layers), tied_linears(model), keep, lm_head)}


def kept_as(keep: Sequence[str], how: str = "in float") -> str:
    """As "2 kept in float" of names, and "2 patterns kept in float" where one may match several; empty without any.

    A label is made without the model: how many modules a pattern matches is not known there.
    """
    if not keep:
        return ""
    names = not any(set(pattern) & WILDCARDS for pattern in keep)
    return f"{len(keep)} {'' if names else 'patterns ' if len(keep) > 1 else 'pattern '}kept {how}"


def chosen_names(
    linears: Sequence[str],
    tied: Collection[str],
    keep: Sequence[str],
    lm_head: str = "float",
    step: str = "int8_dynamic",
) -> tuple[str, ...]:
    """Which Linear layers are quantised, of a model's or of `bench.methods.int8_sizes.linears` of its config.

    A layer whose weight is tied to an embedding stays in float, where it takes no room of its own, unless `lm_head` is
    int8. Raises BadInput for a pattern that matches nothing and for a model with nothing to quantise.
    """
    for pattern in keep:
        if not any(fnmatch(name, pattern) for name in linears):
            raise BadInput(
                f"{step} keeps {pattern!r} in float, but no Linear layer has that name: see the model's modules."
            )
    chosen = tuple(
        name for name in linears if (lm_head == "int8" or name not in tied) and not any(fnmatch(name, p) for p in keep)
    )
    if not chosen:
        raise BadInput(f"{step} finds no Linear layer to quantise in this model: remove the step.")
    return chosen
