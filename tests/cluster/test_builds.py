"""Questions of steps become jobs that recipes share; teachers are built before those who learn from them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BadInput
from bench.execute import Site, attempt
from bench.job import BuildJob, Job, MeasureJob, StudyJob
from bench.methods import METHODS
from bench.record import Delivery, Failed, Finished, Record
from bench.store.folder import open_folder, take_lease
from bench.store.journal import Entry
from bench.store.reader import open_snapshot
from bench.store.writer import Writer
from bench.sweep import Sweep, load_sweep
from cluster.declare import declare
from cluster.known import forget_failures, known_in
from cluster.plan import Planner
from cluster.standing import Known, Machine
from tests import tiny
from tests.cluster.asking import STEP
from tests.cluster.test_plan import failed, finished

MACHINE = Machine("a class", {"torch": "2", "transformers": "5"})
NOTHING: frozenset[str] = frozenset()


@pytest.fixture(autouse=True)
def _a_step_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "asker", STEP)


def sweep_of(folder: Path, *recipes: list[Any], **changes: object) -> Sweep:
    return load_sweep(str(tiny.sweep_file(folder, recipes=list(recipes), **changes)))


def answered(job: Job, answer: dict[str, Any]) -> Record:
    return finished(job).model_copy(update={"outcome": Finished(answer=answer)})


def ready(sweep: Sweep, known: Known, kind: type[Job]) -> list[Any]:
    return [p.job for p in Planner(sweep, MACHINE)(known, NOTHING).ready() if isinstance(p.job, kind)]


def run_here(sweep: Sweep, store: Path) -> list[Record]:
    """Run a sweep's builds, studies and evaluations in this process, which knows the step; then publish."""
    folder = open_folder(store, create=True)
    lease = take_lease(folder)
    planner, known, records = Planner(sweep, MACHINE), Known(), []
    writer = Writer(folder, lease.epoch)
    writer.append([declare(sweep, MACHINE, planner)])
    while jobs := [p for p in planner(known, NOTHING).ready() if not isinstance(p.job, MeasureJob)]:
        for planned in jobs:
            delivery = attempt(planned.job, planned.attempt, Site(folder.artefacts))
            writer.append([Entry.of(delivery)])
            known.add(delivery.record)
            records.append(delivery.record)
    writer.report({})
    writer.publish()
    writer.close()
    lease.release()
    return records


def test_questions_are_asked_round_by_round_and_shared_by_recipes(tmp_path: Path) -> None:
    sweep, known = sweep_of(tmp_path, [{"asker": {"keep": [1, 2]}}]), Known()
    assert not ready(sweep, known, StudyJob)  # the base is not there yet
    known.add(finished(ready(sweep, known, BuildJob)[0]))
    first = ready(sweep, known, StudyJob)
    assert [job.asked for job in first] == [{"shard": 0}, {"shard": 1}]
    assert all(len(job.asking) == 2 for job in first)
    assert not ready(sweep, known, BuildJob)
    known.add(answered(first[0], {"rows": 5}))
    assert [job.asked for job in ready(sweep, known, StudyJob)] == [{"shard": 1}]
    known.add(answered(first[1], {"rows": 7}))
    (last,) = ready(sweep, known, StudyJob)
    assert (last.question, last.asked) == ("total", {"rows": 12})
    known.add(answered(last, {"total": 12}))
    builds = ready(sweep, known, BuildJob)
    assert len(builds) == 2
    assert all(
        sorted(str(a) for a in b.answers.values()) == ["{'rows': 5}", "{'rows': 7}", "{'total': 12}"] for b in builds
    )
    assert "answers" not in builds[0].described()
    assert set(builds[0].described()["studies"].values()) == {first[0].key, first[1].key, last.key}


def test_the_answer_depends_on_data_and_bytes_and_not_on_settings_that_are_not_asked(tmp_path: Path) -> None:
    keys = {}
    for name, settings in {"plain": {}, "keep": {"keep": 3}, "data": {"data": "test"}}.items():
        sweep, known = sweep_of(tmp_path, [{"asker": settings}]), Known()
        known.add(finished(ready(sweep, known, BuildJob)[0]))
        keys[name] = {job.key for job in ready(sweep, known, StudyJob)}
    assert keys["plain"] == keys["keep"]
    assert not keys["plain"] & keys["data"]


