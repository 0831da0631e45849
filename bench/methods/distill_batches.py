"""Batches for distillation and pre-training: what the student sees, what the teacher sees, what counts.

The batch of one update is made as a whole and then split into parts (of accumulation, over processes). Each part knows
the counts of the whole, so that its sums, divided by them, add up to the mean over the batch however it is split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor

from bench.architecture import architecture_of, label_ids
from bench.data import Example
from bench.errors import BadInput
from bench.methods.distill_losses import IGNORED
from bench.methods.encoding import Row, encoded, filler, padded
from bench.methods.masking import Masker, even_weights, rare_weights, token_counts
from bench.methods.trained import Trained
from bench.methods.training import batches
from bench.models import Loaded

Inputs = dict[str, Tensor]


class Part(TypedDict):
    """A part of a batch; every tensor's first dimension is its rows."""

    student: Inputs
    teacher: Inputs
    taught: Tensor | None  # [rows, classes], what the teacher has said already
    labels: Tensor  # [rows] or [rows, tokens]; IGNORED where nothing is to be predicted
    soft: Tensor  # where student and teacher are compared, same shape, bool
    tokens: Tensor  # [rows, tokens], real tokens (of the encoder)
    written: Tensor  # [rows, tokens], real tokens of the decoder; of no tokens where there is none
    counts: dict[str, float]  # of the whole batch: soft, hard, tokens, written
    weight: float  # 0 for a part without rows of its own


class Source(Protocol):
    """Training examples that become batches."""

    lengths: list[int]

    def whole(self, rows: Sequence[int], update: int) -> Part:
        """The batch of these rows, undivided."""
        ...


def parts(whole: Part, count: int) -> list[Part]:
    """The batch in `count` parts of nearly equal size, each no longer than its longest row."""
    rows = len(whole["labels"])
    return [_taken(whole, list(range(rows))[k::count]) for k in range(count)]


def _taken(whole: Part, rows: list[int]) -> Part:
    if not rows:
        return {**_taken(whole, [0]), "weight": 0.0}
    tokens, written = _longest(whole["tokens"][rows]), _longest(whole["written"][rows])
    sides = written if written and "decoder_input_ids" in whole["student"] else tokens
    return {
        "student": _inputs(whole["student"], rows, written),
        "teacher": _inputs(whole["teacher"], rows, written),
        "taught": None if whole["taught"] is None else whole["taught"][rows],
        "labels": _cut(whole["labels"], rows, sides),
        "soft": _cut(whole["soft"], rows, sides),
        "tokens": _cut(whole["tokens"], rows, tokens),
        "written": _cut(whole["written"], rows, written),
        "counts": whole["counts"],
        "weight": 1.0,
    }


def _inputs(columns: Inputs, rows: list[int], written: int) -> Inputs:
    if not columns:
        return {}
    tokens = _longest(columns["attention_mask"][rows])
    return {key: _cut(t, rows, written if key.startswith("decoder") else tokens) for key, t in columns.items()}


def _cut(tensor: Tensor, rows: list[int], width: int) -> Tensor:
    return tensor[rows] if tensor.ndim == 1 else tensor[rows, :width]


def _longest(mask: Tensor) -> int:
    return int(mask.sum(dim=1).max()) if mask.numel() else 0


def part_of(
    student: Inputs, teacher: Inputs, labels: Tensor, soft: Tensor, tokens: Tensor, written: Tensor | None = None
) -> Part:
    """A whole batch with its counts; none is zero, for a sum over nothing is zero anyway."""
    decoder = torch.zeros(len(labels), 0, dtype=torch.long) if written is None else written
    sums = {"soft": soft, "hard": labels != IGNORED, "tokens": tokens, "written": decoder}
    return {
        "student": student,
        "teacher": teacher,
        "taught": None,
        "labels": labels,
        "soft": soft.bool(),
        "tokens": tokens,
        "written": decoder,
        "counts": {name: max(1.0, float(mask.sum())) for name, mask in sums.items()},
        "weight": 1.0,
    }


def stream(
    source: Source, step: Trained, updates: int, seed: int, share: int = 0, processes: int = 1
) -> Iterator[Part]:
    """The parts of one process, `step.accumulation` for each update."""
    order = batches(source.lengths, step.batch, updates, np.random.default_rng(seed))
    for update, rows in enumerate(order):
        yield from parts(source.whole(rows, update), step.accumulation * processes)[share::processes]


