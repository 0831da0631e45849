"""The fixed order of a task's examples, the part of it that is held back, its windows and its batches.

Slices of a task are whole windows, so a slice predicts what the full run predicts, also where a prediction depends on
its batch-mates.
"""

from collections.abc import Sequence

import numpy as np

from bench.data import Example
from bench.tasks.spec import WINDOW, Part

ORDER_SEED = 20_240_229  # one order for ever: another order would be another task version


def order_of(count: int, part: Part = "all", held: int = 0) -> list[int]:
    """The seeded order of `count` examples, or a part of it: the last `held` are held back, the others for choosing."""
    order = [int(i) for i in np.random.default_rng(ORDER_SEED).permutation(count)]
    return {"all": order, "choosing": order[: count - held], "held back": order[count - held :]}[part]


def windows_of(examples: Sequence[Example], part: Part = "all", held: int = 0) -> list[list[Example]]:
    """The examples, or a part of them, in a seeded order, cut into windows of 512."""
    order = order_of(len(examples), part, held)
    return [[examples[i] for i in order[start : start + WINDOW]] for start in range(0, len(order), WINDOW)]


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
