"""Train the shipped entailment model again from nothing, on one thread of one core.

    python -m bench.zoo.train_entailment --out bench/zoo/entailment-bart

Seeds, rows and steps are fixed here; the same machine and versions give the same weights.
"""

import argparse
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

import torch
from torch import Tensor
from transformers import BartForSequenceClassification

from bench.zoo.changes import KINDS
from bench.zoo.framing import entailment_tokenizer
from bench.zoo.grammar import LABELS, Split, write_rows
from bench.zoo.shaping import DECODER_LAYERS, begin, grow, hold_open_words, scores

LOG: Final = logging.getLogger("bench.zoo.train_entailment")
Encoded = tuple[list[int], int]  # token ids and the label's number


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stretch of training: which rows, at which depth, for how long."""

    name: str
    rows: Split
    decoder_layers: int
    steps: int
    rate: float  # peak learning rate of AdamW
    final: float  # learning rate at the end, as a share of the peak
    encoder: float  # the encoder's learning rate, as a share of the decoder's
    batch: int = 64  # pairs


def train_rows(
    seed: int, count: int, small: float, paired: float = 0.0, kinds: tuple[str, ...] = tuple(KINDS)
) -> Split:
    """Training rows of one stage: the shares of scenes with a single fact, and of those beside a second one."""
    return Split(side="train", seed=seed, count=count, small=small, paired=paired, kinds=kinds, siblings=True)


# Who did what to whom comes first and alone: comparing names by position is the one skill that every kind needs, and
# among eight kinds its signal drowns (measured: no progress in 1,000 steps; alone, all learnt in 600).
STAGES: Final = (
    Stage(name="names", rows=train_rows(11, 40_000, 1.0, kinds=("roles", "order")), decoder_layers=4, steps=600,
          rate=1e-3, final=0.9, encoder=1.0),
    Stage(name="single facts", rows=train_rows(12, 60_000, 1.0, 0.25), decoder_layers=4, steps=2000,
          rate=1e-3, final=0.8, encoder=0.7),
    Stage(name="scenes", rows=train_rows(13, 120_000, 0.75, 0.6), decoder_layers=4, steps=3000,
          rate=1e-3, final=0.6, encoder=0.6),
    Stage(name="depth", rows=train_rows(14, 60_000, 0.7, 0.5), decoder_layers=DECODER_LAYERS, steps=1000,
          rate=7e-4, final=0.0, encoder=0.3),
)  # fmt: skip
CHECK: Final = Split(side="validation", seed=2, count=768)
WARM_UP: Final = 100  # steps


def encode(rows: Iterator[dict[str, str]]) -> list[Encoded]:
    """Token ids and label numbers of many rows."""
    tokenizer = entailment_tokenizer()
    listed = list(rows)
    ids = tokenizer([row["premise"] for row in listed], [row["hypothesis"] for row in listed])["input_ids"]
    return [(list(tokens), LABELS.index(row["label"])) for tokens, row in zip(ids, listed, strict=True)]


def stack(rows: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded ids, mask and labels: shapes (rows, longest), (rows, longest), (rows,)."""
    longest = max(len(tokens) for tokens, _ in rows)
    ids = torch.ones(len(rows), longest, dtype=torch.long)
    for i, (tokens, _) in enumerate(rows):
        ids[i, : len(tokens)] = torch.tensor(tokens)
    return ids, (ids != 1).long(), torch.tensor([label for _, label in rows])


def families(rows: Iterator[dict[str, str]]) -> list[list[Encoded]]:
    """Rows that follow each other with one premise, together: they differ in what matters alone."""
    listed = list(rows)
    found: list[list[Encoded]] = []
    last = ""
    for row, encoded in zip(listed, encode(iter(listed)), strict=True):
        if row["premise"] != last:
            found.append([])
        found[-1].append(encoded)
        last = row["premise"]
    return found


def batches(groups: list[list[Encoded]], size: int, rng: Random) -> Iterator[list[Encoded]]:
    """Endless batches of about `size` rows of similar length: large pools are sorted, cut and shuffled."""
    while True:
        rng.shuffle(groups)
        for start in range(0, len(groups), size * 16):
            pool = sorted(groups[start : start + size * 16], key=lambda group: len(group[0][0]))
            flat = [row for group in pool for row in group]
            cut = [flat[i : i + size] for i in range(0, len(flat) - size + 1, size)]
            rng.shuffle(cut)
            yield from cut


@torch.no_grad()
def accuracy(model: BartForSequenceClassification, rows: Sequence[Encoded]) -> float:
    """Share of rows (0 to 1) with the right label."""
    model.train(False)
    right = 0
    for start in range(0, len(rows), 128):
        ids, mask, labels = stack(rows[start : start + 128])
        right += int((scores(model, ids, mask).argmax(1) == labels).sum())
    model.train()
    return right / len(rows)


def rate_at(step: int, stage: Stage) -> float:
    """Share of the peak rate: linear warm-up, then a cosine down to `stage.final`."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, stage.steps - WARM_UP)
    return stage.final + (1 - stage.final) * 0.5 * (1 + math.cos(math.pi * done))


def optimizer_for(model: BartForSequenceClassification, stage: Stage) -> torch.optim.AdamW:
    """AdamW with a slower encoder, so that what is learnt sits in the decoder, whose depth is studied."""
    encoder = [p for name, p in model.named_parameters() if ".encoder." in name]
    others = [p for name, p in model.named_parameters() if ".encoder." not in name]
    groups = [{"params": others, "share": 1.0}, {"params": encoder, "share": stage.encoder}]
    return torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.0)


def train_stage(
    model: BartForSequenceClassification, stage: Stage, rows: Iterator[list[Encoded]], check: Sequence[Encoded]
) -> None:
    """Train in place; log loss and validation accuracy every 200 steps."""
    optimizer = optimizer_for(model, stage)
    started, total = time.perf_counter(), 0.0
    model.train()
    for step in range(stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = stage.rate * group["share"] * rate_at(step, stage)
        ids, mask, labels = stack(next(rows))
        loss = torch.nn.functional.cross_entropy(scores(model, ids, mask), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item()
        if step % 200 == 199:
            took = time.perf_counter() - started
            LOG.info("%s step %d loss %.3f right %.3f seconds %.0f",
                     stage.name, step + 1, total / 200, accuracy(model, check), took)  # fmt: skip
            total = 0.0


def train(keep: Path | None = None) -> BartForSequenceClassification:
    """All stages from nothing. With `keep`, each stage's weights are saved there and finished stages are not redone."""
    torch.set_num_threads(1)
    vocabulary = len(entailment_tokenizer())
    torch.manual_seed(20261121)
    model = begin(vocabulary, STAGES[0].decoder_layers)
    for number, stage in enumerate(STAGES):
        torch.manual_seed(number)
        done = keep / f"{number}-{stage.name}" if keep else None
        if done and done.exists():
            model = BartForSequenceClassification.from_pretrained(done)
            continue
        if stage.decoder_layers != model.config.decoder_layers:
            model = grow(model, stage.decoder_layers)
        hold_open_words(model)
        rows = families(write_rows(stage.rows))
        check = encode(write_rows(replace(CHECK, kinds=stage.rows.kinds)))
        train_stage(model, stage, batches(rows, stage.batch, Random(number)), check)  # noqa: S311 - a fixed order
        if done:
            model.save_pretrained(done)
    model.train(False)
    return model


def main() -> None:
    """Train and save model and tokenizer as safetensors and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--keep", type=Path, help="folder for the weights after each stage, to go on from if stopped")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = train(arguments.keep)
    model.save_pretrained(arguments.out)
    entailment_tokenizer().save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
