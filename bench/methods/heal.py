"""Healing: a short training after layers were removed (Gromov et al. 2024, arXiv:2403.17887)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.methods.trained import thinned
from bench.methods.training import Optimisation, batches, train
from bench.recipe import TRAINED_COPIES, Held, Promise, Step, Workplace, keeps_shape

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from bench.methods.objectives import Batch, Objective
    from bench.models import Loaded


class Heal(Step):
    """Train low-rank adapters of the feed-forward layers and fold them in, or train the weights themselves.

    Defaults are those of the paper: rank 64, alpha equal to the rank, dropout 0.05, 5000 updates of 16 rows of 2048
    tokens, cosine with 100 steps of warm-up (here the same share of the steps), peak learning rate 3e-4. It departs
    from them for Mistral-7B (rank 4, 3e-6), Llama-2-7B (rank 2), Llama-2-70B (rank 8, 3e-5) and Phi-2 (2e-4). The
    objective is that of the architecture: text for causal models, labels for classifiers, references for
    encoder-decoders.

    With `adapters: false`, `train: lm_head_and_last` trains the head and the `last` layers (Lu et al. 2024,
    arXiv:2411.15558); a head that shares the embeddings' tensor trains them as well.
    """

    name: ClassVar[str] = "heal"
    version: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True
    data_settings: ClassVar[tuple[str, ...]] = ("data",)

    data: str = Field(description="name of a data set of the sweep")
    adapters: bool = Field(default=True, description="train low-rank adapters and fold them into the weights")
    qlora: bool = Field(default=False, description="train the adapters against the model in 4 bits; needs a CUDA GPU")
    rank: int = Field(default=64, gt=0)
    alpha: float | None = Field(default=None, gt=0, description="scale of the adapters times the rank; null: the rank")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="of the adapters' inputs")
    targets: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="patterns of module names to adapt; null: the feed-forward layers"
    )
    train: Literal["all", "lm_head_and_last"] = Field(default="all", description="without adapters: what is trained")
    last: int = Field(default=3, gt=0, description="layers that lm_head_and_last trains")
    learning_rate: float = Field(default=3e-4, gt=0)
    steps: int = Field(default=5000, gt=0, description="updates")
    batch: int = Field(default=16, gt=0, description="rows of an update")
    accumulation: int = Field(default=1, gt=0, description="parts that a batch is computed in, to save memory")
    warmup: float = Field(default=0.02, ge=0, lt=1, description="share of the steps with rising learning rate")
    weight_decay: float = Field(default=0.0, ge=0)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    clip: float = Field(default=1.0, gt=0, description="largest gradient norm")
    max_length: int = Field(default=2048, ge=8, description="tokens; longer rows are cut, here or where positions end")
    max_target: int = Field(default=142, ge=2, description="tokens of a reference, for models that write")
    pack: bool = Field(default=False, description="causal models: join texts into rows of max_length tokens")

    @model_validator(mode="after")
    def _consistent(self) -> Heal:
        if self.qlora and not self.adapters:
            raise ValueError("heal.qlora trains adapters: leave adapters true")
        if self.adapters and self.train != "all":
            raise ValueError("heal.train says what is trained without adapters: set adapters to false")
        if self.accumulation > self.batch:
            raise ValueError(f"heal.accumulation splits a batch of {self.batch} rows: choose at most as many parts")
        return self

    def check(self, architecture: Architecture) -> Architecture:
        allowed = ("float32", "None", *(("bfloat16",) if self.adapters else ()))
        if architecture.int8 or architecture.dtype not in allowed:
            found = "int8" if architecture.int8 else architecture.dtype
            raise BadInput(
                f"heal trains float32{' or bfloat16' if self.adapters else ''} weights, and these are {found}: put it "
                "before cast and int8_dynamic."
            )
        if not (architecture.classifies or architecture.generates or architecture.causal):
            raise BadInput(
                f"heal trains classifiers and models that write, and {architecture.class_name} is neither: give it a "
                "head with finetune.new_head first."
            )
        depth = architecture.encoder_layers if architecture.decoder_layers is None else architecture.decoder_layers
        if self.train == "lm_head_and_last" and self.last > (depth or 0):
            raise BadInput(f"heal.last is {self.last}, but the model has {depth} layers: choose at most that.")
        return architecture

    def label(self, architecture: Architecture) -> str:
        del architecture
        if self.adapters:
            return f"healed ({'QLoRA' if self.qlora else 'LoRA'} rank {self.rank})"
        return "healed (all weights)" if self.train == "all" else f"healed (head and last {self.last} layers)"

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del teachers
        return keeps_shape(architecture, architecture)

    @classmethod
    def gpu(cls, settings: Mapping[str, Any]) -> str | None:
        return "cuda" if settings.get("qlora") else None

    def check_machine(self) -> None:
        from bench.methods.adapters import check_qlora

        if self.qlora:
            check_qlora()

    def holds(self) -> Held:
        copies = 2.0 if self.adapters else TRAINED_COPIES  # adapters are small beside what they adapt
        return Held(copies, -(-self.batch // self.accumulation), self.max_length, trains=True)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        import torch

        from bench.methods.adapters import Adapters, healed, healed_in_four_bits
        from bench.methods.objectives import objective

        self.check_machine()
        torch.manual_seed(work.seed)
        inputs = objective(
            model,
            work.data[self.data].examples(),
            self.data,
            max_length=self.max_length,
            max_target=self.max_target,
            pack=self.pack,
        )
        how = Adapters(self.rank, self.alpha or self.rank, self.dropout, self.targets)
        losses: list[float] = []
        trained: list[int] = []

        def run(module: nn.Module, accelerator: Any) -> None:
            trained.append(sum(p.numel() for p in module.parameters() if p.requires_grad))
            losses.extend(train(module, self._parts(inputs, work.seed), _loss, self._how(), accelerator=accelerator))

        if self.qlora:
            model.model = healed_in_four_bits(model, how, run)
        elif self.adapters:
            model.model = healed(model.model, how, run)
        else:
            self._chosen(model.model)
            try:
                run(model.model, None)
            finally:
                model.model.requires_grad_(True)
        model.model.train(False)
        model.evidence["heal"] = {"losses": thinned(losses), "trained": trained[0], "steps": self.steps}
        return model

    def _how(self) -> Optimisation:
        return Optimisation(
            steps=self.steps,
            learning_rate=self.learning_rate,
            warmup=round(self.steps * self.warmup),
            decay="cosine",
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            clip=self.clip,
            accumulate=self.accumulation,
        )

    def _parts(self, inputs: Objective, seed: int) -> Iterator[tuple[Batch, float]]:
        """Parts of each batch, with the factor by which their mean losses average to that of the batch."""
        import numpy as np

        from bench.methods.objectives import IGNORED

        for rows in batches(inputs.lengths, self.batch, self.steps, np.random.default_rng(seed)):
            parts = [inputs.batch(rows[k :: self.accumulation] or rows[:1]) for k in range(self.accumulation)]
            counts = [
                int((target != IGNORED).sum()) if k < len(rows) else 0 for k, (_, target) in enumerate(parts)
            ]  # an epoch's last batch may have fewer rows than parts
            for part, count in zip(parts, counts, strict=True):
                yield part, self.accumulation * count / sum(counts)

    def _chosen(self, model: PreTrainedModel) -> None:
        """Let what is to be trained alone require a gradient."""
        if self.train == "all":
            return
        from bench.methods.similarity import layer_stack

        base = f"{model.base_model_prefix}."
        model.requires_grad_(False)
        two_stacks = getattr(model.config, "decoder_layers", None) is not None
        for layer in list(layer_stack(model, "decoder" if two_stacks else None))[-self.last :]:
            layer.requires_grad_(True)
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if not name.startswith(base):
                parameter.requires_grad_(True)


def _loss(model: Any, part: tuple[Batch, float]) -> torch.Tensor:
    from bench.methods.objectives import cross_entropy

    batch, factor = part
    return cross_entropy(model, batch) * factor
