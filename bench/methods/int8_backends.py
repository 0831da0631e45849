"""The ways to execute an int8 dynamic Linear layer, and the choice of the fastest correct one on this machine.

Every backend quantises activations with the functions of this file, multiplies integers and rescales in float32, so
backends differ in speed and not in meaning. `reference` computes the same in plain float32, works everywhere and says
what is correct; the others are used only where they reproduce it.

- `onednn`: torch.ops.onednn.qlinear_pointwise with packed weights. Activations are given as uint8 with zero point 128:
  int8 activations fall to oneDNN's reference loops (seconds, not milliseconds) on CPUs without AMX.
- `fbgemm`: torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32 with packed weights. Its AVX2 kernel
  saturates in 16 bits; the comparison with the reference finds that out.
- `halves` (per token only): where it does, the same operator on each half of the activations, 7 bits, which are exact
  there. Twice the work, and yet a tenth of what `int_mm` takes on such a CPU.
- `fused` (per tensor only): torch.ops.quantized.linear_dynamic, the operator below torch.ao's dynamic Linear.
- `int_mm`: torch._int_mm on the plain weights: no packed copy, and the only integer kernel on CUDA.
"""

from __future__ import annotations

import functools
import math
import struct
import time
import warnings
from collections.abc import Callable
from typing import Literal, cast, get_args

import torch
from torch import Tensor
from torch.nn import functional

from bench.processor import onednn_is_sound

Activations = Literal["token", "tensor"]
Run = Callable[[Tensor], Tensor]
Build = Callable[[Tensor, Tensor, Tensor | None], Run]

SMALLEST_RANGE = 1e-35  # a row below it is zero: 127 / value must stay finite in float32
LARGEST_RANGE = 3e38  # a tensor's range beyond it is as good as infinite: float32 ends at 3.4e38
HALVES_ZERO = 64  # zero point of half an activation
CHECK_ROWS = 37
TIMED_ROWS = (1, 32, 128)
TIMED_ROUNDS = 4


def parse_activations(text: str) -> Activations:
    """Raises ValueError for a word that names no way to quantise activations."""
    if text not in get_args(Activations):
        raise ValueError(f"activations={text!r} is unknown: use one of {', '.join(get_args(Activations))}.")
    return cast(Activations, text)


def quantise_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric int8 with one scale a row: x float32 [rows, in] -> whole numbers in [-127, 127], as float32, and the
    scales [rows, 1], max|x| / 127. Ties round to even. The scale of a row with a NaN or an infinity is NaN, so its
    outputs are; the whole numbers of such a row mean nothing.
    """
    # abs().amax() is vectorised; aminmax and vector_norm along a dimension take 4-10 times as long. Few operators: at
    # one row each costs more to dispatch than to compute.
    scale = x.abs().amax(-1, keepdim=True).clamp_(min=SMALLEST_RANGE).mul_(1 / 127)
    scale.fmod_(math.inf)  # infinity becomes NaN, everything else stays as it is
    return torch.mul(x, scale.reciprocal()).round_(), scale


def tensor_range(x: Tensor) -> tuple[float, int] | None:
    """Scale and zero point of torch.ao's dynamic operator with reduce_range (7 bits, [0, 127], asymmetric) for all of x
    float32 [rows, in], padding included; None if x has a NaN or an infinity.
    """
    low, high = x.amin().item(), x.amax().item()
    if not (math.isfinite(low) and math.isfinite(high) and high - low < LARGEST_RANGE):
        return None
    scale, zero_point = torch._choose_qparams_per_tensor(torch.tensor((low, high)), True)
    return scale, zero_point


def quantise_tensor(x: Tensor, scale: float, zero_point: int) -> Tensor:
    """x float32 [rows, in] -> whole numbers in [0, 127], as float32; the integers of torch.ao's operator exactly."""
    inverse = _float32(1 / _float32(scale))  # in float32, and rounded after the sum, as the operator does
    return torch.mul(x, inverse).add_(zero_point).round_().clamp_(0, 127)


