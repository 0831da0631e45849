"""Promise against fact after a build: every real step keeps its own, and steps that do nothing are found out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from bench.architecture import Architecture, describe
from bench.artefacts import Artefacts
from bench.data import DataSpec
from bench.execute import build, study
from bench.job import BuildJob, StudyJob
from bench.measure.delivered import DELIVERED
from bench.methods import METHODS, int8_dynamic
from bench.models import Loaded, load, save
from bench.recipe import Promise, Step, Workplace, step_class
from bench.record import Finished, Value
from tests import tiny, tiny_bert

QUICK = {"batch": 16, "max_steps": 2}
LORA = {"data": "train", "steps": 2, "batch": 8, "rank": 2}
SOFT = {"data": "train", **QUICK}
TEXT = {"data": "texts", "shortest": 4, **QUICK}
# Parent, steps before, step, settings, and what it must have promised.
STEPS: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "layer_copy": ("bart", "layer_copy", {"decoder": 2}, ["fewer layers", "fewer parameters"]),
    "all layers copied": ("bart", "layer_copy", {"decoder": 4}, ["the same layers", "the same parameters"]),
    "depth_prune": ("llama", "depth_prune", {"layers": 1, "data": "texts", "samples": 20}, ["fewer layers"]),
    "listed layers": ("bert", "depth_prune", {"drop": [1]}, ["fewer FLOPs of a forward pass"]),
    "bf16": ("bart", "cast", {"dtype": "bfloat16"}, ["fewer bytes of weights", "products in bfloat16"]),
    "fp16": ("llama", "cast", {"dtype": "float16"}, ["the same parameters", "products in float16"]),
    "bf16 to fp16": ("half", "cast", {"dtype": "float16"}, ["the same bytes of weights"]),
    "int8": ("bart", "int8_dynamic", {}, ["fewer bytes of weights", "products in int8"]),
    "int8 per tensor": ("llama", "int8_dynamic", {"activations": "tensor"}, ["the same weights apart from scales"]),
    "int8 embeddings": ("bert", "int8_dynamic", {"embeddings": True}, ["the same FLOPs of a forward pass"]),
    "int8 head": ("writer", "int8_dynamic", {"lm_head": "int8"}, ["products in int8"]),
    "int8 of bf16": ("half", "int8_dynamic", {}, ["fewer bytes of weights"]),
    "fp8": ("bart", "fp8", {}, ["fewer bytes of weights", "the same weights apart from scales"]),
    "int8 weights": ("half", "weight_only", {"bits": 8}, ["fewer bytes of weights", "the same layers"]),
    "2:4": ("bert", "sparse_2_4", {}, ["more zeros among the weights", "the same bytes of weights"]),
    "finetune": ("bart", "finetune", SOFT, ["the same parameters", "nothing left on the model"]),
    "new head": ("bert", "finetune", {**SOFT, "new_head": [*tiny.LABELS.values(), "none"]}, ["the same layers"]),
    "heal": ("bert", "heal", LORA, ["the same bytes of weights", "nothing left on the model"]),
    "heal bf16": ("half", "heal", LORA, ["the same bytes of weights"]),
    "heal all": ("bert", "heal", {"data": "train", "steps": 1, "adapters": False}, ["the same parameters"]),
    "pretrain": ("classifier", "pretrain", TEXT, ["the same parameters"]),
    "distill": ("bert", "distill", SOFT, ["the same parameters"]),
    "distill into a new head": ("masked", "distill", {**SOFT, "teacher": "classifier"}, ["the same layers"]),
    "student": ("bert", "student", {"layers": 2}, ["fewer layers", "fewer parameters"]),
    "narrow student": ("bert", "student", {"hidden": 8, "heads": 2, "ffn": 16, "init": "random"}, ["fewer parameters"]),
    "DistilBERT": ("classifier", "student", {"layers": 4, "architecture": "distilbert"}, ["fewer parameters"]),
    "wide student": ("bert", "student", {"hidden": 32, "heads": 2, "init": "random"}, ["nothing left on the model"]),
    "of other weights": ("bert", "student", {"weights": "classifier"}, ["nothing left on the model"]),
}


class Idle(Step):
    """Promises to halve the weights, and returns them as they are."""

    name: ClassVar[str] = "idle"
    version: ClassVar[int] = 1

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del architecture, teachers
        return Promise(fewer=("bytes",))

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        del work
        return model


class Untidy(Idle):
    """Leaves a mask beside the weights of every Linear layer."""

    name: ClassVar[str] = "untidy"

    def promise(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        del architecture, teachers
        return Promise(plain=True)

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        del work
        for module in model.model.modules():
            if isinstance(module, nn.Linear):
                self.mask(module)
        return model

    def mask(self, module: nn.Linear) -> None:
        module.register_buffer("weight_mask", torch.ones_like(module.weight))


class Forgetful(Untidy):
    """Prunes every Linear layer and leaves its masks on, in whose place the weights would be missed at each load."""

    name: ClassVar[str] = "forgetful"

    def mask(self, module: nn.Linear) -> None:
        prune.l1_unstructured(module, "weight", amount=0.5)  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (Idle, Untidy, Forgetful):
        monkeypatch.setitem(METHODS, step.name, f"{__name__}:{step.__name__}")


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Artefacts:
    return Artefacts(tmp_path_factory.mktemp("artefacts"))


@pytest.fixture(scope="module")
def parents(artefacts: Artefacts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Published models by name: artefact_ids."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("parents")
    half = tiny.bert().to(torch.bfloat16)  # type: ignore[arg-type]
    half.config.dtype = torch.bfloat16
    folders = {
        "bart": tiny.saved(tiny.bart(), root / "bart"),
        "writer": tiny.saved(tiny.writer(), root / "writer"),
        "bert": tiny.saved(tiny.bert(), root / "bert"),
        "half": tiny.saved(half, root / "half"),
        "llama": tiny.saved(tiny.causal(), root / "llama"),
        "masked": tiny_bert.saved(tiny_bert.masked(), root / "masked"),
        "classifier": tiny_bert.saved(tiny_bert.classifier(), root / "classifier"),
    }
    found = {}
    for name, folder in folders.items():
        with artefacts.draft() as draft:
            save(load(folder), draft)
            found[name] = artefacts.publish(draft)
    return found


@pytest.fixture(scope="module")
def specs(data: dict[str, DataSpec]) -> dict[str, DataSpec]:
    return {"train": data["train"], "texts": DataSpec(source=data["train"].source, text="premise", label=None)}


def built(
    artefacts: Artefacts, parents: dict[str, str], parent: str, name: str, settings: dict[str, Any], specs: Any = None
) -> tuple[Finished, dict[str, Any]]:
    """The outcome of one step's build, its questions answered, and what it says of the promise."""
    step = step_class(name).model_validate(settings)
    teachers = {t: parents["classifier" if t == "classifier" else parent] for t in step.teacher_names()}
    answers: dict[str, dict[str, Any]] = {}
    passes: dict[str, str] = {}
    asked: dict[str, Any] = {
        "name": "x",
        "step": name,
        "settings": step.model_dump(mode="json"),
    }
    known = [describe(artefacts.path(artefact_id)) for artefact_id in (parents[parent], *teachers.values())]
    while questions := step.questions(answers, known[0], dict(zip(teachers, known[1:], strict=True))):
        for q in questions:
            model = parents[parent] if q.teacher is None else teachers[q.teacher]
            question = StudyJob(
                **asked,
                artefact_id=model,
                version=1,
                question=q.kind,
                asked=dict(q.settings),
                data=specs,
                tasks={},
                versions={},
            )
            outcome = study(question, artefacts, 1).outcome
            answers[q.key] = json.loads(json.dumps(outcome.answer))
            passes |= {q.key: outcome.artefact_id} if outcome.artefact_id else {}
    job = BuildJob(
        recipe_id="a" * 64,
        name="x",
        parent=parents[parent],
        step=name,
        settings=asked["settings"],
        data=specs or {},
        answers=answers,
        passes=passes,
        teachers=teachers,
    )
    outcome = build(job, artefacts, 1).outcome
    assert outcome.answer is not None
    return outcome, outcome.answer[DELIVERED]


