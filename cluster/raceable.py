"""What of a sweep can be raced, and why the rest cannot. Pure."""

from __future__ import annotations

from bench.axes import Objective
from bench.metrics import TIMED, metric
from bench.statistics.racing import race_looks
from bench.sweep import Sweep
from bench.tasks.spec import TaskSpec


def why_not(sweep: Sweep) -> str | None:
    """Why nothing of a sweep can be raced; None where something can."""
    for objective in sweep.objectives:
        for task, name in tested_by(sweep, objective):
            found = metric(name)
            if found.source[0] not in ("share", "mean") or not found.span:
                return f"no exact test is known for {found.title} on {task.name}"
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


def timed_in(sweep: Sweep) -> list[Objective]:
    """The objectives that leases of latency give."""
    return [o for o in sweep.objectives if o.axis in TIMED]
