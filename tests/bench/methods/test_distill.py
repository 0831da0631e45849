"""Distillation: nothing to learn from oneself, something from a teacher; hidden states, pseudo-labels, refusals."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.architecture import Architecture, describe
from bench.data import DataSpec
from bench.errors import BadInput
from bench.methods.distill import Distill, Objective
from bench.methods.distill_batches import parts
from bench.methods.distill_training import Fitting, class_order, matched, matched_states
from bench.methods.layer_copy import LayerCopy
from bench.methods.pseudo_label import written_by
from bench.methods.student import Student
from bench.methods.student_weights import label_names
from bench.models import Loaded, load
from bench.recipe import Workplace
from tests import tiny, tiny_bert
from tests.answering import applied

QUICK: dict[str, Any] = {"data": "train", "shortest": 4, "batch": 16, "max_steps": 3, "epochs": 50}
ARCH = Architecture("bert", "BertForMaskedLM", 6, None, None, 64, hidden=16, heads=2, vocab=17)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    return {
        "masked": tiny_bert.saved(tiny_bert.masked(), root / "masked"),
        "classifier": tiny_bert.saved(tiny_bert.classifier(), root / "classifier"),
        "turned": tiny_bert.saved(
            tiny_bert.classifier(seed=2, entailment=0, neutral=1, contradiction=2), root / "turned"
        ),
        "bart": tiny.saved(tiny_bert.strengthened(tiny.bart()), root / "bart"),
        "writer": tiny.saved(tiny_bert.strengthened(tiny.writer()), root / "writer"),
        "causal": tiny.saved(tiny.causal("llama"), root / "causal"),
    }


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSpec]:
    source = str(tiny.data_file(tmp_path_factory.mktemp("data") / "train.jsonl", 64, seed=1))
    return {
        "train": DataSpec(source=source, text="premise", pair="hypothesis", label="label"),
        "text": DataSpec(source=source, text="premise", label=None),
        "written": DataSpec(source=source, text="premise", label="hypothesis"),
    }


DATA = {"masked": "text", "causal": "text", "writer": "written"}


def distilled(
    folders: dict[str, Path], specs: dict[str, DataSpec], model: Loaded, teacher: str, seed: int = 0, **settings: object
) -> Loaded:
    step = Distill.model_validate({**QUICK, **settings})
    return applied(step, model, Workplace(seed, specs, teachers={"base": folders[teacher]}))


def fitting_of(step: Distill, student: Loaded, teacher: Loaded, specs: dict[str, DataSpec]) -> tuple[Fitting, Any]:
    objective = step._objective(student, describe(teacher.source))
    blend = step.blend(objective)
    source = step._source(objective, student, teacher, specs[step.data].examples(), Workplace(0, specs))
    names = [label_names(loaded.model.config) for loaded in (student, teacher)]
    order = class_order(*names) if objective == "classification" else None
    states = matched(student, teacher, blend) if blend.hidden else None
    fitting = Fitting(student.model, blend, teacher.model, order, states)
    fitting.train(False)
    return fitting, source.whole(range(16), 0)


ZERO: dict[str, tuple[str, dict[str, object]]] = {
    "masked": ("masked", {"alpha_mlm": 0, "alpha_mse": 1, "alpha_hidden": 1}),
    "masked, supervised": ("masked", {"alpha_mlm": 0, "alpha_hidden": 1, "hidden_map": "supervise"}),
    "classes": ("classifier", {"alpha": 1, "alpha_mse": 1, "alpha_hidden": 3, "hidden_norm": True}),
    "bart classes": ("bart", {"alpha": 1, "alpha_hidden": 3}),
    "causal": ("causal", {"alpha_mlm": 0, "alpha_cos": 1, "alpha_hidden": 1}),
    "seq2seq": ("writer", {"alpha_mlm": 0, "alpha_hidden": 3, "hidden_map": "supervise"}),
}


@pytest.mark.parametrize("kind", ZERO)
def test_nothing_to_learn_from_oneself(folders: dict[str, Path], specs: dict[str, DataSpec], kind: str) -> None:
    """Every likeness is exactly zero where the student is its teacher, and is not where one weight differs."""
    name, settings = ZERO[kind]
    step = Distill.model_validate({**QUICK, "data": DATA.get(name, "train"), **settings})
    student, teacher = load(folders[name]), load(folders[name])
    fitting, part = fitting_of(step, student, teacher, specs)
    with torch.no_grad():
        assert fitting(part).item() == 0.0
        next(p for n, p in student.model.named_parameters() if "layernorm" in n.lower() or "norm" in n.lower()).mul_(3)
        assert fitting(part).item() > 1e-7


def test_masked_loss_is_the_sum_of_its_parts(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    """5 L_ce + 2 L_mlm + 1 L_cos, each worked out here with torch's own functions over the batch."""
    from torch.nn import functional

    student = Student(layers=2).apply(load(folders["masked"]), Workplace(0, {}))
    teacher = load(folders["masked"])
    fitting, part = fitting_of(Distill.model_validate({**QUICK, "data": "text"}), student, teacher, specs)
    with torch.no_grad():
        mine = student.model(**part["student"], output_hidden_states=True)
        theirs = teacher.model(**part["teacher"], output_hidden_states=True)
        seen = part["tokens"].bool()
        ce = functional.kl_div(
            (mine.logits[seen] / 2).log_softmax(-1), (theirs.logits[seen] / 2).softmax(-1), reduction="batchmean"
        )
        mlm = functional.cross_entropy(mine.logits.flatten(0, 1), part["labels"].flatten())
        ones = torch.ones(int(seen.sum()))
        cos = functional.cosine_embedding_loss(mine.hidden_states[-1][seen], theirs.hidden_states[-1][seen], ones)
        assert fitting(part).item() == pytest.approx((5 * 4 * ce + 2 * mlm + cos).item(), rel=1e-5)


