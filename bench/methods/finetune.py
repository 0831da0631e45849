"""Fine-tuning on labels, without a teacher ("shrink and fine-tune", Shleifer & Rush 2020, arXiv:2010.13002)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.architecture import Architecture, label_ids
from bench.data import Example
from bench.errors import BadInput
from bench.methods.training import Optimisation, batches, rising_falling, train
from bench.recipe import Step, Workplace

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from bench.models import Loaded

__all__ = ["Finetune", "batches", "rising_falling"]


class Finetune(Step):
    """Train the classifier on labelled text with cross-entropy; AdamW, linear warm-up and decay, clipped gradients."""

    name: ClassVar[str] = "finetune"
    version: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True
    data_settings: ClassVar[tuple[str, ...]] = ("data",)

    data: str = Field(description="name of a data set of the sweep")
    learning_rate: float = Field(default=3e-5, gt=0)
    epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, gt=0, description="end earlier than the epochs would")
    batch: int = Field(default=32, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps with rising learning rate")
    weight_decay: float = Field(default=0.01, ge=0)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    clip: float = Field(default=1.0, gt=0, description="largest gradient norm")
    max_length: int = Field(default=128, ge=8, description="tokens; longer inputs are cut")
    freeze: tuple[Literal["encoder", "embeddings"], ...] = Field(default=(), description="parts that are not trained")
    new_head: tuple[str, ...] | None = Field(default=None, description="labels of a fresh classification head")

    def check(self, architecture: Architecture) -> Architecture:
        if architecture.int8 or architecture.dtype not in ("float32", "None"):
            raise BadInput("finetune trains in float32: put it before cast and int8_dynamic.")
        if self.new_head is not None:
            if len(set(self.new_head)) < 2:
                raise BadInput("finetune.new_head needs at least two different labels.")
            name = (architecture.class_name or "").partition("For")[0].removesuffix("Model")
            return architecture.changed(labels=self.new_head, class_name=f"{name}ForSequenceClassification")
        if not architecture.classifies:
            raise BadInput(
                f"finetune needs a classification head, but {architecture.class_name} has none: "
                "set new_head to the list of labels."
            )
        return architecture

    def label(self, architecture: Architecture) -> str:
        del architecture
        return "fine-tuned"

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        import torch

        torch.manual_seed(work.seed)
        if self.new_head is not None:
            model.model = with_head(model, self.new_head)
        labels = label_ids(model.model.config.id2label)
        examples = work.data[self.data].examples()
        for example in examples:
            if example.label.lower() not in labels:
                raise BadInput(
                    f"The data {self.data!r} has the label {example.label!r}, which the model does not know; it knows "
                    f"{', '.join(sorted(labels))}: map it with labels."
                )
        freeze(model.model, self.freeze)
        self._train(model, examples, labels, work.seed)
        for parameter in model.model.parameters():
            parameter.requires_grad_(True)
        model.model.train(False)
        return model

    def _train(self, loaded: Loaded, examples: Sequence[Example], labels: dict[str, int], seed: int) -> None:
        import numpy as np

        per_epoch = -(-len(examples) // self.batch)
        steps = min(round(per_epoch * self.epochs) or 1, self.max_steps or 10**9)
        inputs = Encoded(loaded, examples, labels, self.max_length)
        order = batches(inputs.lengths, self.batch, steps, np.random.default_rng(seed))
        how = Optimisation(
            steps=steps,
            learning_rate=self.learning_rate,
            warmup=round(steps * self.warmup),
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            clip=self.clip,
        )
        train(loaded.model, (inputs.batch(rows) for rows in order), cross_entropy, how)


class Encoded:
    """Tokenised training examples, padded one batch at a time."""

    def __init__(self, loaded: Loaded, examples: Sequence[Example], labels: dict[str, int], max_length: int) -> None:
        self._pad = loaded.tokenizer.pad
        pairs = None if examples[0].pair is None else [e.pair for e in examples]
        self._ids = loaded.tokenizer([e.text for e in examples], pairs, truncation=True, max_length=max_length)
        self._target = [labels[e.label.lower()] for e in examples]
        self.lengths = [len(ids) for ids in self._ids["input_ids"]]

    def batch(self, rows: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs [len(rows), longest] and targets [len(rows)]."""
        import torch

        padded = self._pad({key: [values[r] for r in rows] for key, values in self._ids.items()}, return_tensors="pt")
        return dict(padded), torch.tensor([self._target[r] for r in rows])


def cross_entropy(model: Any, batch: tuple[dict[str, torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy of the labels over the rows of a batch."""
    from torch.nn import functional

    inputs, target = batch
    return functional.cross_entropy(model(**inputs).logits.float(), target)


def with_head(loaded: Loaded, labels: tuple[str, ...]) -> PreTrainedModel:
    """The model with a freshly initialised classification head for `labels`; draws from torch's global generator."""
    from transformers import AutoModelForSequenceClassification

    found: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        loaded.source,
        id2label=dict(enumerate(labels)),
        label2id={name: i for i, name in enumerate(labels)},
        local_files_only=True,
        ignore_mismatched_sizes=True,
        dtype="float32",
    )
    return found


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
