"""Fine-tuning without a teacher ("shrink and fine-tune", Shleifer & Rush 2020, arXiv:2010.13002)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.methods.trained import thinned
from bench.methods.training import Optimisation, batches, rising_falling, train
from bench.recipe import TRAINED_COPIES, Held, Promise, Step, Workplace, keeps_shape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bench.models import Loaded

__all__ = ["Finetune", "batches", "rising_falling"]


class Finetune(Step):
    """Train with cross-entropy; AdamW, linear warm-up and decay, clipped gradients.

    A classifier learns the labels of the data, an encoder-decoder to write what the label column refers to, a causal
    model to continue the text. Shrinking and fine-tuning for summaries, as published: learning_rate 3e-5, batch 32, 2
    epochs, max_target 142, freeze [encoder, embeddings].
    """

    name: ClassVar[str] = "finetune"
    version: ClassVar[int] = 2
    stochastic: ClassVar[bool] = True
    data_settings: ClassVar[tuple[str, ...]] = ("data",)

    data: str = Field(description="name of a data set of the sweep")
    learning_rate: float = Field(default=3e-5, gt=0)
    epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, gt=0, description="end earlier than the epochs would, never later")
    batch: int = Field(default=32, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps with rising learning rate")
    weight_decay: float = Field(default=0.01, ge=0)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    clip: float = Field(default=1.0, gt=0, description="largest gradient norm")
    max_length: int = Field(default=128, ge=8, description="tokens; longer inputs are cut")
    max_target: int = Field(default=142, ge=2, description="tokens of a reference, for models that write")
    pack: bool = Field(default=False, description="causal models: join texts into rows of max_length tokens")
    freeze: tuple[Literal["encoder", "embeddings"], ...] = Field(default=(), description="parts that are not trained")
    new_head: tuple[str, ...] | None = Field(default=None, description="labels of a fresh classification head")

    def check(self, architecture: Architecture) -> Architecture:
        if architecture.int8 or architecture.dtype not in ("float32", "None"):
            raise BadInput("finetune trains in float32: put it before cast and int8_dynamic.")
        if self.new_head is not None:
            if len(set(self.new_head)) < 2:
                raise BadInput("finetune.new_head needs at least two different labels.")
            name = (architecture.class_name or "").partition("For")[0].removesuffix("LMHeadModel").removesuffix("Model")
            return architecture.changed(labels=self.new_head, class_name=f"{name}ForSequenceClassification")
        if not (architecture.classifies or architecture.generates or architecture.causal):
            raise BadInput(
                f"finetune needs a classification head or a model that writes, but {architecture.class_name} has none: "
                "set new_head to the list of labels."
            )
        return architecture

    def label(self, architecture: Architecture) -> str:
        del architecture
        return "fine-tuned"

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del teachers
        return keeps_shape(architecture, self.check(architecture))

    def holds(self) -> Held:
        return Held(TRAINED_COPIES, self.batch, self.max_length, trains=True)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        import numpy as np
        import torch

        from bench.methods.objectives import cross_entropy, objective
        from bench.methods.student_weights import with_fresh_head

        torch.manual_seed(work.seed)
        if self.new_head is not None:
            model.model, _ = with_fresh_head(model.model, self.new_head)
        inputs = objective(
            model,
            work.data[self.data].examples(),
            self.data,
            max_length=self.max_length,
            max_target=self.max_target,
            pack=self.pack,
        )
        freeze(model.model, self.freeze)
        per_epoch = -(-len(inputs.lengths) // self.batch)
        steps = min(round(per_epoch * self.epochs) or 1, self.max_steps or 10**9)
        how = Optimisation(
            steps=steps,
            learning_rate=self.learning_rate,
            warmup=round(steps * self.warmup),
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            clip=self.clip,
        )
        order = batches(inputs.lengths, self.batch, steps, np.random.default_rng(work.seed))
        try:
            losses = train(model.model, (inputs.batch(rows) for rows in order), cross_entropy, how)
        finally:
            for parameter in model.model.parameters():
                parameter.requires_grad_(True)
        model.evidence["finetune"] = {"losses": thinned(losses), "steps": steps}
        return model


def freeze(model: PreTrainedModel, parts: Sequence[str]) -> None:
    """Exclude parts from training: the encoder stack, and every embedding table (tokens and positions, both sides)."""
    from torch import nn

    if "encoder" in parts and not any(name.endswith("encoder") for name, _ in model.named_modules()):
        raise BadInput(
            f"finetune.freeze names the encoder, but {type(model).__name__} has no module of that name: "
            "freeze the embeddings only, or nothing."
        )
    for name, module in model.named_modules():
        is_encoder = name.endswith("encoder") and not any(name.startswith(f"{n}.") for n in ("decoder",))
        if ("encoder" in parts and is_encoder) or ("embeddings" in parts and isinstance(module, nn.Embedding)):
            for parameter in module.parameters():
                parameter.requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise BadInput(f"finetune.freeze {list(parts)} leaves nothing to train: freeze less.")
