"""What a teacher says of each row of a data set: found out once for all students, settings and seeds that learn it.

The rows are asked for in shards, each a job. The first says how many rows there are, so that the others can follow;
who may not need them at all asks for that number alone before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench.methods.encoding import by_length, filler, padded
from bench.recipe import Question, Workplace

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.data import Example
    from bench.models import Loaded

Kind = Literal["soft labels", "pseudo-labels"]
SHARD: dict[Kind, int] = {"soft labels": 4096, "pseudo-labels": 256}  # rows
BATCH = 32
LOGITS, TEXTS = "logits.safetensors", "texts.json"


@dataclass(frozen=True)
class TeacherPass:
    """One pass of a teacher over a data set."""

    kind: Kind
    teacher: str
    data: str
    settings: Mapping[str, Any]

    @property
    def count(self) -> Question:
        """How many rows there are: asked of the teacher, so that it is one job for all students."""
        return Question("rows", {}, (self.data,), teacher=self.teacher)

    def questions(self, answers: Mapping[str, dict[str, Any]]) -> tuple[Question, ...]:
        """Those that are still open and can be put."""
        return tuple(q for q in self._shards(answers) if q.key not in answers)

    def rows(self, answers: Mapping[str, dict[str, Any]]) -> int | None:
        """How many rows there are, None until that or a shard was answered."""
        found = answers.get(self.count.key) or answers.get(self._shard(0).key)
        return None if found is None else int(found["rows"])

    def logits(self, work: Workplace) -> tuple[Tensor, list[str]]:
        """The class scores of every row, float32 [rows, classes], and the names of the classes."""
        import torch
        from safetensors.torch import load_file

        found = torch.cat([load_file(folder / LOGITS)["logits"] for folder in self._left(work)])
        return found, list(work.answers[self._shard(0).key]["labels"])

    def texts(self, work: Workplace) -> list[str]:
        """What the teacher has written for every row."""
        found = (json.loads((folder / TEXTS).read_text(encoding="utf-8")) for folder in self._left(work))
        return [text for texts in found for text in texts]

    def _left(self, work: Workplace) -> list[Path]:
        """The folders that the shards have left, in their order."""
        return [work.passes[question.key] for question in self._shards(work.answers)]

    def _shards(self, answers: Mapping[str, dict[str, Any]]) -> list[Question]:
        """The first alone until the number of rows is known."""
        return [self._shard(first) for first in range(0, self.rows(answers) or 1, SHARD[self.kind])]

    def _shard(self, first: int) -> Question:
        settings = {**self.settings, "first": first, "last": first + SHARD[self.kind]}
        return Question(self.kind, settings, (self.data,), teacher=self.teacher)


def answer(teacher: Loaded, question: Question, work: Workplace) -> dict[str, Any]:
    """Run a shard of a pass and leave what the teacher says. Gives the number of rows of the data."""
    from bench.methods.pseudo_label import written_by

    asked = dict(question.settings)
    examples = work.data[question.data[0]].examples()
    if question.kind == "rows":
        return {"rows": len(examples)}
    mine = examples[asked.pop("first") : asked.pop("last")]
    if question.kind == "pseudo-labels":
        work.left(TEXTS).write_text(json.dumps(written_by(teacher, mine, **asked)), encoding="utf-8")
        return {"rows": len(examples)}
    from safetensors.torch import save_file

    from bench.methods.student_weights import label_names

    save_file({"logits": class_scores(teacher, mine, **asked)}, work.left(LOGITS))
    return {"rows": len(examples), "labels": list(label_names(teacher.model.config))}


def class_scores(teacher: Loaded, examples: Sequence[Example], max_length: int) -> Tensor:
    """The teacher's logits, float32 [examples, classes], in the order of the examples; nothing is dropped out."""
    import torch

    from bench.methods.distill_batches import token_rows

    rows = token_rows(teacher, examples, max_length)
    model: Any = teacher.model
    model.train(False)
    found = torch.empty(len(rows), int(model.config.num_labels))
    with torch.inference_mode():
        for chosen in by_length(rows, BATCH):
            found[chosen] = model(**padded([rows[n] for n in chosen], filler(teacher))).logits.float()
    return found
