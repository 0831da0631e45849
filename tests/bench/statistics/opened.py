"""Open pairs as one writes them down."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.statistics.settling import OpenPairs


class Pair(NamedTuple):
    """One of them; None where no number of leases would."""

    of: int
    other: int
    better: int | None
    beaten: int | None


def opened(*pairs: tuple[int, int, int | None, int | None]) -> OpenPairs:
    """Pairs (of, other, better, beaten) in order."""
    return OpenPairs(
        *np.array([[leases or 0 for leases in pair] for pair in sorted(pairs)], dtype=np.intp).reshape(-1, 4).T
    )


def listed(pairs: OpenPairs) -> list[Pair]:
    """The same one by one."""
    every = zip(pairs.of, pairs.other, pairs.better, pairs.beaten, strict=True)
    return [Pair(int(i), int(j), int(better) or None, int(beaten) or None) for i, j, better, beaten in every]
