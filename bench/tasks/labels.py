"""What the outputs of a classifier mean: names from its config or from the user, and whether data bear them out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.architecture import Architecture, label_ids
from bench.errors import BadInput

if TYPE_CHECKING:
    from bench.models import Loaded

NAMELESS = re.compile(r"^label_\d+$")
CHECKED = 500  # examples that an order of labels is checked on
SURE = 0.01  # chance of finding fault with a right order


def check_names(architecture: Architecture, base: str, label_names: Sequence[str]) -> tuple[str, ...]:
    """The names of a classifier's outputs in lower case: those given by the user, else its own.

    Raises BadInput where there are none that say what an output means, or too few or too many are given.
    """
    own = architecture.labels or ()
    if label_names:
        if len(label_names) != len(own):
            raise BadInput(
                f"label_names has {len(label_names)} names but the model {base!r} has {len(own)} outputs: name each "
                "output, in their order."
            )
        return tuple(name.lower() for name in label_names)
    known = tuple(label.lower() for label in own)
    if known and all(NAMELESS.match(label) for label in known):
        raise BadInput(
            f"The model {base!r} names its labels {', '.join(sorted(known))}, so their meaning cannot be checked: "
            "set id2label in its config.json, or label_names on the task."
        )
    if len(set(known)) < len(known):
        raise BadInput(
            f"The model {base!r} has labels that differ at most in case: {', '.join(own)}; "
            "give each its own name in id2label of its config.json."
        )
    return known


def output_names(model: Loaded, label_names: Sequence[str]) -> list[str]:
    """The names of a loaded classifier's outputs, in their order, in lower case."""
    if label_names:
        return [name.lower() for name in label_names]
    by_name = label_ids(model.model.config.id2label)
    return sorted(by_name, key=by_name.__getitem__)


def unlike(names: Sequence[str]) -> str | None:
    """What is wrong with names that a user gives, in words; None where each is one of its own."""
    lower = [name.strip().lower() for name in names]
    if "" in lower:
        return "a name is empty"
    twice = [name for name in lower if lower.count(name) > 1]
    return f"{twice[0]!r} stands twice" if twice else None


def better_order(
    output: NDArray[np.int64], label: Sequence[str], names: Sequence[str], level: float = SURE
) -> tuple[str, ...] | None:
    """The order of names under which a classifier's answers are right clearly more often than as they are named.

    All k! orders are searched (the best one is an assignment problem on the counts of output and label), so `level` is
    shared among the k! - 1 others; the best and the given order are compared on the same examples by the exact McNemar
    test. An order that is right no more often than the most frequent label alone speaks of a model that has learnt
    nothing, not of one whose labels are mixed up.

    Args:
        output: number of the output chosen for each example [n]; the first 500 are used.
        label: right label of each example, in lower case; those that are no name are left out.
        names: of the outputs, in lower case, as they are believed to be.
        level: chance of finding fault with a right order.

    Returns None where the given order stands.
    """
    from math import factorial

    from scipy.optimize import linear_sum_assignment

    from bench.statistics.paired import mcnemar_exact

    place = {name: i for i, name in enumerate(names)}
    rows = [i for i, name in enumerate(label[:CHECKED]) if name in place]
    if not rows or len(names) < 2:
        return None
    chosen, right = output[rows], np.array([place[label[i]] for i in rows])
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (chosen, right), 1)
    _, best = linear_sum_assignment(counts, maximize=True)
    here, there = chosen == right, best[chosen] == right
    if there.sum() <= max(here.sum(), counts.sum(axis=0).max()):
        return None
    p = mcnemar_exact(here.astype(float), there.astype(float))
    return tuple(names[int(i)] for i in best) if p < level / (factorial(len(names)) - 1) else None


def refuse_other_order(output: NDArray[np.int64], label: Sequence[str], names: Sequence[str], level: float) -> None:
    """Raise BadInput, naming the better one, where `better_order` finds one."""
    better = better_order(output, label, names, level)
    if better is not None:
        raise BadInput(
            f"The model's outputs are named {', '.join(names)}, but its answers to {min(len(label), CHECKED)} examples "
            f"are right clearly more often if they mean {', '.join(better)}: set label_names to that order."
        )


def named_like(names: Sequence[str], start: str) -> list[int]:
    """The outputs whose names begin with `start`, whatever the case."""
    return [number for number, name in enumerate(names) if name.lower().startswith(start)]


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    grown = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=-1, keepdims=True))


def classify(
    model: Loaded,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    max_length: int,
    batch_tokens: int,
    cut: bool | str = True,
) -> NDArray[np.float64]:
    """Logits [n, outputs] of a sequence classifier on texts or pairs, in batches by tokens.

    `cut` says what truncation takes from, as the tokenizer has it: the longer of the two, or "only_first".
    Raises ArithmeticError for logits that are not finite.
    """
    import torch

    from bench.tasks.batches import in_batches, narrowed, on_device

    encoded = model.tokenizer(
        list(texts), None if pairs is None else list(pairs), truncation=cut, max_length=max_length
    )
    lengths = [len(ids) for ids in encoded["input_ids"]]
    found: list[tuple[Sequence[int], torch.Tensor]] = []  # left on the device, so that no batch waits for another

    def run(rows: Sequence[int], batch: Sequence[int]) -> None:
        inputs = model.tokenizer.pad(
            {k: [v[r] for r in rows] for k, v in encoded.items()},
            padding="max_length",
            max_length=lengths[batch[0]],
            return_tensors="pt",
        )
        # A copy: a graph that is replayed writes the next batch's logits where these are.
        found.append((rows, model.model(**on_device(inputs, model.model.device)).logits.float().clone()))

    with torch.inference_mode():
        in_batches(model, lengths, narrowed(model, batch_tokens), run)
        assert found, "there is no text to classify"
        together = torch.cat([part for _, part in found]).cpu()
    if not torch.isfinite(together).all():
        raise ArithmeticError("The model gives logits that are not finite numbers.")
    logits = np.zeros(tuple(together.shape))
    logits[[row for rows, _ in found for row in rows]] = together.numpy()
    return logits
