"""BERT as tests need it for masked-language models: a word-level tokenizer with token types and a mask token."""

from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tests.tiny import LABELS, WORDS

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tokenizer(words: tuple[str, ...] = tuple(WORDS)) -> PreTrainedTokenizerFast:
    """Word-level, framed as BERT frames: [CLS] a [SEP] b [SEP], with token types."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def config(layers: int = 4, width: int = 16, labels: Mapping[int, str] | None = None) -> BertConfig:
    """Seventeen tokens, 64 positions; no dropout is changed."""
    names = dict(LABELS if labels is None else labels)
    return BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        pad_token_id=0,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )


def strengthened(model: PreTrainedModel) -> PreTrainedModel:
    """Larger weights and random biases: outputs that depend on inputs, and no bias that could be left out unseen."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "embeddings" not in name:
                parameter.mul_(5)
    model.train(False)
    return model


def masked(layers: int = 4, width: int = 16, seed: int = 0) -> PreTrainedModel:
    """A BERT masked-language model with random weights."""
    torch.manual_seed(seed)
    return strengthened(BertForMaskedLM(config(layers, width)))


def pretraining(layers: int = 4, width: int = 16, seed: int = 0) -> PreTrainedModel:
    """The same with the next-sentence head, as BERT was published."""
    torch.manual_seed(seed)
    return strengthened(BertForPreTraining(config(layers, width)))


def classifier(layers: int = 4, width: int = 16, seed: int = 0, **labels: int) -> PreTrainedModel:
    """A BERT classifier with random weights; `labels` gives other numbers to the three names."""
    torch.manual_seed(seed)
    names = {number: name for name, number in labels.items()} or LABELS
    return strengthened(BertForSequenceClassification(config(layers, width, names)))


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """The model and its tokenizer, saved as a user would save them."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
