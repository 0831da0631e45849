"""Train the shipped BERT, its compact family and its classifier again from nothing, on one thread of one core.

    python -m bench.zoo.train_bert --out FOLDER [--only bert-mini]

Seeds, rows and steps are fixed here; the same machine and versions give the same weights. The small ones are
pre-trained like the big one, each alone: none has seen another.
"""

import argparse
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import torch
from torch import Tensor
from transformers import BertForMaskedLM, BertForSequenceClassification, PreTrainedModel

from bench.zoo import write
from bench.zoo.bert_shape import SIZES, SPECIAL, begin, bert_tokenizer, grow
from bench.zoo.scenes import LABELS

LOG: Final = logging.getLogger("bench.zoo.train_bert")
Row = tuple[list[int], list[int], int]  # token ids, token types, the label's number
WARM_UP: Final = 100  # steps
MASKED: Final = 0.15
TEACHER: Final = "bert"
CLASSIFIER: Final = "bert-facts"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stretch of training."""

    steps: int
    rate: float  # peak learning rate of AdamW
    final: float = 0.0  # learning rate at the end, as a share of the peak
    layers: int | None = None  # depth while it is still growing
    batch: int = 64  # pairs


PRETRAINING: Final[dict[str, tuple[Stage, ...]]] = {
    "bert": (Stage(steps=2000, rate=2e-3, final=0.5, layers=4), Stage(steps=800, rate=1e-3)),
    "bert-tiny": (Stage(steps=1500, rate=4e-3),),
    "bert-mini": (Stage(steps=1500, rate=3e-3),),
    "bert-small": (Stage(steps=1500, rate=2e-3),),
    "bert-medium": (Stage(steps=1200, rate=2e-3),),
}
TUNING: Final = Stage(steps=2400, rate=1e-3)


def encode(name: str, limit: int | None = None) -> list[Row]:
    """The rows of a shipped data set as token ids, token types and label numbers."""
    listed = [row for _, row in zip(range(limit or 10**9), write(name), strict=False)]
    found = bert_tokenizer()([r["premise"] for r in listed], [r["hypothesis"] for r in listed])
    labels = [LABELS.index(r["label"]) for r in listed]
    return list(zip(found["input_ids"], found["token_type_ids"], labels, strict=True))


def stack(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Right-padded inputs [rows, longest]."""
    longest = max(len(ids) for ids, _, _ in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    types = torch.zeros_like(ids)
    for i, (tokens, kinds, _) in enumerate(rows):
        ids[i, : len(tokens)], types[i, : len(tokens)] = torch.tensor(tokens), torch.tensor(kinds)
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": (ids != 0).long()}


def batches(rows: list[Row], size: int, rng: Random) -> Iterator[list[Row]]:
    """Endless batches of similar length: large pools are sorted, cut and shuffled."""
    while True:
        rng.shuffle(rows)
        for start in range(0, len(rows) - size + 1, size * 32):
            pool = sorted(rows[start : start + size * 32], key=lambda row: len(row[0]))
            cut = [pool[i : i + size] for i in range(0, len(pool) - size + 1, size)]
            rng.shuffle(cut)
            yield from cut


def masked_loss(model: Any, inputs: dict[str, Tensor], draw: torch.Generator) -> Tensor:
    """Cross-entropy in nats at 15% of the words: 80% of them masked, 10% replaced, 10% left (Devlin et al. 2019)."""
    ids = inputs["input_ids"]
    chosen = (torch.rand(ids.shape, generator=draw) < MASKED) & (ids >= len(SPECIAL))
    fate = torch.rand(ids.shape, generator=draw)
    random = torch.randint(len(SPECIAL), model.config.vocab_size, ids.shape, generator=draw)
    seen = torch.where(chosen & (fate < 0.8), SPECIAL.index("[MASK]"), ids)
    seen = torch.where(chosen & (fate >= 0.9), random, seen)
    states = model.bert(**{**inputs, "input_ids": seen}).last_hidden_state
    return torch.nn.functional.cross_entropy(model.cls(states[chosen]), ids[chosen])


def label_loss(model: Any, inputs: dict[str, Tensor], rows: Sequence[Row]) -> Tensor:
    """Cross-entropy in nats of the labels."""
    target = torch.tensor([label for _, _, label in rows])
    return torch.nn.functional.cross_entropy(model(**inputs).logits, target)


def rate_at(step: int, stage: Stage) -> float:
    """Share of the peak rate: linear warm-up, then a cosine down to `stage.final`."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, stage.steps - WARM_UP)
    return stage.final + (1 - stage.final) * 0.5 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def check(model: Any, rows: Sequence[Row], *, classifier: bool) -> float:
    """Accuracy (0 to 1) of a classifier, loss in nats of a masked model; on held-out rows."""
    model.train(False)
    draw = torch.Generator().manual_seed(0)
    found: list[float] = []
    for start in range(0, len(rows), 128):
        part = rows[start : start + 128]
        if classifier:
            right = model(**stack(part)).logits.argmax(1) == torch.tensor([label for _, _, label in part])
            found += right.float().tolist()
        else:
            found.append(masked_loss(model, stack(part), draw).item())
    model.train()
    return sum(found) / len(found)


def train_stage(model: PreTrainedModel, stage: Stage, rows: list[Row], held_out: Sequence[Row], seed: int) -> None:
    """Train in place; log the loss and the held-out check every 200 steps."""
    classifier = isinstance(model, BertForSequenceClassification)
    optimiser = torch.optim.AdamW(model.parameters(), lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.0)
    source = batches(rows, stage.batch, Random(seed))  # noqa: S311 - a fixed order
    draw = torch.Generator().manual_seed(seed)
    started, total = time.perf_counter(), 0.0
    model.train()
    for step in range(stage.steps):
        for group in optimiser.param_groups:
            group["lr"] = stage.rate * rate_at(step, stage)
        part = next(source)
        inputs = stack(part)
        loss = label_loss(model, inputs, part) if classifier else masked_loss(model, inputs, draw)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        total += loss.item()
        if step % 200 == 199:
            found, took = check(model, held_out, classifier=classifier), time.perf_counter() - started
            LOG.info("step %d loss %.3f held out %.3f seconds %.0f", step + 1, total / 200, found, took)
            total = 0.0


def pretrain(name: str, rows: list[Row], held_out: Sequence[Row]) -> BertForMaskedLM:
    """One member of the family from nothing."""
    torch.manual_seed(20261121)
    stages = PRETRAINING[name]
    model = begin(SIZES[name], stages[0].layers)
    for number, stage in enumerate(stages):
        LOG.info("%s stage %d", name, number)
        if number:
            model = grow(model, SIZES[name])
        train_stage(model, stage, list(rows), held_out, number)
    model.train(False)
    return model


def tune(teacher: Path, rows: list[Row], held_out: Sequence[Row]) -> BertForSequenceClassification:
    """The classifier, from the pre-trained teacher."""
    torch.manual_seed(20261122)
    model = BertForSequenceClassification.from_pretrained(teacher)
    LOG.info("%s", CLASSIFIER)
    train_stage(model, TUNING, list(rows), held_out, 0)
    model.train(False)
    return model


def save(model: PreTrainedModel, folder: Path) -> None:
    """Model and tokenizer as safetensors and JSON."""
    model.save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)


def main() -> None:
    """Train what is asked for, the teacher before its classifier."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the models into")
    parser.add_argument("--only", nargs="*", choices=[*PRETRAINING, CLASSIFIER], help="some of them only")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    wanted = arguments.only or [TEACHER, CLASSIFIER, *PRETRAINING]
    if any(name in PRETRAINING for name in wanted):
        text, unseen = encode("text/train"), encode("text/validation", 512)
        for name in PRETRAINING:
            if name in wanted:
                save(pretrain(name, text, unseen), arguments.out / name)
    if CLASSIFIER in wanted:
        facts, unseen = encode("facts/train"), encode("facts/validation", 768)
        save(tune(arguments.out / TEACHER, facts, unseen), arguments.out / CLASSIFIER)


if __name__ == "__main__":
    main()
