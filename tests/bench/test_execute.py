"""How an attempt that raised becomes a typed failure, what is refused before it is tried, what builds say exactly."""

from pathlib import Path

import pytest

from bench.architecture import model_files
from bench.artefacts import Artefacts, weight_bytes
from bench.data import DataSpec
from bench.errors import BadInput, Contaminated, DoesNotFit, Unavailable
from bench.execute import Site, attempt, failure
from bench.identity import digest, files_digest
from bench.job import BuildJob, EvaluateJob, Job, MemoryJob
from bench.measure import predict as predictions
from bench.record import PASSING, Failed, Finished
from bench.sweep_file import TaskSection
from bench.tasks.spec import bind_task
from bench.zoo import model_folder

STRANGER = "Another process came to the GPU while the measurement ran: keep it free and run again."


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadInput("no"), "bad spec"),
        (Unavailable("no"), "bad spec"),
        (Contaminated(STRANGER), "contaminated"),
        (Contaminated("the process asked to allocate, and was out of memory"), "contaminated"),  # by type, not by words
        (MemoryError(), "out of memory"),
        (DoesNotFit("cannot fit"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (RuntimeError("contaminated"), "bug"),
        (ValueError("out of memory"), "bug"),
    ],
)
def test_kinds_of_failure(error: Exception, kind: str) -> None:
    assert failure(error, "measure").kind == kind


def test_a_contaminated_measurement_says_its_sentence_and_may_pass() -> None:
    found = failure(Contaminated(STRANGER), "measure")
    assert (found.stage, found.reason) == ("measure", STRANGER)
    assert found.kind in PASSING
    assert failure(RuntimeError("x"), "measure").reason == "RuntimeError: x"


def test_a_model_that_does_not_fit_says_its_sentence() -> None:
    assert failure(DoesNotFit("cannot fit"), "evaluate").reason == "cannot fit"


def imported(folder: Path, site: Site) -> Finished:
    recipe = digest({"base": f"files:{files_digest(folder, model_files(folder))}", "steps": []})
    outcome = attempt(BuildJob(recipe_id=recipe, name="base", folder=str(folder)), 1, site).record.outcome
    assert isinstance(outcome, Finished), outcome
    return outcome


def test_a_base_of_the_zoo_is_found_where_the_driver_did_not_find_it(tmp_path: Path) -> None:
    """On another machine the package lies elsewhere."""
    folder = model_folder("bert-tiny")
    recipe = digest({"base": f"files:{files_digest(folder, model_files(folder))}", "steps": []})
    job = BuildJob(recipe_id=recipe, name="zoo://bert-tiny", folder="/of/the/driver/bert-tiny")
    assert attempt(job, 1, Site(tmp_path)).record.finished


def test_builds_of_models_that_write_say_what_their_cache_takes(models: dict[str, Path], tmp_path: Path) -> None:
    site = Site(tmp_path)
    writer = {v.metric: v for v in imported(models["writer"], site).values}
    assert writer["kv_cache_per_token"].estimate == 4 * 4 * 2 * 16  # float32, decoder layers, keys and values, width
    assert writer["kv_cache_per_token"].method == "exact"
    assert "kv_cache_per_token" not in {v.metric for v in imported(models["bart"], site).values}


def test_jobs_that_cannot_fit_are_refused_before_anything_is_loaded(
    models: dict[str, Path], data: dict[str, DataSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact_id = imported(models["bert"], Site(tmp_path)).artefact_id
    assert artefact_id is not None
    size = weight_bytes(Artefacts(tmp_path).path(artefact_id))
    task = bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": 32}), data)
    evaluation = EvaluateJob(artefact_id=artefact_id, name="base", task=task, first=0, last=1, versions={})
    memory = MemoryJob(
        artefact_ids=(artefact_id,),
        names=("base",),
        hardware_class="this",
        inputs=task,
        versions={},
        shape=(64, 32),
        repeats=1,
    )
    jobs: tuple[Job, ...] = (evaluation, memory)
    monkeypatch.setattr("bench.models.load", lambda *asked: pytest.fail("loaded"))
    monkeypatch.setattr("bench.measure.memory.run_memory", lambda *asked: pytest.fail("measured"))
    for job, available in zip(jobs, (size - 1, size + 1000), strict=True):  # weights; weights and what a pass needs
        monkeypatch.setattr(predictions, "available_bytes", lambda device, found=available: found)
        outcome = attempt(job, 1, Site(tmp_path)).record.outcome
        assert isinstance(outcome, Failed)
        assert outcome.kind == "out of memory"
        assert outcome.reason.startswith(f"{artefact_id[:10]} cannot fit into the memory of cpu: at least ")
