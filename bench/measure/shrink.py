"""Facts of a model in memory: how large it is, what one forward pass computes and in which types, what was left on it.

A promise of a step is held against them (`bench.measure.delivered`). One forward pass of a fixed small shape is watched
at the level of torch's dispatcher: every operator that multiplies, and its operations by torch's own formulas
(torch.utils.flop_counter). `FlopCounterMode` itself counts none of the int8 operators, nor attention on the CPU, and
tries to decompose every operator, which takes several times as long.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from copy import copy
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import set_stance
from torch.func import functional_call
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from transformers import PreTrainedModel

from bench.architecture import architecture_of
from bench.errors import text_of
from bench.job import shape_scope
from bench.measure.delivered import LOOK_UPS, Facts
from bench.methods.int8_backends import HALVES_ZERO
from bench.methods.int8_linear import Int8DynamicLinear
from bench.methods.packed_linear import PackedLinear
from bench.models import layer_count, numbers_in

TOKENS = 64  # of the watched forward pass, one row, no padding; fewer where the model has fewer positions
# Weights beyond which a model is watched on the meta device: there a pass computes nothing, but its own cost, about a
# millisecond an operator, is more than a small model's real pass takes.
LARGE = 200_000_000
LOOKED_AT = 1 << 24  # weights that are looked at for zeros at most
SCALES = (".weight_scale", ".weight_zero")  # what the int8 modules keep beside their weights
Quantised = Int8DynamicLinear | PackedLinear
# Words in the names of operators that multiply.
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "qlinear", "attention", "convolution"}


def facts_of(model: PreTrainedModel, left: tuple[str, ...] = ()) -> Facts:
    """Look at the model; nothing of it is changed. A model that cannot be run has no FLOPs and says why.

    Args:
        model: in eval mode, on any device.
        left: what `leftovers` found on it before it was saved and loaded again, which may have dropped them.
    """
    state = dict(_stored(model))
    types: Counter[str] = Counter()
    for name, tensor in state.items():
        types[_name(tensor.dtype)] += tensor.numel() * numbers_in(name)
    positions = architecture_of(model.config.to_dict()).positions
    tokens = min(TOKENS, positions or TOKENS)
    flops: int | None = None
    operators: dict[str, int] | None = None
    unknown = None
    parameters = sum(types.values())
    try:
        flops, operators = _watched(model, tokens, parameters)
    except Exception as error:  # noqa: BLE001 - a model of another kind may want other inputs; its build is good
        unknown = f"a forward pass of {shape_scope(1, tokens)} failed: {' '.join(text_of(error).split())[:200]}"
    return Facts(
        parameters=parameters,
        weights=sum(t.numel() * numbers_in(n) for n, t in state.items() if not n.endswith(SCALES)),
        bytes=sum(_bytes(t) for t in state.values()),
        layers=layer_count(model),
        shape=shape_scope(1, tokens),
        flops=flops,
        operators=operators,
        types=dict(sorted(types.items())),
        zeros=zero_share(state.values()),
        left=tuple(dict.fromkeys((*left, *leftovers(model)))),
        unknown=unknown,
    )


def _stored(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What would be saved, each shared tensor under its first name only."""
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        place = next(_plain(tensor)).data_ptr()
        if place not in seen or not tensor.numel():
            seen.add(place)
            yield name, tensor.detach()


def _plain(tensor: Tensor) -> Iterator[Tensor]:
    """The tensors that hold the bytes of one, which may be a wrapper around packed weights and scales."""
    inner, _ = tensor.__tensor_flatten__() if hasattr(tensor, "__tensor_flatten__") else ((), None)
    if not inner:
        yield tensor
    for name in inner:
        yield from _plain(getattr(tensor, name))


