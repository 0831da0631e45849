"""What is timed of a model: a forward pass, or the parts of writing a fixed number of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from bench.job import parts_of
from bench.measure.clock import Call

if TYPE_CHECKING:
    import torch

    from bench.models import Loaded


def calls_of(model: Loaded, inputs: dict[str, torch.Tensor], new_tokens: int | None) -> dict[str, Call]:
    """The calls to time, by the scope under which their samples are kept.

    Args:
        model: on the device of the inputs.
        inputs: [batch, tokens] of every row the same length.
        new_tokens: how many tokens the model writes; None for a forward pass alone.

    The names are those of `parts_of`. Of writing there are three: "prefill" reads the input and fills the
    cache (the encoder, where there is one), "first token" writes one token, and the third writes `new_tokens`. They are
    greedy and the number of tokens is pinned: the end of text cannot be chosen before the last.
    """
    shape = next(iter(inputs.values())).shape
    *others, whole = parts_of((int(shape[0]), int(shape[1])), new_tokens)
    if new_tokens is None:
        return {whole: lambda: model.model(**inputs)}
    prefill, first = others
    return {
        prefill: _prefill(model, inputs),
        first: _generation(model, inputs, 1),
        whole: _generation(model, inputs, new_tokens),
    }


def _prefill(model: Loaded, inputs: dict[str, torch.Tensor]) -> Call:
    if model.model.config.is_encoder_decoder:
        encoder: Any = model.model.get_encoder()
        return lambda: encoder(**inputs)
    # The logits of the last position are all that the first new token needs.
    last = {"logits_to_keep": 1} if "logits_to_keep" in signature(model.model.forward).parameters else {}
    decoder: Any = model.model
    return lambda: decoder(**inputs, use_cache=True, **last)


def _generation(model: Loaded, inputs: dict[str, torch.Tensor], new_tokens: int) -> Call:
    pinned = _pinned(model, new_tokens)
    writer: Any = model.model
    return lambda: writer.generate(**inputs, generation_config=pinned)


def _pinned(model: Loaded, new_tokens: int) -> Any:
    """Settings under which every model writes exactly `new_tokens` tokens, one after the other."""
    from transformers import GenerationConfig

    made: Any = GenerationConfig  # untyped
    own: Mapping[str, Any] = model.model.generation_config.to_dict()
    kept = {key: own[key] for key in ("decoder_start_token_id", "bos_token_id", "eos_token_id") if key in own}
    pad = own.get("pad_token_id")
    pad = model.tokenizer.pad_token_id if pad is None else pad
    eos = own.get("eos_token_id")
    first_eos = eos[0] if isinstance(eos, list) and eos else eos
    return made(
        **kept,
        pad_token_id=first_eos if pad is None else pad,
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        # Named, because what is left out is taken from the model's own settings.
        no_repeat_ngram_size=0,
        repetition_penalty=1.0,
    )
