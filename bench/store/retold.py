"""A sweep file for one variant of a store, told from the records of what built and scored it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.data import DataSpec
from bench.errors import BadInput
from bench.job import parts_of
from bench.licences import SWEEP_FILE
from bench.recipe import OWN_BASE
from bench.store.asked import Row
from bench.store.origin import builds_of
from bench.store.reader import Snapshot
from bench.sweep import load_sweep
from bench.tasks.spec import TaskSpec

HUB_COMMIT = 40  # digits
Values = dict[str, Any]


class Untold(Exception):  # noqa: N818 - the name says what it is
    """The records do not tell a recipe whole, in a few words."""


def sweep_of(snapshot: Snapshot, sweep: Row, recipe_id: str) -> Values:
    """The sweep file, as plain values, whose one variant has that recipe_id. Raises Untold.

    It asks for the same tasks, shapes and objectives as the sweep that the variant is of. Data are pinned: other rows
    under the same name are refused.
    """
    declared = next(v for v in sweep["variants"] if v["recipe_id"] == recipe_id)
    base = next((v for v in sweep["variants"] if v["is_base"] and v["base"] == declared["base"]), declared)
    told = _Told(snapshot, declared["prefixes"], _licences(sweep))
    chain = told.chain(recipe_id)
    prepared = len(base["steps"])
    name = str(declared["base"])
    found: Values = {"name": sweep["name"], "bases": {name: told.model(chain[: prepared + 1], declared.get("licence"))}}
    steps = [told.step(build) for build in chain[prepared + 1 :]]
    tasks = _tasks(snapshot, sweep)
    sections = {task.name: _task(task, told) for task in tasks}
    if told.teachers:
        found["teachers"] = told.teachers
    found |= {"data": told.data, "tasks": sections, "holdout": _holdout(tasks)}
    found["recipes"] = [steps] if steps else []
    seeds = {json.loads(build["job"])["seed"] for build in chain[prepared + 1 :]}
    if len(seeds) > 1:
        raise Untold("its steps have different seeds")
    found["seeds"] = sorted(seeds) or [0]
    return found | _asked(sweep)


class _Told:
    """What the builds behind a variant say, gathered into sections of a file."""

    def __init__(self, snapshot: Snapshot, among: Sequence[str], licences: Mapping[str, str]) -> None:
        self._snapshot, self._among, self._licences = snapshot, list(among), licences
        self.data: Values = {}
        self.teachers: Values = {}

    def chain(self, recipe_id: str) -> list[Row]:
        """Builds from the import of the base to that recipe."""
        found: list[Row] = []
        while True:
            builds = builds_of(self._snapshot, recipe_id)
            if not builds:
                raise Untold("the record of one of its builds is missing")
            found.insert(0, builds[0])
            parent = json.loads(builds[0]["job"]).get("parent")
            if parent is None:
                return found
            recipe_id = self._recipe_of(parent, found)

    def _recipe_of(self, artefact_id: str, below: Sequence[Row] = ()) -> str:
        rows = self._snapshot.rows(
            "select recipe_id from records where kind = 'build' and status = 'finished' and artefact_id = ? "
            "and list_contains(?, recipe_id) order by ordinal",
            [artefact_id, self._among],
        )
        known = {row["recipe_id"] for row in below}
        found = [row["recipe_id"] for row in rows if row["recipe_id"] not in known]
        if not found:
            raise Untold("the record of one of its builds is missing")
        return str(found[0])

    def model(self, chain: Sequence[Row], licence: str | None) -> Values:
        """A section of `bases` or `teachers`."""
        first = json.loads(chain[0]["job"])
        found: Values = {"model": _pinned(str(first["name"]), str(first["folder"]))}
        if len(chain) > 1:
            found["prepare"] = [self.step(build) for build in chain[1:]]
            found["seed"] = json.loads(chain[1]["job"])["seed"]
        return found | ({"licence": licence} if licence else {})

    def step(self, build: Row) -> Values:
        """A step with its settings, as a line of a recipe; what it names is added to the sections."""
        job = json.loads(build["job"])
        for name, spec in job["data"].items():
            self.add_data(name, DataSpec.model_validate(spec))
        for name, artefact_id in job["teachers"].items():
            if name != OWN_BASE and name not in self.teachers:
                self.teachers[name] = {}  # a teacher's own chain may not ask for it again
                chain = self.chain(self._recipe_of(artefact_id))
                licence = self._licences.get(json.loads(chain[0]["job"])["name"])
                self.teachers[name] = self.model(chain, licence)
        return {str(job["step"]): {key: _closed(value) for key, value in job["settings"].items()}}

    def add_data(self, name: str, spec: DataSpec) -> None:
        """Add a data set under its name. Raises Untold where another one has that."""
        values = spec.model_dump(mode="json", exclude_defaults=True) | {"pinned": spec.pinned or spec.data_id}
        if self.data.setdefault(name, values) != values:
            raise Untold(f"two of its data sets have the name {name!r}")

    def name_of(self, task: TaskSpec) -> str:
        """The name of a task's data: that of the same rows where a step reads them, or the task's."""
        values = task.data.model_dump(mode="json", exclude_defaults=True) | {"pinned": task.data_id}
        for name, known in self.data.items():
            if known == values:
                return name
        name = task.name
        while name in self.data:
            name += "_data"
        self.add_data(name, task.data)
        return name


def _licences(sweep: Row) -> dict[str, str]:
    """The licences of teachers, by their model, as the sweep file stated them."""
    stated = sweep.get("licences", ())
    return {
        each["name"]: each["licence"] for each in stated if each["part"] == "teacher" and each["said_by"] == SWEEP_FILE
    }


def _closed(value: Any) -> Any:
    """A setting that no grid is opened by: a list of lists would be one."""
    return [value] if isinstance(value, list) and value and all(isinstance(each, list) for each in value) else value


def _pinned(model: str, folder: str) -> str:
    """A model of the hub by its commit, which names the folder that it was read from."""
    commit = Path(folder).name
    hub = len(commit) == HUB_COMMIT and not set(commit) - set("0123456789abcdef") and not Path(model).is_absolute()
    return f"{model.partition('@')[0]}@{commit}" if hub and "://" not in model else model


def _tasks(snapshot: Snapshot, sweep: Row) -> list[TaskSpec]:
    """The sweep's tasks, as the jobs that scored something on them hold them."""
    found: dict[str, TaskSpec] = {}
    wanted = {task["fingerprint"]: task["name"] for task in sweep["tasks"]}
    for row in _evaluations(snapshot):
        if len(found) == len(wanted):
            break
        spec = TaskSpec.model_validate(json.loads(row)["task"])
        if spec.fingerprint in wanted:
            name = wanted[spec.fingerprint]
            found[name] = spec.model_copy(update={"name": name})
    if len(found) < len(wanted):
        raise Untold(f"nothing was scored on {', '.join(sorted(set(wanted.values()) - set(found)))}")
    return [found[task["name"]] for task in sweep["tasks"]]


