"""A student: a new, usually smaller model that training then fills with what a teacher knows.

Its layers are some of the teacher's (Sanh et al. 2019, arXiv:1910.01108; Shleifer & Rush 2020, arXiv:2010.13002), the
teacher's first ones, or random (the baselines of Turc et al. 2019, arXiv:1908.08962).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.methods.layer_copy import layer_map
from bench.recipe import Counted, Promise, Step, Workplace

if TYPE_CHECKING:
    from bench.models import Loaded

Init = Literal["published", "first", "random"]
TASKS = {"classifies": "classifier", "generates": "writer", "causal": "causal", "masked": "masked language model"}


class Student(Step):
    """Make a student from the model before this step, or from a teacher of the sweep."""

    name: ClassVar[str] = "student"
    version: ClassVar[int] = 1
    teacher_settings: ClassVar[tuple[str, ...]] = ("weights",)

    weights: str | None = Field(
        default=None, description="teacher of the sweep to make it from instead, such as a pre-trained compact model"
    )
    layers: int | None = Field(default=None, gt=0, description="layers (of the encoder, where there are two stacks)")
    decoder_layers: int | None = Field(default=None, gt=0, description="decoder layers, where there are two stacks")
    hidden: int | None = Field(default=None, gt=0, description="width")
    heads: int | None = Field(default=None, gt=0, description="attention heads")
    ffn: int | None = Field(default=None, gt=0, description="inner width of the feed-forward layers")
    architecture: Literal["same", "distilbert"] = Field(
        default="same", description="distilbert: without token types and pooler, from a BERT"
    )
    init: Init = Field(default="published", description="published layer maps, the first layers, or random weights")
    head: Literal["parent", "own"] = Field(
        default="parent",
        description="with weights: a head for what the model before does, fresh unless it fits; or the head it has",
    )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether weights are drawn: all of them, or perhaps the head of other weights."""
        return self.init == "random" or self.weights is not None

    def check(self, architecture: Architecture) -> Architecture:
        return self.check_among(architecture, {})

    def check_among(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Architecture:
        source = teachers.get(self.weights, architecture) if self.weights else architecture
        if source.int8:
            raise BadInput("student is made from float weights, but they are int8: put it before int8_dynamic.")
        if self.weights is not None and self.head == "parent":
            source = headed(source, architecture, self.weights)
        self._check_shape(source)
        changes: dict[str, Any] = {"dtype": "float32"}
        for key, value in (("hidden", self.hidden), ("heads", self.heads), ("encoder_layers", self.layers)):
            if value is not None:
                changes[key] = value
        if self.decoder_layers is not None:
            changes["decoder_layers"] = self.decoder_layers
        if self.architecture == "distilbert":
            changes |= {"model_type": "distilbert", "class_name": distilbert_class(source)}
        return source.changed(**changes)

    def _check_shape(self, source: Architecture) -> None:
        """Raise BadInput where the settings do not fit the model that the student is made from."""
        for setting, keep, depth in (
            ("layers", self.layers, source.encoder_layers),
            ("decoder_layers", self.decoder_layers, source.decoder_layers),
        ):
            if keep is not None and depth is None:
                raise BadInput(f"student.{setting} is {keep}, but a {source.model_type} model has no such stack.")
            if keep is not None and depth is not None and self.init != "random" and keep > depth:
                raise BadInput(
                    f"student.{setting} is {keep}, but there are {depth} layers to copy: keep at most {depth}, or set "
                    "init: random."
                )
        changed = [
            setting
            for setting, value, old in (
                ("hidden", self.hidden, source.hidden),
                ("heads", self.heads, source.heads),
                ("ffn", self.ffn, None),
            )
            if value is not None and value != old
        ]
        if changed and self.init != "random":
            raise BadInput(
                f"student changes {' and '.join(changed)} but init is {self.init!r}, and weights of another width "
                "cannot be copied: set init: random."
            )
        hidden, heads = self.hidden or source.hidden, self.heads or source.heads
        if hidden and heads and hidden % heads:
            raise BadInput(f"student has hidden {hidden} and {heads} heads: hidden must be a multiple of heads.")

    def label(self, architecture: Architecture) -> str:
        del architecture
        shape = [f"{self.layers} layers"] if self.layers else []
        shape += [f"{self.decoder_layers} decoder layers"] if self.decoder_layers else []
        shape += [f"{key} {value}" for key in ("hidden", "heads", "ffn") if (value := getattr(self, key))]
        words = [self.weights or "", "DistilBERT" if self.architecture == "distilbert" else "", " x ".join(shape)]
        words.append({"published": "", "first": "first layers", "random": "random"}[self.init])
        return " ".join(["student", *(w for w in words if w)])

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        """Fewer parameters where the settings cut something and widen nothing; nothing of other models' weights."""
        del teachers
        layers = ((self.layers, architecture.encoder_layers), (self.decoder_layers, architecture.decoder_layers))
        cuts = [_cut(*pair) for pair in (*layers, (self.hidden, architecture.hidden))]
        # How wide the feed-forward layers were is not known; four times the width is usual.
        wide = self.ffn is not None and self.ffn > 4 * (architecture.hidden or 0)
        if self.weights is not None or wide or -1 in cuts:
            return Promise(plain=True)
        fewer: list[Counted] = ["layers"] if 1 in cuts[:2] else []
        if 1 in cuts or self.architecture == "distilbert":
            fewer.append("parameters")
        if 1 in cuts:
            fewer.append("flops")
        return Promise(fewer=tuple(fewer), plain=True)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        import torch

        from bench.methods.student_weights import made_from
        from bench.models import load

        torch.manual_seed(work.seed)
        source = load(work.teachers[self.weights]) if self.weights else model
        return made_from(source, model, self)


def _cut(wanted: int | None, had: int | None) -> int:
    """1 where a setting makes something smaller, -1 where it makes it larger or nobody can tell, 0 where it stays."""
    if wanted is None or wanted == had:
        return 0
    return 1 if had is not None and wanted < had else -1


def headed(source: Architecture, parent: Architecture, name: str) -> Architecture:
    """The source with a head for what the parent does. Raises BadInput where that is no classifying and differs."""
    if parent.classifies:
        if source.classifies and same_labels(source, parent):
            return source
        return source.changed(class_name=f"{class_prefix(source)}ForSequenceClassification", labels=parent.labels)
    if any(getattr(parent, task) and getattr(source, task) for task in TASKS):
        return source
    raise BadInput(
        f"student.weights names {name!r}, a {source.class_name}, but the model before is a {parent.class_name}: name a "
        "model of the same task, or set head: own."
    )


def same_labels(one: Architecture, other: Architecture) -> bool:
    """Whether two classifiers have the same labels by name, in whatever order."""
    first, second = ({name.lower() for name in a.labels or ()} for a in (one, other))
    return first == second


def class_prefix(architecture: Architecture) -> str:
    """The family's part of a class name: 'Bert' of BertForMaskedLM, 'GPT2' of GPT2LMHeadModel."""
    return re.sub(r"(For[A-Z]\w*|LMHeadModel|Model)$", "", architecture.class_name or "")


def distilbert_class(source: Architecture) -> str:
    """The DistilBERT class for a BERT class. Raises BadInput where there is none."""
    if source.model_type != "bert":
        raise BadInput(
            f"student.architecture distilbert is made from a BERT, but this is a {source.model_type} model: leave it "
            "'same'."
        )
    if source.classifies:
        return "DistilBertForSequenceClassification"
    if source.masked:
        return "DistilBertForMaskedLM"
    if source.class_name == "BertModel":
        return "DistilBertModel"
    raise BadInput(
        f"There is no DistilBERT for a {source.class_name}: use a BERT with a classification or masked-language head."
    )


def copied_layers(init: Init, depth: int, keep: int) -> tuple[int, ...]:
    """Which of `depth` layers a student of `keep` copies, 0-based: by the published maps, or the first ones."""
    return tuple(range(keep)) if init == "first" else layer_map(depth, keep)