def test_hidden_loss_of_both_stacks(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    """Masked mean squared error over valid tokens and width, for encoder and decoder, with decoder map (0, 3)."""
    student = LayerCopy(decoder=2).apply(load(folders["writer"]), Workplace(0, {}))
    teacher = load(folders["writer"])
    with torch.no_grad():
        for parameter in student.model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter, generator=None))
    step = Distill.model_validate({**QUICK, "data": "written", "alpha_ce": 0, "alpha_mlm": 0, "alpha_hidden": 3})
    fitting, part = fitting_of(step, student, teacher, specs)
    with torch.no_grad():
        mine = student.model(**part["student"], output_hidden_states=True)
        theirs = teacher.model(**part["teacher"], output_hidden_states=True)
        expected = 0.0
        for side, mask, pairs in (
            ("encoder_hidden_states", part["tokens"], [(0, 0), (1, 1)]),
            ("decoder_hidden_states", part["written"], [(0, 0), (1, 3)]),
        ):
            real = mask.bool()
            for i, j in pairs:
                expected += (mine[side][i][real] - theirs[side][j][real]).square().mean().item()
        assert fitting(part).item() == pytest.approx(3 * expected, rel=1e-4)
        split = sum(fitting(p).item() for p in parts(part, 5))
        assert split == pytest.approx(3 * expected, rel=1e-4)


def test_matched_states() -> None:
    """Copied: what enters student layer i and its original. Supervised: what leaves it and the teacher's i-th share."""
    twelve, six = ARCH.changed(encoder_layers=12), ARCH.changed(encoder_layers=6)
    assert matched_states(six, twelve, supervised=False).encoder == ((0, 0), (1, 2), (2, 4), (3, 7), (4, 9), (5, 11))
    assert matched_states(six, twelve, supervised=True).encoder == ((1, 2), (2, 4), (3, 6), (4, 9), (5, 11), (6, 12))
    assert matched_states(six, twelve, supervised=True).decoder == ()


LEARNS: dict[str, tuple[str, dict[str, object]]] = {
    "masked": ("masked", {"learning_rate": 5e-3}),
    "classifier": ("classifier", {"learning_rate": 5e-3, "alpha": 0.9}),
    "pure soft": ("classifier", {"learning_rate": 5e-3, "gold": False}),
    "bart": ("bart", {"learning_rate": 3e-3, "alpha": 1.0, "alpha_hidden": 1.0}),
    "causal": ("causal", {"learning_rate": 5e-3}),
    "writer": ("writer", {"learning_rate": 3e-3, "alpha_hidden": 1.0, "hidden_map": "supervise"}),
}


