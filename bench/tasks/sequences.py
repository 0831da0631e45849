"""What tasks on models that write have in common: log-likelihoods of given tokens, and greedy or beam search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.architecture import Architecture
from bench.data import Example
from bench.errors import BadInput
from bench.tasks.batches import in_batches, on_device

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedTokenizerBase

    from bench.models import Loaded


class Scored(NamedTuple):
    """How a model takes the tokens of one sequence, from the first one that was asked about on."""

    nll: NDArray[np.float64]  # nats a token
    hit: NDArray[np.float64]  # 1 where the token is the model's most likely one


class _Judged(NamedTuple):
    """As `Scored`, still on the device; `finite` is one truth value."""

    nll: torch.Tensor
    hit: torch.Tensor
    finite: torch.Tensor


def slices_of(window: Sequence[Example]) -> tuple[str, ...]:
    """The named part of the data that each example belongs to."""
    return tuple(e.slice for e in window)


def check_texts(examples: Sequence[Example]) -> None:
    """Raise BadInput where an example has no text."""
    for example in examples:
        if not example.text.strip():
            raise BadInput(f"Row {example.index + 1} of the data has an empty text: remove the row, or fill it in.")


def check_references(examples: Sequence[Example]) -> None:
    """Raise BadInput where an example has no reference to compare with."""
    for example in examples:
        if not example.label.strip():
            raise BadInput(
                f"Row {example.index + 1} of the data has no reference text: name its column with label, or remove "
                "the row."
            )


def check_length(setting: str, tokens: int, architecture: Architecture, base: str) -> None:
    """Raise BadInput where more tokens are asked for than the model has positions."""
    if architecture.positions is not None and tokens > architecture.positions:
        raise BadInput(
            f"{setting} is {tokens} but the model {base!r} has {architecture.positions} positions: lower it."
        )


def check_causal(kind: str, architecture: Architecture, base: str) -> None:
    """Raise BadInput unless the model is a causal language model."""
    if not architecture.causal:
        raise BadInput(
            f"The task {kind} needs a causal language model (a ...ForCausalLM), but the model {base!r} is "
            f"{architecture.class_name}: choose another task for it, or another model."
        )


def plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a text without any that the tokenizer adds."""
    return [int(i) for i in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]


def opening(tokenizer: PreTrainedTokenizerBase, bos: bool | None) -> list[int]:
    """What stands before a text: the beginning-of-text token or nothing; where `bos` is None, as the tokenizer does.

    Raises BadInput where the token is asked for and the tokenizer has none.
    """
    token = tokenizer.bos_token_id
    if bos and token is None:
        raise BadInput("bos is true, but the tokenizer has no beginning-of-text token: set bos to false.")
    if bos is None:
        bos = token is not None and list(tokenizer("a")["input_ids"])[:1] == [token]
    return [int(token)] if bos else []


def padded(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Sequence[int]], side: str = "right", width: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of tokens as one matrix [rows, width] and its mask; many causal models name no padding token.

    Without a width it is that of the longest row.
    """
    import torch

    width = width or max(len(row) for row in rows)
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    fill = next((int(i) for i in known if i is not None), 0)
    ids = torch.full((len(rows), width), fill)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[i, place] = torch.tensor(row, dtype=torch.long)
        mask[i, place] = 1
    return ids, mask


def score_tokens(
    model: Loaded,
    rows: Sequence[Sequence[int]],
    starts: Sequence[int],
    batch_tokens: int,
    sources: Sequence[Sequence[int]] | None = None,
) -> list[Scored]:
    """Log-likelihood of given tokens, each predicted from all before it in its row.

    Args:
        model: a causal model, or an encoder-decoder if there are sources.
        rows: tokens, one list a sequence; a decoder's begins with its start token.
        starts: the first position of each row that is scored, at least 1: nothing predicts the first token.
        batch_tokens: padded tokens of one batch.
        sources: what an encoder reads, one list a row.

    Raises ArithmeticError for logits that are not finite.
    """
    import torch

    device = model.model.device
    lengths = [len(row) + (len(sources[i]) if sources else 0) for i, row in enumerate(rows)]
    found: list[tuple[Sequence[int], list[_Judged]]] = []  # left on the device, so that no batch waits for another

    def run(part: Sequence[int], batch: Sequence[int]) -> None:
        ids, mask = padded(model.tokenizer, [rows[i] for i in part], width=max(len(rows[i]) for i in batch))
        inputs = {"input_ids": ids, "attention_mask": mask}
        if sources:
            width = max(len(sources[i]) for i in batch)
            read, seen = padded(model.tokenizer, [sources[i] for i in part], width=width)
            inputs = {"input_ids": read, "attention_mask": seen, "decoder_input_ids": ids}
            inputs["decoder_attention_mask"] = mask
        inputs = on_device(inputs, device)
        ids = inputs["decoder_input_ids" if sources else "input_ids"]
        logits = model.model(**inputs, use_cache=False).logits
        judged = []
        for place, i in enumerate(part):  # row by row: float32 logits of a whole batch may not fit in memory
            judged.append(_row(logits[place, starts[i] - 1 : len(rows[i]) - 1].float(), ids[place], starts[i]))
        found.append((part, judged))

    with torch.inference_mode():
        in_batches(model, lengths, batch_tokens, run)
        everything = [one for _, judged in found for one in judged]
        scored = _fetched(everything) if everything else []
    order = [i for part, _ in found for i in part]
    return [one for _, one in sorted(zip(order, scored, strict=True), key=lambda pair: pair[0])]


def _row(logits: torch.Tensor, ids: torch.Tensor, start: int) -> _Judged:
    """From logits [scored, vocabulary] of one row and its tokens [width]."""
    import torch

    right = ids[start : start + logits.shape[0]]
    nll = torch.nn.functional.cross_entropy(logits, right, reduction="none")
    return _Judged(nll, logits.argmax(dim=-1) == right, torch.isfinite(logits).all())


def _fetched(parts: Sequence[_Judged]) -> list[Scored]:
    """The parts as arrays, brought back from the device all at once."""
    import torch

    if not torch.stack([part.finite for part in parts]).all():
        raise ArithmeticError("The model gives logits that are not finite numbers.")
    ends = np.cumsum([part.nll.shape[0] for part in parts])[:-1]
    nll = np.split(torch.cat([part.nll for part in parts]).double().cpu().numpy(), ends)
    hit = np.split(torch.cat([part.hit for part in parts]).double().cpu().numpy(), ends)
    return [Scored(*pair) for pair in zip(nll, hit, strict=True)]


def generation_config(model: Loaded) -> GenerationConfig:
    """How the model's authors have it write: generation_config.json beside the weights, else what the model holds.

    The file comes first because a model rebuilt from its config alone has lost what stands there.
    """
    from transformers import GenerationConfig

    if (model.source / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(model.source, local_files_only=True)
    held = getattr(model.model, "generation_config", None)
    return GenerationConfig.from_dict({} if held is None else held.to_dict())


def end_tokens(config: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a text: those of the generation config, else the tokenizer's."""
    ends: Any = tokenizer.eos_token_id if config.eos_token_id is None else config.eos_token_id
    return [int(i) for i in (ends if isinstance(ends, list | tuple) else [ends] if ends is not None else [])]


