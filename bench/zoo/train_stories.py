"""Train the shipped story model again from nothing, on one thread of one core.

    python -m bench.zoo.train_stories --out bench/zoo/stories-mistral

Next-word training of all sixteen layers from the start. Seeds, rows and steps are fixed here; the same machine and
versions give the same weights (the shipped ones came from two runs of slightly different versions: see README.md).
`--compile` fuses each layer's small operations: about a quarter less time, and it needs a C++ compiler.
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
from transformers import MistralForCausalLM

from bench.errors import BadInput
from bench.zoo.stories import DATA, Stories, write_stories
from bench.zoo.story_model import begin, story_tokenizer, vocabulary

LOG: Final = logging.getLogger("bench.zoo.train_stories")
WARM_UP: Final = 100  # steps
PAD: Final = 2
END: Final = 1
STOP: Final = vocabulary()["."]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stretch of training. The rate warms up, then falls along a cosine from its peak to `final` times it."""

    name: str
    steps: int
    rate: float  # peak learning rate of AdamW
    final: float  # learning rate at the end, as a share of the peak
    states: float = 0.0  # as in `Stories`
    inner: float = 1.0  # weight of a word that does not end a sentence, against 1 for one that does
    batch: int = 32  # stories


# Where everything is decides few words of a plain story, and their signal drowns: after the first stage the model still
# guessed holders. Statements after every event, and more weight on the words that end sentences, teach it.
STAGES: Final = (
    Stage(name="high", steps=1_800, rate=3e-3, final=0.8),
    Stage(name="states", steps=2_000, rate=1.5e-3, final=0.7, states=0.7, inner=0.1, batch=16),
    Stage(name="low", steps=1_000, rate=1.4e-3, final=0.03),
)


def encode(split: Stories) -> list[list[int]]:
    """Token ids of every story of a split, `<s>` and `</s>` included."""
    texts = [row["text"] for row in write_stories(split)]
    return [[*ids, END] for ids in story_tokenizer()(texts)["input_ids"]]


def stack(part: Sequence[list[int]]) -> Tensor:
    """Right-padded ids, shape (stories, longest rounded up to 16): few lengths, so that little is compiled anew."""
    width = -(-max(map(len, part)) // 16) * 16
    return torch.tensor([[*ids, *[PAD] * (width - len(ids))] for ids in part])


def batches(rows: list[list[int]], size: int, rng: Random) -> Iterator[Tensor]:
    """Endless batches of stories of similar length: large pools are sorted, cut and shuffled."""
    while True:
        rng.shuffle(rows)
        for start in range(0, len(rows), size * 16):
            pool = sorted(rows[start : start + size * 16], key=len)
            cut = [pool[i : i + size] for i in range(0, len(pool) - size + 1, size)]
            rng.shuffle(cut)
            yield from map(stack, cut)


def losses(model: MistralForCausalLM, ids: Tensor) -> Tensor:
    """Cross-entropy of each next token in nats, shape (stories, tokens - 1), zero for padding.

    Padding follows every token that counts, so it needs no mask.
    """
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], ignore_index=PAD, reduction="none")


def weights(ids: Tensor, inner: float) -> Tensor:
    """Weight of each next token: 1 for the last word of a sentence, `inner` for others, 0 for padding."""
    target, after = ids[:, 1:], torch.nn.functional.pad(ids[:, 2:], (0, 1), value=PAD)
    return torch.where(target == PAD, 0.0, torch.where(after == STOP, 1.0, inner))


@torch.no_grad()
def checked(model: MistralForCausalLM, rows: Sequence[list[int]]) -> tuple[float, float]:
    """Perplexity over all tokens but the first of each story, and the share of stories whose last word is foreseen."""
    model.train(False)
    total, right = 0.0, 0
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        ids = stack(part)
        total += float(losses(model, ids).sum())
        guesses = model(input_ids=ids, use_cache=False).logits.argmax(-1)
        right += sum(int(guesses[i, len(row) - 4] == row[-3]) for i, row in enumerate(part))  # ... word . </s>
    model.train()
    return math.exp(total / sum(len(ids) - 1 for ids in rows)), right / len(rows)


def rate_at(step: int, stage: Stage) -> float:
    """The learning rate of one step."""
    done = step / stage.steps
    share = stage.final + (1 - stage.final) * 0.5 * (1 + math.cos(math.pi * done))
    return stage.rate * share * min(1.0, (step + 1) / WARM_UP)


def train_stage(model: MistralForCausalLM, stage: Stage, rows: Iterator[Tensor], check: Sequence[list[int]]) -> None:
    """Train in place; log loss every 100 steps. Raises BadInput if the loss is not finite."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.01)
    started, total = time.perf_counter(), 0.0
    model.train()
    for step in range(stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, stage)
        ids = next(rows)
        weight = weights(ids, stage.inner)
        loss = (losses(model, ids) * weight).sum() / weight.sum()
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
        if step % 200 == 199 or step == stage.steps - 1:
            part = check if step == stage.steps - 1 else check[:150]
            LOG.info("%s perplexity %.4f, last words %.3f", stage.name, *checked(model, part))


def train(keep: Path | None = None, compiled: bool = False) -> MistralForCausalLM:
    """All stages from nothing. With `keep`, each stage's weights are saved there and finished stages are not redone."""
    torch.set_num_threads(1)
    torch.manual_seed(20261121)
    model = begin()
    check = encode(DATA["stories/validation"])
    for number, stage in enumerate(STAGES):
        done = keep / f"{number}-{stage.name}" if keep else None
        if done and done.exists():
            model = MistralForCausalLM.from_pretrained(done)
            continue
        if compiled:
            for layer in model.model.layers:
                layer.compile(dynamic=True)
        rows = encode(replace(DATA["stories/train"], states=stage.states))
        train_stage(model, stage, batches(sorted(rows), stage.batch, Random(number)), check)  # noqa: S311 - fixed order
        if done:
            model.save_pretrained(done)
    model.train(False)
    return model


def main() -> None:
    """Train and save model and tokenizer as safetensors and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--keep", type=Path, help="folder for the weights after each stage, to go on from if stopped")
    parser.add_argument("--compile", action="store_true", help="fuse each layer's operations (needs a C++ compiler)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = train(arguments.keep, arguments.compile)
    model.save_pretrained(arguments.out)
    story_tokenizer().save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
