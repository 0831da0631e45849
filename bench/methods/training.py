"""The loop of every step that trains: AdamW, warm-up and decay, clipped gradients, a stop where it diverges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bench.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

POOL = 50  # batches whose examples are sorted by length together, so that little padding is computed
Decay = Literal["linear", "cosine"]
Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class Optimisation:
    """How a model is trained: AdamW over `steps` updates, the learning rate rising over the first `warmup` of them."""

    steps: int
    learning_rate: float
    warmup: int = 0
    decay: Decay = "linear"
    weight_decay: float = 0.01
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip: float = 1.0  # largest gradient norm
    accumulate: int = 1  # batches an update; their losses are averaged


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[Any, Batch], torch.Tensor],
    how: Optimisation,
    *,
    parameters: Iterable[nn.Parameter] | None = None,
    accelerator: Any = None,
) -> list[float]:
    """Train `model` in place and leave it in eval mode. Gives the mean loss of each update.

    Args:
        model: what `loss` is called with, after accelerate has prepared it, in train mode.
        batches: at least `how.steps * how.accumulate` of them, moved to the accelerator's device here.
        loss: a scalar from the prepared model and a batch.
        how: optimiser settings.
        parameters: what is trained; None for every parameter of the model that requires a gradient.
        accelerator: an `accelerate.Accelerator` of the caller, for a GPU or several processes; None: this CPU alone.

    Raises BadInput with the step where the loss or the gradient is not finite; the model then has the weights of the
    last step whose loss was finite.
    """
    import torch
    from accelerate import Accelerator  # type: ignore[import-untyped]
    from accelerate.utils import send_to_device  # type: ignore[import-untyped]

    accelerator = accelerator or Accelerator(cpu=True)
    trained = [p for p in (model.parameters() if parameters is None else parameters) if p.requires_grad]
    optimiser = torch.optim.AdamW(
        trained, lr=how.learning_rate, betas=(0.9, how.beta2), eps=how.epsilon, weight_decay=how.weight_decay
    )
    prepared, optimiser = accelerator.prepare(model, optimiser)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor_of(how))
    good = [p.detach().clone() for p in trained]
    losses: list[float] = []
    source = iter(batches)
    prepared.train()
    for step in range(1, how.steps + 1):
        total = 0.0
        for _ in range(how.accumulate):
            found = loss(prepared, send_to_device(next(source), accelerator.device)) / how.accumulate
            total += found.item()
            if not math.isfinite(total):
                raise _diverged(model, trained, good, f"step {step} of {how.steps} (loss {total})")
            accelerator.backward(found)
        norm = accelerator.clip_grad_norm_(trained, how.clip)
        if norm is not None and not torch.isfinite(norm):
            raise _diverged(
                model, trained, good, f"step {step} of {how.steps} (loss {total:.4g}, gradient norm {norm.item()})"
            )
        _copy(trained, good)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(total)
    if not all(bool(p.isfinite().all()) for p in trained):
        raise _diverged(model, trained, good, f"step {how.steps} of {how.steps} (loss {losses[-1]}, then the weights)")
    model.train(False)
    return losses


def _copy(source: Sequence[torch.Tensor], target: Sequence[torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for old, new in zip(source, target, strict=True):
            new.copy_(old)


def _diverged(model: nn.Module, trained: Sequence[torch.Tensor], good: Sequence[torch.Tensor], where: str) -> BadInput:
    """Puts the last good weights back, and says where it went wrong."""
    _copy(good, trained)
    model.train(False)
    return BadInput(f"Training diverged at {where}: lower learning_rate.")


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


def factor_of(how: Optimisation) -> Callable[[int], float]:
    """Factor of the learning rate at each step."""
    return (rising_falling if how.decay == "linear" else rising_cosine)(how.warmup, how.steps)


def rising_falling(warmup: int, steps: int) -> Callable[[int], float]:
    """Factor of the learning rate at each step: linear from 0 to 1 over the warm-up, then linear to 0 at the end."""

    def factor(step: int) -> float:
        return step / warmup if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))

    return factor


def rising_cosine(warmup: int, steps: int) -> Callable[[int], float]:
    """Factor of the learning rate at each step: linear from 0 to 1 over the warm-up, then half a cosine to 0."""

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return factor
