"""The shipped BERT and its compact family: shapes, tokenizer, first weights, and how the teacher grows.

The start is that of `shaping`: half of the heads attend to equal tokens, the others to neighbours (mimetic
initialisation, Trockman and Kolter 2023, arXiv:2305.09828); a deep model grows out of a shallow one by layers that add
next to nothing (network growth as in Net2Net, Chen and others 2016, arXiv:1511.05641).
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from bench.zoo.framing import vocabulary as entailment_vocabulary
from bench.zoo.scenes import LABELS

SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_TOKENS: Final = 96


@dataclass(frozen=True, slots=True)
class Size:
    """One member of the family; the feed-forward layers are twice as wide as the model."""

    layers: int
    hidden: int
    heads: int


SIZES: Final = {
    "bert": Size(12, 64, 4),
    "bert-tiny": Size(2, 16, 2),
    "bert-mini": Size(4, 32, 2),
    "bert-small": Size(4, 48, 4),
    "bert-medium": Size(8, 48, 4),
}


def vocabulary() -> dict[str, int]:
    """BERT's special tokens, then the words and characters of the entailment tokenizer."""
    words = [piece for piece in entailment_vocabulary() if piece not in ("<s>", "<pad>", "</s>", "<unk>")]
    return {piece: number for number, piece in enumerate((*SPECIAL, *words))}


def bert_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, framed as BERT frames: [CLS] a [SEP] b [SEP], with token types 0 and 1."""
    known = vocabulary()
    pieces = Tokenizer(models.WordPiece(vocab=known, unk_token="[UNK]", continuing_subword_prefix="##"))  # noqa: S106
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", known["[CLS]"]), ("[SEP]", known["[SEP]"])],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=pieces,
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
        model_max_length=MAX_TOKENS,
        padding_side="right",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def config_of(size: Size, layers: int | None = None) -> BertConfig:
    """The configuration of one size, at another depth while it is still growing."""
    return BertConfig(
        vocab_size=len(vocabulary()),
        hidden_size=size.hidden,
        num_hidden_layers=layers or size.layers,
        num_attention_heads=size.heads,
        intermediate_size=2 * size.hidden,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=0,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )


def _rates(hidden: int) -> Tensor:
    """Angles per token of the sinusoids that positions start from, fastest first; shape (hidden / 4,)."""
    return torch.exp(torch.linspace(math.log(2.5), math.log(0.02), hidden // 4))


def _turn(hidden: int, head: int, steps: int) -> Tensor:
    """The rotation that moves the fastest sinusoids by some tokens; shape (head, head)."""
    angles = _rates(hidden)[: head // 2] * steps
    matrix = torch.zeros(head, head)
    even = torch.arange(0, 2 * len(angles), 2)
    matrix[even, even] = matrix[even + 1, even + 1] = torch.cos(angles)
    matrix[even, even + 1] = torch.sin(angles)
    matrix[even + 1, even] = -torch.sin(angles)
    return matrix


def _start_embeddings(embeddings: Any, hidden: int) -> None:
    half = hidden // 2
    nn.init.normal_(embeddings.word_embeddings.weight, std=1.0)
    embeddings.word_embeddings.weight[:, half:] *= 0.3
    nn.init.normal_(embeddings.token_type_embeddings.weight, std=0.3)
    positions = embeddings.position_embeddings.weight
    angle = torch.arange(positions.shape[0], dtype=torch.float32)[:, None] * _rates(hidden)
    positions.zero_()
    positions[:, half::2] = 1.4 * torch.sin(angle)
    positions[:, half + 1 :: 2] = 1.4 * torch.cos(angle)


def _start_attention(attention: Any, size: Size, reach: int) -> None:
    """The first half of the heads starts on equal tokens, the others on the tokens `reach` before and after."""
    half, head, sharp = size.hidden // 2, size.hidden // size.heads, 1.4
    query, key = attention.self.query, attention.self.key
    for projection in (query, key, attention.self.value, attention.output.dense):
        nn.init.xavier_uniform_(projection.weight)
        nn.init.zeros_(projection.bias)
    for projection in (query, key):
        projection.weight *= 0.2
        projection.weight[:half, :half] += sharp * torch.eye(half)
    near = slice(half, half + head)
    for number in range(size.heads // 2, size.heads):
        rows = slice(number * head, (number + 1) * head)
        key.weight[rows, near] += sharp * torch.eye(head)
        query.weight[rows, near] += sharp * _turn(size.hidden, head, reach if number % 2 else -reach)
    attention.output.dense.weight *= 0.5


@torch.no_grad()
def begin(size: Size, layers: int | None = None) -> BertForMaskedLM:
    """A model with its first weights, drawn from torch's global generator (seed it before)."""
    model = BertForMaskedLM(config_of(size, layers))
    _start_embeddings(model.bert.embeddings, size.hidden)
    stack: Any = model.bert.encoder.layer
    for number, layer in enumerate(stack):
        _start_attention(layer.attention, size, 1 + number % 2)
        for linear in (layer.intermediate.dense, layer.output.dense):
            nn.init.xavier_uniform_(linear.weight)
    # The output shares the word vectors, which start large: without this its first guesses would be far too sure.
    model.cls.predictions.transform.LayerNorm.weight.fill_(0.2)
    return model


@torch.no_grad()
def grow(model: BertForMaskedLM, size: Size) -> BertForMaskedLM:
    """The same function in `size.layers` layers: after each old layer come new ones that add next to nothing."""
    grown = begin(size)
    old: Any = model.bert.encoder.layer
    new: Any = grown.bert.encoder.layer
    own = {name: value for name, value in model.state_dict().items() if ".encoder.layer." not in name}
    grown.load_state_dict(own, strict=False)
    slots = [i * size.layers // len(old) for i in range(len(old))]
    for i, layer in enumerate(new):
        source = max(j for j, slot in enumerate(slots) if slot <= i)
        if i in slots:
            layer.load_state_dict(old[source].state_dict())
            continue
        for output in (layer.attention.output.dense, layer.output.dense):
            output.weight.mul_(0.1)
            output.bias.zero_()
    return grown
