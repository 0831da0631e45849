"""How much memory a model will need, from its config and the headers of its weights: nothing is loaded.

The model is put together on the meta device, where tensors have shapes and no numbers, and one forward pass is watched
there (`bench.measure.live_bytes`). What that leaves out: the code of the kernels (10 to 20 MB of library pages),
scratch space inside of one kernel, and what the allocator rounds up or keeps.

A prediction serves two questions, which err on different sides. `check_fit` refuses what cannot run at all, so it asks
for no more than is certain. `fits_together` says whether models may be held side by side for hours, so it leaves room.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.architecture import MARKER, describe
from bench.artefacts import weight_bytes
from bench.device import gpu_index
from bench.errors import BadInput, DoesNotFit, text_of
from bench.measure.container import memory_left

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

# Of the predicted activations, how much must be there beside the weights: kernels may reuse what the watched pass
# counted twice, and a wrong refusal costs a row while a wrong attempt costs one worker. Weights themselves are certain.
CERTAIN_SHARE = 0.5
# Models are held together only if all they need takes no more than this share of what is free: allocators keep what
# they once had, kernels have scratch space, and other processes grow while a lease lasts.
TOGETHER_SHARE = 0.8


class Unpredictable(Exception):  # noqa: N818 - the name says what it is
    """The model cannot be watched on the meta device: what it does depends on numbers that are not there."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """Bytes that a model needs.

    `weights`: parameters and buffers as they stand in memory, each storage once. `packed`: the copy that kernels of
    quantised layers lay out for themselves, at most (some int8 kernels need none). `activations`: the most that is
    alive at once beyond these, the cache included. `kv_cache_per_token`: bytes by which the cache of one sequence
    grows with each token, 0 for models that do not write. `watched`: False where no pass could be watched; then as much
    again as the weights stands in for the activations, and 0 for the cache.
    """

    weights: int
    packed: int
    activations: int
    kv_cache_per_token: int
    watched: bool = True

    @property
    def total(self) -> int:
        return self.weights + self.packed + self.activations


@lru_cache(maxsize=256)
def predict(folder: Path, batch: int, length: int, new_tokens: int = 0) -> Predicted:
    """What the model saved in `folder` needs for one forward pass [batch, length], or to write `new_tokens` after it.

    Attention is taken to be fused unless the config says "eager", whose scores then count. For a model that writes,
    the input is read with the logits of the last token alone, as `generate` does; beams are not counted.

    Raises BadInput where the folder holds no model that can be loaded.
    """
    try:
        with _watching():
            model = meta_model(folder)
            weights, packed = _weights(model)
            live = _written_bytes(model, batch, length, new_tokens) if new_tokens else _pass_bytes(model, batch, length)
            return Predicted(weights, packed, live, cache_per_token(model))
    except Unpredictable:
        return Predicted(weight_bytes(folder), 0, weight_bytes(folder), 0, watched=False)


def kv_cache_per_token(model: PreTrainedModel) -> int:
    """Bytes by which the cache of one sequence grows with each token that this model writes, 0 where it does not write.

    The cache is the one that the model makes, of whatever class. Windows are taken to have room, so a model with
    sliding windows needs less once they are full; what an encoder-decoder keeps of its source does not grow.

    Raises Unpredictable where the model cannot be run on two tokens.
    """
    with _watching():
        return cache_per_token(model)


def cache_of(folder: Path) -> int | None:
    """`kv_cache_per_token` of the model saved in `folder`; None where it does not write, or cannot be watched."""
    architecture = describe(folder)
    if not (architecture.causal or architecture.generates):
        return None
    try:
        return kv_cache_per_token(meta_model(folder))
    except Unpredictable:
        return None


@contextmanager
def _watching() -> Iterator[None]:
    """Say of whatever goes wrong in a watched pass that there is no prediction."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # a model's own code, on tensors that it was not written for, may do anything
        raise Unpredictable(f"{type(error).__name__}: {text_of(error)}") from error


def meta_model(folder: Path) -> PreTrainedModel:
    """The folder's model on the meta device, in the types it will have when it is loaded."""
    from bench.models import RESTORERS, model_class

    marker = folder / MARKER
    described: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {}
    if described.get("loader") in RESTORERS:
        return _meta_quantised(folder, RESTORERS[described["loader"]], described["settings"])
    model: PreTrainedModel = model_class(folder).from_pretrained(
        folder, dtype="auto", device_map="meta", local_files_only=True, use_safetensors=True
    )
    model.train(False)
    return model