def test_a_study_that_failed_for_good_blocks_those_who_asked(tmp_path: Path) -> None:
    sweep, known = sweep_of(tmp_path, [{"asker": {"keep": [1, 2]}}], ["int8_dynamic"]), Known()
    known.add(finished(ready(sweep, known, BuildJob)[0]))
    for job in ready(sweep, known, StudyJob):
        known.add(failed(job, "bug"))
    plan = Planner(sweep, MACHINE)(known, NOTHING)
    assert [p.job.title for p in plan.ready() if isinstance(p.job, BuildJob)] == ["build tiny: int8"]
    assert not any(p.status == "waiting" for p in plan.jobs)


def test_what_is_gone_from_the_store_is_built_again_with_what_it_needs(tmp_path: Path) -> None:
    """Variants, and the beginnings of those, parents first; nothing of what is known of them is asked again."""
    sweep, known = sweep_of(tmp_path, [{"asker": {"keep": [1, 2]}}, {"cast": {"dtype": "bfloat16"}}]), Known()
    run_here(sweep, tmp_path / "store")
    folder = open_folder(tmp_path / "store")
    known = known_in(folder)
    assert known.lost == set()
    assert all(
        p.status == "done" for p in Planner(sweep, MACHINE)(known, NOTHING).jobs if p.kind not in ("latency", "memory")
    )
    artefacts = folder.open_artefacts()
    before = {path.name for path in folder.artefacts.iterdir()}
    for path in folder.artefacts.iterdir():
        shutil.rmtree(path)
    known = known_in(folder)
    assert known.lost == before
    plan = Planner(sweep, MACHINE)(known, NOTHING)
    assert [p.job.title for p in plan.ready()] == [f"import {tmp_path / 'model'}"]
    assert {p.status for p in plan.jobs if p.kind in ("study", "evaluate")} == {"done"}
    assert not [e for e in plan.expected if e.kind == "evaluate"]
    count = 0
    while todo := [p for p in Planner(sweep, MACHINE)(known, NOTHING).ready() if isinstance(p.job, BuildJob)]:
        for planned in todo:
            record = attempt(planned.job, planned.attempt, Site(folder.artefacts)).record
            assert record.finished, record.outcome
            known.add(record)
            count += 1
    assert artefacts.missing(before) == known.lost == set()
    assert count == 3  # asking changes no byte, so the base is three of them; each in another type is built


def test_only_what_is_still_needed_of_the_beginnings_is_built_again(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, ["int8_dynamic"])
    run_here(sweep, tmp_path / "store")
    folder = open_folder(tmp_path / "store")
    jobs = Planner(sweep, MACHINE).builder.jobs
    base = known_in(folder).finished[jobs[sweep.recipes[0].recipe_id].key].outcome
    assert isinstance(base, Finished)
    shutil.rmtree(folder.artefacts / str(base.artefact_id))
    plan = Planner(sweep, MACHINE)(known_in(folder), NOTHING)
    assert [p.job.title for p in plan.ready() if isinstance(p.job, BuildJob)] == [f"import {tmp_path / 'model'}"]
    assert [p.status for p in plan.jobs if p.job.title == "build tiny: int8"] == ["done"]


def test_other_bytes_are_not_taken_for_what_is_gone(tmp_path: Path) -> None:
    """A base that comes back with other bytes is refused once, and what is still there goes on without it."""
    sweep = sweep_of(tmp_path, ["int8_dynamic"])
    run_here(sweep, tmp_path / "store")
    folder, planner = open_folder(tmp_path / "store"), Planner(sweep, MACHINE)
    key = planner.builder.jobs[sweep.recipes[0].recipe_id].key
    known = known_in(folder)
    outcome = known.finished[key].outcome
    assert isinstance(outcome, Finished)
    known.finished[key] = known.finished[key].model_copy(
        update={"outcome": outcome.model_copy(update={"artefact_id": "b" * 64})}
    )
    known.lost = {"b" * 64}
    (planned,) = planner(known, NOTHING).ready()
    record = attempt(planned.job, planned.attempt, Site(folder.artefacts)).record
    assert isinstance(record.outcome, Failed)
    assert (record.outcome.kind, "records are about bbbbbbbbbb" in record.outcome.reason) == ("bad spec", True)
    assert len(list(folder.artefacts.iterdir())) == 2  # nothing was published
    known.add(record)
    plan = planner(known, NOTHING)
    assert [p.status for p in plan.jobs if p.job.title == "build tiny: int8"] == ["done"]
    assert [p.status for p in plan.jobs if p.kind == "build"].count("failed") == 1
    assert plan.gone == {"tiny: base": record.outcome.reason}  # though every number is there


