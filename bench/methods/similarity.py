"""How much each layer and each block of layers changes what passes through: angles between states of the residual.

Angular distance of a block (Gromov et al. 2024, arXiv:2403.17887): d(l, n) = arccos(cos(h_l, h_l+n)) / pi, where h_l is
what enters layer l at one position of a sample and h_L what leaves the last layer. Influence of a layer (Men et al.
2024, arXiv:2403.03853): 1 - cos(X_l, X_l+1), over all tokens. Sums and counts are kept, so that shards can be added up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench.architecture import architecture_of
from bench.errors import BadInput
from bench.methods.encoding import Row, encoded, filler, padded

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from bench.data import Example
    from bench.models import Loaded

BATCH = 8
SHARD = 256  # rows; a multiple of BATCH, so that shards hold the batches that one pass would have
FEWEST = 8  # samples below which a mean says nothing
EVIDENCE = "depth_prune"  # key of a build's evidence
Position = Literal["last", "first", "mean"]
Stack = Literal["encoder", "decoder"]


@dataclass(frozen=True, slots=True)
class Probe:
    """Where the residual stream is read."""

    stack: Stack | None = None  # of an encoder-decoder; None for a model with one stack
    position: Position = "last"
    final_norm: bool = False
    max_length: int = 1024


@dataclass(frozen=True, slots=True)
class Similarity:
    """Means over the calibration samples."""

    distance: list[list[float]]  # [block size - 1][first layer], in [0, 1]
    influence: list[float]  # of each layer, in [0, 2]
    count: int  # samples
    tokens: int

    def block(self, size: int, *, skip_first: bool = False) -> int:
        """First layer of the block of that size that changes least; the earliest where several do."""
        row = self.distance[size - 1]
        return min(range(int(skip_first), len(row)), key=row.__getitem__)

    def idlest(self, number: int) -> tuple[int, ...]:
        """The layers of least influence, ascending; earlier ones first where they are alike."""
        ranked = sorted(range(len(self.influence)), key=self.influence.__getitem__)
        return tuple(sorted(ranked[:number]))


def merged(answers: Sequence[Mapping[str, Any]], data: str) -> Similarity:
    """The means over all shards. Raises BadInput where too few samples of `data` had any token."""
    count, tokens = sum(a["count"] for a in answers), sum(a["tokens"] for a in answers)
    if count < FEWEST:
        raise BadInput(
            f"The calibration data {data!r} give {count} samples with text, and similarity needs at least {FEWEST}: "
            "give more rows or raise samples."
        )
    blocks = zip(*(a["sums"] for a in answers), strict=True)
    return Similarity(
        distance=[[math.fsum(parts) / count for parts in zip(*rows, strict=True)] for rows in blocks],
        influence=[math.fsum(parts) / tokens for parts in zip(*(a["influence"] for a in answers), strict=True)],
        count=count,
        tokens=tokens,
    )


def curve_rows(evidence: Mapping[str, Any]) -> list[tuple[int, int, float]]:
    """(block size, first layer, mean distance) of a build's evidence; nothing where it was not measured."""
    distance = evidence.get(EVIDENCE, {}).get("distance") or []
    return [(size, first, value) for size, row in enumerate(distance, start=1) for first, value in enumerate(row)]


def layer_stack(model: PreTrainedModel, stack: Stack | None) -> nn.ModuleList:
    """The list of transformer layers of a model, or of one side of an encoder-decoder."""
    from torch import nn

    found = architecture_of(model.config.to_dict())
    depth = found.decoder_layers if stack == "decoder" and found.decoder_layers is not None else found.encoder_layers
    for name, module in model.named_modules():
        *above, last = name.split(".")
        fits = found.decoder_layers is None or stack in above
        if isinstance(module, nn.ModuleList) and last in ("layers", "layer", "h") and len(module) == depth and fits:
            return module
    raise BadInput(
        f"{type(model).__name__} has no list of {depth} layers that can be watched: depth_prune knows models whose "
        "layers are called layers, layer or h; name others in an issue."
    )


def measure(loaded: Loaded, examples: Sequence[Example], probe: Probe) -> dict[str, Any]:
    """One pass over the samples: sums of the distances of all blocks and of the influences of all layers.

    Returns {"sums": [block size - 1][first layer], "influence": [layer], "count": samples, "tokens": tokens}. Angles
    are taken in float64: near 1 the arccosine loses half of the digits. Samples without a token are left out.
    """
    import torch

    layers = layer_stack(loaded.model, probe.stack)
    watch = _Watch(len(layers), probe)
    with watch.on(layers), torch.inference_mode():
        for inputs in _inputs(loaded, examples, probe):
            watch.mask = inputs.get("decoder_attention_mask", inputs["attention_mask"]).bool()
            output = _through(loaded.model, inputs, probe.stack)
            if probe.final_norm:
                watch.take(output.last_hidden_state)
            watch.finish()
    answer = watch.answer()
    if not all(math.isfinite(x) for row in (*answer["sums"], answer["influence"]) for x in row):
        raise BadInput(
            f"{type(loaded.model).__name__} gives values that are not finite in {loaded.model.dtype}, so blocks cannot "
            "be compared: put depth_prune before cast."
        )
    return answer