@pytest.mark.parametrize("name", STEPS)
def test_every_step_keeps_its_promise(
    name: str, artefacts: Artefacts, parents: dict[str, str], specs: dict[str, DataSpec]
) -> None:
    parent, step, settings, promised = STEPS[name]
    outcome, found = built(artefacts, parents, parent, step, settings, specs)
    assert found["verdict"] == "delivered", found["reason"]
    assert set(promised) <= set(found["promise"])
    if promised == ["the same layers"] or promised == ["nothing left on the model"]:
        assert not any("parameters" in words for words in found["promise"])
    values = {v.metric: v for v in outcome.values}
    facts = found["after"]
    assert values["flops"] == Value.exact(str(outcome.artefact_id), "flops", facts["flops"], "batch 1 x 64 tokens")
    assert values["parameters"].estimate == facts["parameters"]
    assert values["layers"].estimate == facts["layers"]


def test_every_method_is_among_them() -> None:
    assert {step for _, step, _, _ in STEPS.values()} == set(METHODS) - {
        "checkpoint",  # below
        "compile",  # needs a C++ compiler: test_compile
        "idle",
        "untidy",
        "forgetful",
    }


def test_a_checkpoint_promises_nothing(artefacts: Artefacts, parents: dict[str, str], models: dict[str, Path]) -> None:
    outcome, found = built(artefacts, parents, "bart", "checkpoint", {"id": str(models["bert"])})
    assert (found["verdict"], found["promise"], found["before"]) == ("nothing promised", [], None)
    assert found["after"]["layers"] == 3
    assert {v.metric for v in outcome.values} == {"size", "parameters", "layers", "flops"}


