"""Which layers a student copies: found by comparing bits, not by asking the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def copied(depth: int, keep: int) -> list[int]:
    """For each decoder layer of a student with `keep` of `depth`, the teacher's layer that it equals bit for bit.

    The step `layer_copy` makes the student of a narrow BART classifier with random weights. -1 where none is equal.
    """
    import torch
    from transformers import BartConfig, BartForSequenceClassification

    from bench.methods.layer_copy import LayerCopy
    from bench.models import Loaded
    from bench.recipe import Workplace

    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=32,
        d_model=16,
        encoder_layers=2,
        decoder_layers=depth,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=32,
    )
    teacher = BartForSequenceClassification(config)
    before = [{k: v.clone() for k, v in layer.state_dict().items()} for layer in teacher.model.decoder.layers]
    no_tokenizer: Any = None
    student = LayerCopy(decoder=keep).apply(Loaded(teacher, no_tokenizer, Path()), Workplace(seed=0, data={}))
    layers: Any = student.model.model.decoder.layers
    return [
        next(
            (i for i, old in enumerate(before) if all(torch.equal(v, old[k]) for k, v in layer.state_dict().items())),
            -1,
        )
        for layer in layers
    ]
