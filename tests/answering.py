"""A step's questions, answered one after the other as workers do it."""

import json
import tempfile
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from bench.architecture import Architecture, architecture_of, describe
from bench.identity import settings_of
from bench.models import Loaded, load
from bench.recipe import Question, Step, Workplace

ANY = Architecture("bert", "BertForSequenceClassification", 2, None, ("yes", "no"), 64)  # for steps that do not look


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """What studies leave, until this process ends."""
    return tempfile.TemporaryDirectory(prefix="paredown-studies-")


def asked_by(step: Step, answers: dict[str, dict[str, Any]] | None = None) -> tuple[Question, ...]:
    """What a step asks that does not look at architectures."""
    return step.questions(answers or {}, ANY, {})


def answered(step: Step, parent: Loaded, work: Workplace) -> Workplace:
    """The workplace with the answers to everything that the step asks, and the files that studies have left."""
    before = architecture_of({**parent.model.config.to_dict(), "architectures": [type(parent.model).__name__]})
    teachers = {name: describe(work.teachers[name]) for name in step.teacher_names()}
    answers: dict[str, dict[str, Any]] = {}
    passes: dict[str, Path] = {}
    while asked := step.questions(answers, before, teachers):
        for question in asked:
            # A study may change the model in place, as each worker's own.
            model = deepcopy(parent) if question.teacher is None else load(work.teachers[question.teacher])
            draft = Path(tempfile.mkdtemp(dir=_kept().name))
            found = step.study(model, question, Workplace(0, work.data, work.threads, tasks=work.tasks, draft=draft))
            answers[question.key] = json.loads(json.dumps(settings_of(found)))
            if any(draft.iterdir()):
                passes[question.key] = draft
    return replace(work, answers=answers, passes=passes)


def applied(step: Step, parent: Loaded, work: Workplace) -> Loaded:
    """The parent after the step."""
    return step.apply(parent, answered(step, parent, work))
