"""A store in which a better variant is still to come, and its coming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.store.journal import Entry
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, VARIANTS, Variant

BETTER = Variant(f"{BASE}: better", (sample.INT8,), 0.002, 0.05, 0.3, 0, 2, 300, 407e6, 500e6)
INT8 = VARIANTS[1]


def store_before(root: Path) -> Path:
    """The sample with one more variant that waits."""
    return sample.make_store(root, (*VARIANTS, replace(BETTER, fate="waiting")))


def let_it_come(root: Path) -> None:
    """Deliver every record of the better variant: it dominates int8 on all that was measured."""
    base = VARIANTS[0]
    found = [sample.build(BETTER), sample.evaluation(BETTER), sample.memory([base, BETTER])]
    found += [sample.latency([base, BETTER], lease) for lease in range(sample.LEASES)]
    with sample.writing(root) as writer:
        writer.append([Entry.of(delivery) for delivery in found])
        writer.report({"done": 40, "running": 0, "failed": 1, "open": 0})