def _float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _finish_tokens(y: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """y [rows, out] (already times the weight scale) times the row scale [rows, 1], plus bias; in place."""
    return y.mul_(scale) if bias is None else torch.addcmul(bias, y, scale, out=y)


def _not_finite(x: Tensor, weight: Tensor) -> Tensor:
    """What a per-tensor layer returns for an input that is not finite: no row has a range, all outputs are NaN."""
    return x.new_full((x.shape[0], weight.shape[0]), math.nan)


def _build_reference(activations: Activations) -> Build:
    def build(weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> Run:
        def token(x: Tensor) -> Tensor:
            q, scale = quantise_tokens(x)
            return _finish_tokens(functional.linear(q, weight.float()).mul_(weight_scale), scale, bias)

        def tensor(x: Tensor) -> Tensor:
            found = tensor_range(x)
            if found is None:
                return _not_finite(x, weight)
            q = quantise_tensor(x, *found).sub_(found[1])
            y = functional.linear(q, weight.float()).mul_(weight_scale * found[0])
            return y if bias is None else y.add_(bias)

        return token if activations == "token" else tensor

    return build


def _int_product(q: Tensor, weight: Tensor) -> Tensor:
    """Whole numbers q float32 [rows, in] times int8 weight [out, in], transposed: float32 [rows, out]."""
    q = q.to(torch.int8)
    if not q.is_cuda:
        return torch._int_mm(q, weight.t()).to(torch.float32)
    # CUDA's kernel wants more than 16 rows and multiples of 8; zeros change nothing.
    rows, outputs = q.shape[0], weight.shape[0]
    columns = -q.shape[1] % 8
    q = functional.pad(q, (0, columns, 0, max(0, 24 - rows) + -max(rows, 24) % 8))
    if columns or outputs % 8:
        weight = functional.pad(weight, (0, columns, 0, -outputs % 8))
    return torch._int_mm(q, weight.t())[:rows, :outputs].to(torch.float32)


def _build_int_mm(activations: Activations) -> Build:
    def build(weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> Run:
        def token(x: Tensor) -> Tensor:
            q, scale = quantise_tokens(x)
            return _finish_tokens(_int_product(q, weight).mul_(weight_scale), scale, bias)

        def tensor(x: Tensor) -> Tensor:
            found = tensor_range(x)
            if found is None:
                return _not_finite(x, weight)
            # In [-127, 127] without the zero point, so int8 holds it and no correction term is needed.
            q = quantise_tensor(x, *found).sub_(found[1])
            y = _int_product(q, weight).mul_(weight_scale * found[0])
            return y if bias is None else y.add_(bias)

        return token if activations == "token" else tensor

    return build


def _build_onednn(activations: Activations) -> Build:
    def build(weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> Run:
        packed = torch.ops.onednn.qlinear_prepack(weight, None)
        zeros = torch.zeros(len(weight), dtype=torch.int64)

        def product(q: Tensor, scale: float, zero_point: int, add: Tensor | None) -> Tensor:
            y: Tensor = torch.ops.onednn.qlinear_pointwise(
                q, scale, zero_point, packed, weight_scale, zeros, add, 1.0, 0, torch.float32, "none", [], ""
            )
            return y

        def token(x: Tensor) -> Tensor:
            q, scale = quantise_tokens(x)
            shifted = q.to(torch.int8).view(torch.uint8).bitwise_xor_(128)  # adds 128 while it is one byte wide
            return _finish_tokens(product(shifted, 1.0, 128, None), scale, bias)

        def tensor(x: Tensor) -> Tensor:
            found = tensor_range(x)
            if found is None:
                return _not_finite(x, weight)
            return product(quantise_tensor(x, *found).to(torch.uint8), *found, bias)

        return token if activations == "token" else tensor

    return build


def _pack_fbgemm(weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> torch.ScriptObject:
    with warnings.catch_warnings():
        # Quantised tensors are deprecated; this one lives as long as the call, and nothing of it is saved.
        warnings.simplefilter("ignore", UserWarning)
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        quantised = torch._make_per_channel_quantized_tensor(weight, weight_scale.double(), zeros, 0)
        packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(quantised, bias)
    return packed


def _build_halves(weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> Run:
    """Two products of numbers from -64 to 64: as uint8 up to 128, of which two times -128 still fit into 16 bits."""
    packed = _pack_fbgemm(weight, torch.ones_like(weight_scale), None)  # whole numbers, so that their sum is exact
    multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32

    def token(x: Tensor) -> Tensor:
        q, scale = quantise_tokens(x)
        lower = torch.mul(q, 0.5).floor_()
        y = multiply(lower, 1.0, HALVES_ZERO, packed).add_(multiply(q.sub_(lower), 1.0, HALVES_ZERO, packed))
        return _finish_tokens(y.mul_(weight_scale), scale, bias)

    return token


def _build_fbgemm(activations: Activations) -> Build:
    def build(weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> Run:
        packed = _pack_fbgemm(weight, weight_scale, None if activations == "token" else bias)
        multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32

        def token(x: Tensor) -> Tensor:
            q, scale = quantise_tokens(x)
            # A NaN has no integer; its row is NaN through the scale whatever stands here.
            return _finish_tokens(multiply(q, 1.0, 128, packed), scale, bias)

        def tensor(x: Tensor) -> Tensor:
            # The sum is the cheapest look at every element; where it merely overflows, the range decides.
            if not math.isfinite(x.sum().item()) and tensor_range(x) is None:
                return _not_finite(x, weight)
            y: Tensor = torch.ops.quantized.linear_dynamic(x, packed, True)
            return y

        return token if activations == "token" else tensor

    return build


# In the order to prefer where speeds tie; the first correct one is taken where nothing can be timed.
BACKENDS: dict[str, dict[str, Build]] = {
    "token": {
        "onednn": _build_onednn("token"),
        "fbgemm": _build_fbgemm("token"),
        "halves": _build_halves,
        "int_mm": _build_int_mm("token"),
        "reference": _build_reference("token"),
    },
    "tensor": {
        "fused": _build_fbgemm("tensor"),
        "onednn": _build_onednn("tensor"),
        "int_mm": _build_int_mm("tensor"),
        "reference": _build_reference("tensor"),
    },
}


def available_backends(activations: Activations, device: torch.device | str) -> tuple[str, ...]:
    """The names of the backends that can be tried for this device, in order of preference; the last is `reference`.

    Raises ValueError for an unknown kind of activations.
    """
    parse_activations(activations)
    kind = torch.device(device).type
    if kind == "cpu":
        names = tuple(BACKENDS[activations])
        return names if onednn_is_sound() else tuple(name for name in names if name != "onednn")
    return ("int_mm", "reference") if kind == "cuda" else ("reference",)


def build(name: str, activations: Activations, weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> Run:
    """Pack the weights for one backend: a function of contiguous float32 x [rows > 0, in] -> float32 [rows, out].

    `weight` is int8 [out, in], `weight_scale` and `bias` float32 [out], all contiguous on one device. What is packed is
    a copy: build again when they change. Raises whatever torch raises where the operator is missing.
    """
    return BACKENDS[activations][name](weight, weight_scale, bias)


def is_correct(name: str, activations: Activations, device: torch.device | str) -> bool:
    """Does the backend reproduce the reference on a fixed case that contains the extreme integers and odd sizes?

    Tolerance: 1e-5 of the largest output, far below one activation step. At this size sums stay below 2^24, so the
    reference is exact up to the final rescale; a kernel that saturates (16-bit sums) is off by whole percents.
    """
    draw = torch.Generator().manual_seed(0)
    weight = torch.randint(-128, 128, (53, 131), generator=draw, dtype=torch.int8)
    weight[0], weight[1] = 127, -128
    scale = torch.rand(53, generator=draw) + 0.1
    x = torch.randn(CHECK_ROWS, 131, generator=draw)
    x[0], x[1], x[2] = 3.0, -3.0, 0.0
    case = [t.to(device) for t in (weight, scale, torch.randn(53, generator=draw))]
    expected = build("reference", activations, *case)(x.to(device))
    try:
        got = build(name, activations, *case)(x.to(device))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return bool((got - expected).abs().max() <= 1e-5 * expected.abs().max())


def bucket(outputs: int, inputs: int) -> tuple[int, int]:
    """Layers of about the same size share one choice: both sizes rounded up to a power of two, at most 4,096."""
    return min(4096, 1 << (outputs - 1).bit_length()), min(4096, 1 << (inputs - 1).bit_length())


def choose_backend(activations: Activations, device: torch.device | str, outputs: int, inputs: int) -> str:
    """The name of the fastest correct backend for layers of this size; decided once per process and size bucket.

    Fastest by the geometric mean of the times at TIMED_ROWS rows (one backend a layer, so that one packed copy is
    held), timed in turn on random data with the threads set at that moment: about 0.1 s for the largest bucket. A
    later candidate must be 5% faster to replace an earlier one, so that noise rarely changes the choice.
    """
    return _choose(activations, str(torch.device(device)), *bucket(outputs, inputs))


@functools.cache
def _choose(activations: Activations, device: str, outputs: int, inputs: int) -> str:
    names = [
        n for n in available_backends(activations, device) if n == "reference" or is_correct(n, activations, device)
    ]
    if "fbgemm" in names:
        names = [n for n in names if n != "halves"]  # which is the same twice
    faster = [n for n in names if n != "reference"]
    if len(faster) < 2 or torch.device(device).type != "cpu":
        return names[0]
    draw = torch.Generator().manual_seed(0)
    weight = torch.randint(-128, 128, (outputs, inputs), generator=draw, dtype=torch.int8)
    runs = {name: build(name, activations, weight, torch.ones(outputs), None) for name in faster}
    cost = dict.fromkeys(faster, 0.0)
    for rows in TIMED_ROWS:
        x = torch.randn(rows, inputs, generator=draw)
        for name, seconds in _best_times(runs, x).items():
            cost[name] += math.log(seconds) / len(TIMED_ROWS)
    chosen = faster[0]
    for name in faster[1:]:
        if cost[name] < cost[chosen] + math.log(0.95):
            chosen = name
    return chosen


def _best_times(runs: dict[str, Run], x: Tensor) -> dict[str, float]:
    """Seconds of each run's fastest call, the calls interleaved; the first call of each is not counted."""
    best = dict.fromkeys(runs, math.inf)
    for turn in range(TIMED_ROUNDS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run(x)
            if turn:
                best[name] = min(best[name], time.perf_counter() - start)
    return best
