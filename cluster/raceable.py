"""What of a sweep can be raced, and why the rest cannot. Pure."""

from __future__ import annotations

from itertools import count as count_from

from bench.axes import Objective
from bench.metrics import TIMED, metric
from bench.statistics.racing import extreme, race_level, race_looks
from bench.sweep import Sweep
from bench.tasks.spec import TaskSpec


def why_not(sweep: Sweep) -> str | None:
    """Why nothing of a sweep can be raced; None where something can."""
    for objective in sweep.objectives:
        for task, name in tested_by(sweep, objective):
            found = metric(name)
            if found.source[0] not in ("share", "mean") or not found.span:
                return f"no exact test is known for {found.title} on {task.name}"
        if objective.axis == "memory" and (reason := _too_few(sweep)):
            return reason
    if all(metric(o.metric).exact for o in sweep.objectives):
        return "every objective is exact, and costs nothing"
    several = max(len(race_looks(task.windows)) for task in sweep.tasks) > 1
    if not several and (sweep.file.latency.leases < 2 or not timed_in(sweep)):
        return "no task has more than one window of examples, so there is nothing to stop before"
    return None


def tested_by(sweep: Sweep, objective: Objective) -> list[tuple[TaskSpec, str]]:
    """(task, metric) that must be better for the objective to be: of the recovery, every task's main one."""
    if objective.axis != "quality":
        return []
    if objective.metric == "recovery":
        return [(task, task.metrics[0]) for task in sweep.tasks]
    return [(task, objective.metric) for task in sweep.tasks if task.name == objective.scope]


def _too_few(sweep: Sweep) -> str | None:
    """Why repetitions of memory can show nothing at the level of a race; None where they can."""
    repeats = sweep.file.memory.repeats
    looks = max(len(race_looks(task.windows)) for task in sweep.tasks) - 1
    sizes = [sum(r.base.name == b.name for r in sweep.recipes) for b in sweep.bases]
    if max(sizes) < 2:
        return None
    level = race_level(sweep.file.race.alpha, max(1, looks, sweep.file.latency.leases - 1), sizes)
    if extreme(repeats, repeats) <= level:
        return None
    enough = next(count for count in count_from(repeats) if extreme(count, count) <= level)
    return (
        f"with memory.repeats={repeats} no difference of memory has p below {extreme(repeats, repeats):.2g}; a race "
        f"of this size asks for {level:.1g}: {enough} would do"
    )


def timed_in(sweep: Sweep) -> list[Objective]:
    """The objectives that leases of latency give."""
    return [o for o in sweep.objectives if o.axis in TIMED]
