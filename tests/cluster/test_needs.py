"""What jobs need, from what they read and what their steps declare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.artefacts import Artefacts, weight_bytes
from bench.job import BuildJob, EvaluateJob, LatencyJob, MemoryJob
from bench.measure.predict import predict
from bench.methods import METHODS
from bench.recipe import TRAINED_COPIES, step_class
from bench.record import Finished, Value
from bench.sweep import load_sweep
from bench.tasks.spec import TaskSpec
from cluster.needs import CUDA_CONTEXT, GUESSED, GUESSED_MORE, PROCESS, Needs, artefacts_of, largest_guess
from cluster.placement import Need, Node, claim_on, missing_on
from tests import tiny
from tests.cluster.jobs import Act, GpuAct, LoneAct
from tests.cluster.test_plan import finished

GB = 10**9


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of artefacts with one model, and its name."""
    artefacts = Artefacts(tmp_path_factory.mktemp("artefacts"))
    with artefacts.draft() as draft:
        tiny.saved(tiny.bert(), draft)
        return artefacts.folder, artefacts.publish(draft)


def build(artefact: str, step: str, **settings: object) -> BuildJob:
    return BuildJob(recipe_id="r", name="n", parent=artefact, step=step, settings=settings)


def evaluation(artefact: str, device: str = "cpu", tokens: int = 1024) -> EvaluateJob:
    task = TaskSpec.model_construct(name="t", settings={"batch_tokens": tokens})
    return EvaluateJob.model_construct(artefact_id=artefact, judge=None, task=task, device=device)


def timing(artefacts: tuple[str, ...], device: str = "cpu") -> LatencyJob:
    return LatencyJob.model_construct(
        artefact_ids=artefacts, names=artefacts, hardware_class="c", device=device, shapes=((1, 8),), new_tokens=None
    )


def memory(artefacts: tuple[str, ...]) -> MemoryJob:
    return MemoryJob.model_construct(
        artefact_ids=artefacts, names=artefacts, hardware_class="c", device="cpu", shape=(1, 8)
    )


def test_models_that_are_timed_may_take_turns_and_memory_is_of_one_at_a_time(tmp_path: Path) -> None:
    needs = Needs(tmp_path)
    names = ("a" * 64, "b" * 64, "c" * 64)
    for name, size in zip(names, (2 * GB, 5 * GB, 3 * GB), strict=True):
        made = Finished(artefact_id=name, values=(Value.exact(name, "size", float(size), ""),))
        needs.learn(finished(build("d" * 64, "cast")).model_copy(update={"outcome": made}))
    guess = GUESSED * 5 * GB + GUESSED_MORE
    together = needs(timing(names), slot=100 * GB)
    assert (together.least, together.memory) == (5 * GB, 10 * GB + guess + PROCESS)
    on_gpu = needs(timing(names, "cuda"), card=100 * GB)
    assert on_gpu.gpu_least == on_gpu.gpu_memory == 5 * GB + CUDA_CONTEXT
    one = needs(memory(names), slot=100 * GB)
    assert (one.least, one.memory) == (5 * GB, 5 * GB + guess + PROCESS)
    small = Node("n", "host", cpus=4, memory=9 * GB, gpus=1, gpu_memory=8 * GB, hardware=frozenset({"c"}))
    assert missing_on(together, small) is None  # the whole node, on which they take turns
    assert len(claim_on(on_gpu, replace(small, gpus=4)).cards) == 1


def test_a_step_on_a_gpu_needs_one() -> None:
    assert build("a" * 64, "heal", data="x", qlora=True).gpu == "cuda"
    assert build("a" * 64, "heal", data="x").gpu is None
    assert BuildJob(recipe_id="r", name="n", folder="somewhere").gpu is None


def test_jobs_without_models_need_a_cpu(tmp_path: Path) -> None:
    needs = Needs(tmp_path)
    assert needs(Act(name="x", driver=0)) == Need()
    assert needs(LoneAct(name="x", driver=0)) == Need(exclusive=True)
    assert needs(GpuAct(name="x", driver=0)) == Need(gpu=True)
    assert needs(build("0" * 64, "cast", dtype="bfloat16")).memory == 0  # neither here nor recorded


def test_what_a_build_says_of_its_artefact_counts_where_its_files_are_elsewhere(tmp_path: Path) -> None:
    """As of a bucket, or of a node of its own: the size from the record, the activations by a guess."""
    needs, size = Needs(tmp_path), 3 * GB
    made = Finished(artefact_id="a" * 64, values=(Value.exact("a" * 64, "size", float(size), ""),))
    needs.learn(finished(build("b" * 64, "cast")).model_copy(update={"outcome": made}))
    need = needs(evaluation("a" * 64), slot=GB)
    assert (need.least, need.memory) == (size, PROCESS + size + GUESSED * size + GUESSED_MORE)
    assert needs(evaluation("c" * 64), slot=GB).memory == 0


def test_a_training_shared_by_processes_needs_their_cpus(store: tuple[Path, str]) -> None:
    folder, artefact = store
    assert Needs(folder)(build(artefact, "distill", data="t", processes=3)).cpus == 3
    assert Needs(folder)(build(artefact, "distill", data="t")).cpus == 1


