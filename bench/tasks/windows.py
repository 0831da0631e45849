"""The fixed order of a task's examples, its windows and its batches.

Slices of a task are whole windows, so a slice predicts what the full run predicts, also where a prediction depends on
its batch-mates.
"""

from collections.abc import Sequence

import numpy as np

from bench.data import Example
from bench.tasks.spec import WINDOW

ORDER_SEED = 20_240_229  # one order for ever: another order would be another task version


def windows_of(examples: Sequence[Example]) -> list[list[Example]]:
    """The examples in a seeded order, cut into windows of 512."""
    order = np.random.default_rng(ORDER_SEED).permutation(len(examples))
    return [[examples[i] for i in order[start : start + WINDOW]] for start in range(0, len(examples), WINDOW)]


def batches_by_tokens(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Row numbers sorted by length, longest first, cut so that longest x rows stays within `budget` tokens.

    Ties keep their order, so that the same window always gives the same batches. A row longer than the budget is
    a batch of its own.
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda r: (-lengths[r], r)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
