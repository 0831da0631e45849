"""How alike a variant is to its base, example by example: differences, agreement and flips, whole and by part. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.metrics import flips_in, metric
from bench.statistics.intervals import wilson
from bench.statistics.paired import flips
from bench.store.numbers import Number
from bench.store.quality import Outcomes, compare


def beside_base(outcomes: Outcomes, base: Outcomes, names: Sequence[str], task: str) -> list[Number]:
    """Everything that compares a variant with its base on the same examples of a task.

    For the whole task the paired difference of each metric; for it and each named part of the data that of the main
    metric, the agreement of predictions, and the flips both ways. Equal scores can hide many flips, and a small loss on
    the whole a large one on a part. Parts come in the scope "TASK / PART".
    """
    found = [*compare(outcomes, base, names, task), *_flips(outcomes, base, names, task)]
    for part in outcomes.slices:
        mine, theirs, scope = outcomes.part(part), base.part(part), f"{task} / {part}"
        found += [*compare(mine, theirs, names[:1], scope), *_flips(mine, theirs, names, scope)]
    return found


def _flips(outcomes: Outcomes, base: Outcomes, names: Sequence[str], scope: str) -> list[Number]:
    """Shares of examples that the variant gained and lost, with Wilson's intervals; the counts are in them."""
    if not flips_in(names):
        return []
    counts = flips(base.columns["score"], outcomes.columns["score"])
    return [
        Number(name, scope, wilson(count, outcomes.n))
        for name, count in zip(("flips_gained", "flips_lost"), counts, strict=True)
    ]


def with_right(numbers: Sequence[Number], outcomes: Outcomes, task: str) -> list[Number]:
    """The same numbers; those that are shares over the whole task carry which examples count, for exact tests."""
    shares = {n.metric: metric(n.metric).source for n in numbers if n.scope == task}
    packed = {
        name: np.packbits(outcomes.columns[source[1]] == 1).tobytes()
        for name, source in shares.items()
        if source[:1] == ("share",)
    }
    return [replace(n, right=packed.get(n.metric)) if n.scope == task else n for n in numbers]