def _evaluations(snapshot: Snapshot) -> Iterator[str]:
    """Jobs that scored something, one of each task."""
    rows = snapshot.rows(
        "select any_value(job) as job from records where kind = 'evaluate' and status = 'finished' "
        "group by json_extract_string(job, '$.task')"
    )
    return (row["job"] for row in rows)


def _task(task: TaskSpec, told: _Told) -> Values:
    return {"kind": task.kind, "data": told.name_of(task), **task.settings}


def _holdout(tasks: Sequence[TaskSpec]) -> float:
    """The share that holds back as many examples of each task as were held back."""
    if all(task.part == "all" for task in tasks):
        return 0.0
    counts = [(task.held, task.held + task.examples) for task in tasks]
    for share in (1 / 3, *(held / whole for held, whole in counts)):
        if all(round(whole * share) == held for held, whole in counts):
            return share
    raise Untold("its tasks hold back shares that no one number gives")


def _asked(sweep: Row) -> Values:
    """What is measured and decided by, as the sweep declared it."""
    timed, kept = sweep["questions"]["LatencyJob"], sweep["questions"]["MemoryJob"]
    shapes = [tuple(shape) for shape in timed["shapes"]]
    names = ("first_rounds", "max_rounds", "half_width", "burst_ms", "threads", "new_tokens")
    latency: Values = {
        "batch": list(dict.fromkeys(batch for batch, _ in shapes)),
        "length": list(dict.fromkeys(length for _, length in shapes)),
        **{name: timed[name] for name in names if timed.get(name) is not None},
        "protocol": timed["protocol"][1],
        "leases": sweep["leases"],
    }
    found: Values = {"device": timed["device"], "latency": latency, "memory": {"repeats": kept["repeats"]}}
    matters: Values = {}
    axes = []
    for objective in sweep["objectives"]:
        axes.append(_objective(objective, shapes, timed.get("new_tokens")))
        if objective.get("matters"):
            matters[axes[-1]] = objective["matters"]
    found["objectives"] = axes
    if sweep.get("constraints"):
        found["constraints"] = [constraint["text"] for constraint in sweep["constraints"]]
    return found | ({"matters": matters} if matters else {})


def _objective(objective: Mapping[str, Any], shapes: Sequence[tuple[int, ...]], new_tokens: int | None) -> str:
    axis, scope = str(objective["axis"]), objective["scope"]
    if axis == "quality":
        metric = objective["metric"]
        return "quality:recovery" if metric == "recovery" else f"quality:{scope}.{metric}"
    for batch, length in shapes:
        if scope in parts_of((batch, length), new_tokens) and axis != "memory":
            return f"{axis}:{batch}x{length}"
    return axis


def steps_of(values: Mapping[str, Any]) -> tuple[Values, ...]:
    """The settings of each step of such a file, those that prepare the base first."""
    (base,) = values["bases"].values()
    steps = [*base.get("prepare", ()), *(step for recipe in values["recipes"] for step in recipe)]
    return tuple(settings for step in steps for settings in step.values())


def written(values: Mapping[str, Any], about: Sequence[str]) -> str:
    """The file's text, with lines of explanation above it."""
    head = "".join(f"# {' '.join(line.split())}\n" for line in about)
    return head + yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=110)


def problem_of(path: Path, recipe_id: str) -> str:
    """Why a sweep file does not yield that recipe here and now; nothing where it does."""
    try:
        found = load_sweep(str(path))
    except BadInput as error:
        return str(error)
    ids = {recipe.recipe_id for recipe in found.recipes}
    return "" if recipe_id in ids else "with the files as they are now it names another recipe"
