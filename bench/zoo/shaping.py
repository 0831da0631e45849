"""The entailment model from nothing: its shape, its first weights and how its decoder grows.

Two things let a thin post-norm BART learn quickly on one core. Half of the attention heads start by attending to equal
tokens ("mimetic" initialisation, Trockman and Kolter 2023, arXiv:2305.09828). And training starts with a few decoder
layers and then grows to twelve by inserting layers whose outputs start at zero (network growth as in Net2Net, Chen
and others 2016, arXiv:1511.05641).
"""

import math
from typing import Final

import torch
from torch import Tensor, nn
from transformers import BartConfig, BartForSequenceClassification
from transformers.models.bart.modeling_bart import BartAttention, BartDecoderLayer

from bench.zoo.framing import MAX_TOKENS, open_words, vocabulary
from bench.zoo.scenes import LABELS

WIDTH: Final = 64
HEADS: Final = 4
HALF: Final = WIDTH // 2
HEAD: Final = WIDTH // HEADS
ENCODER_LAYERS: Final = 4
DECODER_LAYERS: Final = 12


def shape(size: int, decoder_layers: int) -> BartConfig:
    """The configuration: width 64, four heads, four encoder layers."""
    return BartConfig(
        vocab_size=size,
        d_model=WIDTH,
        encoder_layers=ENCODER_LAYERS,
        decoder_layers=decoder_layers,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=MAX_TOKENS,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        classifier_dropout=0.0,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
        use_cache=False,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )


def rates() -> Tensor:
    """Angles per token of the 16 sinusoids that positions start from, fastest first; shape (16,)."""
    return torch.exp(torch.linspace(math.log(2.5), math.log(0.02), WIDTH // 4))


def start_embeddings(tokens: nn.Embedding, positions: nn.Embedding) -> None:
    """Tokens start large in the first half of the width, positions are sinusoids in the second half."""
    nn.init.normal_(tokens.weight, std=1.0)
    tokens.weight[:, HALF:] *= 0.3
    angle = torch.arange(positions.weight.shape[0], dtype=torch.float32)[:, None] * rates()
    positions.weight.zero_()
    positions.weight[:, HALF::2] = 1.4 * torch.sin(angle)
    positions.weight[:, HALF + 1 :: 2] = 1.4 * torch.cos(angle)


def turn(steps: int) -> Tensor:
    """The rotation that moves the eight fastest sinusoids by some tokens; shape (16, 16)."""
    angles = rates()[: HEAD // 2] * steps
    matrix = torch.zeros(HEAD, HEAD)
    even = torch.arange(0, HEAD, 2)
    matrix[even, even] = matrix[even + 1, even + 1] = torch.cos(angles)
    matrix[even, even + 1] = torch.sin(angles)
    matrix[even + 1, even] = -torch.sin(angles)
    return matrix


def start_attention(attention: BartAttention, reach: int) -> None:
    """Start two heads on equal tokens, one on the token `reach` before and one on the token `reach` after."""
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
        nn.init.xavier_uniform_(projection.weight)
        nn.init.zeros_(projection.bias)
    sharp = 1.4
    near = slice(HALF, HALF + HEAD)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight *= 0.2
        projection.weight[:HALF, :HALF] += sharp * torch.eye(HALF)
    for head, steps in ((2, -reach), (3, reach)):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        attention.k_proj.weight[rows, near] += sharp * torch.eye(HEAD)
        attention.q_proj.weight[rows, near] += sharp * turn(steps)
    attention.out_proj.weight *= 0.5


@torch.no_grad()
def begin(size: int, decoder_layers: int) -> BartForSequenceClassification:
    """A model with its first weights, drawn from torch's global generator (seed it before)."""
    model = BartForSequenceClassification(shape(size, decoder_layers))
    for stack in (model.model.encoder, model.model.decoder):
        start_embeddings(model.model.shared, stack.embed_positions)
        for number, layer in enumerate(stack.layers):
            start_attention(layer.self_attn, 1 + number % 2)
            for linear in (layer.fc1, layer.fc2):
                nn.init.xavier_uniform_(linear.weight)
            if isinstance(layer, BartDecoderLayer):
                start_attention(layer.encoder_attn, 1 + number % 2)
    for linear in (model.classification_head.dense, model.classification_head.out_proj):
        nn.init.xavier_uniform_(linear.weight)
    return model


@torch.no_grad()
def grow(model: BartForSequenceClassification, decoder_layers: int) -> BartForSequenceClassification:
    """The same function in more decoder layers: after each old layer come new ones that add nothing yet.

    A new layer's three outputs start near zero, so it is close to the identity and not equal to it (its norms take out
    the scale that the norm before gave); a short warm-up repairs the difference.
    """
    grown = begin(model.config.vocab_size, decoder_layers)
    old = model.model.decoder.layers
    own = {name: value for name, value in model.state_dict().items() if ".decoder.layers." not in name}
    grown.load_state_dict(own, strict=False)
    slots = [i * decoder_layers // len(old) for i in range(len(old))]
    for i, layer in enumerate(grown.model.decoder.layers):
        source = max(j for j, slot in enumerate(slots) if slot <= i)
        if i in slots:
            layer.load_state_dict(old[source].state_dict())
            continue
        for output in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
            output.weight.mul_(0.1)
            output.bias.zero_()
    return grown


def hold_open_words(model: BartForSequenceClassification) -> None:
    """Keep the vectors of names and nouns as drawn: their gradient is zero (no weight decay may act on them either)."""
    trained = torch.ones(model.config.vocab_size, 1)
    known = vocabulary()
    trained[[known[word] for word in open_words()]] = 0
    model.model.shared.weight.register_hook(lambda gradient: gradient * trained)


def scores(model: BartForSequenceClassification, ids: Tensor, mask: Tensor) -> Tensor:
    """Logits of a batch, shape (rows, 3)."""
    logits = model(input_ids=ids, attention_mask=mask).logits
    assert isinstance(logits, Tensor)
    return logits