@pytest.mark.parametrize("kind", LEARNS)
def test_a_student_comes_nearer_to_its_teacher(folders: dict[str, Path], specs: dict[str, DataSpec], kind: str) -> None:
    name = LEARNS[kind][0]
    settings: dict[str, Any] = {**LEARNS[kind][1], "data": DATA.get(name, "train")}
    shape: dict[str, Any] = {"decoder_layers": 1} if name in ("bart", "writer") else {"layers": 1}
    if name == "bart":  # one layer copied is near enough already
        shape["init"] = "random"
    student = Student(**shape).apply(load(folders[name]), Workplace(0, {}))
    teacher = load(folders[name])
    step = Distill.model_validate({**QUICK, **settings})
    before, part = fitting_of(step, copy.deepcopy(student), teacher, specs)
    found = distilled(folders, specs, student, name, **{**settings, "max_steps": 30})
    after, _ = fitting_of(step, found, teacher, specs)
    with torch.no_grad():
        assert after(part).item() < before(part).item()
    evidence = found.evidence["distill"]
    assert evidence["updates"] == 30
    assert sum(x for _, x in evidence["losses"][-5:]) < sum(x for _, x in evidence["losses"][:5])
    assert not found.model.training
    assert all(p.requires_grad for p in found.model.parameters())


