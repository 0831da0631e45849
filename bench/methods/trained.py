"""What the steps that train on text have in common: settings of the optimiser, of batches, and of what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bench.architecture import Architecture
from bench.errors import BadInput
from bench.methods.training import Optimisation
from bench.recipe import TRAINED_COPIES, Held, Promise, Step, Workplace, keeps_shape

if TYPE_CHECKING:
    from bench.models import Loaded

KEPT_LOSSES = 100  # points of the training curve that the build's record keeps


class Trained(Step):
    """Settings as Sanh et al. 2019 (arXiv:1910.01108) published them, but for the batch: theirs held 250 and more."""

    stochastic: ClassVar[bool] = True
    data_settings: ClassVar[tuple[str, ...]] = ("data",)

    data: str = Field(description="name of a data set of the sweep")
    learning_rate: float = Field(default=5e-4, gt=0)
    epochs: float = Field(default=3.0, gt=0)
    max_steps: int | None = Field(default=None, gt=0, description="end earlier than the epochs would, never later")
    batch: int = Field(default=32, gt=0, description="examples of one update, over all parts and processes")
    accumulation: int = Field(default=1, gt=0, description="parts that a batch is computed in, to save memory")
    processes: int = Field(default=1, gt=0, le=64, description="processes that share a batch")
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps with rising learning rate")
    weight_decay: float = Field(default=0.0, ge=0)
    beta2: float = Field(default=0.98, gt=0, lt=1)
    epsilon: float = Field(default=1e-6, gt=0)
    clip: float = Field(default=5.0, gt=0, description="largest gradient norm")
    max_length: int = Field(
        default=128, ge=8, description="tokens; longer inputs are cut, to the model's positions at most"
    )
    shortest: int = Field(default=12, ge=1, description="unlabelled text: fewest tokens, special ones included")
    most_unknown: float = Field(default=0.5, gt=0, le=1, description="unlabelled text: left out from this share on")
    mask_share: float = Field(default=0.15, gt=0, lt=1, description="masked text: share of the tokens to predict")

    def check_trainable(self, architecture: Architecture) -> None:
        """Raise BadInput unless the weights are floats of full precision."""
        if architecture.int8 or architecture.dtype not in ("float32", "None"):
            raise BadInput(f"{self.name} trains in float32: put it before cast and int8_dynamic.")

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        return keeps_shape(architecture, self.check_among(architecture, teachers))

    def holds(self) -> Held:
        rows = -(-self.batch // (self.accumulation * self.processes))
        return Held(TRAINED_COPIES * self.processes, rows * self.processes, self.max_length, trains=True)

    def optimisation(self, examples: int) -> Optimisation:
        """The optimiser's settings for so many examples."""
        per_epoch = -(-examples // self.batch)
        steps = min(round(per_epoch * self.epochs) or 1, self.max_steps or 10**9)
        return Optimisation(
            steps=steps,
            learning_rate=self.learning_rate,
            warmup=round(steps * self.warmup),
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            epsilon=self.epsilon,
            clip=self.clip,
            accumulate=self.accumulation,
        )

    def fit(self, model: Loaded, work: Workplace, accelerator: Any = None) -> dict[str, Any]:
        """Train `model` in place; gives what the build's record keeps. Every process of a training runs this.

        Args:
            model: the student.
            work: data, teachers and what they have said, seed.
            accelerator: an `accelerate.Accelerator` where several processes share the work.
        """
        raise NotImplementedError

    def fit_everywhere(self, model: Loaded, work: Workplace) -> dict[str, Any]:
        """`fit` here, or in as many processes as the settings say."""
        if self.processes == 1:
            return self.fit(model, work)
        from bench.methods.processes import fit_in_processes

        return fit_in_processes(self, model, work)


def thinned(losses: Sequence[float]) -> list[list[float]]:
    """At most KEPT_LOSSES pairs (update, mean loss of the updates since the last pair)."""
    size = -(-len(losses) // KEPT_LOSSES)
    parts = [losses[i : i + size] for i in range(0, len(losses), size)]
    return [[float(min((n + 1) * size, len(losses))), sum(part) / len(part)] for n, part in enumerate(parts)]
