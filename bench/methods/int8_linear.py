"""A Linear layer with int8 weights and activations quantised as they come.

Scheme: int8 symmetric weights, one scale an output channel (neural-compressor's published min-max rule); activations
symmetric int8 with one scale a token (a row), or as torch.ao's operator does: asymmetric 7-bit uint8 with one scale for
the whole tensor, padding included. Sums are int32, scales and bias float32. How it runs: `bench.methods.int8_backends`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.methods import int8_backends
from bench.methods.int8_backends import Activations


def quantise_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight [out, in], floating -> int8 [out, in] and scale float32 [out], so that weight ~ int8 * scale.

    scale = max|W_c| / 127.5 and q = clamp(round(W / scale), -128, 127), ties to even; a channel of zeros has scale 1.
    Raises ValueError for a shape that is not 2-D and for weights that are not finite.
    """
    if weight.dim() != 2:
        raise ValueError(f"a Linear weight has two dimensions, this one has shape {tuple(weight.shape)}.")
    values = weight.detach().float()
    scale = values.abs().amax(dim=1) / 127.5
    if not bool(scale.isfinite().all()):
        raise ValueError("the weight holds NaN or infinity and cannot be quantised.")
    scale[scale == 0] = 1.0
    quantised = (values / scale[:, None]).round_().clamp_(-128, 127).to(torch.int8)
    return quantised, scale


class Int8DynamicLinear(nn.Module):
    """y = x W^T + b with W int8 and x quantised at run time: [..., in_features] -> [..., out_features], in x's dtype.

    Buffers, all plain tensors: `weight_int8` int8 [out, in], `weight_scale` float32 [out], `bias` float32 [out] or
    None. They keep their types under `.half()` and the like. No gradient flows through. A token with NaN or infinity
    yields NaN (per tensor: all tokens do). What a backend packs is made at the first forward, follows every change of
    the buffers and is never copied, pickled or saved; it takes about as many bytes again as `weight_int8`, except with
    the backends `int_mm` and `reference`, which pack nothing.
    """

    weight_int8: Tensor
    weight_scale: Tensor
    bias: Tensor | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, activations: Activations | str = "token"
    ) -> None:
        """Zero weights, for `from_linear` or `load_state_dict` to fill. Raises ValueError for unknown activations."""
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.activations = int8_backends.parse_activations(activations)
        self.register_buffer("weight_int8", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(out_features, dtype=torch.float32))
        self.register_buffer("bias", torch.zeros(out_features, dtype=torch.float32) if bias else None)
        self._wanted: str | None = None
        self._run: int8_backends.Run | None = None
        self._packed_of: tuple[Tensor | None, ...] = ()
        self._packed_versions: list[int] = []

    @classmethod
    def from_linear(cls, linear: nn.Linear, activations: Activations | str = "token") -> Int8DynamicLinear:
        """The layer with its weights quantised, on the same device. Raises ValueError as `quantise_weight` does."""
        made = cls(linear.in_features, linear.out_features, linear.bias is not None, activations)
        made.weight_int8, made.weight_scale = quantise_weight(linear.weight)
        if linear.bias is not None:
            made.bias = linear.bias.detach().float().clone()
        return made.train(linear.training)

    @property
    def weight(self) -> Tensor:
        """The int8 weights, for models that look at a layer's type before they call it, as T5 does."""
        return self.weight_int8

    @property
    def backend(self) -> str:
        """The backend that runs this layer on its present device: to be recorded with every timing."""
        if self._wanted is not None:
            return self._wanted
        device = self.weight_int8.device
        return int8_backends.choose_backend(self.activations, device, self.out_features, self.in_features)

    def use_backend(self, name: str | None) -> None:
        """Fix the backend by name, or let the machine choose again (None). Raises ValueError if it cannot run here."""
        known = int8_backends.available_backends(self.activations, self.weight_int8.device)
        if name is not None and name not in known:
            raise ValueError(f"backend {name!r} is not available here: use one of {', '.join(known)}.")
        self._wanted = name
        self._drop_packed()

    def forward(self, x: Tensor) -> Tensor:
        """x floating [..., in], any strides -> [..., out] in x's dtype. Raises ValueError for another last size."""
        if x.shape[-1] != self.in_features or not x.is_floating_point():
            raise ValueError(f"expected a floating tensor [..., {self.in_features}], got {x.dtype} {tuple(x.shape)}.")
        shape = (*x.shape[:-1], self.out_features)
        if x.numel() == 0:
            return x.new_empty(shape)
        rows = x.detach().reshape(-1, self.in_features).to(torch.float32).contiguous()
        y = self._current_run()(rows)
        return y.view(shape).to(x.dtype)

    def _current_run(self) -> int8_backends.Run:
        """The packed function of exactly these buffers; built anew if one was replaced or written to."""
        tensors = (self.weight_int8, self.weight_scale, self.bias)
        versions = [-1 if t is None or t.is_inference() else t._version for t in tensors]
        same = len(self._packed_of) == 3 and all(a is b for a, b in zip(tensors, self._packed_of, strict=True))
        if self._run is not None and same and versions == self._packed_versions:
            return self._run
        self._drop_packed()  # before packing, so that two packed copies never stand side by side
        weight, scale, bias = (None if t is None else t.contiguous() for t in tensors)
        assert weight is not None
        assert scale is not None
        run = int8_backends.build(self.backend, self.activations, weight, scale, bias)
        self._run, self._packed_of, self._packed_versions = run, tensors, versions
        return run

    def _drop_packed(self) -> None:
        self._run, self._packed_of, self._packed_versions = None, (), []

    def _apply(self, fn: Any, recurse: bool = True) -> Int8DynamicLinear:
        """Move, but keep float32: scales rounded to half precision would be another model."""
        scale, bias = self.weight_scale, self.bias
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._drop_packed()
        if self.weight_scale.dtype != torch.float32:
            self.weight_scale = scale.to(self.weight_scale.device)
        if bias is not None and self.bias is not None and self.bias.dtype != torch.float32:
            self.bias = bias.to(self.bias.device)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._drop_packed()
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """For copy and pickle: everything but what was packed."""
        return {**self.__dict__, "_run": None, "_packed_of": (), "_packed_versions": []}

    def extra_repr(self) -> str:
        return (
            f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, activations={self.activations!r}"
        )
