"""A step that asks before it is applied: twice two questions, the second pair following from the first answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from bench.architecture import Architecture
from bench.models import Loaded
from bench.recipe import Question, Step, Workplace

STEP = "tests.cluster.asking:Asker"


class Asker(Step):
    """`keep` does not matter for the questions, so that recipes which differ in it share the answers."""

    name: ClassVar[str] = "asker"
    version: ClassVar[int] = 1
    data_settings: ClassVar[tuple[str, ...]] = ("data", "inner.data")
    task_settings: ClassVar[tuple[str, ...]] = ("task",)
    teacher_settings: ClassVar[tuple[str, ...]] = ("teacher",)

    keep: int = 1
    data: str = "train"
    inner: dict[str, str] | None = None
    task: str | None = None
    teacher: str | None = None
    fail: bool = False

    def check(self, architecture: Architecture) -> Architecture:
        return architecture

    def label(self, architecture: Architecture) -> str:
        del architecture
        return f"asked {self.keep}"

    def questions(
        self, answers: Mapping[str, dict[str, Any]], before: Architecture, teachers: Mapping[str, Architecture]
    ) -> tuple[Question, ...]:
        del before, teachers
        first = tuple(Question("rows", {"shard": i}, (self.data,)) for i in range(2))
        if any(q.key not in answers for q in first):
            return first
        total = sum(answers[q.key]["rows"] for q in first)
        return (*first, Question("total", {"rows": total}))

    def study(self, model: Loaded, question: Question, work: Workplace) -> dict[str, Any]:
        del model
        if question.kind == "total":
            return {"total": question.settings["rows"]}
        if self.fail:
            raise RuntimeError("this study fails")
        return {"rows": len(work.data[self.data].examples()) // 2}

    def apply(self, model: Loaded, work: Workplace) -> Loaded:
        model.evidence = {"answers": sorted(str(a) for a in work.answers.values()), "taught": sorted(work.teachers)}
        return model
