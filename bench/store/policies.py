"""Which batches an artefact's outcomes are from: those its task asks for, or smaller ones where memory had no room.

Only for artefacts whose predictions depend on batch-mates: smaller batches give them other numbers, under another
fingerprint. All others are split within their batches, and stay with the task's own fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.tasks.spec import WINDOW

Known = dict[tuple[str, str], list[str]]  # (artefact_id, task fingerprint) -> identities of evaluations


def settle(
    known: Known, tasks: Iterable[Mapping[str, Any]], dependent: Iterable[str], windows: Mapping[str, tuple[int, int]]
) -> None:
    """Where only smaller batches cover all of a task, let their evaluations stand for it; the largest that do.

    Args:
        known: by the fingerprint that was run; changed in place.
        tasks: as declared.
        dependent: artefact_ids of those whose predictions depend on batch-mates.
        windows: (first, one past the last) of each evaluation.
    """
    artefact_ids = tuple(dependent)
    for task in tasks:
        needed = set(range(-(-task["examples"] // WINDOW)))
        for artefact_id in artefact_ids:
            for fingerprint in (task["fingerprint"], *(f for f, _ in task.get("smaller_batches", ()))):
                identities = known.get((artefact_id, fingerprint), [])
                if needed <= {n for identity in identities for n in range(*windows[identity])}:
                    known[artefact_id, task["fingerprint"]] = identities
                    break


def note(known: Known, artefact_id: str, task: Mapping[str, Any]) -> str | None:
    """What is to be said of an artefact's numbers on a task that come from smaller batches."""
    mine = known.get((artefact_id, task["fingerprint"]))
    for fingerprint, tokens in task.get("smaller_batches", ()):
        if mine and mine == known.get((artefact_id, fingerprint)):
            return (
                f"In batches of {tokens:,} tokens, for memory did not hold those asked for; the predictions of this "
                "model depend on that."
            )
    return None