def test_a_base_has_facts_and_no_promise(artefacts: Artefacts, models: dict[str, Path]) -> None:
    from bench.bases import resolve_base
    from bench.identity import digest

    base = resolve_base("bert", str(models["bert"]))
    job = BuildJob(recipe_id=digest({"base": base.identity, "steps": []}), name="x", folder=base.folder)
    outcome = build(job, artefacts, 1).outcome
    assert outcome.answer is None
    assert [v.metric for v in outcome.values] == ["size", "parameters", "layers", "flops"]


def test_a_step_that_does_nothing_is_found_out(artefacts: Artefacts, parents: dict[str, str]) -> None:
    outcome, found = built(artefacts, parents, "bert", "idle", {})
    stayed = f"{found['before']['bytes']:,}"
    assert found["verdict"] == "not delivered"
    assert found["reason"] == f"idle promised fewer bytes of weights, but they stayed at {stayed}"
    assert str(outcome.artefact_id) in artefacts  # and the build is good


def test_int8_that_quantised_nothing_is_found_out(
    artefacts: Artefacts, parents: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_dynamic, "quantised", lambda model, **_: model)
    _, found = built(artefacts, parents, "bert", "int8_dynamic", {})
    assert found["verdict"] == "not delivered"
    assert "int8_dynamic promised fewer bytes of weights, but they stayed at" in found["reason"]
    assert "int8_dynamic promised products in int8, but all 23 run in float32" in found["reason"]


def test_a_mask_left_over_is_found_out(artefacts: Artefacts, parents: dict[str, str]) -> None:
    _, found = built(artefacts, parents, "bert", "untidy", {})
    assert found["verdict"] == "not delivered"
    assert found["reason"] == (
        "untidy promised nothing left on the model, but 20 pruning masks "
        "(bert.encoder.layer.0.attention.self.query.weight_mask)"
    )


def test_what_a_forgotten_mask_keeps_from_being_loaded_is_not_published(
    artefacts: Artefacts, parents: dict[str, str]
) -> None:
    from bench.errors import BadInput

    with pytest.raises(BadInput, match=r"forgetful has left 20 pruning masks \(.*, and so .* lacks the weights"):
        built(artefacts, parents, "bert", "forgetful", {})


def test_a_step_that_does_not_expect_such_a_model_promises_nothing(
    artefacts: Artefacts, parents: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promise that cannot be made must not cost the build."""
    from bench.errors import BadInput

    def refuses(self: Step, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Promise:
        raise BadInput("no")

    monkeypatch.setattr(Idle, "promise", refuses)
    assert built(artefacts, parents, "bert", "idle", {})[1]["verdict"] == "nothing promised"


def test_parents_are_as_they_were(artefacts: Artefacts, parents: dict[str, str]) -> None:
    from bench.architecture import model_files
    from bench.identity import files_digest

    for artefact_id in parents.values():
        folder = artefacts.path(artefact_id)
        assert files_digest(folder, model_files(folder)) == artefact_id
