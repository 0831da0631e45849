"""Promise against fact: did a step do to the model what it says it does? Pure: facts in, a verdict in words out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench.architecture import describe
from bench.errors import BadInput
from bench.recipe import Counted, Promise, Step

DELIVERED = "delivered"  # the key of a build's answer
LOOK_UPS = {"embedding", "index"}  # words in the names of operators that read rows of a table
Verdict = Literal["delivered", "not delivered", "not known", "nothing promised"]
WORDS: dict[Counted, str] = {
    "parameters": "parameters",
    "weights": "weights apart from scales",
    "bytes": "bytes of weights",
    "layers": "layers",
    "flops": "FLOPs of a forward pass",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of a model. Counts take each shared storage once."""

    parameters: int  # numbers that are saved
    weights: int  # the same without scales and zero points of quantised modules
    bytes: int  # in memory, as they would be saved
    layers: int
    shape: str  # of the forward pass
    flops: int | None  # operations of one forward pass, a multiplication and an addition counting two
    operators: Mapping[str, int] | None  # "aten.addmm float32" -> calls in one forward pass
    types: Mapping[str, int]  # data type -> parameters
    zeros: float  # share of exact zeros among the weights, of an even sample where there are many
    left: tuple[str, ...]  # masks, adapters and parametrizations, in words
    unknown: str | None = None  # why there are no operations or operators


class Check(NamedTuple):
    """One promise; `kept` is None where nobody can tell."""

    promised: str
    kept: bool | None
    found: str


def promised(step: Step, parent: Path, teachers: Mapping[str, Path]) -> Promise:
    """What the step promises of what it makes of the model in a folder; nothing where it expects another kind."""
    try:
        return step.promise(describe(parent), {name: describe(folder) for name, folder in teachers.items()})
    except BadInput:
        return Promise()


def delivered(step: str, promise: Promise, before: Facts | None, after: Facts) -> dict[str, Any]:
    """What a build's record keeps: the promise, the facts before and after the step, a verdict and its reason.

    Args:
        step: the method's name.
        promise: what it promised.
        before: facts of the model that it was given; None where nothing was promised about it.
        after: facts of what it left.
    """
    checks = [
        *_counts(promise, before, after),
        *_zeros(promise, before, after),
        *_products(promise, after),
        *_plain(promise, after),
    ]
    verdict, reason = _verdict(step, checks)
    return {
        "step": step,
        "promise": [check.promised for check in checks],
        "before": asdict(before) if before else None,
        "after": asdict(after),
        "verdict": verdict,
        "reason": reason,
    }


def _verdict(step: str, checks: list[Check]) -> tuple[Verdict, str]:
    broken = [check for check in checks if check.kept is False]
    if broken:
        return "not delivered", "; ".join(f"{step} promised {c.promised}, but {c.found}" for c in broken)
    open_ = [check for check in checks if check.kept is None]
    if open_:
        return "not known", "; ".join(f"{step} promised {c.promised}, and {c.found}" for c in open_)
    if not checks:
        return "nothing promised", f"{step} promises nothing about the model's size"
    return "delivered", "; ".join(f"{check.promised}: {check.found}" for check in checks)


def _counts(promise: Promise, before: Facts | None, after: Facts) -> Iterator[Check]:
    for which, names in (("fewer", promise.fewer), ("the same", promise.same)):
        for name in names:
            old, new = getattr(before, name, None), getattr(after, name)
            words = f"{which} {WORDS[name]}"
            if old is None or new is None or before is None:
                missing = after if new is None else before
                yield Check(words, None, (missing.unknown if missing else None) or "nothing is known of its parent")
            elif name == "flops" and before.shape != after.shape:
                yield Check(words, None, f"the shapes differ: {before.shape} and {after.shape}")
            else:
                changed = f"from {old:,} to {new:,}"
                if which == "fewer":
                    kept, broken = new < old, f"they went {changed}" if new > old else f"they stayed at {new:,}"
                else:
                    kept, broken = new == old, f"they went {changed}"
                yield Check(words, kept, (changed if new != old else f"{new:,}") if kept else broken)


def _zeros(promise: Promise, before: Facts | None, after: Facts) -> Iterator[Check]:
    if promise.sparser:
        words = "more zeros among the weights"
        if before is None:
            yield Check(words, None, "nothing is known of its parent")
        elif after.zeros > before.zeros:
            yield Check(words, True, f"{100 * before.zeros:.1f}% to {100 * after.zeros:.1f}%")
        else:
            yield Check(words, False, f"they went from {100 * before.zeros:.1f}% to {100 * after.zeros:.1f}%")


def _products(promise: Promise, after: Facts) -> Iterator[Check]:
    """Whether some product runs in the promised type; in which types they all run."""
    if promise.computes_in is None:
        return
    words = f"products in {promise.computes_in}"
    if after.operators is None:
        yield Check(words, None, after.unknown or "no forward pass was watched")
        return
    calls: dict[str, int] = {}
    for operator, count in after.operators.items():
        name, _, kind = operator.partition(" ")
        if not is_look_up(name):
            calls[kind] = calls.get(kind, 0) + count
    mine, total = calls.get(promise.computes_in, 0), sum(calls.values())
    if mine:
        yield Check(words, True, f"{mine} of {total}")
    else:
        others = " and ".join(sorted(calls)) or "none was seen"
        yield Check(words, False, f"all {total} run in {others}" if calls else others)


def is_look_up(operator: str) -> bool:
    """Whether an operator such as aten.embedding reads rows of a table, rather than multiplies."""
    return bool(LOOK_UPS & set(operator.partition(".")[2].split("_")))


def _plain(promise: Promise, after: Facts) -> Iterator[Check]:
    if promise.plain:
        yield Check(
            "nothing left on the model", not after.left, ", ".join(after.left) or "no mask, adapter or parametrization"
        )
