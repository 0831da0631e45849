"""The plan is pure: sweeps and records in, jobs out."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.identity import digest
from bench.job import BuildJob, EvaluateJob, Job, LatencyJob, MemoryJob
from bench.record import Failed, FailureKind, Finished, Record, Value
from bench.sweep import Sweep, load_sweep
from cluster.plan import Plan, Planner
from cluster.retry import decide
from cluster.standing import Known, Machine
from tests import tiny

MACHINE = Machine("a class", {"torch": "2", "transformers": "5"})
NOTHING: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plan")


@pytest.fixture
def sweep(folder: Path) -> Sweep:
    return load_sweep(str(tiny.sweep_file(folder)))


def finished(job: Job, *, artefact: str | None = None, values: Iterable[Value] = ()) -> Record:
    made = artefact or (digest({"of": job.recipe_id}) if isinstance(job, BuildJob) else None)
    return Record(
        key=job.key,
        kind=job.kind,
        attempt=1,
        outcome=Finished(artefact_id=made, values=tuple(values)),
        job={"type": type(job).__name__, **job.model_dump(mode="json")},
        started="2026-01-01",
        seconds=1,
        worker="w",
    )


def failed(job: Job, kind: FailureKind) -> Record:
    return finished(job).model_copy(update={"outcome": Failed(stage=job.kind, kind=kind, reason="r")})


def run(planner: Planner, known: Known, until: type[Job] | tuple[type[Job], ...] = ()) -> list[Job]:
    """Finish everything that is ready, round after round; stop before jobs of type `until`."""
    done: list[Job] = []
    while ready := [p.job for p in planner(known, NOTHING).ready() if not isinstance(p.job, until)]:
        for job in ready:
            known.add(finished(job))
            done.append(job)
    return done


def of(plan: Plan, kind: type[Job]) -> list[str]:
    return [p.status for p in plan.jobs if isinstance(p.job, kind)]


def test_a_whole_sweep_ends_with_every_kind_of_job_done_once(sweep: Sweep) -> None:
    planner, known = Planner(sweep, MACHINE), Known()
    done = run(planner, known)
    assert len({job.key for job in done}) == len(done)
    assert [sum(isinstance(j, kind) for j in done) for kind in (BuildJob, EvaluateJob, MemoryJob, LatencyJob)] == [
        5,
        5,
        1,
        2,
    ]
    plan = planner(known, NOTHING)
    assert plan.count("done") == len(done) == len(plan.jobs)


def test_the_same_state_gives_the_same_plan(sweep: Sweep) -> None:
    known = Known()
    run(Planner(sweep, MACHINE), known, until=LatencyJob)
    assert Planner(sweep, MACHINE)(known, NOTHING) == Planner(sweep, MACHINE)(known, NOTHING)


def test_what_recipes_begin_with_is_built_once(sweep: Sweep) -> None:
    plan = Planner(sweep, MACHINE)(Known(), NOTHING)
    keys = [p.job.key for p in plan.jobs]
    assert len(keys) == len(set(keys)) == 5
    assert of(plan, BuildJob) == ["ready"] + ["waiting"] * 4


def test_what_is_in_flight_is_not_started_again(sweep: Sweep) -> None:
    planner = Planner(sweep, MACHINE)
    (first,) = planner(Known(), NOTHING).ready()
    plan = planner(Known(), frozenset({first.job.key}))
    assert plan.ready() == []
    assert plan.count("running") == 1


def test_a_build_that_failed_for_good_blocks_what_stands_on_it_and_nothing_else(sweep: Sweep) -> None:
    planner, known = Planner(sweep, MACHINE), Known()
    known.add(finished(planner(known, NOTHING).ready()[0].job))
    copy = next(p.job for p in planner(known, NOTHING).ready() if "decoder 4 to 2" in p.job.title)
    known.add(failed(copy, "bug"))
    done = run(planner, known)
    built = [job.title for job in done if isinstance(job, BuildJob)]
    assert not any("decoder" in title for title in built)
    assert sum(isinstance(job, EvaluateJob) for job in done) == 3
    assert sum(isinstance(job, LatencyJob) for job in done) == 2


@pytest.mark.parametrize(
    ("kinds", "limit", "decision"),
    [
        (["lost worker"], 3, "again"),
        (["out of memory", "timeout"], 3, "again"),
        (["lost worker"] * 3, 3, "give up"),
        (["contaminated"] * 2, 3, "again"),
        (["contaminated"] * 3, 3, "give up"),
        (["contaminated", "bug"], 9, "give up"),
        (["bug"], 3, "give up"),
        (["bad spec"], 9, "give up"),
        (["timeout", "bug"], 9, "give up"),
        (["lost node", "preempted", "preempted", "lost node"], 3, "again"),
        (["out of memory"] * 2, 9, "give up"),
        (["poison"], 9, "give up"),
        (["no place"], 9, "give up"),
    ],
)
def test_failures_are_retried_by_kind(sweep: Sweep, kinds: list[FailureKind], limit: int, decision: str) -> None:
    job = Planner(sweep, MACHINE)(Known(), NOTHING).ready()[0].job
    assert decide([failed(job, kind) for kind in kinds], limit) == decision


def test_attempts_are_counted(sweep: Sweep) -> None:
    planner, known = Planner(sweep, MACHINE), Known()
    known.add(failed(planner(known, NOTHING).ready()[0].job, "lost worker"))
    assert planner(known, NOTHING).ready()[0].attempt == 2


def test_leases_wait_for_builds_and_for_the_round_before_and_for_nothing_else(sweep: Sweep) -> None:
    planner, known = Planner(sweep, MACHINE), Known()
    run(planner, known, until=(EvaluateJob, LatencyJob, MemoryJob))
    plan = planner(known, NOTHING)
    assert set(of(plan, EvaluateJob)) == {"ready"}
    assert of(plan, LatencyJob) == ["ready", "waiting"]
    first = next(p.job for p in plan.jobs if isinstance(p.job, LatencyJob))
    assert of(planner(known, frozenset({first.key})), LatencyJob) == ["running", "waiting"]
    known.add(finished(first))
    assert of(planner(known, NOTHING), LatencyJob) == ["done", "ready"]


def test_groups_hold_the_base_and_at_most_six_variants(folder: Path) -> None:
    steps = [[{"layer_copy": {"decoder": [4, 3, 2, 1]}}, [None, "int8_dynamic"]]]
    sweep = load_sweep(str(tiny.sweep_file(folder, recipes=steps)))
    planner, known = Planner(sweep, MACHINE), Known()
    done = run(planner, known)
    leases = [job for job in done if isinstance(job, LatencyJob) and job.lease == 0]
    bases = {job.artefact_ids[0] for job in leases}
    assert sorted(len(job.artefact_ids) for job in leases) == [3, 7]
    assert len(bases) == 1
    assert len({a for job in leases for a in job.artefact_ids[1:]}) == 8


def test_a_group_that_failed_for_good_is_taken_apart(sweep: Sweep) -> None:
    planner, known = Planner(sweep, MACHINE), Known()
    run(planner, known, until=LatencyJob)
    known.add(failed(planner(known, NOTHING).ready()[0].job, "bug"))
    first = [p.job for p in planner(known, NOTHING).jobs if isinstance(p.job, LatencyJob) and p.job.lease == 0]
    assert [len(job.artefact_ids) for job in first] == [2, 2, 2, 2]


def ratio(job: LatencyJob, low: float, high: float) -> list[Value]:
    return [
        Value(
            artefact_id=artefact_id,
            metric="latency_ratio",
            scope="s",
            estimate=(low + high) / 2,
            low=low,
            high=high,
        )
        for artefact_id in job.artefact_ids[1:2]
    ]


@pytest.mark.parametrize(("second", "leases"), [((0.55, 0.65), 2), ((0.61, 0.65), 3)])
def test_leases_that_disagree_get_a_third(sweep: Sweep, second: tuple[float, float], leases: int) -> None:
    planner, known = Planner(sweep, MACHINE), Known()
    run(planner, known, until=LatencyJob)
    count = 0
    while ready := planner(known, NOTHING).ready():
        (planned,) = ready
        job = planned.job
        assert isinstance(job, LatencyJob)
        known.add(finished(job, values=ratio(job, *((0.5, 0.6) if job.lease == 0 else second))))
        count += 1
        if job.lease == 2:
            assert len(job.artefact_ids) == 2
    assert count == leases


def test_equal_artefacts_are_evaluated_and_measured_once(sweep: Sweep) -> None:
    planner, known = Planner(sweep, MACHINE), Known()
    same = digest({"same": 1})
    while builds := [p.job for p in planner(known, NOTHING).ready() if isinstance(p.job, BuildJob)]:
        for job in builds:
            known.add(finished(job, artefact=same if "import" not in job.title else None))
    done = run(planner, known)
    assert sum(isinstance(job, EvaluateJob) for job in done) == 2
    assert {len(job.artefact_ids) for job in done if isinstance(job, LatencyJob)} == {2}


def test_a_base_alone_is_measured_too(folder: Path) -> None:
    sweep = load_sweep(str(tiny.sweep_file(folder, recipes=[])))
    done = run(Planner(sweep, MACHINE), Known())
    assert [len(job.artefact_ids) for job in done if isinstance(job, LatencyJob)] == [1, 1]


def test_what_is_not_to_be_measured_is_not_planned(folder: Path) -> None:
    off = {"latency": {"leases": 0, "length": [16]}, "memory": {"repeats": 0}, "objectives": ["quality", "size"]}
    planner = Planner(load_sweep(str(tiny.sweep_file(folder, **off))), MACHINE)
    assert {type(job) for job in run(planner, Known())} == {BuildJob, EvaluateJob}
    assert {e.kind for e in planner(Known(), NOTHING).expected} == {"evaluate"}


def test_another_class_of_machine_measures_again_and_builds_nothing(sweep: Sweep) -> None:
    known = Known()
    run(Planner(sweep, MACHINE), known)
    done = run(Planner(sweep, Machine("another class", MACHINE.versions)), known)
    assert {type(job) for job in done} == {MemoryJob, LatencyJob}


def test_other_library_versions_evaluate_again_and_build_nothing(sweep: Sweep) -> None:
    known = Known()
    run(Planner(sweep, MACHINE), known)
    done = run(Planner(sweep, Machine(MACHINE.hardware_class, {"torch": "3", "transformers": "5"})), known)
    assert {type(job) for job in done} == {EvaluateJob, MemoryJob, LatencyJob}


def test_a_variant_added_later_is_measured_beside_the_base_alone(folder: Path) -> None:
    known = Known()
    run(Planner(load_sweep(str(tiny.sweep_file(folder, recipes=[["int8_dynamic"]]))), MACHINE), known)
    more = load_sweep(str(tiny.sweep_file(folder, recipes=[["int8_dynamic"], [{"cast": {"dtype": "bfloat16"}}]])))
    done = run(Planner(more, MACHINE), known)
    leases = [job for job in done if isinstance(job, LatencyJob)]
    assert [len(job.artefact_ids) for job in leases] == [2, 2]
    assert [sum(isinstance(job, kind) for job in done) for kind in (BuildJob, EvaluateJob)] == [1, 1]


def test_seeds_repeat_only_what_draws_random_numbers(folder: Path) -> None:
    sweep = load_sweep(str(tiny.sweep_file(folder, seeds=[0, 1, 2])))
    done = run(Planner(sweep, MACHINE), Known())
    built = [job for job in done if isinstance(job, BuildJob)]
    assert sum(job.step == "finetune" for job in built) == 3
    assert sum(job.step == "layer_copy" for job in built) == 1