@dataclass
class Texts:
    """Unlabelled text for masked and causal models; what is too short or mostly unknown is left out."""

    rows: list[Row]
    others: list[Row] | None  # the same tokens as the teacher's tokenizer gives them
    fill: int
    masker: Masker | None  # None: each token is to be predicted from those before it
    masked_only: bool
    seed: int
    left_out: dict[str, int]

    def __post_init__(self) -> None:
        self.lengths = [len(row["input_ids"]) for row in self.rows]

    def whole(self, rows: Sequence[int], update: int) -> Part:
        student = padded([self.rows[r] for r in rows], self.fill)
        teacher = padded([self.others[r] for r in rows], self.fill) if self.others is not None else {}
        ids, tokens = student["input_ids"], student["attention_mask"]
        if self.masker is None:
            labels = torch.full_like(ids, IGNORED)
            labels[:, :-1] = torch.where(tokens[:, 1:] == 1, ids[:, 1:], IGNORED)
            return part_of(student, teacher, labels, tokens, tokens)
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence((self.seed, update)).generate_state(1)[0]))
        masked, labels = self.masker(ids, tokens, generator)
        student["input_ids"] = masked
        if teacher:
            teacher["input_ids"] = masked
        soft = (labels != IGNORED) if self.masked_only else tokens
        return part_of(student, teacher, labels, soft, tokens)


def texts(
    student: Loaded,
    teacher: Loaded | None,
    examples: Sequence[Example],
    step: Trained,
    seed: int,
    *,
    masked: bool,
    favour_rare: bool,
    masked_only: bool = False,
) -> Texts:
    """Unlabelled examples as batches. Raises BadInput where nothing is left, or the vocabularies differ."""
    rows = pieces(student, examples, step.max_length)
    unknown = student.tokenizer.unk_token_id
    short = [len(row["input_ids"]) < step.shortest for row in rows]
    strange = [
        unknown is not None and row["input_ids"].count(unknown) / len(row["input_ids"]) >= step.most_unknown
        for row in rows
    ]
    kept = [n for n in range(len(rows)) if not short[n] and not strange[n]]
    if not kept:
        raise BadInput(
            f"All {len(rows)} texts of {step.data!r} are left out: {sum(short)} have fewer than {step.shortest} "
            f"tokens, {sum(strange)} are too often unknown: lower {step.name}.shortest or give longer texts."
        )
    others = None
    if teacher is not None:
        check_vocabularies(student, teacher)
        others = pieces(teacher, examples, step.max_length)
        if [row["input_ids"] for row in rows] != [row["input_ids"] for row in others]:
            raise BadInput("Student and teacher cut texts into different tokens: use models with one tokenizer.")
        others = [others[n] for n in kept]
    rows = [rows[n] for n in kept]
    masker = _masker(student, rows, step, favour_rare) if masked else None
    left_out = {"short": sum(short), "unknown": sum(strange)}
    return Texts(rows, others, filler(student), masker, masked_only, seed, left_out)


def _masker(student: Loaded, rows: Sequence[Row], step: Trained, favour_rare: bool) -> Masker:
    tokenizer = student.tokenizer
    mask_id = tokenizer.mask_token_id
    if not isinstance(mask_id, int):
        raise BadInput(f"{step.name} hides tokens, but the tokenizer has no mask token: use a BERT-like model.")
    size = int(student.model.config.vocab_size)
    # A model's table may be longer than the vocabulary: what no text can hold is no replacement either.
    special = {*tokenizer.all_special_ids, *range(len(tokenizer), size)}
    if not favour_rare:
        return Masker(even_weights(size, special), mask_id, step.mask_share)
    counts = token_counts((row["input_ids"] for row in rows), size)
    return Masker(rare_weights(counts, special), mask_id, step.mask_share)


def token_rows(loaded: Loaded, examples: Sequence[Example], max_length: int) -> list[Row]:
    """Tokens of each text or pair, special tokens included."""
    pairs = None if examples[0].pair is None else [e.pair or "" for e in examples]
    return encoded(loaded, [e.text for e in examples], pairs, max_length)


