"""Distillation: a student is trained to be like its teacher, on the teacher's soft predictions and hidden states.

Masked: the triple loss of DistilBERT (Sanh et al. 2019, arXiv:1910.01108), and its causal form. Classification: Hinton
et al. 2015 (arXiv:1503.02531), with gold: false the pure soft cross-entropy of pre-trained distillation (Turc et al.
2019, arXiv:1908.08962). Seq2seq: "KD" and "PL" of Shleifer & Rush 2020 (arXiv:2010.13002).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.architecture import Architecture, architecture_of, describe
from bench.errors import BadInput
from bench.methods.student import class_prefix, same_labels
from bench.methods.trained import Trained
from bench.recipe import OWN_BASE, Question, Workplace

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data import Example
    from bench.methods.distill_batches import Source
    from bench.methods.distill_training import Blend
    from bench.methods.teacher_pass import TeacherPass
    from bench.models import Loaded

Objective = Literal["masked", "classification", "causal", "seq2seq"]
PROPERTY: dict[Objective, str] = {
    "classification": "classifies",
    "masked": "masked",
    "causal": "causal",
    "seq2seq": "generates",
}
# Weights of the losses where the settings do not say, as published.
DEFAULTS: dict[Objective, dict[str, float]] = {
    "masked": {"alpha_ce": 5.0, "alpha_mlm": 2.0, "alpha_cos": 1.0},
    "causal": {"alpha_ce": 5.0, "alpha_mlm": 2.0},
    "seq2seq": {"alpha_ce": 0.8, "alpha_mlm": 0.2},
    "classification": {"alpha": 0.5},
}
# Settings that only some objectives have a use for.
USED: dict[str, tuple[Objective, ...]] = {
    "alpha": ("classification",),
    "alpha_ce": ("masked", "causal", "seq2seq"),
    "alpha_mlm": ("masked", "causal", "seq2seq"),
    "alpha_cos": ("masked", "causal"),
    "masked_only": ("masked",),
    "favour_rare": ("masked",),
    "mask_share": ("masked",),
    "shortest": ("masked", "causal"),
    "most_unknown": ("masked", "causal"),
    "targets": ("seq2seq",),
    "beams": ("seq2seq",),
    "target_length": ("seq2seq",),
}


class Distill(Trained):
    """Train the model before this step to be like a teacher."""

    name: ClassVar[str] = "distill"
    version: ClassVar[int] = 2  # 2: of a classifier, the teacher's pass is made before training, in batches of its own
    teacher_settings: ClassVar[tuple[str, ...]] = ("teacher",)

    teacher: str = Field(default=OWN_BASE, description="teacher of the sweep, or 'base'")
    objective: Objective | None = Field(default=None, description="null: what student and teacher both do")
    temperature: float | None = Field(default=None, gt=0, description="of the soft predictions; 2, without gold 1")
    gold: bool = Field(default=True, description="false: learn from the teacher's predictions alone")
    alpha: float | None = Field(default=None, ge=0, le=1, description="classification: weight of soft against gold")
    alpha_ce: float | None = Field(default=None, ge=0, description="weight of the soft predictions")
    alpha_mlm: float | None = Field(default=None, ge=0, description="weight of the right token")
    alpha_cos: float | None = Field(default=None, ge=0, description="weight of the direction of last hidden states")
    alpha_mse: float = Field(default=0.0, ge=0, description="weight of squared differences of logits")
    alpha_hidden: float = Field(default=0.0, ge=0, description="weight of matched hidden states; 3 where published")
    hidden_map: Literal["copied", "supervise"] = Field(
        default="copied", description="match what enters copied layers, or what leaves supervising layers"
    )
    hidden_norm: bool = Field(default=False, description="layer-normalise hidden states before they are compared")
    masked_only: bool = Field(default=False, description="compare predictions of masked tokens only")
    favour_rare: bool = Field(default=True, description="mask rare words more often, by count^-0.7")
    targets: Literal["gold", "teacher"] = Field(default="gold", description="seq2seq: references, or pseudo-labels")
    beams: int = Field(default=4, ge=1, description="seq2seq: width of the teacher's search for pseudo-labels")
    target_length: int = Field(default=142, ge=4, description="seq2seq: most tokens of a target")
    freeze: tuple[Literal["encoder", "embeddings"], ...] = Field(default=(), description="parts that are not trained")

    def check(self, architecture: Architecture) -> Architecture:
        self.check_trainable(architecture)
        return architecture

    def check_among(self, architecture: Architecture, teachers: Mapping[str, Architecture]) -> Architecture:
        self.check_trainable(architecture)
        teacher = teachers[self.teacher]
        objective = self.objective_of(architecture, teacher)
        self._check_settings(objective)
        if objective == "classification" and not architecture.classifies:
            name = f"{class_prefix(architecture)}ForSequenceClassification"
            architecture = architecture.changed(class_name=name, labels=teacher.labels)
        self._check_pair(objective, architecture, teacher)
        return architecture

    def objective_of(self, student: Architecture, teacher: Architecture) -> Objective:
        """What is learnt. Raises BadInput where the two cannot teach and learn it."""
        if teacher.classifies:
            found: Objective | None = "classification"  # a student without a head gets one
        else:
            found = next((o for o, p in PROPERTY.items() if getattr(student, p) and getattr(teacher, p)), None)
        if found is None:
            raise BadInput(
                f"distill has a {student.class_name} learn from {self.teacher!r}, a {teacher.class_name}, but the two "
                "do nothing alike: name a teacher that classifies, or that has the student's kind of head."
            )
        if self.objective not in (None, found):
            raise BadInput(
                f"distill.objective is {self.objective}, but a {student.class_name} can learn only {found} from "
                f"{self.teacher!r}, a {teacher.class_name}: leave objective out, or name another teacher."
            )
        return found

    def _check_settings(self, objective: Objective) -> None:
        """Raise BadInput for a setting without effect: it would be shown as if it had one."""
        for setting, objectives in USED.items():
            changed = getattr(self, setting) != type(self).model_fields[setting].default
            if changed and objective not in objectives:
                raise BadInput(
                    f"distill.{setting} is for {' and '.join(objectives)}, but the objective is {objective}: leave it "
                    "out."
                )
        if not self.gold:
            for setting in ("alpha", "alpha_mlm"):
                if getattr(self, setting):
                    raise BadInput(f"distill.{setting} weighs gold labels, but gold is false: leave one of them out.")

    def _check_pair(self, objective: Objective, student: Architecture, teacher: Architecture) -> None:
        blend = self.blend(objective)
        if objective == "classification" and not same_labels(student, teacher):
            raise BadInput(
                f"distill has a student with the labels {', '.join(student.labels or ())} learn from {self.teacher!r}, "
                f"which knows {', '.join(teacher.labels or ())}: use a teacher with the same labels."
            )
        if objective != "classification" and student.vocab != teacher.vocab:
            raise BadInput(
                f"distill compares predictions of tokens, but the student has {student.vocab} tokens and the teacher "
                f"{self.teacher!r} {teacher.vocab}: use a teacher with the student's tokenizer."
            )
        if not (blend.cosine or blend.hidden):
            return
        setting = "alpha_hidden" if blend.hidden else "alpha_cos"
        if student.hidden != teacher.hidden:
            raise BadInput(
                f"distill.{setting} compares hidden states, but the student is {student.hidden} wide and the teacher "
                f"{teacher.hidden}: set {setting}: 0."
            )
        for stack in ("encoder", "decoder"):
            mine, theirs = (getattr(a, f"{stack}_layers") for a in (student, teacher))
            if blend.hidden and ((mine is None) != (theirs is None) or (mine or 0) > (theirs or 0)):
                raise BadInput(
                    f"distill.alpha_hidden matches layers, but the student has {mine} {stack} layers and the teacher "
                    f"{theirs}: set alpha_hidden: 0."
                )

    def blend(self, objective: Objective) -> Blend:
        """The weights of the losses."""
        from bench.methods.distill_training import Blend

        default = DEFAULTS[objective]

        def weight(setting: str) -> float:
            given: float | None = getattr(self, setting)
            return default.get(setting, 0.0) if given is None else given

        temperature = self.temperature or (2.0 if self.gold else 1.0)
        if objective == "classification":
            soft, hard = weight("alpha"), 1 - weight("alpha")
        else:
            soft, hard = weight("alpha_ce"), weight("alpha_mlm")
        if not self.gold:
            soft, hard = (1.0 if objective == "classification" else soft), 0.0
        return Blend(
            soft=soft,
            hard=hard,
            cosine=weight("alpha_cos"),
            squared=self.alpha_mse,
            hidden=self.alpha_hidden,
            temperature=temperature,
            entropy=not self.gold and temperature == 1.0,
            normalised=self.hidden_norm,
            supervised=self.hidden_map == "supervise",
        )

    def questions(
        self, answers: Mapping[str, dict[str, Any]], before: Architecture, teachers: Mapping[str, Architecture]
    ) -> tuple[Question, ...]:
        taught = self._pass(self.objective_of(before, teachers[self.teacher]))
        if taught is None:
            return ()
        if self._may_see_few(taught) and taught.rows(answers) is None:
            return (taught.count,)
        return () if self._sees_few(taught, answers) else taught.questions(answers)

    def study(self, model: Loaded, question: Question, work: Workplace) -> dict[str, Any]:
        from bench.methods.teacher_pass import answer

        return answer(model, question, work)

    def _pass(self, objective: Objective) -> TeacherPass | None:
        """What of the teacher does not change from epoch to epoch and is small enough to keep; None where nothing is.

        Not so the predictions of tokens, of which there is one for each word of the vocabulary, nor hidden states.
        """
        from bench.methods.teacher_pass import TeacherPass

        if self.targets == "teacher":
            asked = {"beams": self.beams, "max_length": self.max_length, "longest": self.target_length}
            return TeacherPass("pseudo-labels", self.teacher, self.data, asked)
        blend = self.blend(objective)
        if objective != "classification" or blend.hidden or not (blend.soft or blend.squared):
            return None
        return TeacherPass("soft labels", self.teacher, self.data, {"max_length": self.max_length})

    def _may_see_few(self, taught: TeacherPass) -> bool:
        """Whether it depends on the number of rows if each is seen: then a shard may be asked for in vain."""
        return taught.kind == "soft labels" and (self.max_steps is not None or self.epochs < 1)

    def teachers_held(self, *, passed: bool) -> tuple[str, ...]:
        """Where soft labels are known, the teacher is described and not loaded; beside pseudo-labels it goes along."""
        return () if passed and self.targets != "teacher" else self.teacher_names()

    def _sees_few(self, taught: TeacherPass, answers: Mapping[str, dict[str, Any]]) -> bool:
        """Whether the training ends before it has seen each row once: then the teacher goes along with it."""
        rows = taught.rows(answers)
        return taught.kind == "soft labels" and rows is not None and self.optimisation(rows).steps * self.batch < rows

    def label(self, architecture: Architecture) -> str:
        del architecture
        words = "distilled" if self.teacher == OWN_BASE else f"distilled from {self.teacher}"
        if self.targets == "teacher":
            words += ", pseudo-labels"
        return words if self.gold else f"{words}, no gold"

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        import torch

        from bench.methods.student_weights import with_fresh_head

        torch.manual_seed(work.seed)
        teacher = describe(work.teachers[self.teacher])
        fresh: list[str] = []
        if self._objective(model, teacher) == "classification" and not _classifies(model):
            model.model, fresh = with_fresh_head(model.model, teacher.labels or ())
        model.evidence["distill"] = {**self.fit_everywhere(model, work), "fresh": fresh}
        for parameter in model.model.parameters():
            parameter.requires_grad_(True)
        model.model.train(False)
        return model

    def fit(self, model: Loaded, work: Workplace, accelerator: Any = None) -> dict[str, Any]:
        from bench.methods.distill_batches import labelled
        from bench.methods.distill_training import Fitting, class_order, matched, run
        from bench.methods.finetune import freeze
        from bench.methods.student_weights import label_names

        objective = self._objective(model, describe(work.teachers[self.teacher]))
        blend, taught = self.blend(objective), self._pass(objective)
        examples = work.data[self.data].examples()
        teacher: Loaded | None = None
        states = None
        if taught is not None and taught.kind == "soft labels" and not self._sees_few(taught, work.answers):
            known, names = taught.logits(work)
            source: Source = labelled(model, known, examples, self, gold=self.gold)
        else:
            teacher = _frozen(work.teachers[self.teacher])
            names = list(label_names(teacher.model.config))
            source = self._source(objective, model, teacher, examples, work)
            states = matched(model, teacher, blend) if blend.hidden else None
        freeze(model.model, self.freeze)
        order = class_order(label_names(model.model.config), names) if objective == "classification" else None
        fitting = Fitting(model.model, blend, teacher.model if teacher else None, order, states)
        found = run(fitting, source, self, work.seed, accelerator)
        left_out = getattr(source, "left_out", {})
        return {"objective": objective, "teacher": self.teacher, "left_out": left_out, **found}

    def _source(
        self, objective: Objective, model: Loaded, teacher: Loaded, examples: Sequence[Example], work: Workplace
    ) -> Source:
        """The training examples as batches that the teacher reads too."""
        from bench.methods.distill_batches import labelled, texts, written

        if objective == "classification":
            return labelled(model, teacher, examples, self, gold=self.gold)
        if objective == "seq2seq":
            gold = [e.label for e in examples]
            taught = self._pass(objective)
            if taught is None and not all(gold):
                raise BadInput(
                    f"The data {self.data!r} has no references to write: name their column with label, or set targets: "
                    "teacher."
                )
            targets = gold if taught is None else taught.texts(work)
            return written(model, teacher, examples, targets, self, self.target_length)
        masked = objective == "masked"
        return texts(
            model,
            teacher,
            examples,
            self,
            work.seed,
            masked=masked,
            favour_rare=self.favour_rare,
            masked_only=self.masked_only,
        )

    def _objective(self, model: Loaded, teacher: Architecture) -> Objective:
        """As `objective_of`, for a model that is loaded."""
        student = architecture_of({**model.model.config.to_dict(), "architectures": [type(model.model).__name__]})
        return self.objective_of(student, teacher)


def _frozen(folder: Path) -> Loaded:
    """A teacher, which is not trained."""
    from bench.models import load

    found = load(folder)
    for parameter in found.model.parameters():
        parameter.requires_grad_(False)
    return found


def _classifies(model: Loaded) -> bool:
    return type(model.model).__name__.endswith("ForSequenceClassification")