def _meta_quantised(folder: Path, restorer: str, settings: Mapping[str, Any]) -> PreTrainedModel:
    """The quantised model with its types; its own layers allocate as their kernels do."""
    from safetensors import safe_open
    from torch import nn

    from bench.models import empty_model

    state: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no dict
                state[name] = tensors.get_tensor(name).to("meta")  # mapped, not read
    model = empty_model(folder)
    module, function = restorer.split(":")
    getattr(import_module(module), function)(model, state, **settings)
    nn.Module.to(model, device="meta")  # the computed buffers
    for layer in _quantised_layers(model):
        layer.forward = partial(_quantised_pass, layer)
    model.train(False)
    return model


def _quantised_layers(model: nn.Module) -> list[nn.Module]:
    """Layers of our own in the place of Linear ones."""
    return [m for m in model.modules() if type(m).__module__.startswith("bench.") and hasattr(m, "out_features")]


def _quantised_pass(layer: nn.Module, x: Tensor) -> Tensor:
    """What a layer allocates: the output, and for int8 activations the input in float32 and quantised."""
    import torch

    from bench.methods.int8_linear import Int8DynamicLinear

    outputs = layer.out_features
    assert isinstance(outputs, int)
    if not isinstance(layer, Int8DynamicLinear):
        return x.new_empty((*x.shape[:-1], outputs))
    rows = x.reshape(-1, x.shape[-1]).to(torch.float32).contiguous()
    quantised = torch.empty_like(rows)
    return quantised.new_empty((*x.shape[:-1], outputs)).to(x.dtype)


def _weights(model: PreTrainedModel) -> tuple[int, int]:
    """Bytes of the weights, each storage once, and of what the kernels of quantised layers may lay out beside them."""
    import torch

    from bench.measure.live_bytes import storages

    packed = [layer.weight for layer in _quantised_layers(model)]
    return sum(storages(_tensors_of(model)).values()), sum(w.nbytes for w in packed if isinstance(w, torch.Tensor))


