"""The layer map: which layers of the base are left, and in which type their weights are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.store.layers import Layer, Stack
from leaderboard.decisions import ranges

LOOKS = {"float32": "f32", "bfloat16": "b16", "float16": "f16", "int8": "i8", "float8": "f8", "packed": "i4"}
NAMES = {"f32": "fp32", "b16": "bf16", "f16": "fp16", "i8": "int8", "f8": "fp8", "i4": "packed"}


def layer_rows(stack: Stack) -> list[tuple[str, str, str]]:
    """(number in the base, class of its look, what is to be said) of every layer of the base, or of the variant where
    it cannot be told which ones are left."""
    by_origin = {layer.origin: layer for layer in stack.layers}
    if stack.dropped is None:
        return [(str(layer.number), _look(layer), f"layer {layer.number}: {said(layer)}") for layer in stack.layers]
    return [
        (str(i), _look(by_origin[i]), f"layer {i}, now {by_origin[i].number}: {said(by_origin[i])}")
        if i in by_origin
        else (str(i), "gone", f"layer {i}: dropped")
        for i in range(stack.depth)
    ]


def said(layer: Layer) -> str:
    """The types of a layer's matrices."""
    parts = [f"{len(modules)} in {kind}" for kind, modules in layer.types.items()]
    return f"matrices: {', '.join(parts)}" if parts else "no matrices"


def _look(layer: Layer) -> str:
    look = LOOKS.get(layer.main, "other")
    return f"{look} mixed" if len(layer.types) > 1 else look


def sentence(stack: Stack) -> str:
    """The same in words."""
    kinds: dict[str, list[int]] = {}
    for layer in stack.layers:
        kinds.setdefault(" and ".join(layer.types) or "no matrices", []).append(
            layer.number if layer.origin is None else layer.origin
        )
    types = "; ".join(f"{ranges(sorted(numbers))} in {kind}" for kind, numbers in kinds.items())
    if stack.dropped is None:
        return (
            f"{len(stack.layers)} layers, {stack.depth} in the base; which of them these were cannot be told. {types}."
        )
    gone = f"Dropped {ranges(stack.dropped)}. " if stack.dropped else "No layer dropped. "
    return f"{gone}Kept {len(stack.layers)} of {stack.depth}: {types}."


def html_of(stacks: Sequence[Stack]) -> str:
    """The map as a row of cells a stack. Names are escaped."""
    found = []
    looks: set[str] = set()
    for stack in stacks:
        cells = layer_rows(stack)
        looks |= {look for _, look, _ in cells}
        inside = "".join(
            f'<li class="{look}" title="{escape(words)}"><b>{escape(number)}</b>'
            f"<span>{escape(_short(look))}</span></li>"
            for number, look, words in cells
        )
        label = escape(f"{stack.name}: {sentence(stack)}")
        found.append(
            f'<div class="stack"><h4>{escape(stack.name)}</h4><ul class="layers" aria-label="{label}">{inside}</ul>'
            f'<div class="quiet small">{escape(sentence(stack))}</div></div>'
        )
    return "".join(found)


def _short(look: str) -> str:
    first = look.partition(" ")[0]
    word = "–" if first == "gone" else NAMES.get(first, "?")
    return f"{word}*" if look.endswith(" mixed") else word