def test_what_is_gone_and_stays_so_is_named_with_the_reason(tmp_path: Path) -> None:
    """Also what stands on it, and what waits for a study of it; nothing is named while it may still be built."""
    sparse = {"sparse_2_4": {"score": "wanda", "data": "train", "samples": 8}}
    sweep = sweep_of(tmp_path, ["int8_dynamic"], [sparse])
    run_here(sweep, tmp_path / "store")
    folder, planner = open_folder(tmp_path / "store"), Planner(sweep, MACHINE)
    assert planner(known_in(folder), NOTHING).gone == {}
    shutil.rmtree(folder.artefacts)
    known = known_in(folder)
    (base,) = planner(known, NOTHING).ready()
    known.add(failed(base.job, "lost node"))
    assert planner(known, NOTHING).gone == {}  # it is tried again
    known.add(failure := failed(base.job, "bug"))
    assert isinstance(failure.outcome, Failed)
    every = ("tiny: base", "tiny: int8", "tiny: 2:4 sparse (Wanda)")
    assert planner(known, NOTHING).gone == dict.fromkeys(every, failure.outcome.reason)
    known = known_in(folder)
    known.add(attempt(base.job, base.attempt, Site(folder.artefacts)).record)
    (study,) = (p for p in planner(known, NOTHING).ready() if isinstance(p.job, StudyJob))
    known.add(failed(study.job, "bug"))
    assert planner(known, NOTHING).gone.keys() == {"tiny: 2:4 sparse (Wanda)"}


def test_a_study_may_leave_other_bytes_than_those_that_are_gone(tmp_path: Path) -> None:
    """Whatever it leaves counts from then on: it is not asked again and again."""
    sweep = sweep_of(tmp_path, [{"sparse_2_4": {"score": "wanda", "data": "train", "samples": 8}}])
    run_here(sweep, tmp_path / "store")
    folder, planner = open_folder(tmp_path / "store"), Planner(sweep, MACHINE)
    shutil.rmtree(folder.artefacts)  # the folder itself, too
    known = known_in(folder)
    assert len(known.lost) == 3
    (base,) = planner(known, NOTHING).ready()
    known.add(attempt(base.job, base.attempt, Site(folder.artefacts)).record)
    (study,) = planner(known, NOTHING).ready()
    record = attempt(study.job, study.attempt, Site(folder.artefacts)).record
    assert isinstance(record.outcome, Finished)
    known.add(record.model_copy(update={"outcome": record.outcome.model_copy(update={"artefact_id": "c" * 64})}))
    (build,) = planner(known, NOTHING).ready()
    assert isinstance(build.job, BuildJob)
    assert list(build.job.passes.values()) == ["c" * 64]


def test_a_rebuild_that_failed_may_be_tried_again(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, ["int8_dynamic"])
    run_here(sweep, tmp_path / "store")
    folder, planner = open_folder(tmp_path / "store"), Planner(sweep, MACHINE)
    shutil.rmtree(folder.artefacts)
    (base,) = planner(known_in(folder), NOTHING).ready()
    lease = take_lease(folder)
    writer = Writer(folder, lease.epoch)
    writer.append([Entry.of(Delivery(failed(base.job, "bug")))])
    writer.close()
    lease.release()
    assert not planner(known_in(folder), NOTHING).ready()
    assert forget_failures(tmp_path / "store", None) == 1
    assert [p.key for p in planner(known_in(folder), NOTHING).ready()] == [base.key]


