"""A model run batch by batch on its own device; a batch that does not fit in memory is split."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import is_out_of_memory
from bench.tasks.windows import batches_by_tokens

if TYPE_CHECKING:
    import torch

    from bench.models import Loaded


# A core is as fast on 1,024 tokens as on 4,096, and a batch of fewer rows of a sorted window has less padding: a
# classifier was 1.15 to 1.5 times faster, from 64 to 768 wide.
NARROW_TOKENS = 1024


@dataclass
class Splits:
    """How many batches were split because memory did not hold them; parts that are split again count too."""

    count: int = 0


_SPLITS: ContextVar[Splits | None] = ContextVar("splits", default=None)


@contextmanager
def counted_splits() -> Iterator[Splits]:
    """Count the batches split within."""
    splits = Splits()
    token = _SPLITS.set(splits)
    try:
        yield splits
    finally:
        _SPLITS.reset(token)


def in_batches(
    model: Loaded,
    lengths: Sequence[int],
    batch_tokens: int,
    run: Callable[[Sequence[int], Sequence[int]], object],
) -> None:
    """Call `run` with the row numbers of each batch, of at most `batch_tokens` padded tokens, longest rows first.

    A batch that does not fit in memory is split in halves down to one row; from then on, so is every other one of as
    many padded tokens, untried. A model whose predictions depend on batch-mates is never split: in other batches it
    would give other numbers under the same name.

    Args:
        model: what `run` calls.
        lengths: tokens of each row.
        batch_tokens: padded tokens of one batch.
        run: gets the rows to run, and those of the batch that they are a part of, as wide as which they are to be
            padded: even int8 with one scale a token gives other numbers in another width, for rounding moves. Keeps
            what it finds only when it is done, so that rows can be run again.

    Raises what `run` raises, out of memory too where nothing is left to split.
    """
    too_many: float = float("inf")  # padded tokens
    waiting: list[tuple[Sequence[int], Sequence[int]]] = []
    waiting += [(batch, batch) for batch in batches_by_tokens(lengths, batch_tokens)[::-1]]
    while waiting:
        rows, batch = waiting.pop()
        tokens = len(rows) * lengths[batch[0]]
        if len(rows) == 1 or tokens < too_many:
            try:
                run(rows, batch)
                continue
            except Exception as error:
                if len(rows) == 1 or model.batch_dependent or not is_out_of_memory(error):
                    raise
                traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled the memory
            too_many = min(too_many, tokens)
            _free_caches()
        half = len(rows) // 2
        waiting += [(rows[half:], batch), (rows[:half], batch)]
        splits = _SPLITS.get()
        if splits is not None:
            splits.count += 1


def narrowed(model: Loaded, batch_tokens: int) -> int:
    """Padded tokens of a batch where a model reads texts once: fewer than asked for, if that changes last bits only.

    So for float32 on a CPU. Coarser types make steps of a changed rounding, and a GPU wants large batches.
    """
    import torch

    exact = model.model.dtype == torch.float32 and model.loader_settings.get("activations") in (None, "float")
    return min(batch_tokens, NARROW_TOKENS) if exact and model.model.device.type == "cpu" else batch_tokens


def _free_caches() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing where there is no GPU


def on_device(tensors: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """The tensors on the device. A GPU fetches them while the host goes on; on the CPU they are the same ones."""
    if device.type != "cuda":
        return {name: tensor.to(device) for name, tensor in tensors.items()}
    return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in tensors.items()}