def pieces(loaded: Loaded, examples: Sequence[Example], max_length: int) -> list[Row]:
    """Tokens of unlabelled text: a text longer than `max_length` becomes several rows, a longer pair is cut."""
    if examples[0].pair is not None or not loaded.tokenizer.is_fast:
        return token_rows(loaded, examples, max_length)
    longest = min(max_length, architecture_of(loaded.model.config.to_dict()).positions or max_length)
    found = loaded.tokenizer(
        [e.text for e in examples], truncation=True, max_length=longest, return_overflowing_tokens=True
    )
    columns = [key for key in ("input_ids", "token_type_ids") if key in found]
    return [{key: list(found[key][n]) for key in columns} for n in range(len(found["input_ids"]))]


def check_vocabularies(student: Loaded, teacher: Loaded) -> None:
    """Raise BadInput unless each token means the same to both models."""
    mine, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    if mine != theirs:
        differ = sum(mine.get(token) != number for token, number in theirs.items())
        raise BadInput(
            f"Student and teacher have different vocabularies ({len(mine)} and {len(theirs)} tokens, {differ} of the "
            "teacher's mean something else to the student), so their logits cannot be compared: use a teacher with the "
            "student's tokenizer, or distil class labels."
        )


@dataclass
class Labelled:
    """Texts with classes; each model reads them with its own tokenizer, unless the teacher has read them before."""

    rows: list[Row]
    fill: int
    targets: list[int]
    others: list[Row] | None = None  # as the teacher reads them
    other_fill: int = 0
    taught: Tensor | None = None  # [rows, classes]

    def __post_init__(self) -> None:
        self.lengths = [len(row["input_ids"]) for row in self.rows]

    def whole(self, rows: Sequence[int], update: int) -> Part:
        del update
        student = padded([self.rows[r] for r in rows], self.fill)
        teacher = padded([self.others[r] for r in rows], self.other_fill) if self.others is not None else {}
        labels = torch.tensor([self.targets[r] for r in rows])
        tokens = student["attention_mask"]
        # A classifying encoder-decoder reads its input once more in the decoder.
        found = part_of(student, teacher, labels, torch.ones_like(labels), tokens, tokens)
        return found if self.taught is None else {**found, "taught": self.taught[list(rows)]}


def labelled(
    student: Loaded, teacher: Loaded | Tensor, examples: Sequence[Example], step: Trained, *, gold: bool
) -> Labelled:
    """Examples as batches; without `gold` their labels are not looked at. Raises BadInput for an unknown label.

    `teacher` is the model, or its logits [examples, classes] where they are known.
    """
    known = label_ids(student.model.config.id2label)
    strange = next((e.label for e in examples if e.label.lower() not in known), None) if gold else None
    if strange is not None:
        raise BadInput(
            f"The data {step.data!r} has the label {strange!r}, which the model does not know; it knows "
            f"{', '.join(sorted(known))}: map it with labels, or set gold: false to learn from the teacher alone."
        )
    targets = [known[e.label.lower()] if gold else IGNORED for e in examples]
    found = Labelled(token_rows(student, examples, step.max_length), filler(student), targets)
    if isinstance(teacher, Tensor):
        return replace(found, taught=teacher)
    return replace(found, others=token_rows(teacher, examples, step.max_length), other_fill=filler(teacher))


@dataclass
class Written:
    """Texts and what should be written for them."""

    rows: list[Row]
    targets: list[Row]
    fill: int
    student: Loaded

    def __post_init__(self) -> None:
        self.lengths = [len(row["input_ids"]) for row in self.rows]

    def whole(self, rows: Sequence[int], update: int) -> Part:
        del update
        inputs = padded([self.rows[r] for r in rows], self.fill)
        target = padded([{"input_ids": self.targets[r]["input_ids"]} for r in rows], self.fill)
        written = target["attention_mask"]
        labels = torch.where(written == 1, target["input_ids"], IGNORED)
        model: Any = self.student.model
        shifted = model.prepare_decoder_input_ids_from_labels(labels)
        student = {**inputs, "decoder_input_ids": shifted}
        return part_of(student, dict(student), labels, written, inputs["attention_mask"], written)


def written(
    student: Loaded, teacher: Loaded, examples: Sequence[Example], targets: Sequence[str], step: Trained, longest: int
) -> Written:
    """Examples with the texts to write. Raises BadInput where the vocabularies differ."""
    check_vocabularies(student, teacher)
    rows = token_rows(student, examples, step.max_length)
    return Written(rows, encoded(student, targets, None, longest, target=True), filler(student), student)
