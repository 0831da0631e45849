"""Nothing that a sweep chooses by may have seen the examples that it holds back: checked row by row, before it runs."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations

from bench.data import DataSpec
from bench.errors import BadInput
from bench.recipe import Recipe
from bench.tasks.spec import Part, TaskSpec
from bench.tasks.windows import order_of


def check_held_apart(tasks: Sequence[TaskSpec], data: Mapping[str, DataSpec], recipes: Iterable[Recipe]) -> None:
    """Raise BadInput where a step of a recipe, or another task's choosing, reads rows that a task holds back.

    The same row is the same place in the same source; a copy under another name is not seen.
    """
    held = {task.name: (task, _rows(task, "held back")) for task in tasks if task.part == "choosing"}
    if not held:
        return
    readers = {name: stage.step.name for r in recipes for stage in r.stages for name in stage.step.data_names()}
    for name, step in readers.items():
        for task, rows in held.values():
            both = sum(_has(data[name], row) for row in rows) if data[name].source == task.data.source else 0
            if both:
                raise BadInput(
                    f"The step {step!r} reads the data set {name!r}, which has {both} of the {len(rows)} rows that the "
                    f"task {task.name!r} holds back for confirming: give it other rows with offset and limit, or set "
                    "holdout: 0."
                )
    for (task, rows), (other, _) in permutations(held.values(), 2):
        both = len(rows & _rows(other, "choosing")) if task.data.source == other.data.source else 0
        if both:
            raise BadInput(
                f"The task {other.name!r} chooses on {both} of the {len(rows)} rows that the task {task.name!r} holds "
                "back for confirming: give both the same rows, or set holdout: 0."
            )


def _rows(task: TaskSpec, part: Part) -> set[int]:
    """Places in the source of the examples of a part of a task's data."""
    return {task.data.offset + place for place in order_of(task.examples + task.held, part, task.held)}


def _has(data: DataSpec, row: int) -> bool:
    return data.offset <= row and (data.limit is None or row < data.offset + data.limit)
