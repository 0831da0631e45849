"""The rows of a leaderboard, read from a snapshot: numbers first, drawing later. Imports neither torch nor Ray."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from bench.errors import BadInput, unknown
from bench.metrics import TIMED
from bench.statistics.constraints import Constraint, State
from bench.statistics.frontier import Relation
from bench.store.reader import Snapshot
from leaderboard.facts import Facts, facts_of, resolved
from leaderboard.format import without_folders
from leaderboard.undelivered import undelivered_in

Key = tuple[str, str]  # metric, scope
Draws = Mapping[tuple[str, Key], np.ndarray[Any, Any]]  # (recipe_id, number) -> its resamples
# Of a variant `v`, in SQL: whether it is its base or has its artefact.
AS_BASE = """(v.is_base or coalesce(
    v.artefact_id = max(v.artefact_id) filter (v.is_base) over (partition by v.sweep_id, v.base), false))"""
VERDICT_ORDER = {"certain": 0, "contested": 1, "dominated": 2, "not evaluated": 3}


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a row with its interval."""

    estimate: float
    low: float
    high: float
    n: int
    method: str
    hardware_class: str | None
    note: str | None
    evidence: int | None  # independent examples or blocks of rounds behind it
    span: float  # range of one example's score, 0 where unbounded
    p: float | None = None  # of the exact test that it is no different from the base's
    p_holm: float | None = None  # adjusted for the sweep's family of such tests
    extended: float | None = None  # leases behind it over those planned at first, where it was measured in leases


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands on one objective, told from the intervals of its verdict."""

    rank: tuple[int, int] | None  # the best and the worst that it may have, 1 best; None without a number
    tie: str  # letters between commas; who shares one was not told apart
    relation: Relation | None  # to the base; None for the base
    difference: float | None  # from the base, in the unit of what it is judged as; None where nothing is known
    low: float | None
    high: float | None
    tied: int | None = None  # others that were not told apart, where letters would be too many

    @property
    def letters(self) -> frozenset[str]:
        return frozenset(self.tie.split(",")) - {""}


@dataclass(frozen=True, slots=True)
class Required:
    """A constraint of the sweep, or one that someone asked for."""

    constraint: Constraint
    text: str  # as it was written


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether a row keeps a constraint, and by which number; None where it has none."""

    state: State
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Axis:
    """A metric in a scope, as it can be shown or chosen."""

    metric: str
    scope: str
    title: str  # full name: metric and scope
    unit: str
    better: Literal["higher", "lower"]
    exact: bool
    meaning: str

    @property
    def key(self) -> Key:
        return self.metric, self.scope


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a recipe, as it was declared."""

    name: str
    settings: Mapping[str, Any]
    seed: int | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why a variant was not run to the end: another one beat it on all objectives of a race."""

    by: str | None  # recipe_id
    objectives: frozenset[Key]
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One variant."""

    recipe_id: str
    name: str
    base: str
    is_base: bool
    seed: int | None
    group: str
    steps: tuple[Step, ...]
    artefact_id: str | None
    status: str
    reason: str | None
    verdict: str
    share: float
    verdict_reason: str
    dominated_by: str | None  # recipe_id
    cells: Mapping[Key, Cell]
    stopped: Stopped | None = None
    places: Mapping[Key, Place] = field(default_factory=dict)  # by objective
    kept: tuple[Kept, ...] = ()  # by the board's constraints
    undelivered: tuple[str, ...] = ()  # steps that did not do to the model what they promise, and how that shows
    seeds: int | None = None  # of its recipe on the board, where that is known without looking at all rows
    as_base: bool = False  # has the very bytes of its base, or is it: how it compares with it is known

    def __post_init__(self) -> None:
        # Here, so that no reader can forget: where things lie on a machine is nothing for visitors.
        if self.reason is not None:
            object.__setattr__(self, "reason", without_folders(self.reason))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(step.name for step in self.steps)


@dataclass(frozen=True, slots=True)
class Board:
    """One sweep on one hardware class."""

    sweep_id: str
    name: str
    description: str
    hardware_class: str
    published: str
    progress: Mapping[str, Any]
    objectives: tuple[Key, ...]
    axes: Mapping[Key, Axis]  # everything that some row has a number for
    rows: Sequence[Row]  # a tuple, or of a large sweep a `Listing`
    matters: Mapping[Key, float] = field(default_factory=dict)  # smallest difference that does, by declared objective
    constraints: tuple[Required, ...] = ()
    tasks: tuple[str, ...] = ()
    among: tuple[int, int] | None = None  # variants shown of all there are, bases apart, where some were left out
    facts: Facts | None = None  # of all rows, where that is known without looking at them
    whole: Sequence[Row] = ()  # all rows, where constraints have left some out

    @property
    def bases(self) -> tuple[str, ...]:
        return self.facts.bases if self.facts else tuple(dict.fromkeys(row.base for row in self.rows))

    @property
    def everyone(self) -> Sequence[Row]:
        """All rows, those that constraints have left out too."""
        return self.whole or self.rows

    @property
    def about(self) -> Facts:
        """What is true of all rows together."""
        return self.facts or facts_of(self.rows)


def find_sweep(snapshot: Snapshot, asked: str | None = None) -> dict[str, Any]:
    """The declaration of a sweep by name or id prefix; the newest without one. Raises BadInput."""
    sweeps = snapshot.rows("select sweep_id, name, declared from sweeps order by declared desc")
    if not sweeps:
        raise BadInput(f"The store {snapshot.folder.root} holds no sweep yet: start one with `paredown run`.")
    for sweep in sweeps:
        mine = asked is not None and len(asked) >= 6 and sweep["sweep_id"].startswith(asked)
        if asked in (None, sweep["name"]) or mine:
            return {**sweep, "body": snapshot.body(sweep["sweep_id"])}
    assert asked is not None
    raise unknown("sweep in this store", asked, {s["name"] for s in sweeps})


def read_board(snapshot: Snapshot, asked: str | None = None) -> Board:
    """All rows of a sweep, the base first, then by verdict and main objective."""
    sweep = find_sweep(snapshot, asked)
    body, sweep_id = sweep["body"], sweep["sweep_id"]
    objectives = tuple((o["metric"], o["scope"]) for o in body["objectives"])
    cells = _cells(snapshot, sweep_id)
    axes = axes_of(snapshot, {key for mine in cells.values() for key in mine}, objectives)
    undelivered = undelivered_in(snapshot, body["variants"])
    stops = {r["artefact_id"]: r for r in snapshot.rows("select * from stops where sweep_id = ?", [sweep_id])}
    stands = {r["recipe_id"]: r for r in snapshot.rows("select * from verdicts where sweep_id = ?", [sweep_id])}
    places, kept = _places(snapshot, sweep_id), _kept(snapshot, sweep_id)
    rows = [
        replace(
            _row(record, stands.get(record["recipe_id"]), cells.get(record["recipe_id"], {})),
            undelivered=undelivered.get(record["recipe_id"], ()),
            places=places.get(record["recipe_id"], {}),
            kept=tuple(kept.get(record["recipe_id"], ())),
            stopped=_stopped(stops[record["artefact_id"]], stands[record["recipe_id"]])
            if record["status"] == "stopped"
            else None,
        )
        for record in snapshot.rows(
            f"select v.*, {AS_BASE} as as_base from variants v where sweep_id = ? order by position",  # noqa: S608
            [sweep_id],
        )
    ]
    return board_of(snapshot, sweep, axes, ranked(rows, axes.get(objectives[0])))


def board_of(snapshot: Snapshot, sweep: Mapping[str, Any], axes: Mapping[Key, Axis], rows: Sequence[Row]) -> Board:
    """A board of these rows, with what the sweep declared."""
    info, body = snapshot.info(), sweep["body"]
    return Board(
        sweep_id=sweep["sweep_id"],
        name=body["name"],
        description=body["description"],
        hardware_class=body["hardware_class"],
        published=info["published"],
        progress=snapshot.progress(sweep["sweep_id"]),
        objectives=tuple((o["metric"], o["scope"]) for o in body["objectives"]),
        axes=axes,
        rows=rows,
        tasks=tuple(task["name"] for task in body["tasks"]),
        matters={(o["metric"], o["scope"]): o.get("matters", 0.0) for o in body["objectives"]},
        constraints=tuple(
            Required(resolved(Constraint(c["metric"], c["scope"], c["operator"], c["bound"]), axes), c["text"])
            for c in body.get("constraints", ())
        ),
    )


def _cells(snapshot: Snapshot, sweep_id: str) -> dict[str, dict[Key, Cell]]:
    found: dict[str, dict[Key, Cell]] = {}
    for r in snapshot.rows("select * from numbers where sweep_id = ?", [sweep_id]):
        numbers = (r["estimate"], r["low"], r["high"], r["n"])
        about = r["method"], r["hardware_class"], r["note"], r["evidence"], r["span"], r["p"], r["p_holm"]
        cell = Cell(*numbers, *about, r["extended"])
        found.setdefault(r["recipe_id"], {})[r["metric"], r["scope"]] = cell
    return found


def _places(snapshot: Snapshot, sweep_id: str) -> dict[str, dict[Key, Place]]:
    found: dict[str, dict[Key, Place]] = {}
    for r in snapshot.rows("select * from standings where sweep_id = ?", [sweep_id]):
        rank = None if r["rank_low"] is None else (r["rank_low"], r["rank_high"])
        place = Place(rank, r["tie"], r["relation"], r["difference"], r["low"], r["high"])
        found.setdefault(r["recipe_id"], {})[r["metric"], r["scope"]] = place
    return found


def _kept(snapshot: Snapshot, sweep_id: str) -> dict[str, list[Kept]]:
    found: dict[str, list[Kept]] = {}
    for r in snapshot.rows("select * from constraints where sweep_id = ? order by position", [sweep_id]):
        found.setdefault(r["recipe_id"], []).append(Kept(r["state"], r["estimate"], r["low"], r["high"]))
    return found


def _stopped(stop: Mapping[str, Any], stand: Mapping[str, Any]) -> Stopped:
    keys = frozenset((metric, scope) for metric, scope in json.loads(stop["objectives"]))
    return Stopped(stand["dominated_by"], keys, stand["reason"])


def axes_of(snapshot: Snapshot, have: set[Key], objectives: Sequence[Key]) -> dict[Key, Axis]:
    """Objectives first, then whatever has numbers, in the order of the metrics table."""
    metrics = {r["name"]: r for r in snapshot.rows("select * from metrics")}
    order = {name: i for i, name in enumerate(metrics)}
    keys = [*objectives, *sorted(have - set(objectives), key=lambda k: (order.get(k[0], 99), k[1]))]
    axes = {}
    for name, scope in keys:
        m = metrics[name]
        title = f"{m['title']}, {scope}" if scope else m["title"]
        axes[name, scope] = Axis(name, scope, title, m["unit"], m["better"], m["exact"], m["meaning"])
    return axes


def _row(record: Mapping[str, Any], stand: Mapping[str, Any] | None, cells: Mapping[Key, Cell]) -> Row:
    return Row(
        recipe_id=record["recipe_id"],
        name=record["name"],
        base=record["base"],
        is_base=record["is_base"],
        as_base=record["as_base"],
        seed=record["seed"],
        group=record["recipe_group"],
        steps=tuple(Step(s["step"], s["settings"], s.get("seed")) for s in json.loads(record["steps"])),
        artefact_id=record["artefact_id"],
        status=record["status"],
        reason=record["reason"],
        verdict=stand["verdict"] if stand else "not evaluated",
        share=stand["share"] if stand else 0.0,
        verdict_reason=stand["reason"] if stand else "no number yet",
        dominated_by=stand["dominated_by"] if stand else None,
        cells=cells,
    )


def ranked(rows: Iterable[Row], axis: Axis | None) -> tuple[Row, ...]:
    """Each base first, then by verdict and the number on that axis."""
    return tuple(sorted(rows, key=lambda row: _rank(row, axis)))


def _rank(row: Row, axis: Axis | None) -> tuple[str, bool, int, float]:
    cell = row.cells.get(axis.key) if axis else None
    value = float("inf") if cell is None or axis is None else cell.estimate * (-1 if axis.better == "higher" else 1)
    return row.base, not row.is_base, VERDICT_ORDER.get(row.verdict, 9), value


def read_draws(snapshot: Snapshot, board: Board, keys: Sequence[Key]) -> Draws:
    """Bootstrap draws of what the named numbers are judged as; none of a large sweep, which is asked for candidates."""
    found = {}
    wanted = [row.recipe_id for row in board.everyone] if isinstance(board.rows, tuple) else []
    for metric, scope in dict.fromkeys(judged_as(key) for key in keys):
        for r in snapshot.rows(
            "select recipe_id, draws from draws where sweep_id = ? and metric = ? and scope = ? "
            "and recipe_id in (select unnest(?))",
            [board.sweep_id, metric, scope, wanted],
        ):
            found[r["recipe_id"], (metric, scope)] = np.asarray(r["draws"], dtype=np.float64)
    return found


def judged_as(key: Key) -> Key:
    """The number that carries the evidence for this one: itself, or its paired form, which orders variants alike."""
    metric, scope = key
    timed = "latency" if metric == "tokens_per_second" else metric.removesuffix("_ms").removesuffix("_j")
    stem = timed.removesuffix("_ratio")
    return (f"{stem}_ratio" if stem in TIMED else metric.removesuffix("_ratio").removesuffix("_difference")), scope