def test_a_named_teacher_is_built_first_and_is_no_variant(tmp_path: Path) -> None:
    tiny.saved(tiny.bert(), tmp_path / "wise")
    sweep = sweep_of(tmp_path, [{"asker": {"teacher": ["wise", "base"]}}], teachers={"wise": {"model": "wise"}})
    assert [r.variant_name for r in sweep.recipes] == ["tiny: base", "tiny: asked 1", "tiny: asked 1"]
    known = Known()
    imports = ready(sweep, known, BuildJob)
    assert len(imports) == 2
    for job in imports:
        known.add(finished(job))
    for _ in range(2):
        for job in ready(sweep, known, StudyJob):
            known.add(answered(job, {"rows": 1}))
    teachers = [job.teachers for job in ready(sweep, known, BuildJob)]
    artefacts = {Path(str(job.folder)).name: known.finished[job.key].outcome for job in imports}
    assert teachers == [
        {"wise": getattr(artefacts["wise"], "artefact_id", None)},
        {"base": getattr(artefacts["model"], "artefact_id", None)},
    ]
    body = json.loads(declare(sweep, MACHINE, Planner(sweep, MACHINE)).body)
    pupil = next(v for v in body["variants"] if len(v["prefixes"]) == 3)  # stands on the teacher, which is none of its
    assert pupil["chain"] == [sweep.recipes[0].recipe_id, pupil["recipe_id"]]


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        ({"teacher": "wise"}, {}, "no teacher in this sweep called 'wise'.*Known: base"),
        ({"task": "summaries"}, {}, "no task in this sweep called 'summaries'.*pairs"),
        ({"inner": {"data": "nowhere"}}, {}, "no data set in this sweep called 'nowhere'"),
        ({}, {"teachers": {"base": {"model": "model"}}}, "teachers names one 'base'"),
        (
            {},
            {"bases": {"tiny": {"model": "model", "prepare": [{"asker": {"teacher": "base"}}]}}},
            "prepare asks for the teacher 'base'",
        ),
    ],
)
def test_names_that_the_sweep_lacks_are_refused(
    tmp_path: Path, recipe: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        sweep_of(tmp_path, [{"asker": recipe}], **changes)


def test_identities_follow_the_content_of_what_is_named(tmp_path: Path) -> None:
    tiny.saved(tiny.bert(), tmp_path / "wise")
    tiny.saved(tiny.bert(seed=1), tmp_path / "other")

    def ident(settings: dict[str, Any], **changes: Any) -> str:
        return sweep_of(tmp_path, [{"asker": settings}], **changes).recipes[-1].recipe_id

    def taught(folder: str, name: str = "wise") -> str:
        return ident({"teacher": name}, teachers={name: {"model": folder}})

    assert taught("wise") == taught("wise", "sage") != taught("other")
    assert ident({"inner": {"data": "train"}}) != ident({"inner": {"data": "test"}})
    lengths = [{"pairs": {"kind": "classification", "data": "test", "max_length": n}} for n in (16, 32)]
    assert ident({"task": "pairs"}, tasks=lengths[0]) != ident({"task": "pairs"}, tasks=lengths[1])


def test_a_real_run_answers_builds_and_keeps_what_was_decided(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        [{"asker": {"keep": [1, 2], "teacher": "base"}}],
        [{"asker": {"data": "test", "fail": True}}],
    )
    store = tmp_path / "store"
    records = run_here(sweep, store)
    assert sum(r.kind == "study" for r in records) == 5  # three answers, two failures
    with open_snapshot(store) as snapshot:
        answers = snapshot.rows("select answer from records where answer is not null")
        decided = [json.loads(row["answer"]) for row in answers]
        assert {answer.pop("delivered")["verdict"] for answer in decided} == {"nothing promised"}
        expected = {"answers": ["{'rows': 48}", "{'rows': 48}", "{'total': 96}"], "taught": ["base"]}
        assert decided == [expected, expected]
        variants = snapshot.rows("select name, status, reason from variants order by position")
    assert [v["status"] for v in variants] == ["partial", "partial", "partial", "failed"]  # nothing was timed
    assert "this study fails" in variants[-1]["reason"]