def start_token(model: Loaded, config: GenerationConfig) -> int:
    """What an encoder-decoder's decoder begins with. Raises BadInput where the model names none."""
    named = (config.decoder_start_token_id, getattr(model.model.config, "decoder_start_token_id", None))
    found = next((i for i in (*named, config.bos_token_id) if i is not None), None)
    if found is None:
        raise BadInput(
            "The model names no decoder_start_token_id: add it to generation_config.json beside its weights."
        )
    return int(found)


def write(
    model: Loaded, prompts: Sequence[Sequence[int]], config: GenerationConfig, new_tokens: int, batch_tokens: int
) -> list[list[int]]:
    """What the model writes after (or, for an encoder-decoder, about) each prompt, up to and with the end token.

    Args:
        model: a causal model or an encoder-decoder.
        prompts: tokens, one list a text.
        config: how it writes; taken as it stands.
        new_tokens: the most tokens that one text can get, for the size of batches.
        batch_tokens: padded tokens of one batch, prompt and text, times beams.
    """
    import torch

    decoder_only = not model.model.config.is_encoder_decoder
    ends = set(end_tokens(config, model.tokenizer))
    beams = int(config.num_beams or 1)
    lengths = [(len(prompt) + new_tokens) * beams for prompt in prompts]
    found: list[list[int]] = [[]] * len(prompts)

    def run(part: Sequence[int], batch: Sequence[int]) -> None:
        side, width = "left" if decoder_only else "right", max(len(prompts[i]) for i in batch)
        ids, mask = padded(model.tokenizer, [prompts[i] for i in part], side, width)
        inputs = on_device({"ids": ids, "mask": mask}, model.model.device)
        out = _as_it_stands(model, config, **inputs).tolist()
        for i, tokens in zip(part, out, strict=True):
            written = tokens[ids.shape[1] if decoder_only else 1 :]
            found[i] = _until_end(written, ends, config.forced_bos_token_id)

    with torch.inference_mode():
        in_batches(model, lengths, batch_tokens, run)
    return found


def _as_it_stands(model: Loaded, config: GenerationConfig, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Tokens [rows, width] written under `config` alone: `generate` would fill what it leaves open from the model's."""
    from transformers import GenerationConfig

    held: Any = model.model
    before, held.generation_config = held.generation_config, GenerationConfig.from_dict({})
    try:
        found: torch.Tensor = held.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    finally:
        held.generation_config = before
    return found


def _until_end(tokens: list[int], ends: set[int], forced: int | None) -> list[int]:
    """The tokens up to and with the first that ends the text, unless it was forced; what follows is padding."""
    for place, token in enumerate(tokens):
        if token in ends and not (place == 0 and token == forced):
            return tokens[: place + 1]
    return tokens


def judge_of(folder: str, device: torch.device) -> Loaded:
    """The model that another one's text is judged by, on the same device, loaded once a process.

    `folder` may be a shipped model's name.
    """
    from bench.models import load

    path = Path(folder)
    if folder.startswith("zoo://"):
        from bench.zoo import model_folder

        path = model_folder(folder.removeprefix("zoo://"))
    place = (path, str(device))
    if place not in _JUDGES:
        _JUDGES.clear()  # one at a time: a worker judges many variants of the same base
        _JUDGES[place] = load(path, str(device))
    return _JUDGES[place]


_JUDGES: dict[tuple[Path, str], Loaded] = {}
