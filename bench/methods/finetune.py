"""Fine-tuning on labels, without a teacher ("shrink and fine-tune", Shleifer & Rush 2020, arXiv:2010.13002)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bench.architecture import Architecture, label_ids
from bench.data import Example
from bench.errors import BadInput
from bench.recipe import Step, Workplace

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel

    from bench.models import Loaded

POOL = 50  # batches whose examples are sorted by length together, so that little padding is computed


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
        import torch
        from accelerate import Accelerator  # type: ignore[import-untyped]

        per_epoch = -(-len(examples) // self.batch)
        steps = min(round(per_epoch * self.epochs) or 1, self.max_steps or 10**9)
        accelerator = Accelerator(cpu=True)
        trained = [p for p in loaded.model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(
            trained, lr=self.learning_rate, betas=(0.9, self.beta2), weight_decay=self.weight_decay
        )
        model, optimiser = accelerator.prepare(loaded.model, optimiser)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rising_falling(round(steps * self.warmup), steps))
        inputs = Encoded(loaded, examples, labels, self.max_length)
        model.train()
        for step, rows in enumerate(batches(inputs.lengths, self.batch, steps, np.random.default_rng(seed)), start=1):
            batch, target = inputs.batch(rows)
            loss = torch.nn.functional.cross_entropy(model(**batch).logits.float(), target)
            if not torch.isfinite(loss):
                raise BadInput(
                    f"Training diverged at step {step} of {steps} (loss {loss.item()}): lower learning_rate."
                )
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(trained, self.clip)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()


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


def batches(lengths: Sequence[int], size: int, steps: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """`steps` batches of row numbers: a new shuffle each epoch, similar lengths together, batch order random again."""
    done = 0
    while True:
        order = rng.permutation(len(lengths))
        pools = [order[i : i + size * POOL] for i in range(0, len(order), size * POOL)]
        ranked = [sorted(pool.tolist(), key=lambda r: lengths[r]) for pool in pools]
        epoch = [pool[i : i + size] for pool in ranked for i in range(0, len(pool), size)]
        for number in rng.permutation(len(epoch)):
            if done == steps:
                return
            yield epoch[number]
            done += 1


def rising_falling(warmup: int, steps: int) -> Callable[[int], float]:
    """Factor of the learning rate at each step: linear from 0 to 1 over the warm-up, then linear to 0 at the end."""

    def factor(step: int) -> float:
        return step / warmup if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))

    return factor


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
