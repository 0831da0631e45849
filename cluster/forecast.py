"""What is still to be spent on a plan: time, GPU time, and how much of that is learned rather than guessed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.estimates import Estimate, Estimates
from cluster.plan import OPEN, Plan


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds until the end, seconds that jobs have a GPU, and how many of the open jobs are known by their like."""

    seconds: float
    gpu_seconds: float
    jobs: int
    learned: int


def forecast(plan: Plan, estimates: Estimates, slots: int) -> Forecast:
    """What the rest of a plan will take: a lease alone on its node, `slots` other jobs side by side."""
    shared = alone = gpu = 0.0
    jobs = learned = 0
    seen: dict[tuple[int, int | None], Estimate] = {}  # most jobs are alike: the slices of one evaluation
    for planned in plan.jobs:
        if planned.status not in OPEN:
            continue
        alike = (id(planned.of), planned.examples)
        if alike not in seen:
            seen[alike] = estimates.of(planned.of, planned.examples)
        found = seen[alike]
        jobs += 1
        learned += found.learned
        seconds = found.seconds / 2 if planned.status == "running" else found.seconds
        gpu += seconds if planned.of.gpu else 0.0
        if planned.of.exclusive:
            alone += seconds
        else:
            shared += seconds
    for expected in plan.expected:
        found = estimates.usual(expected.kind)
        jobs += expected.count
        learned += expected.count * found.learned
        gpu += expected.count * found.seconds if expected.gpu else 0.0
        if expected.kind == "latency":
            alone += expected.count * found.seconds
        else:
            shared += expected.count * found.seconds
    return Forecast(shared / max(1, slots) + alone, gpu, jobs, learned)