def test_soft_labels_alone_need_no_labels(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    """A random student ends nearer to the teacher's classes than it began, though the data hold none of their names."""
    bare = {"train": specs["train"].model_copy(update={"label": None})}
    shape: dict[str, Any] = {"init": "random", "layers": 1, "hidden": 8, "ffn": 8}
    student = Student(**shape).apply(load(folders["classifier"]), Workplace(0, {}))
    found = distilled(folders, bare, student, "turned", gold=False, max_steps=40, learning_rate=1e-2)
    losses = [x for _, x in found.evidence["distill"]["losses"]]
    assert losses[-1] < losses[0]
    with pytest.raises(BadInput, match="has the label ''"):
        distilled(folders, bare, load(folders["classifier"]), "turned")


def test_a_masked_model_gets_the_teachers_head(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    checked = Distill(data="train").check_among(describe(folders["masked"]), {"base": describe(folders["turned"])})
    assert checked.class_name == "BertForSequenceClassification"
    found = distilled(folders, specs, load(folders["masked"]), "turned")
    assert type(found.model).__name__ == checked.class_name
    assert label_names(found.model.config) == checked.labels == ("entailment", "neutral", "contradiction")
    assert found.evidence["distill"]["fresh"] == ["bert.pooler.dense", "classifier"]


def test_a_seed_decides_every_byte(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    settings: dict[str, Any] = {"data": "text", "max_steps": 2}
    first, again, other = (
        distilled(folders, specs, load(folders["masked"]), "masked", seed, **settings).model.state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_accumulated_parts_give_the_undivided_update(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    """Without dropout a batch in three parts trains as the whole batch does."""

    def trained(accumulation: int) -> dict[str, torch.Tensor]:
        model = load(folders["masked"])
        for module in model.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        settings: dict[str, Any] = {"data": "text", "max_steps": 4, "accumulation": accumulation, "alpha_hidden": 1.0}
        return distilled(folders, specs, model, "masked", **settings).model.state_dict()

    whole, split = trained(1), trained(3)
    before = load(folders["masked"]).model.state_dict()
    for name, tensor in whole.items():
        assert torch.allclose(tensor, split[name], atol=2e-5), name
    assert any((tensor - before[name]).abs().max() > 1e-4 for name, tensor in whole.items())


def test_frozen_parts_stay(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    before = load(folders["writer"]).model.state_dict()
    frozen = ("encoder", "embeddings")
    found = distilled(folders, specs, load(folders["writer"]), "writer", data="written", freeze=frozen)
    after = found.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if ".encoder." in k)
    assert not torch.equal(before["model.decoder.layers.0.fc1.weight"], after["model.decoder.layers.0.fc1.weight"])


def test_pseudo_labels_are_the_teachers_best_beams(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    """In the order of the examples, the same one by one as in a batch, and what training then writes towards."""
    teacher, examples = load(folders["writer"]), specs["written"].examples()[:6]
    how = {"beams": 3, "max_length": 32, "longest": 12}
    found = written_by(teacher, examples, **how, batch=4)
    assert found == [written_by(teacher, [e], **how)[0] for e in examples]
    assert written_by(teacher, list(reversed(examples)), **how) == list(reversed(found))
    unlabelled = {"train": specs["text"]}
    with pytest.raises(BadInput, match="no references to write"):
        distilled(folders, unlabelled, load(folders["writer"]), "writer")
    settings: dict[str, Any] = {"targets": "teacher", "beams": 2, "target_length": 12}
    taught = distilled(folders, unlabelled, load(folders["writer"]), "writer", **settings)
    assert taught.evidence["distill"]["objective"] == "seq2seq"


def test_divergence_stops_with_the_step_and_good_weights(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    student = load(folders["masked"])
    with pytest.raises(BadInput, match=r"diverged at step \d+ of 30 .*lower learning_rate"):
        distilled(
            folders, specs, student, "masked", data="text", learning_rate=1e30, clip=1e30, warmup=0.0, max_steps=30
        )
    assert all(bool(p.isfinite().all()) for p in student.model.parameters())


def test_defaults_are_the_published_ones() -> None:
    step = Distill(data="x")
    masked = step.blend("masked")
    assert (masked.soft, masked.hard, masked.cosine, masked.squared, masked.temperature) == (5.0, 2.0, 1.0, 0.0, 2.0)
    written = step.blend("seq2seq")
    assert (written.soft, written.hard, written.hidden, written.temperature) == (0.8, 0.2, 0.0, 2.0)
    classes = step.blend("classification")
    assert (classes.soft, classes.hard, classes.cosine) == (0.5, 0.5, 0.0)
    pure = Distill(data="x", gold=False).blend("classification")
    assert (pure.soft, pure.hard, pure.temperature, pure.entropy) == (1.0, 0.0, 1.0, True)
    how = Distill(data="x", batch=10, epochs=3).optimisation(1000)
    assert (how.steps, how.warmup, how.learning_rate, how.clip) == (300, 15, 5e-4, 5.0)
    assert (how.beta2, how.epsilon, how.weight_decay) == (0.98, 1e-6, 0.0)


CLASSES = ARCH.changed(class_name="BertForSequenceClassification", labels=("yes", "no"))
WRITES = ARCH.changed(class_name="BartForConditionalGeneration", decoder_layers=6)
REFUSED: dict[str, tuple[Architecture, Architecture, dict[str, object], str]] = {
    "vocabulary": (ARCH, ARCH.changed(vocab=18), {}, "student has 17 tokens and the teacher 'base' 18"),
    "labels": (CLASSES, CLASSES.changed(labels=("yes", "maybe")), {}, "labels yes, no learn from 'base', which knows"),
    "nothing alike": (ARCH, WRITES, {}, "do nothing alike"),
    "objective": (CLASSES, CLASSES, {"objective": "masked"}, "can learn only classification"),
    "width": (ARCH, ARCH.changed(hidden=32), {}, "alpha_cos compares hidden states, but the student is 16 wide"),
    "stacks": (
        CLASSES,
        CLASSES.changed(decoder_layers=2),
        {"alpha_hidden": 1},
        "None decoder layers and the teacher 2",
    ),
    "deeper": (CLASSES.changed(encoder_layers=7), CLASSES, {"alpha_hidden": 1}, "7 encoder layers and the teacher 6"),
    "no use": (
        CLASSES,
        CLASSES,
        {"alpha_mlm": 1.0},
        "alpha_mlm is for masked and causal and seq2seq, but the objective",
    ),
    "no gold": (CLASSES, CLASSES, {"gold": False, "alpha": 0.5}, "alpha weighs gold labels, but gold is false"),
    "int8": (ARCH.changed(int8=True), ARCH, {}, "trains in float32: put it before cast and int8_dynamic"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_learnt_is_refused(kind: str) -> None:
    student, teacher, settings, words = REFUSED[kind]
    step = Distill.model_validate({"data": "x", **settings})
    with pytest.raises(BadInput, match=words):
        step.check_among(student, {"base": teacher})


@pytest.mark.parametrize(
    ("student", "objective"),
    [(ARCH, "masked"), (CLASSES, "classification"), (WRITES, "seq2seq"), (WRITES.changed(decoder_layers=2), "seq2seq")],
)
def test_the_objective_is_what_both_do(student: Architecture, objective: Objective) -> None:
    teacher = student.changed(decoder_layers=6) if student.decoder_layers else student
    step = Distill(data="x")
    assert step.objective_of(student, teacher) == objective
    assert step.check_among(student, {"base": teacher}) == student
    other = ARCH.changed(hidden=None)
    assert Distill(data="x", alpha_cos=0).check_among(other, {"base": ARCH}) == other
