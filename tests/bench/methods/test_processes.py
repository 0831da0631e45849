"""Training in several processes: the same weights as one process gives, and one sentence where it fails."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.data import DataSpec
from bench.errors import BadInput
from bench.methods import processes
from bench.methods.distill import Distill
from bench.models import Loaded, load, save
from bench.recipe import Workplace
from tests import tiny, tiny_bert
from tests.answering import answered


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A teacher with dropout and a student without, for processes cannot drop the same units as one would."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    teacher = tiny_bert.saved(tiny_bert.pretraining(layers=2), root / "teacher")
    student = load(teacher)
    student.model.config.hidden_dropout_prob = student.model.config.attention_probs_dropout_prob = 0.0
    with torch.no_grad():
        for parameter in student.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save(student, root / "student")
    return {"teacher": teacher, "student": root / "student"}


def test_two_processes_train_what_one_does(folders: dict[str, Path], tmp_path: Path) -> None:
    """Batches of nine masked texts of unequal length: halves of five and four, other numbers of tokens and of masks.

    The model has a head (next sentence) that no loss reaches. Adam's first steps are as large as the rate whatever the
    gradient, so a wrong average would show in full.
    """
    source = str(tiny.data_file(tmp_path / "train.jsonl", 30, seed=1))
    specs = {"train": DataSpec(source=source, text="premise", label=None)}
    work = Workplace(3, specs, teachers={"base": folders["teacher"]})

    def trained(count: int) -> Loaded:
        settings: dict[str, Any] = {"data": "train", "shortest": 4, "batch": 9, "max_steps": 6, "epochs": 9}
        step = Distill.model_validate({**settings, "processes": count, "accumulation": 3 - count, "alpha_hidden": 1})
        return step.apply(load(folders["student"]), work)

    one, two = trained(1), trained(2)
    before, found = load(folders["student"]).model.state_dict(), two.model.state_dict()
    moved = 0.0
    for name, tensor in one.model.state_dict().items():
        assert torch.allclose(found[name], tensor, atol=5e-5), name
        moved = max(moved, (tensor - before[name]).abs().max().item())
    assert moved > 5e-4
    losses = [[x for _, x in m.evidence["distill"]["losses"]] for m in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert two.evidence["distill"]["updates"] == 6


def test_processes_are_given_what_the_teacher_has_said(tmp_path: Path) -> None:
    """Soft labels are read by each process from the folder that the study left; no teacher is loaded."""
    teacher = tiny_bert.saved(tiny_bert.classifier(), tmp_path / "teacher")
    source = str(tiny.data_file(tmp_path / "train.jsonl", 12, seed=1))
    specs = {"train": DataSpec(source=source, text="premise", pair="hypothesis", label="label")}
    step = Distill.model_validate({"data": "train", "batch": 6, "epochs": 1, "processes": 2, "alpha": 1.0})
    work = answered(step, load(teacher), Workplace(3, specs, teachers={"base": teacher}))
    student = load(teacher)
    (teacher / "model.safetensors").unlink()
    assert step.apply(student, work).evidence["distill"]["updates"] == 2


def test_what_went_wrong_in_a_process_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match=r"(?s)The 2 processes of a training ended with .*FileNotFoundError.*job.json"
    ):
        processes._run(tmp_path, 2)


def test_a_refusal_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process writes its sentence down; the parent raises it, and not what became of the others."""

    def refuse(folder: Path, rank: int, count: int) -> None:
        raise BadInput("Training diverged at step 3 of 9: lower learning_rate.")

    monkeypatch.setattr(processes, "share_of", refuse)
    monkeypatch.setattr(processes, "_end_with_parent", lambda: None)
    assert processes.main(tmp_path, 1, 2) == 3
    with pytest.raises(BadInput, match="diverged at step 3 of 9"):
        processes._run(tmp_path, 2)