def _inputs(loaded: Loaded, examples: Sequence[Example], probe: Probe) -> Iterator[dict[str, torch.Tensor]]:
    """Batches in the order of the file: rows sorted by length would fall into other batches in another shard."""
    pairs = [e.pair or "" for e in examples] if examples and examples[0].pair is not None else None
    rows = encoded(loaded, [e.text for e in examples], pairs, probe.max_length)
    references: list[Row] | None = None
    shift: Any = getattr(loaded.model, "prepare_decoder_input_ids_from_labels", None)
    if probe.stack == "decoder" and shift is not None:
        references = encoded(loaded, [e.label for e in examples], None, probe.max_length, target=True)
        if any(not e.label for e in examples):
            raise BadInput(
                "The decoder of a model that writes text is measured on references, and the calibration data have "
                "none: name their column with label."
            )
    usable = [i for i, row in enumerate(rows) if row["input_ids"]]
    fill = filler(loaded)
    for start in range(0, len(usable), BATCH):
        chosen = usable[start : start + BATCH]
        inputs = padded([rows[i] for i in chosen], fill)
        if references is not None:
            said = padded([references[i] for i in chosen], fill)
            inputs["decoder_input_ids"] = shift(labels=said["input_ids"])
            inputs["decoder_attention_mask"] = said["attention_mask"]
        yield inputs


def _through(model: PreTrainedModel, inputs: dict[str, torch.Tensor], stack: Stack | None) -> Any:
    """Run the part of the model that holds the layers; no head, and no encoder's decoder."""
    inputs = {key: tensor.to(model.device) for key, tensor in inputs.items()}
    if stack == "encoder":
        return model.get_encoder()(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    return model.base_model(**inputs, **({"use_cache": False} if hasattr(model.config, "use_cache") else {}))


class _Watch:
    """Hooks that follow the residual stream of one batch through the layers, and the sums over all batches."""

    def __init__(self, depth: int, probe: Probe) -> None:
        import torch

        self.mask: torch.Tensor | None = None  # [rows, tokens], of the batch to come
        self._probe = probe
        self._depth = depth
        self._picked: list[torch.Tensor] = []  # h_0 ... of the batch, each [rows, width]
        self._before: torch.Tensor | None = None
        self._sums = [torch.zeros(depth + 1 - n, dtype=torch.float64) for n in range(1, depth)]
        self._influence = torch.zeros(depth, dtype=torch.float64)
        self._count = self._tokens = 0

    @contextmanager
    def on(self, layers: nn.ModuleList) -> Iterator[None]:
        """Watch what enters each layer, and what leaves the last unless the final norm's output is asked for."""
        handles = [layer.register_forward_pre_hook(self._enters, with_kwargs=True) for layer in layers]
        if not self._probe.final_norm:
            handles.append(layers[-1].register_forward_hook(self._leaves))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enters(self, _layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.take(args[0] if args else kwargs["hidden_states"])

    def _leaves(self, _layer: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        self.take(output[0] if isinstance(output, tuple) else output)

    def take(self, state: torch.Tensor) -> None:
        """The next state of the stream, [rows, tokens, width]."""
        import torch

        assert self.mask is not None
        wide = torch.promote_types(state.dtype, torch.float32)
        state = state.detach().to("cpu", wide, copy=True)  # a layer may go on to write into what it was given
        if self._before is not None:
            kept = cosine(self._before, state)[self.mask]
            self._influence[len(self._picked) - 1] += (1 - kept.double()).sum()
        self._before = state
        self._picked.append(pick(state, self.mask, self._probe.position).double())

    def finish(self) -> None:
        """Add the batch to the sums."""
        import torch

        assert self.mask is not None
        assert len(self._picked) == self._depth + 1, f"{len(self._picked)} states of {self._depth} layers"
        states = torch.stack(self._picked)
        for n, sums in enumerate(self._sums, start=1):
            sums += (cosine(states[:-n], states[n:]).arccos() / math.pi).sum(dim=1)
        self._count += states.shape[1]
        self._tokens += int(self.mask.sum())
        self._picked, self._before = [], None

    def answer(self) -> dict[str, Any]:
        return {
            "sums": [sums.tolist() for sums in self._sums],
            "influence": self._influence.tolist(),
            "count": self._count,
            "tokens": self._tokens,
        }


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cosines along the last dimension, in [-1, 1]; exactly 1 for equal vectors, 0 where one is zero."""
    import torch

    # The root of the product of equal numbers is that number, exactly; a product of two roots is not.
    scale = torch.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return torch.where(scale == 0, 0.0, (a * b).sum(-1) / scale).clamp(-1, 1)


def pick(state: torch.Tensor, mask: torch.Tensor, position: Position) -> torch.Tensor:
    """The state [rows, width] at the last or first real token of each row, or the mean over its real tokens.

    Args:
        state: [rows, tokens, width].
        mask: [rows, tokens], true where a token is real; the padding may be on either side.
        position: which.
    """
    import torch

    if position == "mean":
        real = mask[..., None].to(state.dtype)
        return (state * real).sum(1) / real.sum(1)
    places = torch.arange(mask.shape[1])
    chosen = (
        torch.where(mask, places, -1).argmax(1) if position == "last" else torch.where(mask, places, 10**9).argmin(1)
    )
    return state[torch.arange(len(state)), chosen]
