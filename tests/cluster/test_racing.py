"""Racing as a rule of the plan: what is raced, when it decides, and that the order of arrival decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.errors import BadInput
from bench.identity import digest
from bench.job import BuildJob, EvaluateJob, Job, LatencyJob, MemoryJob
from bench.record import Finished, Record, Value
from bench.statistics.repeats import Shift
from bench.store.raw import Raw, Tables
from bench.sweep import Sweep, load_sweep
from bench.tasks.spec import WINDOW
from cluster.evaluations import Evaluations
from cluster.plan import Plan, Planner
from cluster.raceable import why_not
from cluster.racing import Stopped
from cluster.show import plan_table
from cluster.standing import Known, Machine
from tests import tiny

MACHINE = Machine("a class", {"torch": "2", "transformers": "5"})
NOTHING: frozenset[str] = frozenset()
EXAMPLES = 2600  # six windows: looks after 1, 2, 4 and 6
SCOPE = "batch 1 x 16 tokens"
# variant -> true accuracy, latency ratio; the cast one is beaten by the copied one, the int8 one by a hair
TRUTH = {
    "model": (0.9, 1.0),
    "decoder 4 to 2": (0.88, 0.5),
    "fine-tuned": (0.89, 0.52),
    "int8": (0.879, 0.505),
    "bf16": (0.6, 0.9),
}


def truth(name: str) -> tuple[float, float]:
    return next((value for part, value in reversed(TRUTH.items()) if part in name), TRUTH["model"])


@dataclass
class Played(Raw):
    """Raw material as it would come from models of known accuracy and speed."""

    jobs: dict[str, Job] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # artefact_id -> variant
    levelled: set[str] = field(default_factory=set)  # keys of leases in which all are as fast as the base

    def scores(self, key: str, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        job = self.jobs[key]
        assert isinstance(job, EvaluateJob)
        assert column == "score"
        index = np.arange(job.first * WINDOW, min(job.last * WINDOW, EXAMPLES))
        hard = np.random.default_rng(0).random(EXAMPLES)[index]
        own = np.random.default_rng(int(job.artefact_id[:8], 16)).random(EXAMPLES)[index]
        return index, (0.7 * hard + 0.3 * own < truth(self.names[job.artefact_id])[0]).astype(float)

    def rounds(self, key: str, artefact_ids: tuple[str, ...]) -> tuple[Tables, Tables]:
        job = self.jobs[key]
        assert isinstance(job, LatencyJob)
        rng = np.random.default_rng(int(key[:8], 16))
        ratios = np.array([1.0 if key in self.levelled else truth(self.names[a])[1] for a in artefact_ids])
        table = 1e-3 * ratios * np.exp(0.01 * rng.standard_normal((20, ratios.size)))
        return {SCOPE: table}, {SCOPE: np.full_like(table, np.nan)}


class Sport:
    """Plays a sweep to its end."""

    def __init__(self, sweep: Sweep, *, seconds: float = 5.0, seed: int = 0) -> None:
        self.planner = Planner(sweep, MACHINE)
        self.raw = Played()
        self.known = Known(raw=self.raw)
        self.done: list[Job] = []
        self._seconds = seconds
        self._rng = np.random.default_rng(seed)

    def step(self) -> bool:
        """Finish one of the jobs that are ready; whether there was one."""
        plan = self.plan()
        ready = [p.job for p in plan.ready()]
        if not ready:
            return False
        job = ready[int(self._rng.integers(len(ready)))]
        self.known.add(self._record(job))
        self.done.append(job)
        return True

    def plan(self) -> Plan:
        return self.planner(self.known, NOTHING)

    def finish(self) -> Sport:
        while self.step():
            pass
        return self

    def _record(self, job: Job) -> Record:
        self.raw.jobs[job.key] = job
        artefact: str | None = None
        values: tuple[Value, ...] = ()
        if isinstance(job, BuildJob):
            artefact = self.bytes_of(job)
            self.raw.names[artefact] = job.name
            values = (Value.exact(artefact, "size", 100.0 if "int8" not in job.name else 50.0),)
        if isinstance(job, MemoryJob):
            values = tuple(self._memory(a, job.repeats) for a in job.artefact_ids)
        return Record(
            key=job.key,
            kind=job.kind,
            attempt=1,
            outcome=Finished(artefact_id=artefact, values=values, notes={"seconds": self._seconds}),
            job={"type": type(job).__name__, **job.model_dump(mode="json")},
            started="2026-01-01",
            seconds=1,
            worker="w",
        )

    def bytes_of(self, job: BuildJob) -> str:
        return digest({"of": job.recipe_id})

    def _memory(self, artefact_id: str, repeats: int) -> Value:
        """Of a peak that follows the speed, within 1% of it."""
        peak = 1e9 * truth(self.raw.names[artefact_id])[1]
        return Value(
            artefact_id=artefact_id,
            metric="host_peak",
            scope=SCOPE,
            estimate=peak,
            low=0.99 * peak,
            high=1.01 * peak,
            n=repeats,
            method="range",
        )

    def stopped(self) -> dict[str, Stopped]:
        return {self.raw.names[s.artefact_id]: s for s in self.plan().stopped}

    def windows(self) -> dict[str, int]:
        """How many windows each variant was run on."""
        found: dict[str, int] = {}
        for job in self.done:
            if isinstance(job, EvaluateJob):
                name = self.raw.names[job.artefact_id]
                found[name] = found.get(name, 0) + job.last - job.first
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("race")
    tiny.sweep_file(folder)
    tiny.data_file(folder / "many.jsonl", EXAMPLES, seed=3)
    return folder


def load(folder: Path, **changes: Any) -> Sweep:
    pair = {"text": "premise", "pair": "hypothesis", "label": "label"}
    data = {"train": {"source": "train.jsonl", **pair}, "test": {"source": "many.jsonl", **pair}}
    return load_sweep(str(tiny.sweep_file(folder, data=data, **changes)))


def test_a_beaten_variant_is_run_no_further_and_the_others_are(folder: Path) -> None:
    sport = Sport(load(folder)).finish()
    windows = sport.windows()
    (beaten,) = [name for name in windows if "bf16" in name]
    assert windows.pop(beaten) == 1
    assert set(windows.values()) == {6}
    stop = sport.stopped()[beaten]
    assert (stop.raced, stop.look, stop.looks, stop.examples) == ("examples", 1, 3, {"pairs": 512})
    assert truth(sport.raw.names[stop.by])[0] > truth(beaten)[0]
    assert stop.level == pytest.approx(0.05 / (3 * 5 * 4))
    assert "of 512 examples" in stop.reason


def test_what_the_other_objectives_need_comes_before_the_second_look(folder: Path) -> None:
    done = Sport(load(folder)).finish().done
    order = [
        "first look" if isinstance(job, EvaluateJob) and job.first == 0 else type(job).__name__
        for job in done
        if isinstance(job, EvaluateJob | LatencyJob)
    ]
    assert order[:5] == ["first look"] * 5
    assert order[5:7] == ["LatencyJob"] * 2
    assert set(order[7:]) == {"EvaluateJob"}


def test_the_order_of_arrival_decides_nothing(folder: Path) -> None:
    first, *others = (Sport(load(folder), seed=seed).finish() for seed in range(4))
    for other in others:
        assert other.stopped() == first.stopped()
        assert other.windows() == first.windows()


def test_another_driver_decides_the_same_at_any_moment(folder: Path) -> None:
    sweep = load(folder)
    sport = Sport(sweep)
    while sport.step():
        assert Planner(sweep, MACHINE)(sport.known, NOTHING) == sport.plan()
    assert sport.plan().stopped


def test_a_lease_that_comes_later_changes_nothing_that_was_decided(folder: Path) -> None:
    sweep = load(folder)
    sport = Sport(sweep).finish()
    before = sport.stopped()
    (first, *_) = (job for job in sport.done if isinstance(job, LatencyJob))
    later = first.model_copy(update={"lease": 2})
    sport.known.add(sport._record(later))  # as where two disagree
    sport.raw.levelled.add(later.key)
    sport.planner = Planner(sweep, MACHINE)
    assert sport.stopped() == before


def test_no_race_completes_what_was_stopped_and_repeats_nothing(folder: Path) -> None:
    sport = Sport(load(folder)).finish()
    raced = len(sport.done)
    sport.planner = Planner(load(folder, race={"on": False}), MACHINE)
    sport.finish()
    assert set(sport.windows().values()) == {6}
    assert all(isinstance(job, EvaluateJob) and "bf16" in job.name for job in sport.done[raced:])
    assert not sport.plan().stopped
    whole = Sport(load(folder, race={"on": False})).finish()
    assert {job.key for job in whole.done} == {job.key for job in sport.done}


def test_pinned_variants_never_stop(folder: Path) -> None:
    sweep = load(folder)
    (name,) = [n for n in Sport(sweep).finish().windows() if "bf16" in n]
    assert not Sport(load(folder, race={"pinned": [name.partition(": ")[2]]})).finish().stopped()
    with pytest.raises(BadInput, match="variant to pin called 'nobody'"):
        load(folder, race={"pinned": ["nobody"]})


def test_pinned_variants_never_stop_whoever_else_has_their_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a step changed nothing: one artefact, of which one recipe is pinned and another comes before it."""
    cast, cut = {"cast": {"dtype": "bfloat16"}}, {"layer_copy": {"decoder": 2}}
    recipes = [[cut], [cast], [cut, cast]]
    names = [r.variant_name for r in load(folder, recipes=recipes).recipes if "bf16" in r.variant_name]
    monkeypatch.setattr(Sport, "bytes_of", lambda _, job: digest("bf16" if "bf16" in job.name else job.recipe_id))
    assert len(Sport(load(folder, recipes=recipes)).finish().stopped()) == 1
    for name in names:
        assert not Sport(load(folder, recipes=recipes, race={"pinned": [name.partition(": ")[2]]})).finish().stopped()


