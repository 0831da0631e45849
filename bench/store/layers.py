"""Which layers of the base a variant has kept, and the types of their weights, told from the artefacts themselves.

Only the heads of the files are read, and a few short vectors: a layer that was copied is recognised by its bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.store.asked import Row
from bench.store.folder import Folder

LAYER = re.compile(r"^(.*?)\b(?:layers?|h|blocks?)\.(\d+)\.(.*)$")
TYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "I8": "int8", "F8_E4M3": "float8", "F8_E5M2": "float8"}
PACKED = ("U8", "I32", "I16")  # several numbers in each
HEAD_LIMIT = 100_000_000  # what safetensors allows


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a saved tensor lies."""

    file: Path
    kind: str
    shape: tuple[int, ...]
    first: int
    last: int

    def bytes(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.first)
            return file.read(self.last - self.first)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of a variant: `origin` is its number in the base, None where that cannot be told."""

    number: int
    origin: int | None
    types: Mapping[str, tuple[str, ...]]  # type of the weights -> modules that have it

    @property
    def main(self) -> str:
        """The type that most modules have."""
        return max(self.types, key=lambda kind: len(self.types[kind]), default="")


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of layers: `depth` is the base's."""

    name: str
    depth: int
    layers: tuple[Layer, ...]

    @property
    def dropped(self) -> tuple[int, ...] | None:
        """Numbers of the base's layers that are gone; None where that cannot be told."""
        kept = {layer.origin for layer in self.layers}
        return None if None in kept else tuple(i for i in range(self.depth) if i not in kept)


def layer_stacks(folder: Folder, chain: Sequence[Row]) -> tuple[Stack, ...]:
    """The stacks of the last artefact of a chain of builds, beside those of the first; empty where they are gone.

    Args:
        folder: of the store.
        chain: records of the builds from the import of the base to the variant, with "artefact_id" and "answer".
    """
    if not chain:
        return ()
    heads = [_heads(folder.artefacts / str(build["artefact_id"])) for build in chain]
    if not heads[0] or not heads[-1]:
        return ()
    base, last = _layers(heads[0]), _layers(heads[-1])
    origins = _followed(heads, [json.loads(build["answer"] or "{}") for build in chain])
    found = []
    for name, layers in last.items():
        known = origins.get(name)
        numbered = enumerate(sorted(layers))
        kept = tuple(Layer(n, known[i] if known else None, _types(layers[n])) for i, n in numbered)
        found.append(Stack(name, len(base.get(name, layers)), kept))
    return tuple(found)


def _heads(artefact: Path) -> dict[str, Tensor]:
    """Every saved tensor by name: eight bytes of length, then JSON."""
    found: dict[str, Tensor] = {}
    for path in sorted(artefact.glob("*.safetensors")):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            told = json.loads(file.read(size)) if size < HEAD_LIMIT else {}
        for name, each in told.items():
            if name != "__metadata__":
                first, last = (8 + size + offset for offset in each["data_offsets"])
                found[name] = Tensor(path, each["dtype"], tuple(each["shape"]), first, last)
    return found


def _layers(head: Mapping[str, Tensor]) -> dict[str, dict[int, dict[str, Tensor]]]:
    """stack -> number -> tensors of the layer by the rest of their name."""
    found: dict[str, dict[int, dict[str, Tensor]]] = {}
    for name, tensor in head.items():
        match = LAYER.match(name)
        if match:
            stack = next((word for word in ("decoder", "encoder") if word in match[1]), "layers")
            found.setdefault(stack, {}).setdefault(int(match[2]), {})[match[3]] = tensor
    return dict(sorted(found.items(), key=lambda item: item[0] == "decoder"))


def _types(layer: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """The types of a layer's matrices; vectors beside them (norms, biases, scales) are left out."""
    found: dict[str, list[str]] = {}
    for name, tensor in layer.items():
        module, _, own = name.rpartition(".")
        if len(tensor.shape) >= 2 and own.startswith("weight") and "scale" not in own and "zero" not in own:
            kind = "packed" if tensor.kind in PACKED else TYPES.get(tensor.kind, tensor.kind.lower())
            found.setdefault(kind, []).append(module)
    return {kind: tuple(sorted(modules)) for kind, modules in sorted(found.items())}


def _followed(heads: Sequence[Mapping[str, Tensor]], answers: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """stack -> of each layer of the last artefact, in order, its number in the first; without what cannot be told."""
    now = {name: list(range(len(layers))) for name, layers in _layers(heads[0]).items()}
    for before, after, answer in zip(heads[:-1], heads[1:], answers[1:], strict=True):
        old, new = _layers(before), _layers(after)
        for name in list(now):
            kept = _kept(old.get(name, {}), new.get(name, {}), answer.get("depth_prune") or {}, name)
            if kept is None:
                del now[name]
            else:
                now[name] = [now[name][i] for i in kept]
    return now


def _kept(
    old: Mapping[int, Mapping[str, Tensor]],
    new: Mapping[int, Mapping[str, Tensor]],
    pruned: Mapping[str, Any],
    stack: str,
) -> list[int] | None:
    """Which of the old layers the new ones are, None where nothing tells."""
    if not old or not new:
        return None
    if len(old) == len(new):
        return list(range(len(new)))
    told = [int(i) for i in pruned.get("kept", ())]
    if len(told) == len(new) and pruned.get("stack") in (None, stack) and max(told) < len(old):
        return told
    places: dict[str, list[int]] = {}
    for number in sorted(old):
        places.setdefault(_signature(old[number]), []).append(number)
    found = [places.get(_signature(new[number]), []) for number in sorted(new)]
    if any(len(each) != 1 for each in found):
        return None
    return [each[0] for each in found]


def _signature(layer: Mapping[str, Tensor]) -> str:
    """Of all vectors of a layer and its smallest matrix: what is copied keeps them."""
    seen = sha256()
    matrices = [name for name in sorted(layer) if len(layer[name].shape) > 1]
    smallest = min(matrices, key=lambda name: layer[name].last - layer[name].first, default="")
    for name in sorted(layer):
        if name == smallest or len(layer[name].shape) == 1:
            seen.update(name.encode() + layer[name].bytes())
    return seen.hexdigest()