def _tensors_of(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _ids(model: PreTrainedModel, batch: int, length: int) -> Tensor:
    """Token ids [batch, length], real ones on the CPU: one word throughout, ended as a sentence."""
    import torch

    config: Any = model.config
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    special = {*ends, config.pad_token_id, config.bos_token_id}
    ids = torch.full((batch, length), next(i for i in range(len(special) + 1) if i not in special))
    if ends[0] is not None:
        ids[:, -1] = ends[0]  # a BART classifier reads the state at the end of the sentence
    return ids


def _ones(batch: int, length: int) -> Tensor:
    import torch

    return torch.ones((batch, length), dtype=torch.long)


def _watched(model: PreTrainedModel, inputs: Mapping[str, Any], known: Iterable[Tensor] = ()) -> tuple[int, Any]:
    """One forward pass: the most bytes alive at once beyond the weights and `known`, and the output."""
    import torch

    from bench.measure.live_bytes import FusedAttention, LiveBytes

    real = [t for t in inputs.values() if isinstance(t, torch.Tensor)]
    watch = LiveBytes([*_tensors_of(model), *real, *known])
    # Not inference mode, under which composite operators would arrive whole.
    with torch.no_grad(), FusedAttention(), watch:
        out = model(**inputs)
    return watch.peak, out


def _pass_bytes(model: PreTrainedModel, batch: int, length: int) -> int:
    return _watched(model, {"input_ids": _ids(model, batch, length), "attention_mask": _ones(batch, length)})[0]


def _written_bytes(model: PreTrainedModel, batch: int, length: int, new_tokens: int) -> int:
    """Most bytes alive while the input is read, or while the last token is written with the cache of all before it."""
    from bench.measure.live_bytes import storages, tensors_in

    peak, _ = _watched(model, _reading(model, batch, length))
    if model.config.is_encoder_decoder:
        _, out = _watched(model, _reading(model, batch, length, decoder=max(1, new_tokens - 1)))
        step: dict[str, Any] = {"decoder_input_ids": _ids(model, batch, 1), "attention_mask": _ones(batch, length)}
        step["encoder_outputs"] = (out.encoder_last_hidden_state,)
    else:
        _, out = _watched(model, _reading(model, batch, length + new_tokens - 1))
        step = {"input_ids": _ids(model, batch, 1), "attention_mask": _ones(batch, length + new_tokens)}
    step |= {"past_key_values": out.get("past_key_values"), "use_cache": True}
    held = list(tensors_in([step["past_key_values"], step.get("encoder_outputs")]))
    del out  # with the logits of every position
    size = sum(storages(held).values())
    return max(peak, size + _watched(model, step, held)[0])


def _reading(model: PreTrainedModel, batch: int, length: int, decoder: int = 1) -> dict[str, Any]:
    """The inputs of the pass that reads what was given and fills the cache; `decoder` tokens beside an encoder."""
    inputs: dict[str, Any] = {"input_ids": _ids(model, batch, length), "attention_mask": _ones(batch, length)}
    inputs["use_cache"] = True
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = _ids(model, batch, decoder)
    elif "logits_to_keep" in signature(model.forward).parameters:
        inputs["logits_to_keep"] = 1
    return inputs


def cache_per_token(model: PreTrainedModel) -> int:
    """`kv_cache_per_token` for a model that can be run, on the meta device or not: the difference of two caches."""
    if not model.can_generate():
        return 0
    writes = model.config.is_encoder_decoder
    sizes = [_watched(model, _reading(model, 1, 2 if writes else n, n))[1] for n in (2, 3)]
    return _bytes_of_cache(sizes[1]) - _bytes_of_cache(sizes[0])


def _bytes_of_cache(out: Mapping[str, Any]) -> int:
    """Bytes of the cache in a model's output, of whatever class; 0 where there is none, as in models with a state."""
    from bench.measure.live_bytes import storages, tensors_in

    return sum(storages(tensors_in(out.get("past_key_values"))).values())


def fits_together(totals: Sequence[int], available: int) -> bool:
    """Whether models that need so many bytes each can be held and run side by side, with room left (TOGETHER_SHARE)."""
    return sum(totals) <= TOGETHER_SHARE * available


def available_bytes(device: str = "cpu") -> int:
    """Bytes that this process could have now on the device: cpu, cuda or cuda:N.

    Host: the smallest of what the kernel calls available (plus swap), what the containers around this process leave,
    and what its own limit (ulimit -v) leaves. Page cache counts as free: mapped weights live there. GPU: what is free
    and what torch holds in this process, which can be given back.
    """
    index = gpu_index(device)
    if index is not None:
        import torch

        return int(torch.cuda.mem_get_info(index)[0]) + torch.cuda.memory_reserved(index)
    memory = psutil.virtual_memory()
    return min(memory.available + psutil.swap_memory().free, *_limits())


def _limits() -> Iterator[int]:
    """What the container and this process's own limit leave, where they are set."""
    yield sys.maxsize
    left = memory_left()
    if left is not None:
        yield left
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY:
        yield max(0, most - psutil.Process().memory_info().vms)


def certain_bytes(weights: int, activations: int = 0) -> int:
    """What a model needs at the very least. Weights saved in one type are held in it."""
    return weights + int(CERTAIN_SHARE * activations)


def check_fit(folders: Sequence[Path], device: str = "cpu", shape: tuple[int, int, int] | None = None) -> None:
    """Raise DoesNotFit where these models, held together, cannot fit into what the device has left.

    Args:
        folders: of models that are in memory at the same time, such as a variant and its judge.
        device: cpu, cuda or cuda:N.
        shape: batch, length and new tokens of the largest call; None counts the weights alone, which reads no config.

    Never refuses what would have run: it asks for the weights and half of the predicted activations. A model whose
    activations cannot be predicted is held to its weights.
    """
    needed = sum(certain_bytes(weight_bytes(folder), _activations(folder, shape)) for folder in folders)
    available = available_bytes(device)
    if needed > available:
        names = " and ".join(folder.name[:10] for folder in folders)
        raise DoesNotFit(
            f"{names} cannot fit into the memory of {device}: at least {needed / 1e6:,.0f} MB are needed and "
            f"{available / 1e6:,.0f} MB can be had. Free memory, raise the limit of the container, or take a smaller "
            "model or shape."
        )


def _activations(folder: Path, shape: tuple[int, int, int] | None) -> int:
    if shape is None:
        return 0
    found = predict(folder, *shape)
    return found.activations if found.watched else 0