def _bytes(tensor: Tensor) -> int:
    return sum(part.numel() * part.element_size() for part in _plain(tensor))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def zero_share(tensors: Any) -> float:
    """Share of exact zeros in matrices, uint8 left out: there a zero is the smallest value; fp8 cannot be counted."""
    left_out = (torch.uint8, torch.float8_e4m3fn)
    matrices = [t for t in tensors if t.dim() > 1 and t.dtype not in left_out and len(list(_plain(t))) == 1]
    total = sum(t.numel() for t in matrices)
    step = -(-total // LOOKED_AT) | 1  # odd, so that no pattern of two or four hides
    looked, zeros = 0, 0
    for matrix in matrices:
        sample = matrix.reshape(-1)[::step]
        looked += sample.numel()
        zeros += sample.numel() - int(sample.count_nonzero())
    return zeros / looked if looked else 0.0


def leftovers(model: nn.Module) -> tuple[str, ...]:
    """What a step has put on modules for its own use and not taken off again, one phrase a kind."""
    found: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        for key, buffer in module.named_buffers(recurse=False):
            stem = key.removesuffix("_mask")
            others = (getattr(module, other, None) for other in (f"{stem}_orig", stem) if stem != key)
            if any(isinstance(o, Tensor) and o.shape == buffer.shape for o in others):
                found.setdefault("pruning mask", []).append(f"{name}.{key}")
        if parametrize.is_parametrized(module):
            found.setdefault("parametrization", []).extend(f"{name}.{key}" for key in module.parametrizations)
        if type(module).__module__.startswith("peft."):
            found.setdefault("adapter", []).append(name or type(module).__name__)
    return tuple(f"{len(names)} {kind}{'s' * (len(names) > 1)} ({names[0]})" for kind, names in found.items())


def _watched(model: PreTrainedModel, tokens: int, parameters: int) -> tuple[int, dict[str, int]]:
    """FLOPs of a forward pass of so many tokens, and the operators that it runs."""
    watch: Watch | None = None
    # Compiled code cannot be watched. Not in inference mode, under which composite operators would arrive whole.
    as_written = nullcontext() if model._compiled_call_impl is None else set_stance("force_eager")
    with as_written, torch.no_grad():
        if parameters > LARGE:
            with suppress(Exception):  # such as a head that looks for the last token: only a real pass will do
                watch = _without_computing(model, tokens)
        if watch is None:
            watch = _really(model, tokens)
    return watch.flops, dict(sorted(watch.operators.items()))


def _really(model: PreTrainedModel, tokens: int) -> Watch:
    """A pass with the model's own weights."""
    _choose_backends(model)
    watch, inputs = Watch(), _inputs(model, tokens, model.device)
    with watch:
        model(**inputs)
    return watch


def _choose_backends(module: nn.Module) -> None:
    """Have int8 modules make their trials, which are no part of a pass."""
    for inner in module.modules():
        if isinstance(inner, Int8DynamicLinear):
            _ = inner.backend


def _without_computing(model: PreTrainedModel, tokens: int) -> Watch:
    """A pass on the meta device, for which the kernels of quantised modules have no form.

    What those run here is seen on one row, and on one module of each size: to be run, their weights are laid out anew,
    and that of all of them would take as many bytes again.
    """
    watch = Watch()
    calls: Counter[tuple[Quantised, torch.dtype]] = Counter()

    def stand_in(module: Quantised) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            calls[module, x.dtype] += 1
            watch.flops += 2 * x.numel() * module.out_features
            return x.new_empty((*x.shape[:-1], module.out_features))

        return forward

    modules = [module for module in model.modules() if isinstance(module, Quantised)]
    state = {n: t.to("meta") for n, t in (*model.named_parameters(), *model.named_buffers())}
    inputs = _inputs(model, tokens, torch.device("meta"))
    try:
        for module in modules:
            vars(module)["forward"] = stand_in(module)
        with watch:
            functional_call(model, state, args=(), kwargs=inputs)
    finally:
        for module in modules:
            vars(module).pop("forward", None)
    seen: dict[tuple[int, int, torch.dtype], Watch] = {}
    for (module, dtype), count in calls.items():
        kind = (module.in_features, module.out_features, dtype)
        if kind not in seen:
            seen[kind] = _one_row(module, dtype)
        for operator, times in seen[kind].operators.items():
            watch.operators[operator] += times * count
    return watch


def _one_row(module: Quantised, dtype: torch.dtype) -> Watch:
    """A pass through one module alone; what is laid out for it goes with the copy."""
    alone = copy(module)
    _choose_backends(alone)
    row = torch.ones(1, module.in_features, dtype=dtype, device=next(module.buffers()).device)
    watch = Watch()
    with watch:
        alone(row)
    return watch


def _inputs(model: PreTrainedModel, tokens: int, device: torch.device) -> dict[str, Any]:
    """One row of a word that means nothing special, ended as a sentence; the same for a decoder."""
    config: Any = model.config
    found = [getattr(config, f"{name}_token_id", None) for name in ("eos", "pad", "bos", "decoder_start")]
    special = [i for value in found for i in (value if isinstance(value, list) else [value])]
    ids = torch.full((1, tokens), next(i for i in range(len(special) + 1) if i not in special))
    if special[0] is not None:
        ids[0, -1] = special[0]  # a BART classifier reads the state at the end of the sentence
    taken = inspect.signature(model.forward).parameters
    inputs: dict[str, Any] = {"input_ids": ids.to(device)}
    if "attention_mask" in taken:
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in taken:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    if "use_cache" in taken:
        inputs["use_cache"] = False
    return inputs


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator that multiplies or looks up, with the type it works in, and adds up operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.operators: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        packet = getattr(func, "_overloadpacket", func)
        name, kwargs = str(packet), kwargs or {}
        if name == "aten._local_scalar_dense" and args[0].is_meta and args[0].dtype == torch.bool:
            return True  # asked whether all tokens are real ones and follow each other: they do
        out = func(*args, **kwargs)
        if name in FORMULAS:
            self.flops += FORMULAS[name](out, *args)
        elif packet in flop_registry:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=out)
        kind = _type(name, args)
        if kind is not None:
            self.operators[f"{name} {kind}"] += 1
        return out