def test_where_leases_are_dearest_a_beaten_variant_gets_no_second(folder: Path) -> None:
    sport = Sport(load(folder), seconds=1e-6).finish()
    assert set(sport.windows().values()) == {6}
    (beaten,) = sport.stopped()
    assert "bf16" in beaten
    leases = [job for job in sport.done if isinstance(job, LatencyJob)]
    assert [len(job.artefact_ids) for job in leases] == [5, 4]
    assert [job.lease for job in leases] == [0, 1]
    assert sport.stopped()[beaten].raced == "leases"


def test_a_base_that_cannot_be_evaluated_holds_nobody_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to race is told from what evaluations of a base take, and this one's were given up."""
    sweep = load(folder)
    sport = Sport(sweep)
    evaluated = Evaluations.evaluated
    base = next(r.recipe_id for r in sweep.recipes if r.is_base)

    def failed(self: Evaluations, template: EvaluateJob, windows: int, known: Known) -> Any:
        given_up = template.artefact_id == digest({"of": base})
        return "failed" if given_up else evaluated(self, template, windows, known)

    monkeypatch.setattr(Evaluations, "evaluated", failed)
    monkeypatch.setattr(Evaluations, "seconds_an_example", lambda *_: None)
    windows = sport.finish().windows()
    assert max(windows.values()) == 6