def test_an_evaluation_needs_its_weights_and_one_pass(store: tuple[Path, str]) -> None:
    folder, artefact = store
    weights, live = weight_bytes(folder / artefact), predict(folder / artefact, 8, 16).activations
    need = Needs(folder)(evaluation(artefact))
    assert need.least == weights
    assert PROCESS + weights < need.memory < PROCESS + weights + 100 * live
    assert not need.exclusive


def test_nothing_is_predicted_where_a_guess_leaves_room(
    store: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, artefact = store
    monkeypatch.setattr("cluster.needs._predicted", lambda *_: pytest.fail("predicted"))
    weights = weight_bytes(folder / artefact)
    assert Needs(folder)(evaluation(artefact), 100 * GB).memory == (1 + GUESSED) * weights + GUESSED_MORE + PROCESS


def test_one_prediction_serves_all_models_of_a_shape(store: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, artefact = store
    artefacts = Artefacts(folder)
    with artefacts.draft() as draft:
        tiny.saved(tiny.bert(seed=1), draft)
        other = artefacts.publish(draft)
    asked: list[Path] = []

    def predicted(found: Path, passes: object) -> int:
        del passes
        asked.append(found)
        return 5

    monkeypatch.setattr("cluster.needs._predicted", predicted)
    needs = Needs(folder)
    assert [needs(evaluation(name)).memory for name in (artefact, other, artefact)] == [
        PROCESS + weight_bytes(folder / name) + 5 for name in (artefact, other, artefact)
    ]
    assert len(asked) == 1


def test_training_needs_more_than_casting(store: tuple[Path, str]) -> None:
    folder, artefact = store
    needs = Needs(folder)
    cast = needs(build(artefact, "cast", dtype="bfloat16"))
    trained = needs(build(artefact, "finetune", data="d", batch=4, max_length=16))
    larger = needs(build(artefact, "finetune", data="d", batch=16, max_length=16))
    assert cast.memory < trained.memory < larger.memory
    assert trained.memory > PROCESS + TRAINED_COPIES * weight_bytes(folder / artefact)


def test_a_teacher_that_was_heard_before_takes_no_memory(tmp_path: Path) -> None:
    """Its soft labels do, and the parent; beside pseudo-labels it goes along, and where nothing was heard before."""
    needs = Needs(tmp_path)
    sizes = {"a": GB, "b": 7 * GB, "c": GB // 10}  # student, teacher, what the teacher has said
    for name, size in sizes.items():
        made = Finished(artefact_id=name * 64, values=(Value.exact(name * 64, "size", float(size), ""),))
        needs.learn(finished(build("0" * 64, "cast")).model_copy(update={"outcome": made}))

    def need(passes: dict[str, str], **settings: object) -> Need:
        job = build("a" * 64, "distill", data="t", **settings)
        return needs(job.model_copy(update={"teachers": {"base": "b" * 64}, "passes": passes}))

    heard = {"q": "c" * 64}
    assert need(heard).least == sizes["a"] + sizes["c"]
    assert need({}).least == sizes["a"] + sizes["b"]
    assert need(heard, targets="teacher").least == sum(sizes.values())
    assert need(heard).memory < 11 * GB < need({}).memory


def test_accumulation_and_adapters_save_memory() -> None:
    heal = step_class("heal")
    assert heal.model_validate({"data": "d", "batch": 16, "accumulation": 4}).holds().rows == 4
    assert heal.model_validate({"data": "d"}).holds().copies < TRAINED_COPIES
    assert heal.model_validate({"data": "d", "adapters": False}).holds().copies == TRAINED_COPIES


@pytest.mark.parametrize("name", METHODS)
def test_every_step_that_trains_says_so(name: str) -> None:
    step = step_class(name)
    trains = name in ("finetune", "heal", "distill", "pretrain")
    assert (step.holds is not step_class("cast").holds) == (trains or name == "depth_prune")


def test_evaluations_share_a_card_and_measurements_do_not(store: tuple[Path, str]) -> None:
    folder, artefact = store
    need = Needs(folder)(evaluation(artefact, "cuda"))
    assert (need.gpu, need.shares_gpu, need.exclusive) == (True, True, False)
    assert need.gpu_least == weight_bytes(folder / artefact) + CUDA_CONTEXT < need.gpu_memory
    lease = LatencyJob.model_construct(
        artefact_ids=(artefact,), hardware_class="c", device="cuda", shapes=((1, 8),), new_tokens=None
    )
    measured = Needs(folder)(lease)
    assert (measured.gpu, measured.shares_gpu, measured.exclusive, measured.hardware) == (True, False, True, "c")


def test_jobs_name_the_artefacts_that_they_read() -> None:
    job = build("p", "cast", dtype="bfloat16").model_copy(update={"teachers": {"t": "q"}})
    assert artefacts_of(job) == ("p", "q")
    assert artefacts_of(Act(name="x", driver=0)) == ()


def test_the_largest_job_of_a_sweep_is_guessed_from_its_bases_before_anything_is_built(tmp_path: Path) -> None:
    sweep = load_sweep(str(tiny.sweep_file(tmp_path)))
    weights = weight_bytes(tmp_path / "model")
    copies = max(stage.step.holds().copies for recipe in sweep.recipes for stage in recipe.stages)
    assert copies == TRAINED_COPIES
    assert largest_guess(sweep) == int((copies + GUESSED) * weights) + GUESSED_MORE + PROCESS
