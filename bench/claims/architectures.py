"""The published architectures, written out: on the meta device to be counted, with random weights to be timed."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel

from bench.errors import BadInput

BERT_SIZE = re.compile(r"^bert (\d+)-(\d+)( pre-training)?$")


def _bart(decoder: int, **more: Any) -> transformers.BartConfig:
    return transformers.BartConfig(
        d_model=1024,
        encoder_layers=12,
        decoder_layers=decoder,
        encoder_ffn_dim=4096,
        decoder_ffn_dim=4096,
        encoder_attention_heads=16,
        decoder_attention_heads=16,
        max_position_embeddings=1024,
        **more,
    )


def _bert(layers: int, hidden: int) -> transformers.BertConfig:
    return transformers.BertConfig(
        vocab_size=30522,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden,
    )


def _mistral(layers: int) -> transformers.MistralConfig:
    return transformers.MistralConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
    )


def described(name: str) -> tuple[type[PreTrainedModel], Any]:
    """The class and config of a published architecture. Raises BadInput for an unknown name."""
    if match := re.match(r"^bart-large-mnli 12-(\d+)$", name):
        return transformers.BartForSequenceClassification, _bart(int(match[1]), vocab_size=50265, num_labels=3)
    if match := re.match(r"^mistral-7b (\d+)$", name):
        return transformers.MistralForCausalLM, _mistral(int(match[1]))
    if match := BERT_SIZE.match(name):
        kind = transformers.BertForPreTraining if match[3] else transformers.BertModel
        return kind, _bert(int(match[1]), int(match[2]))
    known: dict[str, tuple[type[PreTrainedModel], Any]] = {
        "bart-large-cnn": (transformers.BartForConditionalGeneration, _bart(12, vocab_size=50264)),
        "distilbart-cnn-12-6": (transformers.BartForConditionalGeneration, _bart(6, vocab_size=50264)),
        "bert-base": (transformers.BertModel, _bert(12, 768)),
        "bert-base pre-training": (transformers.BertForPreTraining, _bert(12, 768)),
        "distilbert": (transformers.DistilBertModel, transformers.DistilBertConfig()),
        "distilbert masked": (transformers.DistilBertForMaskedLM, transformers.DistilBertConfig()),
    }
    if name not in known:
        raise BadInput(
            f"A claim asks for the architecture {name!r}; known are {', '.join(known)}, 'bart-large-mnli 12-DEPTH', "
            "'mistral-7b DEPTH' and 'bert LAYERS-WIDTH' with or without ' pre-training'."
        )
    return known[name]


@lru_cache(maxsize=64)
def counted(name: str) -> PreTrainedModel:
    """The model on the meta device: shapes without memory, shared tensors shared."""
    kind, config = described(name)
    with torch.device("meta"):
        model = kind(config)
    model.tie_weights()
    return model


def timed(name: str) -> PreTrainedModel:
    """The model with random float32 weights on the CPU, in eval mode."""
    kind, config = described(name)
    torch.manual_seed(0)
    model = kind(config)
    model.train(False)
    return model


def parameters(model: nn.Module) -> int:
    """Numbers that make up the weights; shared ones once."""
    return sum(p.numel() for p in model.parameters())