def test_a_sweep_that_does_not_weigh_latency_times_only_what_is_left(folder: Path) -> None:
    sport = Sport(load(folder, objectives=["quality", "size"])).finish()
    assert ["bf16" in name for name in sport.stopped()] == [True]
    assert {len(job.artefact_ids) for job in sport.done if isinstance(job, LatencyJob)} == {4}
    assert sum(isinstance(job, MemoryJob) for job in sport.done) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"race": {"on": False}}, None),
        ({"quality": "pairs.macro_f1"}, "no exact test is known for macro F1 on pairs"),
        ({"objectives": ["size", "parameters"]}, "every objective is exact"),
    ],
)
def test_what_cannot_be_raced_says_why(folder: Path, changes: dict[str, Any], reason: str | None) -> None:
    sweep = load(folder, **changes)
    if reason is not None:
        assert reason in str(why_not(sweep))
    sport = Sport(sweep).finish()
    assert not sport.stopped()
    assert set(sport.windows().values()) == {6}


def test_memory_is_raced_once_it_is_known(folder: Path) -> None:
    latency = {"length": [16], "leases": 0}
    sweep = load(folder, objectives=["quality", "memory"], memory={"repeats": 3}, latency=latency)
    sport = Sport(sweep).finish()
    assert ["bf16" in name for name in sport.stopped()] == [True]
    kinds = [type(job) for job in sport.done]
    later = [i for i, job in enumerate(sport.done) if isinstance(job, EvaluateJob) and job.first > 0]
    assert kinds.index(MemoryJob) < min(later)


def test_memory_that_measurements_may_differ_by_stops_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.race_evidence.shift_of", lambda _: Shift(0.3, 0, 8))
    latency = {"length": [16], "leases": 0}
    sweep = load(folder, objectives=["quality", "memory"], memory={"repeats": 3}, latency=latency)
    assert not Sport(sweep).finish().stopped()


def test_a_plan_says_why_nothing_is_raced(folder: Path) -> None:
    sweep = load(folder, quality="pairs.macro_f1")
    known = Known()
    table = plan_table(sweep, Planner(sweep, MACHINE)(known, NOTHING), known.times.on("a class", "a class"), 1)
    assert any("Nothing is raced" in note and "macro F1" in note for note in table.notes)
    assert table.records["race"] == "no exact test is known for macro F1 on pairs"


def test_one_window_is_nothing_to_stop_before(folder: Path) -> None:
    small = load_sweep(str(tiny.sweep_file(folder, objectives=["quality", "size"])))
    assert "more than one window" in str(why_not(small))


@pytest.mark.parametrize("alpha", [0, 1, -0.1, "x"])
def test_a_level_outside_of_its_range_is_refused(folder: Path, alpha: object) -> None:
    with pytest.raises(BadInput, match=r"race\.alpha"):
        load(folder, race={"alpha": alpha})
