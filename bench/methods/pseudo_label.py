"""Pseudo-labels: what a teacher writes for each training text takes the reference's place (Kim & Rush 2016,
arXiv:1606.07947; "PL" of Shleifer & Rush 2020, arXiv:2010.13002)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.data import Example
from bench.methods.encoding import by_length, encoded, filler, padded

if TYPE_CHECKING:
    from bench.models import Loaded


def written_by(
    teacher: Loaded, examples: Sequence[Example], *, beams: int, max_length: int, longest: int, batch: int = 16
) -> list[str]:
    """The teacher's best beam for each example's text, in the order of the examples; nothing is drawn.

    Args:
        teacher: an encoder-decoder that writes text.
        examples: their texts are read, their references are not.
        beams: width of the search.
        max_length: tokens of the input; longer ones are cut.
        longest: most tokens to write, special ones included.
        batch: texts at a time, of similar length.
    """
    import torch

    rows = encoded(teacher, [e.text for e in examples], None, max_length)
    found = [""] * len(rows)
    model: Any = teacher.model
    model.train(False)
    shortest = min(getattr(model.generation_config, "min_length", None) or 0, longest)
    with torch.inference_mode():
        for chosen in by_length(rows, batch):
            inputs = padded([{"input_ids": rows[n]["input_ids"]} for n in chosen], filler(teacher))
            beams_found = model.generate(
                **inputs,
                num_beams=beams,
                do_sample=False,
                num_return_sequences=1,
                max_length=longest,
                min_length=shortest,
            )
            texts = teacher.tokenizer.batch_decode(beams_found, skip_special_tokens=True)
            for n, text in zip(chosen, texts, strict=True):
                found[n] = text.strip()
    return found
