"""How many bytes a model takes once it is quantised, from its shapes alone.

The bytes counted are those of the tensors, each storage once; the file's own header (some hundred bytes a tensor) comes
on top. Formats differ in what they keep beside the integers, so that is an argument: our safetensors hold 4 bytes an
output channel (a float32 scale), torch.ao's files 16 (a float64 scale and an int64 zero point).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Head = Literal["float", "int8"]

OURS = 4  # bytes an output channel: scale float32
TORCH_AO = 16  # bytes an output channel: scale float64, zero point int64
ROW = 8  # bytes a row of an embedding: scale and zero point, both float32, here and in torch.ao
FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class Weights:
    """What one module holds. `storage` is the module whose weight this is, its own name unless it is tied."""

    name: str
    kind: Literal["linear", "embedding", "other"]  # an embedding that INC's rule quantises; positions are "other"
    rows: int  # output channels, or entries of the vocabulary
    columns: int
    bias: int  # numbers beside the weight
    storage: str

    @property
    def size(self) -> int:
        return self.rows * self.columns


def linears(table: Sequence[Weights]) -> tuple[str, ...]:
    """Names of the Linear layers, in model order, with those that share an embedding's tensor."""
    return tuple(w.name for w in table if w.kind == "linear")


def tied_heads(table: Sequence[Weights]) -> frozenset[str]:
    """Names of the Linear layers whose weight is that of an embedding."""
    embedded = {w.storage for w in table if w.kind != "linear"}
    return frozenset(w.name for w in table if w.kind == "linear" and w.storage in embedded)


def predicted_bytes(
    table: Sequence[Weights],
    kept: Collection[str] = (),
    *,
    embeddings: bool = False,
    lm_head: Head = "float",
    channel_bytes: int = OURS,
    row_bytes: int = ROW,
    float_bytes: int = FLOAT32,
) -> int:
    """Bytes of the tensors of a quantised model.

    Args:
        table: the model's modules, of `module_table` or `bart_table`.
        kept: names of Linear layers that stay in float; all of them: the model as it was.
        embeddings: uint8 embeddings. A tied head that stays in float then needs a tensor of its own.
        lm_head: whether a Linear layer that shares an embedding's tensor is quantised, which gives it its own tensor.
        channel_bytes: what a quantised Linear layer keeps beside the integers, an output channel.
        row_bytes: what a quantised embedding keeps, a row.
        float_bytes: of a number that stays in float; what int8 layers keep is float32 always.

    Raises ValueError for a name in `kept` that no Linear layer has.
    """
    strange = sorted(set(kept) - set(linears(table)))
    if strange:
        raise ValueError(f"no Linear layer is called {strange[0]!r}: name modules of the table")
    stay = set(kept) | (tied_heads(table) if lm_head == "float" else frozenset())
    total = 0
    floats: dict[str, int] = {}  # numbers by storage
    integers: dict[str, int] = {}  # bytes of embeddings by storage
    for module in table:
        if module.kind == "linear" and module.name not in stay:
            total += module.size + channel_bytes * module.rows + FLOAT32 * module.bias
            continue
        if module.kind == "embedding" and embeddings:
            integers[module.storage] = module.size + row_bytes * module.rows
        else:
            floats[module.storage] = module.size
        total += float_bytes * module.bias
    return total + sum(integers.values()) + float_bytes * sum(floats.values())


def module_table(model: nn.Module) -> tuple[Weights, ...]:
    """The table of a model, which may be on the meta device with its weights tied (`tie_weights`).

    Modules are listed in model order; parameters and saved buffers outside of Linear layers and embeddings one by one.
    """
    from torch import nn

    from bench.methods.int8_embedding import is_word_embedding

    seen: dict[int, str] = {}
    saved = set(model.state_dict())
    found: list[Weights] = []
    for name, module in model.named_modules():
        if type(module) is nn.Linear or is_word_embedding(module):
            weight = module.weight
            bias = getattr(module, "bias", None)
            storage = seen.setdefault(id(weight), name)
            kind: Literal["linear", "embedding"] = "linear" if type(module) is nn.Linear else "embedding"
            rows, columns = weight.shape
            found.append(Weights(name, kind, rows, columns, 0 if bias is None else bias.numel(), storage))
            continue
        tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for own, tensor in tensors:
            full = f"{name}.{own}" if name else own
            if full in saved:
                storage = seen.setdefault(id(tensor), full)
                found.append(Weights(full, "other", tensor.numel(), 1, 0, storage))
    return tuple(found)


def folder_table(folder: Path) -> tuple[Weights, ...]:
    """The table of the model whose config stands in `folder`; no weight is read."""
    from bench.models import empty_model

    model = empty_model(folder)
    model.tie_weights()
    return module_table(model)


def bart_table(
    width: int, feed_forward: int, layers: tuple[int, int], vocabulary: int, positions: int
) -> tuple[Weights, ...]:
    """The table of a BartForConditionalGeneration, by hand: (encoder, decoder) layers, positions without the offset 2.

    Facebook's bart-large-cnn: `bart_table(1024, 4096, (12, 12), 50264, 1024)`.
    """
    return tuple(_bart(width, feed_forward, layers, vocabulary, positions))


def _bart(width: int, inner: int, layers: tuple[int, int], vocabulary: int, positions: int) -> Iterator[Weights]:
    shared = "model.shared"
    yield Weights(shared, "embedding", vocabulary, width, 0, shared)
    for stack, depth in zip(("encoder", "decoder"), layers, strict=True):
        place = f"model.{stack}"
        yield Weights(f"{place}.embed_tokens", "embedding", vocabulary, width, 0, shared)
        yield _other(f"{place}.embed_positions.weight", (positions + 2) * width)
        attentions = ("self_attn",) if stack == "encoder" else ("self_attn", "encoder_attn")
        norms = ("final_layer_norm", *(f"{a}_layer_norm" for a in attentions))
        for layer in range(depth):
            here = f"{place}.layers.{layer}"
            for attention in attentions:
                for projection in ("k_proj", "v_proj", "q_proj", "out_proj"):
                    yield _linear(f"{here}.{attention}.{projection}", width, width)
            yield _linear(f"{here}.fc1", inner, width)
            yield _linear(f"{here}.fc2", width, inner)
            yield from (_other(f"{here}.{norm}.{part}", width) for norm in norms for part in ("weight", "bias"))
        yield from (_other(f"{place}.layernorm_embedding.{part}", width) for part in ("weight", "bias"))
    yield Weights("lm_head", "linear", vocabulary, width, 0, shared)
    yield _other("final_logits_bias", vocabulary)


def _linear(name: str, outputs: int, inputs: int) -> Weights:
    return Weights(name, "linear", outputs, inputs, outputs, name)


def _other(name: str, size: int) -> Weights:
    return Weights(name, "other", size, 1, 0, name)
