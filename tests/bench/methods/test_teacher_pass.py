"""A teacher's pass: shards in order, the same student as with the teacher beside it, one pass for whoever learns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.architecture import Architecture, describe
from bench.data import DataSpec
from bench.methods import teacher_pass
from bench.methods.distill import Distill
from bench.methods.distill_batches import token_rows
from bench.methods.encoding import filler, padded
from bench.methods.student import Student
from bench.methods.student_weights import label_names
from bench.methods.teacher_pass import TeacherPass
from bench.models import Loaded, load
from bench.recipe import Question, Workplace
from tests import tiny, tiny_bert
from tests.answering import ANY, answered

QUICK: dict[str, Any] = {"data": "train", "batch": 16, "epochs": 3, "max_length": 32}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    return {
        "classifier": tiny_bert.saved(tiny_bert.classifier(), root / "classifier"),
        "turned": tiny_bert.saved(
            tiny_bert.classifier(seed=2, entailment=0, neutral=1, contradiction=2), root / "turned"
        ),
        "writer": tiny.saved(tiny_bert.strengthened(tiny.writer()), root / "writer"),
    }


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSpec]:
    source = str(tiny.data_file(tmp_path_factory.mktemp("data") / "train.jsonl", 50, seed=1))
    return {
        "train": DataSpec(source=source, text="premise", pair="hypothesis", label="label"),
        "text": DataSpec(source=source, text="premise", label=None),
    }


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_pass, "SHARD", {"soft labels": 20, "pseudo-labels": 20})


def learnt(
    folders: dict[str, Path],
    specs: dict[str, DataSpec],
    monkeypatch: pytest.MonkeyPatch,
    *,
    live: bool,
    **settings: Any,
) -> Loaded:
    """A small student of a teacher whose classes stand in another order."""
    step = Distill.model_validate({**QUICK, **settings})
    student = Student(layers=1).apply(load(folders["classifier"]), Workplace(0, {}))
    student.model.config.hidden_dropout_prob = student.model.config.attention_probs_dropout_prob = 0.0
    work = Workplace(3, specs, teachers={"base": folders["turned"]})
    with monkeypatch.context() as patch:
        if live:
            patch.setattr(Distill, "_pass", lambda *_: None)
        return step.apply(student, answered(step, student, work))


@pytest.mark.parametrize("settings", [{}, {"gold": False}, {"alpha": 0.3, "alpha_mse": 0.5, "accumulation": 3}])
def test_the_student_is_the_one_that_the_teacher_beside_it_would_teach(
    folders: dict[str, Path], specs: dict[str, DataSpec], monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    passed, live = (learnt(folders, specs, monkeypatch, live=which, **settings) for which in (False, True))
    found, expected = passed.model.state_dict(), live.model.state_dict()
    start = Student(layers=1).apply(load(folders["classifier"]), Workplace(0, {})).model.state_dict()
    moved = max((expected[name] - start[name]).abs().max().item() for name in expected)
    assert moved > 1e-3
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, atol=moved / 100), name
    assert passed.evidence["distill"]["updates"] == live.evidence["distill"]["updates"] == 12


def test_soft_labels_are_the_teachers_scores_in_the_order_of_the_rows(
    folders: dict[str, Path], specs: dict[str, DataSpec]
) -> None:
    teacher, examples = load(folders["turned"]), specs["train"].examples()
    step = Distill.model_validate(QUICK)
    work = answered(step, teacher, Workplace(0, specs, teachers={"base": folders["turned"]}))
    taught = step._pass("classification")
    assert taught is not None
    found, names = taught.logits(work)
    assert names == list(label_names(teacher.model.config))
    rows = token_rows(teacher, examples, 32)
    with torch.inference_mode():
        one_by_one = [teacher.model(**padded([row], filler(teacher))).logits[0] for row in rows]
    assert torch.allclose(found, torch.stack(one_by_one), atol=1e-5)
    assert len(work.passes) == 3  # of 20, 20 and 10 rows


def test_pseudo_labels_of_all_shards(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    settings = {"targets": "teacher", "beams": 2, "target_length": 12, "data": "text", "max_length": 32}
    step = Distill.model_validate(settings)
    writer = load(folders["writer"])
    work = answered(step, writer, Workplace(0, specs, teachers={"base": folders["writer"]}))
    taught = step._pass("seq2seq")
    assert taught is not None
    texts = taught.texts(work)
    assert len(texts) == 50
    again = answered(step, writer, replace(work, data={"text": specs["text"].model_copy(update={"offset": 40})}))
    assert taught.texts(again) == texts[40:]


def test_who_asks_what() -> None:
    """Whatever a student learns by, it asks the same; what is too large to keep, or seen too seldom, is not asked."""
    classes = {"base": ANY}

    def asked(answers: dict[str, Any] | None = None, **settings: Any) -> tuple[Question, ...]:
        return Distill.model_validate({**QUICK, **settings}).questions(answers or {}, ANY, classes)

    (first,) = asked()
    assert (first.kind, first.teacher, first.data) == ("soft labels", "base", ("train",))
    same: list[dict[str, Any]] = [{"alpha": 0.9}, {"temperature": 5.0}, {"gold": False}, {"epochs": 9}, {"batch": 4}]
    assert all(asked(**settings) == (first,) for settings in same)
    others: list[dict[str, Any]] = [{"data": "more"}, {"max_length": 64}, {"teacher": "wise"}]
    for other in others:
        step = Distill.model_validate({**QUICK, **other})
        assert step.questions({}, ANY, {"base": ANY, "wise": ANY})[0].key != first.key
    assert asked(alpha=0.0) == ()
    assert asked(alpha_hidden=1.0) == ()
    told = {first.key: {"rows": 50, "labels": ["yes", "no"]}}
    assert [q.settings["first"] for q in asked(told)] == [20, 40]
    for few in ({"max_steps": 4}, {"epochs": 0.5}):  # depends on how many rows there are: no shard before that is known
        (count,) = asked(**few)
        assert (count.kind, count.settings, count.teacher) == ("rows", {}, "base")
    counted = {count.key: {"rows": 50}}
    assert asked(counted, max_steps=3) == ()  # 48 rows are seen, of 50
    assert asked(counted, epochs=0.5) == ()
    assert [q.settings["first"] for q in asked(counted, max_steps=4)] == [0, 20, 40]
    assert [q.settings["first"] for q in asked({**counted, **told}, max_steps=4)] == [20, 40]
    settings = {"targets": "teacher", "max_steps": 1}  # every text is written anew, whoever reads it
    writes = Architecture("bart", "BartForConditionalGeneration", 2, 2, None, 64, vocab=17)
    assert [q.kind for q in Distill.model_validate({**QUICK, **settings}).questions({}, writes, {"base": writes})] == [
        "pseudo-labels"
    ]
    masked = Architecture("bert", "BertForMaskedLM", 2, None, None, 64, hidden=8, heads=2, vocab=17)
    assert Distill.model_validate(QUICK).questions({}, masked, {"base": masked}) == ()


def test_few_updates_are_made_with_the_teacher_beside(
    folders: dict[str, Path], specs: dict[str, DataSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, live = (learnt(folders, specs, monkeypatch, live=which, max_steps=2) for which in (False, True))
    for (name, tensor), other in zip(found.model.state_dict().items(), live.model.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), name


def test_a_pass_knows_its_rows_from_the_first_shard() -> None:
    taught = TeacherPass("soft labels", "base", "train", {"max_length": 8})
    (first,) = taught.questions({})
    assert taught.rows({}) is None
    assert taught.rows({first.key: {"rows": 7}}) == 7
    assert taught.questions({first.key: {"rows": 7}}) == ()


def test_a_saved_teacher_is_described_as_it_is_loaded(folders: dict[str, Path]) -> None:
    """The student's fresh head takes its classes from the description; the pass from the loaded model."""
    for folder in (folders["classifier"], folders["turned"]):
        assert describe(folder).labels == label_names(load(folder).model.config)