def _type(name: str, args: Any) -> str | None:
    """The type that an operator works in; None for one that neither multiplies nor looks up."""
    space, _, operator = name.partition(".")
    words = set(operator.split("_"))
    if "prepack" in words or not words & (PRODUCTS | LOOK_UPS):
        return None
    first = next((a for a in args if isinstance(a, Tensor)), None)
    if first is None or (words & {"index"} and first.dtype != torch.uint8):  # a table of quantised rows is indexed
        return None
    if space in ("quantized", "onednn"):  # their activations may be of any type
        return "int8"
    return next((f"int{bits}" for bits in (4, 8) if f"int{bits}pack" in operator), _name(first.dtype))


def _product(out: Tensor, x: Tensor, *_: Any) -> int:
    """[..., in] times weights in whatever form a kernel wants them, giving [..., out]."""
    return int(2 * x.numel() * out.shape[-1])


def _whole_or_half(out: Tensor, x: Tensor, scale: float, zero_point: int, *_: Any) -> int:
    """A layer has the operations of one product, also where a processor must take it in halves."""
    del scale
    return _product(out, x) // (2 if zero_point == HALVES_ZERO else 1)


def _attention(out: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any) -> int:
    """Both products of [..., length, width]; masked positions count, as in torch's formulas for other kernels."""
    del out
    pairs = prod(query.shape[:-1]) * key.shape[-2]
    return int(2 * pairs * (query.shape[-1] + value.shape[-1]))


# Operators that torch's table lacks, by name, for not every build of torch has them all.
FORMULAS: dict[str, Callable[..., int]] = {
    "aten._int_mm": _product,
    "aten._weight_int4pack_mm": _product,
    "aten._weight_int4pack_mm_for_cpu": _product,
    "aten._weight_int8pack_mm": _product,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "onednn.qlinear_pointwise": _product,
    "quantized.linear_dynamic": _product,
    "quantized.linear_with_input_q_dq_qweight_dq_output_fp32": _whole_or_half,
}
