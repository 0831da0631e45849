"""Bytes that tensors hold while a model runs, storage by storage; on the meta device, where nothing is computed, too.

What only numbers can answer is answered for a batch of real tokens: whole numbers and masks (token ids, positions, what
is padding) stay real on the CPU, weights and activations have shapes alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

CPU, META = torch.device("cpu"), torch.device("meta")
INDEXING = frozenset(f"aten::{name}" for name in ("index", "_unsafe_index", "index_put", "index_put_"))
COPY = "aten::_to_copy"


def storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Bytes of each storage that these tensors use, shared ones once."""
    found = (tensor.untyped_storage() for tensor in tensors)
    return {storage._cdata: storage.nbytes() for storage in found}


def tensors_in(value: object) -> Iterator[Tensor]:
    """Every tensor that an object of any class holds, such as a cache: in attributes, lists and dictionaries."""
    seen: set[int] = set()

    def walk(item: object) -> Iterator[Tensor]:
        if isinstance(item, Tensor):
            yield item
            return
        if id(item) in seen or isinstance(item, str | bytes | type | torch.nn.Module):
            return
        seen.add(id(item))
        parts: Iterable[object] = ()
        if isinstance(item, Mapping):
            parts = item.values()
        elif isinstance(item, list | tuple | set):
            parts = item
        elif hasattr(item, "__dict__"):
            parts = vars(item).values()
        for part in list(parts):
            yield from walk(part)

    yield from walk(value)


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operators make, until they are freed. `peak` is the most at once.

    Args:
        known: tensors that were there before and do not count, such as weights and inputs.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._known = storages(known)
        self._followed: dict[int, weakref.finalize[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        name = func._schema.name
        kwargs = dict(kwargs or {})
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name == "aten::_local_scalar_dense" and given[0].is_meta and given[0].dtype == torch.bool:
            return True  # asked whether all tokens are real ones and follow each other: they do
        if kwargs.get("device") is not None and torch.device(kwargs["device"]) == META:
            if _stays_real(name, given, kwargs):
                kwargs["device"] = CPU
        elif any(t.is_meta for t in given):
            if name in INDEXING:
                args = (args[0], _positions(args[1]), *args[2:])
            args, kwargs = tree_map_only(Tensor, lambda t: t.to(META), (args, kwargs))
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._follow(leaf)
        return out

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or key in self._followed:
            return
        self.live += size
        self.peak = max(self.peak, self.live)
        self._followed[key] = weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self.live -= size
        self._followed.pop(key, None)


def _positions(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Indices with each mask that is known here replaced by the places where it is true: how many decides the shape."""
    found: list[Tensor | None] = []
    for index in indices:
        real = index is not None and not index.is_meta and index.dtype == torch.bool
        found.extend(index.nonzero().unbind(1) if index is not None and real else [index])
    return found


def _stays_real(name: str, given: list[Tensor], kwargs: Mapping[str, Any]) -> bool:
    """Whether what is to be made on the meta device consists of whole numbers or truths that are known here."""
    kind = kwargs.get("dtype")
    if name == COPY:
        return not given[0].is_meta and not (kind or given[0].dtype).is_floating_point
    if given:  # made like another tensor, which is on the meta device
        return False
    return name.startswith("aten::arange") if kind is None else not kind.is_floating_point


class FusedAttention(TorchFunctionMode):
    """scaled_dot_product_attention as the fused kernels of the CPU and CUDA do it: no scores are kept.

    On the meta device torch would take the path that spells the scores out, [batch, heads, queries, keys]. A model
    whose attention is spelled out by itself ("eager") never comes here, and its scores count.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value = (*args, *(kwargs[n] for n in ("query", "key", "value")[len(args) :]))[:3]
        if not query.is_meta:
            return func(*args, **kwargs)
        *outer, heads, queries, _ = query.shape
        sums = torch.empty((*outer, heads, queries), dtype=torch.float32, device=META)
        # The kernels write [batch, queries, heads, width], so that the heads can be joined without a copy.
        out = torch.empty((*outer, queries, heads, value.shape[-1]), dtype=query.dtype, device=META)
        del sums, key
        return out.transpose(-2, -3)
