"""Train the shipped summariser again from nothing, on one thread of one core.

    python -m bench.zoo.train_summaries --out bench/zoo/summaries-bart

Rows and steps are fixed here; `--seed` draws other first weights and another order (the shipped model has seed 1). The
same seed, machine and versions give the same weights.
"""

import argparse
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import torch
from torch import Tensor
from transformers import BartForConditionalGeneration

from bench.errors import BadInput
from bench.zoo.news import DATA, News, write_news
from bench.zoo.news_model import begin, generation, news_tokenizer

LOG: Final = logging.getLogger("bench.zoo.train_summaries")
Encoded = tuple[list[int], list[int]]  # token ids of the item and of its summary
WARM_UP: Final = 150  # steps
PAD: Final = 1
START: Final = 2  # what the decoder reads first


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stretch of training. The rate warms up, then falls along a cosine from its peak to `final` times it."""

    name: str
    steps: int
    rate: float  # peak learning rate of AdamW
    final: float  # learning rate at the end, as a share of the peak
    batch: int = 16  # items


STAGES: Final = (
    Stage(name="high", steps=1_800, rate=1.5e-3, final=0.7),
    Stage(name="low", steps=1_800, rate=1.05e-3, final=0.03),
)


def encode(split: News, count: int | None = None) -> list[Encoded]:
    """Token ids of every item and summary of a split, `<s>` and `</s>` included."""
    rows = list(write_news(split, count))
    tokenizer = news_tokenizer()
    texts = tokenizer([row["text"] for row in rows])["input_ids"]
    return list(zip(texts, tokenizer([row["summary"] for row in rows])["input_ids"], strict=True))


def padded(rows: Sequence[list[int]]) -> Tensor:
    """Right-padded ids, shape (rows, longest)."""
    width = max(map(len, rows))
    return torch.tensor([[*ids, *[PAD] * (width - len(ids))] for ids in rows])


def batches(rows: list[Encoded], size: int, rng: Random) -> Iterator[list[Encoded]]:
    """Endless batches of items of similar length: large pools are sorted, cut and shuffled."""
    while True:
        rng.shuffle(rows)
        for start in range(0, len(rows), size * 16):
            pool = sorted(rows[start : start + size * 16], key=lambda row: len(row[0]))
            cut = [pool[i : i + size] for i in range(0, len(pool) - size + 1, size)]
            rng.shuffle(cut)
            yield from cut


def loss_of(model: BartForConditionalGeneration, part: Sequence[Encoded]) -> Tensor:
    """Mean cross-entropy of a batch's summary tokens in nats."""
    source, target = padded([row[0] for row in part]), padded([row[1] for row in part])
    read = torch.cat([torch.full((len(part), 1), START), target[:, :-1]], 1)
    logits = model(input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=read).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)


@torch.no_grad()
def check_loss(model: BartForConditionalGeneration, rows: Sequence[Encoded]) -> float:
    """Mean loss over batches of validation items."""
    model.train(False)
    losses = [float(loss_of(model, rows[i : i + 64])) for i in range(0, len(rows), 64)]
    model.train()
    return sum(losses) / len(losses)


def rate_at(step: int, stage: Stage) -> float:
    """The learning rate of one step."""
    share = stage.final + (1 - stage.final) * 0.5 * (1 + math.cos(math.pi * step / stage.steps))
    return stage.rate * share * min(1.0, (step + 1) / WARM_UP)


def train_stage(
    model: BartForConditionalGeneration, stage: Stage, rows: Iterator[list[Encoded]], check: Sequence[Encoded]
) -> None:
    """Train in place; log losses every 100 steps. Raises BadInput if the loss is not finite."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.01)
    started, total = time.perf_counter(), 0.0
    model.train()
    for step in range(stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, stage)
        loss = loss_of(model, next(rows))
        if not torch.isfinite(loss):
            raise BadInput(
                f"Training stage {stage.name!r} reached a loss of {loss.item()} at step {step}, and only finite losses "
                "can be trained on: lower the stage's rate."
            )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item()
        if step % 100 == 99:
            LOG.info("%s step %d loss %.4f seconds %.0f", stage.name, step + 1, total / 100,
                     time.perf_counter() - started)  # fmt: skip
            total = 0.0
    LOG.info("%s validation loss %.4f", stage.name, check_loss(model, check))


def train(seed: int, keep: Path | None = None) -> BartForConditionalGeneration:
    """All stages from nothing. With `keep`, each stage's weights are saved there and finished stages are not redone."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = begin()
    rows, check = encode(DATA["summaries/train"]), encode(DATA["summaries/validation"], 256)
    for number, stage in enumerate(STAGES):
        done = keep / f"seed-{seed}-{number}-{stage.name}" if keep else None
        if done and done.exists():
            model = BartForConditionalGeneration.from_pretrained(done)
            continue
        order = Random(f"{seed} {stage.name}")  # noqa: S311 - a fixed order
        train_stage(model, stage, batches(sorted(rows), stage.batch, order), check)
        if done:
            model.save_pretrained(done)
    model.train(False)
    model.generation_config = generation()
    return model


def main() -> None:
    """Train and save model, generation settings and tokenizer as safetensors and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=1, help="draws the first weights and the order of items")
    parser.add_argument("--keep", type=Path, help="folder for the weights after each stage, to go on from if stopped")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = train(arguments.seed, arguments.keep)
    model.save_pretrained(arguments.out)
    news_tokenizer().save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
